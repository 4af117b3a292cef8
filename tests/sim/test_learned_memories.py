"""What may be loaded into learned memories, and Programs in which engines could not agree."""

from dataclasses import replace

import numpy as np
import pytest
from random_rules import random_learning_program

from spikeloom.compiler.errors import InputError, ProgramError
from spikeloom.compiler.instructions import Evt, Mac, Map, Upd
from spikeloom.sim import create_engine
from spikeloom.sim.check import check_program
from spikeloom.sim.check_learning import learned_limits


def program_with(gate, skip=None):
    """A random Program with an ``UPD`` of this gate in its last phase, and that instruction."""
    for seed in range(200):
        program = random_learning_program(seed)
        for i in program.phases[-1]:
            skips = isinstance(i, Upd) and i.skip >= 0
            if isinstance(i, Upd) and i.gate == gate and skip in (None, skips):
                return program, i
    raise AssertionError(f"no random Program has the gate {gate!r}")


def changed(program, old, new):
    phases = [[new if i is old else i for i in phase] for phase in program.phases]
    return replace(program, phases=phases)


@pytest.mark.parametrize("engine", ["golden", "native"])
def test_weights_and_residuals_are_checked_together(engine):
    program, i = program_with("always")
    running = create_engine(engine, program)
    port = program.rules[i.rule].weight
    bits = program.machine.residual_bits
    low = (port.lo + (1 << (bits - 1))) >> bits
    weight, residual = program.weight.astype(np.int64), program.residual.astype(np.int64)
    weight[i.weights, 0] = low
    residual[i.weights, 0] = port.lo - (low << bits)
    running.load_memory("weight", weight)
    running.load_memory("residual", residual)
    running.step()  # exactly the least
    if residual[i.weights, 0] == -(1 << (bits - 1)):
        weight[i.weights, 0] -= 1
        residual[i.weights, 0] = (1 << (bits - 1)) - 1
    else:
        residual[i.weights, 0] -= 1
    with pytest.raises(InputError, match=rf"^memor.*{port.lo}\.\.|cannot hold"):
        running.load_memory("weight", weight)
        running.load_memory("residual", residual)
        running.run(1, {}, [])
    running.reset()
    running.step()


@pytest.mark.parametrize("engine", ["golden", "native"])
@pytest.mark.parametrize("memory", ["weight", "residual", "synapse"])
def test_only_what_is_learned_can_be_loaded(engine, memory):
    program = random_learning_program(5)
    running = create_engine(engine, program)
    lows, highs = learned_limits(program, memory)
    fixed = np.argwhere(lows == highs)
    assert len(fixed)  # other weights, padding, states that a rule has not
    content = getattr(program, memory).astype(np.int64)
    content[tuple(fixed[-1])] += 1
    with pytest.raises(InputError, match=f"memory '{memory}' cannot hold"):
        running.load_memory(memory, content)
    assert np.array_equal(running.memory(memory), getattr(program, memory))


def test_states_of_synapses_keep_their_range():
    program = next(p for p in map(random_learning_program, range(50)) if np.any(p.synapse != 0))
    running = create_engine("native", program)
    lows, highs = learned_limits(program, "synapse")
    at = tuple(np.argwhere(lows < highs)[0])
    content = highs.copy()
    running.load_memory("synapse", content)
    assert np.array_equal(running.memory("synapse"), content)
    content[at] += 1
    with pytest.raises(InputError, match="memory 'synapse' cannot hold"):
        running.load_memory("synapse", content)


def test_learned_weights_are_read_as_one_matrix():
    program = random_learning_program(5)
    i = next(i for i in program.phases[-1] if isinstance(i, Evt))
    assert i.weights < program.plastic_words and i.rows > 1
    span = {"words": i.words, "length": i.length, "target": i.target, "comment": "part"}
    part = Mac(i.weights + i.words, 0, i.rows - 1, clear=True, wait=True, **span)
    with pytest.raises(ProgramError, match="MAC 'part': reads learned weights, but not as the"):
        check_program(replace(program, phases=[*program.phases[:-1], [*program.phases[-1], part]]))
    whole = replace(part, weights=i.weights, rows=i.rows)
    check_program(replace(program, phases=[*program.phases[:-1], [*program.phases[-1], whole]]))


def test_a_gate_must_be_true():
    """A rule that changes weights of neurons that did not fire cannot be gated by them."""
    program, i = program_with("post", skip=True)
    with pytest.raises(ProgramError, match="may change something, or count a limit, where"):
        check_program(changed(program, i, replace(i, skip=-1)))


def test_a_spike_must_be_that_of_the_events():
    program, i = program_with("post")
    code = program.rules[i.rule]
    number = next(n for n, v in enumerate(code.post) if v.spike)
    post = list(i.post)
    post[number] = (1 - post[number][0], post[number][1])
    with pytest.raises(ProgramError, match=r"is (not the spike of event list|no such|not captur)"):
        check_program(changed(program, i, replace(i, post=tuple(post))))
    emitter = next(m for m in program.instructions if isinstance(m, Map) and m.list == i.list)
    silent = replace(emitter, captures=emitter.captures[:1])
    with pytest.raises(ProgramError, match="is not"):
        check_program(changed(program, emitter, silent))

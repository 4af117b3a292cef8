"""States that the native engine makes only when a rule looks at them."""

from dataclasses import replace

import nengo
import numpy as np
import pytest

import spikeloom
from spikeloom.compiler.instructions import Map, Upd
from spikeloom.compiler.program import OutputPort
from spikeloom.sim.check import MEMORIES
from spikeloom.sim.golden import GoldenEngine
from spikeloom.sim.native.engine import NativeEngine
from spikeloom.sim.native.source.late import late_maps, late_part


@pytest.fixture(scope="module")
def program():
    """Two populations; voltages of the first decide what is learned at spikes of the second."""
    rng = np.random.default_rng(3)
    with nengo.Network(seed=3) as network:
        shown = nengo.Node(lambda t: np.sin(40 * t + np.arange(6)))
        lif = spikeloom.LIF(tau_rc=0.03, tau_ref=0.002, min_voltage=-1, reset=-1)
        options = dict(neuron_type=lif, gain=np.ones(70), bias=np.linspace(0, 1.1, 70))
        pre = nengo.Ensemble(70, 1, **options)
        post = nengo.Ensemble(20, 1, neuron_type=lif, gain=np.ones(20), bias=np.full(20, 1.1))
        strengths = rng.uniform(0, 3, (70, 6))
        nengo.Connection(shown, pre.neurons, transform=strengths, synapse=None)
        start = rng.uniform(0, 1, (20, 70))
        rule = spikeloom.VDSP(learning_rate=0.1)
        nengo.Connection(pre.neurons, post.neurons, transform=start, learning_rule_type=rule)
        nengo.Probe(post.neurons)
    with spikeloom.Simulator(network, progress_bar=False) as sim:
        sim.run_steps(20)
        return sim.program


def updates(program):
    return [k for k, i in enumerate(program.instructions) if isinstance(i, Upd)]


def test_what_rules_see_is_late(program):
    ((number, readers),) = late_maps(program).items()
    part = late_part(program.kernels[program.instructions[number].kernel], program.machine)
    (reader,) = readers
    assert updates(program) == readers
    assert program.instructions[reader].pre_slots == part.slots


def test_engines_agree(program):
    golden, native = GoldenEngine(program), NativeEngine(program)
    name, port = next(iter(program.inputs.items()))
    limit = 2**port.fraction
    rng = np.random.default_rng(4)
    start = golden.memory("weight")
    for steps in (1, 2, 40, 1, 3, 100):
        values = rng.integers(-limit, limit, (steps, port.size))
        for engine in (golden, native):
            engine.run(steps, {name: values}, [])
        for memory in MEMORIES:
            np.testing.assert_array_equal(native.memory(memory), golden.memory(memory))
    assert golden.saturations() == native.saturations()
    assert not np.array_equal(golden.memory("weight"), start)


def test_what_is_written_before_a_run_is_what_the_first_step_finds(program):
    """The late state of each neuron is other than what follows from its voltage."""
    ((number, _),) = late_maps(program).items()
    i = program.instructions[number]
    state = program.state.copy()
    state[2, i.state : i.state + i.length] = 12345
    engines = GoldenEngine(program), NativeEngine(program)
    for engine in engines:
        engine.load_memory("state", state)
        engine.run(3, {}, [])
    for memory in MEMORIES:
        np.testing.assert_array_equal(*(engine.memory(memory) for engine in engines))


def test_what_others_look_at_is_not_late(program):
    ((number, (reader,)),) = late_maps(program).items()
    i, update = program.instructions[number], program.instructions[reader]

    def with_instruction(place, new):
        phases, count = [], 0
        for phase in program.phases:
            phases.append([new if count + k == place else old for k, old in enumerate(phase)])
            count += len(phase)
        return replace(program, phases=phases)

    assert isinstance(i, Map)
    port = OutputPort("seen", "state", i.state + i.length - 1, 1, update.pre_slots[0], 1.0, 0)
    assert not late_maps(replace(program, outputs={**program.outputs, "seen": port}))
    captured = replace(i, captures=((update.pre_slots[0], 0, 0),))
    assert not late_maps(with_instruction(number, captured))
    assert not late_maps(with_instruction(reader, replace(update, gate="always")))
    # The voltage itself is there in each step.
    assert not late_maps(with_instruction(reader, replace(update, pre_slots=(0,))))

"""Golden and native give the same integers on random Programs that learn."""

import numpy as np
import pytest
from random_programs import FAMILY, random_inputs
from random_rules import random_learning_program

from spikeloom.compiler.kernels.code import KINDS, REDUCTIONS
from spikeloom.compiler.storage import decode_program, encode_program, program_hash
from spikeloom.sim import create_engine
from spikeloom.sim.check import MEMORIES

PROGRAMS = 60
STEPS = 24


def drive(seed, program):
    """Inputs that make some neurons fire in some steps."""
    inputs = random_inputs(seed, program, STEPS)
    rng = np.random.default_rng(seed)
    limit = 1 << (program.machine.value_bits - 1)
    inputs["drive"] = rng.integers(-limit, limit, (STEPS, 4))
    return inputs


def assert_same(a, b, what):
    for name in MEMORIES:
        different = np.argwhere(a.memory(name) != b.memory(name))
        assert not len(different), f"{what}: memory {name} differs at {different[:5].tolist()}"
    assert a.saturations() == b.saturations(), what


@pytest.mark.parametrize("family", range(PROGRAMS // FAMILY))
def test_random_learning_programs(family):
    for seed in range(family * FAMILY, (family + 1) * FAMILY):
        program = random_learning_program(seed)
        inputs = drive(seed, program)
        engines = [create_engine(name, program) for name in ("golden", "native")]
        for engine in engines:
            engine.run(STEPS, inputs, [])
        assert_same(*engines, f"seed {seed}")


def test_they_try_everything():
    kinds, gates, seen = set(), set(), set()
    for seed in range(PROGRAMS):
        program = random_learning_program(seed)
        engine = create_engine("golden", program)
        engine.run(STEPS, drive(seed, program), [])
        for code in program.rules.values():
            kinds |= {op.kind for op in code.ops}
        gates |= {(i.gate, i.skip >= 0) for i in program.instructions if i.opcode == "UPD"}
        for name in program.projections:
            if engine.saturations().get(name):
                seen.add("saturation")
        for name in ("weight", "residual", "synapse"):
            if not np.array_equal(engine.memory(name), getattr(program, name)):
                seen.add(name)
    assert kinds == KINDS - REDUCTIONS - {"input", "state"}
    assert gates == {("always", False), ("pre", False), ("post", False), ("post", True)}
    assert seen == {"saturation", "weight", "residual", "synapse"}


@pytest.mark.parametrize("engine", ["golden", "native"])
def test_learning_can_be_switched_off(engine):
    program = random_learning_program(3)
    runs = [create_engine(engine, program) for _ in range(2)]
    runs[1].learning(False)
    for run in runs:
        run.run(STEPS, drive(3, program), [])
    assert not np.array_equal(runs[0].memory("weight"), program.weight)
    assert np.array_equal(runs[1].memory("weight"), program.weight)
    assert np.array_equal(runs[1].memory("residual"), program.residual)


@pytest.mark.parametrize("engine", ["golden", "native"])
def test_learned_memories_can_be_carried_over(engine):
    """What one engine learned, another one goes on from."""
    program = random_learning_program(5)
    inputs = drive(5, program)
    first = create_engine(engine, program)
    first.run(STEPS, inputs, [])
    second = create_engine("golden", program)
    for name in ("weight", "residual", "synapse", "state", "value"):
        second.load_memory(name, first.memory(name))
    for run in (first, second):
        run.run(STEPS, inputs, [])
    for name in ("weight", "residual", "synapse"):
        assert np.array_equal(first.memory(name), second.memory(name)), name
    first.reset()
    assert np.array_equal(first.memory("weight"), program.weight)


def test_learning_programs_can_be_stored():
    program = random_learning_program(7)
    again = decode_program(encode_program(program), "a test")
    assert program_hash(again) == program_hash(program)
    assert again.rules == program.rules and again.projections == program.projections
    assert np.array_equal(again.residual, program.residual)

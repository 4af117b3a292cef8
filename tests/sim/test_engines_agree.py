"""Golden and native give the same integers on random Programs: every memory, output and counter."""

import numpy as np
import pytest
from random_programs import FAMILY, random_inputs, random_program
from same_memories import assert_same_memories

from spikeloom.compiler.kernels.code import KINDS
from spikeloom.sim import create_engine
from spikeloom.sim.native.source.rare import rare_part

PROGRAMS = 120
STEPS = 24


@pytest.mark.parametrize("family", range(PROGRAMS // FAMILY))
def test_random_programs(family):
    for seed in range(family * FAMILY, (family + 1) * FAMILY):
        program = random_program(seed)
        inputs = random_inputs(seed, program, STEPS)
        engines = [create_engine(name, program) for name in ("golden", "native")]
        results = [e.run(STEPS, inputs, list(program.outputs)) for e in engines]
        for name in program.outputs:
            steps = np.flatnonzero((results[0][name] != results[1][name]).any(axis=1))
            assert not len(steps), f"seed {seed}: output {name} differs from step {steps[0]} on"
        assert_same_memories(*engines, f"seed {seed}")


@pytest.mark.parametrize("seed", range(0, 40, 8))
def test_phase_by_phase_as_in_one_run(seed):
    """The calls for single phases, and reset, give what a whole run gives."""
    program = random_program(seed)
    inputs = random_inputs(seed, program, 6)
    whole = create_engine("native", program)
    expected = whole.run(6, inputs, list(program.outputs))
    for name in ("golden", "native"):
        engine = create_engine(name, program)
        engine.run(3, {}, [])
        engine.reset()
        for step in range(6):
            for phase in range(len(program.phases)):
                for port, values in inputs.items():
                    if program.inputs[port].phase == phase:
                        engine.write(port, values[step])
                engine.step(phase)
            for port in program.outputs:
                assert np.array_equal(engine.read(port), expected[port][step]), (name, step, port)
        assert_same_memories(engine, whole, f"seed {seed}, {name}")


def test_random_programs_try_everything():
    """The generator leaves nothing out that engines could do differently."""
    kinds, opcodes, features = set(), set(), set()
    for seed in range(PROGRAMS):
        program = random_program(seed)
        engine = create_engine("golden", program)
        engine.run(STEPS, random_inputs(seed, program, STEPS), [])
        for code in program.kernels.values():
            kinds |= {op.kind for op in code.ops}
            if rare_part(code):
                features.add("rare part")
        opcodes |= {i.opcode for i in program.instructions}
        if engine.saturations():
            features.add("saturation")
        if len(program.phases) > 1:
            features.add("phases")
        if np.abs(engine.memory("event")[:, 1]).max(initial=0) > 1:
            features.add("payload above 1")
        if any(engine.memory("count")):
            features.add("events")
        if program.event_lists and not all(engine.memory("count")):
            features.add("empty list")
    assert kinds == KINDS - {"weight", "synapse", "pre", "post"}
    assert opcodes == {"MAC", "EVT", "MAP"}
    assert features == {
        "saturation",
        "phases",
        "payload above 1",
        "events",
        "empty list",
        "rare part",
    }

"""A hundred thousand frames over a bad line: nothing is lost, done twice, or silently wrong."""

import numpy as np
import pytest
from example_program import example_program
from faulty_line import FAULTS, FaultyLine, stream

from spikeloom.compiler.shape import Shape
from spikeloom.runtime.board import BoardEngine
from spikeloom.sim import create_engine
from spikeloom.sim.check import MEMORIES

pytestmark = pytest.mark.hardware

FRAMES = 100_000
PARTS = 5
RATE = 0.15


@pytest.fixture(scope="module")
def program():
    return example_program()


@pytest.fixture(scope="module")
def hardware(program):
    return stream(Shape.for_program(program))


def board(program, line):
    return BoardEngine(program, line, shapes=[Shape.for_program(program)], timeout=0, attempts=60)


@pytest.mark.slow
def test_many_frames(program, hardware):
    rng = np.random.default_rng(1)
    line = FaultyLine(hardware, seed=2, rate=RATE, stall=40)
    engine, expected = board(program, line), create_engine("native", program)
    steps = FRAMES // PARTS // 2
    limit = 1 << (program.machine.value_bits - 2)
    while engine.link.counts.requests < FRAMES // 2:
        inputs = {
            name: rng.integers(-limit // 64, limit // 64, (steps, port.size))
            for name, port in program.inputs.items()
        }
        found = engine.run(steps, inputs, list(program.outputs))
        wanted = expected.run(steps, inputs, list(program.outputs))
        for name in wanted:
            np.testing.assert_array_equal(found[name], wanted[name], err_msg=name)
        for name in MEMORIES:
            np.testing.assert_array_equal(engine.memory(name), expected.memory(name))
        assert engine.saturations() == expected.saturations()
    counts = engine.link.counts
    print(counts, line.done)
    # A request and a reply each; those of repeats are beyond that.
    assert 2 * counts.requests >= FRAMES
    assert counts.repeats > 0.15 * counts.requests and counts.damaged > 0.05 * counts.requests
    assert all(line.done[fault] > FRAMES // 200 for fault in (*FAULTS, "stall"))

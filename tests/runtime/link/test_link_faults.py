"""A hundred thousand frames over a bad line: nothing is lost, done twice, or silently wrong."""

import re

import numpy as np
import pytest
from example_program import example_program
from faulty_line import CLOCK_HZ, FAULTS, FaultyLine, stream

from spikeloom.compiler.errors import LinkError
from spikeloom.compiler.shape import Shape
from spikeloom.runtime.hardware import generate_linked
from spikeloom.runtime.link.board import BoardEngine
from spikeloom.sim import create_engine
from spikeloom.sim.check import MEMORIES
from spikeloom.sim.rtl.linked import VerilatedStream

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


MUTANTS = {
    "checksum not looked at": (r"state == 32'd\d+", "1'h1", "receiver"),
    "repeated requests executed": (r"(?<=repeated <= )[^;]+", "1'h0", "interpreter"),
    "numbers not kept": (r"(?<=last <= )[^;]+", "7'h00", "interpreter"),
    "lengths of blocks not looked at": (r"(?<=left <= )[^;]+", "8'h01", "receiver.decoder"),
}
"""Part of a module's Verilog, what it becomes, module."""


@pytest.mark.parametrize("mutant", ["none", *MUTANTS])
def test_faulty_hardware_is_noticed(program, mutant):
    """The comparison above can fail: hardware without one of the link's defences does not pass."""
    verilog, top = generate_linked(Shape.for_program(program), CLOCK_HZ)
    if mutant != "none":
        pattern, replacement, module = MUTANTS[mutant]
        head = verilog.index(f"module \\{top}.{module} ")
        tail = verilog.index("endmodule", head)
        body, count = re.subn(pattern, replacement, verilog[head:tail])
        assert count
        verilog = verilog[:head] + body + verilog[tail:]
    line = FaultyLine(VerilatedStream(verilog, top), seed=3, rate=0.4)
    expected = create_engine("native", program)
    inputs = {
        name: np.random.default_rng(4).integers(-500, 500, (400, port.size))
        for name, port in program.inputs.items()
    }
    wanted = expected.run(400, inputs, list(program.outputs))

    def passes():
        try:
            engine = board(program, line)
            found = engine.run(400, inputs, list(program.outputs))
            if any(not np.array_equal(found[name], wanted[name]) for name in wanted):
                return False
            line.hardware = VerilatedStream(verilog, top)
            line.rate = 0.0
            with pytest.raises(LinkError, match="lost its place"):
                engine.run(1, {}, list(program.outputs))
        except (LinkError, pytest.fail.Exception):
            return False
        return True

    assert passes() == (mutant == "none")

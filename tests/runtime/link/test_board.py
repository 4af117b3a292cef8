"""The engine ``board`` over the serial line of Verilated hardware: golden's results, and errors."""

import gc
import json
import threading

import numpy as np
import pytest
from cores import shape_for
from example_program import example_program
from faulty_line import FaultyLine, stream
from random_programs import FAMILY, random_inputs, random_program

from spikeloom.compiler.encoding import memories
from spikeloom.compiler.errors import InputError, LinkError, ProgramError
from spikeloom.compiler.image import image
from spikeloom.compiler.protocol import element_bytes
from spikeloom.compiler.shape import Shape
from spikeloom.compiler.storage import save_program
from spikeloom.runtime.commands import run as run_command
from spikeloom.runtime.engines import board_options, create_engine, engines
from spikeloom.runtime.link.board import BoardEngine
from spikeloom.runtime.link.serial_port import SerialPort
from spikeloom.runtime.link.simulated_board import BAUD, SimulatedBoard
from spikeloom.sim.check import MEMORIES
from spikeloom.sim.engine import Engine
from spikeloom.sim.golden import GoldenEngine
from spikeloom.sim.predict import PredictingEngine

pytestmark = pytest.mark.hardware

STEPS = 6


def assert_same(board, golden, what=""):
    for name in MEMORIES:
        np.testing.assert_array_equal(board.memory(name), golden.memory(name), f"{what} {name}")
    assert board.saturations() == golden.saturations(), what


@pytest.fixture(scope="module")
def shape():
    return Shape.for_program(example_program())


@pytest.fixture(scope="module")
def board(shape):
    engine = BoardEngine(example_program(), shapes=[shape])
    yield engine
    engine.close()


@pytest.mark.parametrize("family", [0, 1, 2])
def test_random_programs(family):
    seeds = range(family * FAMILY, (family + 1) * FAMILY)
    programs = {seed: random_program(seed) for seed in seeds}
    shape = shape_for(list(programs.values()))
    for seed, program in programs.items():
        inputs = random_inputs(seed, program, STEPS)
        board, golden = BoardEngine(program, shapes=[shape]), PredictingEngine(program)
        found = board.run(STEPS, inputs, list(program.outputs))
        expected = golden.run(STEPS, inputs, list(program.outputs))
        for name in program.outputs:
            np.testing.assert_array_equal(found[name], expected[name], f"seed {seed} {name}")
        assert_same(board, golden, f"seed {seed}")
        assert board.cycles() == golden.take_trace().cycles.sum(), f"seed {seed}"
        board.close()


def test_all_calls(board):
    """Single calls give what golden gives, whatever the order."""
    program, rng = board.program, np.random.default_rng(0)
    assert isinstance(board, Engine)
    golden = GoldenEngine(program)
    board.reset()
    for step in range(30):
        for name, port in program.inputs.items():
            values = rng.integers(-500, 500, port.size)
            board.write(name, values)
            golden.write(name, values)
        board.step()
        golden.step()
        name = list(program.outputs)[step % len(program.outputs)]
        np.testing.assert_array_equal(board.read(name), golden.read(name))
        if step == 11:
            for memory in ("value", "state"):
                content = golden.memory(memory) // 2
                board.load_memory(memory, content)
                golden.load_memory(memory, content)
        if step == 20:
            assert_same(board, golden)
            board.reset()
            golden.reset()
            assert_same(board, golden)
    for phase in range(len(program.phases)):
        board.step(phase)
        golden.step(phase)
    assert_same(board, golden)


def test_many_steps_in_one_request(board):
    board.reset()
    before, cycles = board.link.counts.copy(), board.cycles()
    board.run(2000, {}, [])
    golden = PredictingEngine(board.program)
    golden.run(2000, {}, [])
    assert_same(board, golden)
    assert board.cycles() - cycles == golden.take_trace().cycles.sum()
    assert (board.link.counts - before).requests < 30


def spent_on(board, action):
    """Bytes sent, and requests, of what an action makes the board do."""
    board.cycles()  # what is pending
    before = board.link.counts.copy()
    action()
    board.cycles()
    spent = board.link.counts - before
    return spent.sent, spent.requests


def test_held_inputs_are_sent_once(board):
    program, golden = board.program, GoldenEngine(board.program)
    rng = np.random.default_rng(3)
    inputs = {n: rng.integers(-400, 400, (40, p.size)) for n, p in program.inputs.items()}
    shown = {n: np.repeat(values[[0, 1]], 20, axis=0) for n, values in inputs.items()}
    size = 2 * sum(
        p.size * element_bytes(program.machine.value_bits) for p in program.inputs.values()
    )
    second = {n: np.repeat(values[[1]], 40, axis=0) for n, values in inputs.items()}
    record = list(program.outputs)

    def run(values, names):
        expected = golden.run(40, values, names)
        found = board.run(40, values, names)
        for name in names:
            np.testing.assert_array_equal(found[name], expected[name])

    for names in (record, []):
        board.reset()
        golden.reset()
        nothing, _ = spent_on(board, lambda names=names: run({}, names))
        changing, _ = spent_on(board, lambda names=names: run(inputs, names))
        held, requests = spent_on(board, lambda names=names: run(shown, names))
        again, _ = spent_on(board, lambda names=names: run(second, names))
        assert_same(board, golden)
        # Two images instead of forty; and an image that the board holds already costs nothing.
        assert changing - nothing > 19 * size > 0
        assert size - 40 < held - nothing < 1.2 * size + 40
        assert abs(again - nothing) < 40
        if not names:
            assert requests < 5


def test_what_is_held_is_sent_again_when_it_may_be_lost(board):
    program, golden = board.program, GoldenEngine(board.program)
    values = {n: np.full(p.size, 77) for n, p in program.inputs.items()}
    board.reset()
    for lose in (
        lambda e: e.reset(),
        lambda e: e.load_memory("value", np.zeros_like(e.memory("value"))),
        lambda e: [e.write(n, v - 1) for n, v in values.items()],
    ):
        for engine in (board, golden):
            for name, given in values.items():
                engine.write(name, given)
            engine.step()
            lose(engine)
            for name, given in values.items():
                engine.write(name, given)
            engine.step()
        assert_same(board, golden)


def test_what_an_engine_refuses(board):
    name = next(iter(board.program.inputs))
    with pytest.raises(InputError, match=name):
        board.write(name, np.zeros(99, np.int64))
    with pytest.raises(InputError, match="nosuch"):
        board.read("nosuch")
    with pytest.raises(InputError, match="phase 7"):
        board.step(7)


def test_bytes_are_counted(board, shape):
    program = board.program
    content, _ = image(program, shape)
    table = memories(shape)
    most = sum(len(v) * element_bytes(table[name].bits) for name, v in content.items())
    assert most / 2 < board.upload.sent < 1.2 * most + 300
    before = board.link.counts.copy()
    board.run(10, random_inputs(0, program, 10), list(program.outputs))
    spent = board.link.counts - before
    assert spent.requests == 10 and spent.repeats == 0
    assert set(board.statistics()) == {
        "fingerprint", "clock_hz", "upload", "upload_seconds", "total",
    }  # fmt: skip


def test_events_beyond_the_guess():
    """A list that is suddenly much longer is read in two requests."""

    def most_events(program):
        engine = GoldenEngine(program)
        engine.run(12, random_inputs(3, program, 12), [])
        return max(engine.memory("count"), default=0)

    program = max((random_program(seed) for seed in range(40)), key=most_events)
    line = FaultyLine(stream(Shape.for_program(program)))
    board = BoardEngine(program, line, shapes=[Shape.for_program(program)], timeout=0)
    golden = GoldenEngine(program)
    inputs = random_inputs(3, program, 12)
    found = board.run(12, inputs, list(program.outputs))
    expected = golden.run(12, inputs, list(program.outputs))
    for name in program.outputs:
        np.testing.assert_array_equal(found[name], expected[name], name)
    assert max(golden.memory("count")) > 4


@pytest.mark.parametrize("skew", [-20, 20])
def test_clocks_that_differ(shape, skew):
    """Host and hardware need not agree exactly about the line's speed: 2 % either way is fine."""
    simulated = SimulatedBoard(shape, skew, divisor=8)
    board = BoardEngine(example_program(), simulated.path, BAUD, [shape], timeout=20)
    golden = GoldenEngine(board.program)
    inputs = random_inputs(1, board.program, 20)
    found = board.run(20, inputs, list(board.program.outputs))
    expected = golden.run(20, inputs, list(board.program.outputs))
    for name in expected:
        np.testing.assert_array_equal(found[name], expected[name])
    assert board.link.counts.repeats == 0 and simulated.hardware.framing_errors == 0
    board.close()
    simulated.close()


# -- what can go wrong ---------------------------------------------------------------------------


def test_other_hardware(shape):
    other = random_program(0)
    with SimulatedPort(shape) as simulated, pytest.raises(LinkError) as error:
        BoardEngine(other, simulated.path, BAUD, [Shape.for_program(other)], timeout=20)
    assert shape.fingerprint() in str(error.value)
    assert Shape.for_program(other).fingerprint() in str(error.value)
    assert "spikeloom flash" in str(error.value)


def test_program_for_other_kernels(shape):
    with pytest.raises(ProgramError, match=r"compiled for|not in the hardware"):
        BoardEngine(random_program(0), shapes=[shape])


def test_unplugged(shape):
    with SimulatedPort(shape) as simulated:
        board = BoardEngine(example_program(), simulated.path, BAUD, [shape], timeout=0.2)
        board.run(3, {}, list(board.program.outputs))
    with pytest.raises(LinkError, match=r"broke|stopped answering"):
        board.run(3, {}, list(board.program.outputs))
    board.close()


def test_reset_in_the_middle(shape):
    """A board that was reset has lost its memories: that must not go unnoticed."""
    program = example_program()
    line = FaultyLine(stream(shape))
    board = BoardEngine(program, line, shapes=[shape], timeout=0)
    board.run(2, {}, list(program.outputs))
    line.hardware = stream(shape)
    with pytest.raises(LinkError, match="lost its place"):
        board.run(2, {}, list(program.outputs))


def test_no_such_port():
    with pytest.raises(LinkError, match=r"cannot open the port /nowhere/tty.*ports that are there"):
        SerialPort("/nowhere/tty", BAUD)


def test_a_second_engine_takes_the_port_over(shape):
    with SimulatedPort(shape) as simulated:
        first = BoardEngine(example_program(), simulated.path, BAUD, [shape], timeout=20)
        first.run(3, {}, [])
        second = BoardEngine(example_program(), simulated.path, BAUD, [shape], timeout=20)
        assert_same(second, GoldenEngine(second.program))
        with pytest.raises(LinkError):
            first.memory("value")
        second.close()


def test_simulated_boards_end_with_their_engine(shape):
    def running():
        return sum(t.name == "simulated board" for t in threading.enumerate())

    before = running()
    board = BoardEngine(example_program(), shapes=[shape])
    assert running() == before + 1
    del board
    gc.collect()
    assert running() == before


class SimulatedPort(SimulatedBoard):
    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()


# -- by name, and from the command line ----------------------------------------------------------


def test_by_name(shape):
    assert "board" in engines()
    board = create_engine("board", example_program(), shapes=[shape])
    assert_same(board, GoldenEngine(board.program))
    with pytest.raises(InputError, match="known are golden"):
        create_engine("nosuch", example_program())


def test_hardware_of_a_directory(tmp_path, shape):
    assert board_options(tmp_path) == {}
    text = json.dumps({"shape": shape.to_json(), "baud": 115200})
    (tmp_path / "hardware.json").write_text(text)
    assert board_options(tmp_path) == {"shapes": [shape], "baud": 115200}
    (tmp_path / "hardware.json").write_text("{}")
    with pytest.raises(ProgramError, match="malformed"):
        board_options(tmp_path)


def test_command_line(tmp_path, capsys, shape):
    from spikeloom.cli import main

    program = example_program()
    save_program(program, tmp_path / "p")
    inputs = {n: np.full(p.size, 0.5) for n, p in program.inputs.items()}
    np.savez(tmp_path / "in.npz", **inputs)
    common = ["run", str(tmp_path / "p"), "--steps", "20", "--input", str(tmp_path / "in.npz")]
    common += ["--allow-saturation", "-o"]
    assert main([*common, str(tmp_path / "native.npz")]) == 0
    capsys.readouterr()
    arguments = [*common, str(tmp_path / "board.npz"), "--engine", "board", "--port", "sim"]
    assert main(arguments) == 0
    text = capsys.readouterr().out
    assert "upload of" in text and "clock cycles" in text
    native, board = (np.load(tmp_path / f"{name}.npz") for name in ("native", "board"))
    for name in native.files:
        np.testing.assert_array_equal(native[name], board[name])
    assert main([*common, str(tmp_path / "x.npz"), "--engine", "board"]) == 2
    assert "--port" in capsys.readouterr().err
    assert main([*common, str(tmp_path / "x.npz"), "--port", "sim"]) == 2
    assert "--engine board" in capsys.readouterr().err
    assert run_command.DEFAULT_BAUD == BAUD

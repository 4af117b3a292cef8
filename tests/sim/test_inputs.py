"""What callers hand in is checked: names, shapes, ranges, and Programs that would fault."""

import dataclasses

import numpy as np
import pytest
from example_program import example_program

from spikeloom.compiler.errors import InputError, ProgramError, SpikeloomError
from spikeloom.compiler.instructions import Evt
from spikeloom.compiler.kernels.code import Op
from spikeloom.sim import create_engine, engines
from spikeloom.sim.engine import Engine


@pytest.fixture(params=["golden", "native"])
def engine(request):
    return create_engine(request.param, example_program())


def test_registry():
    assert {"golden", "native"} <= set(engines())
    with pytest.raises(InputError) as e:
        create_engine("gold", example_program())
    assert str(e.value).startswith("no engine is named 'gold': known are golden, native")


def test_engines_offer_the_calls(engine):
    assert isinstance(engine, Engine)
    assert isinstance(InputError("x"), SpikeloomError)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1, 2, 3], r"input port 'stimulus' needs the shape \(2,\), got \(3,\)"),
        ([[1, 2]], r"input port 'stimulus' needs the shape \(2,\), got \(1, 2\)"),
        ([1.0, 2.0], "input port 'stimulus' needs integers, got float64"),
        ([True, False], "input port 'stimulus' needs integers, got bool"),
        ([0, 131072], "input port 'stimulus' cannot hold 131072"),
        ([-131073, 0], "input port 'stimulus' cannot hold -131073"),
    ],
)
def test_write_refuses(engine, values, message):
    before = engine.memory("value")
    with pytest.raises(InputError, match=message):
        engine.write("stimulus", np.array(values))
    with pytest.raises(InputError, match="input port 'stimulus' "):
        engine.run(1, {"stimulus": np.array([values])}, [])
    assert np.array_equal(engine.memory("value"), before)


def test_write_takes_the_whole_range(engine):
    engine.write("stimulus", np.array([-131072, 131071], np.int32))
    assert engine.memory("value").tolist() == [1, -131072, 131071, 0]
    engine.write("stimulus", [3, 4])
    assert engine.memory("value").tolist() == [1, 3, 4, 0]


def test_unknown_names(engine):
    with pytest.raises(InputError, match="no input port is named 'x': known are stimulus"):
        engine.write("x", np.zeros(2, int))
    with pytest.raises(InputError, match="no input port is named 'x': known are stimulus"):
        engine.run(1, {"x": np.zeros((1, 2), int)}, [])
    known = "known are current, spikes, sum, voltage"
    with pytest.raises(InputError, match=f"no output port is named 'x': {known}"):
        engine.read("x")
    with pytest.raises(InputError, match=f"no output port is named 'x': {known}"):
        engine.run(1, {}, ["x"])
    with pytest.raises(InputError, match="no memory is named 'weights': known are accumulator"):
        engine.memory("weights")
    with pytest.raises(InputError, match="there is no phase 1: the Program has 1"):
        engine.step(1)
    with pytest.raises(InputError, match="there is no phase -1"):
        engine.step(-1)


def test_run_refuses(engine):
    with pytest.raises(InputError, match=r"'stimulus' needs the shape \(3, 2\), got \(2, 2\)"):
        engine.run(3, {"stimulus": np.zeros((2, 2), int)}, [])
    with pytest.raises(InputError, match="cannot run -1 steps"):
        engine.run(-1, {}, [])


def test_load_memory_refuses(engine):
    with pytest.raises(InputError, match="memory 'accumulator' cannot be loaded"):
        engine.load_memory("accumulator", engine.memory("accumulator"))
    with pytest.raises(InputError, match=r"memory 'value' needs the shape \(4,\), got \(3,\)"):
        engine.load_memory("value", np.zeros(3, int))
    state = engine.memory("state")
    state[0, 1] = 4096  # one above the range of Leaky's voltage
    with pytest.raises(InputError, match="memory 'state' cannot hold 4096"):
        engine.load_memory("state", state)


# -- Programs that each object for itself would pass, but that would leave a memory when run -------


def broken(**changes):
    return dataclasses.replace(example_program(), **changes)


def with_op(number, **changes):
    program = example_program()
    leaky = program.kernels["Leaky"]
    ops = list(leaky.ops)
    ops[number] = dataclasses.replace(ops[number], **changes)
    program.kernels["Leaky"] = dataclasses.replace(leaky, ops=tuple(ops))
    return program


def with_instruction(number, **changes):
    program = example_program()
    phase = program.phases[0]
    phase[number] = dataclasses.replace(phase[number], **changes)
    return program


def with_padding():
    program = example_program()
    program.weight[1, 3] = 1
    return program


PROGRAMS = {
    "weights that pad its rows are not all zero": with_padding,
    "cannot run 0 rows": lambda: with_instruction(0, rows=0),
    "cannot run 2 rows of 2 in 2 words": lambda: with_instruction(0, words=2, rows=2),
    "leaves the table's 0..1": lambda: with_op(6, args=(4, "threshold")),
    "the kernel allows for -3000..3000": lambda: with_op(2, lo=-3000, hi=3000),
    "the initial state 'voltage' leaves its range -4096..4095": lambda: broken(
        state=np.array([[5000, 9, 0]], dtype=np.int64)
    ),
    "has 1 rows, but list 0 holds events of up to 2 neurons": lambda: with_instruction(2, rows=1),
    "the next 'voltage' has -4096..5000, its state holds -4096..4095": lambda: with_op(8, hi=5000),
    "more than 64 bits": lambda: with_op(7, kind="divide", args=(4, 4, 50), hi=1 << 50),
}


@pytest.mark.parametrize("message", PROGRAMS)
@pytest.mark.parametrize("name", ["golden", "native"])
def test_programs_that_would_fault_are_refused(name, message):
    program = PROGRAMS[message]()
    with pytest.raises(ProgramError, match=message):
        create_engine(name, program)


def test_events_need_a_writer():
    program = example_program()
    program.event_lists = 2
    program.phases[0][2] = dataclasses.replace(program.phases[0][2], list=1)
    assert isinstance(program.phases[0][2], Evt)
    with pytest.raises(ProgramError, match="reads event list 1, which no MAP writes"):
        create_engine("golden", program)


def test_unknown_operation_is_refused():
    program = example_program()
    sum_code = program.kernels["Sum"]
    ops = (*sum_code.ops, Op("xor", (0, 1), 0, 1, 0))
    program.kernels["Sum"] = dataclasses.replace(sum_code, ops=ops)
    with pytest.raises(ProgramError, match=r"\(xor\): unknown; this Program needs a newer"):
        create_engine("native", program)

"""Each instruction on machines small enough to work out the results by hand, on every engine."""

import numpy as np
import pytest

from spikeloom.compiler.instructions import Evt, Mac, Map
from spikeloom.compiler.kernels.code import KernelCode, Op, Port
from spikeloom.compiler.machine import Machine
from spikeloom.compiler.program import InputPort, OutputPort, PopulationInfo, Program
from spikeloom.sim import create_engine

MACHINE = Machine(lanes=2, weight_bits=8, value_bits=6, accumulator_bits=24, state_bits=8)


def kernel(emits, states=(), ops=(), next_state=(), emit=0, limit=100):
    """A kernel whose operation 0 is the input, within -limit..limit."""
    return KernelCode(
        name="K",
        input=Port("u", -limit, limit, None),
        states=tuple(Port(name, lo, hi, None) for name, lo, hi in states),
        parameters=(),
        tables=(),
        ops=(Op("input", ("u",), -limit, limit, 0), *ops),
        next_state=next_state,
        emit=emit,
        emits=emits,
        emit_fraction=None,
        delayed=False,
    )


def program(phases, code=None, weight=((0, 0),), value=(0,), state=((0,),), **other):
    code = code or kernel("value")
    sizes = [(i.population, i.length) for phase in phases for i in phase if isinstance(i, Map)]
    states = (1.0,) * len(code.states)
    return Program(
        name="by hand",
        machine=MACHINE,
        dt=0.001,
        kernels={"K": code},
        phases=phases,
        weight=np.array(weight, np.int32),
        value=np.array(value, np.int64),
        state=np.array(state, np.int64),
        tables={},
        accumulator_words=other.pop("accumulator_words", 4),
        event_words=other.pop("event_words", 4),
        event_lists=other.pop("event_lists", 2),
        inputs={p.name: p for p in other.pop("inputs", [])},
        outputs={p.name: p for p in other.pop("outputs", [])},
        populations={n: PopulationInfo(n, "K", s, n, 1.0, states, 1.0) for n, s in sizes},
    )


def run_map(length, source=0, input_shift=0, target=0, list=-1, output_shift=0, population="pop"):
    return Map("K", population, length, source, input_shift, 0, target, list, output_shift, 0, {})


@pytest.fixture(params=["golden", "native"])
def make(request):
    return lambda *args, **kwargs: create_engine(request.param, program(*args, **kwargs))


# Three rows of three elements: two words each, the last one padded.
ROWS = ((1, 2), (3, 0), (10, -20), (30, 0), (-5, 6), (7, 0))


def test_mac_clears_or_adds(make):
    engine = make(
        [
            [Mac(0, 1, 3, 1, 2, 3, clear=True, wait=True)],
            [Mac(2, 0, 2, 1, 2, 3, clear=False, wait=True)],
        ],
        weight=ROWS,
        value=(9, 1, 2, -3),
    )
    engine.step(0)
    # 1 * (1, 2, 3) + 2 * (10, -20, 30) - 3 * (-5, 6, 7)
    expected = [[0, 0], [36, -56], [42, 0], [0, 0]]
    assert engine.memory("accumulator").tolist() == expected
    engine.step(1)
    # + 9 * (10, -20, 30) + 1 * (-5, 6, 7)
    expected = [[0, 0], [36 + 85, -56 - 174], [42 + 277, 0], [0, 0]]
    assert engine.memory("accumulator").tolist() == expected
    engine.step(0)
    assert engine.memory("accumulator")[1].tolist() == [36, -56]


def test_mac_with_few_long_columns(make):
    rows = 20
    weight = [(k + 1, 0) for k in range(rows)]
    engine = make(
        [[Mac(0, 0, rows, 0, 1, 1, clear=True, wait=True)]],
        weight=weight,
        value=[(-1) ** k for k in range(rows)],
    )
    engine.step()
    assert engine.memory("accumulator")[0].tolist() == [
        sum((-1) ** k * (k + 1) for k in range(rows)),
        0,
    ]


def spikes(length, **kwargs):
    """Emits its input, saturated to -100..100, as an event."""
    return run_map(length, target=1, list=1, **kwargs)


def test_map_emits_events_in_order_with_payload(make):
    engine = make(
        [[Mac(0, 0, 1, 0, 2, 3, clear=True, wait=True), spikes(3)]],
        kernel("events"),
        weight=ROWS[2:4],
        value=(1,),
        outputs=[OutputPort("out", "event", 1, 3, 1, 1.0, 0)],
    )
    engine.step()
    # inputs 10, -20, 30; payloads fit six bits -32..31
    assert engine.memory("event").tolist() == [[0, 0], [0, 10], [1, -20], [2, 30]]
    assert engine.memory("count").tolist() == [0, 3]
    assert engine.read("out").tolist() == [10, -20, 30]
    assert engine.saturations() == {}


def test_events_that_vanish_leave_their_words(make):
    engine = make(
        [[Mac(0, 0, 2, 0, 2, 3, clear=True, wait=True), spikes(3)]],
        kernel("events"),
        weight=((1, 1), (1, 0), (0, 1), (0, 0)),
        value=(5, 0),
        inputs=[InputPort("in", 0, 0, 2, 0)],
        outputs=[OutputPort("out", "event", 1, 3, 1, 1.0, 0)],
    )
    engine.step()
    assert engine.memory("event").tolist() == [[0, 0], [0, 5], [1, 5], [2, 5]]
    engine.write("in", np.array([0, 7]))
    engine.step()
    assert engine.memory("event").tolist() == [[0, 0], [1, 7], [1, 5], [2, 5]]
    assert engine.memory("count").tolist() == [0, 1]
    assert engine.read("out").tolist() == [0, 7, 0]
    engine.write("in", np.array([0, 0]))
    engine.step()
    assert engine.memory("event").tolist() == [[0, 0], [1, 7], [1, 5], [2, 5]]
    assert engine.memory("count").tolist() == [0, 0]
    assert engine.read("out").tolist() == [0, 0, 0]


def test_payloads_saturate_and_count(make):
    engine = make(
        [[Mac(0, 0, 1, 0, 2, 3, clear=True, wait=True), spikes(3)]],
        kernel("events"),
        weight=ROWS[2:4],
        value=(3,),
    )
    engine.step()
    # inputs 30, -60, 90: the payload's six bits end at -32 and 31
    assert engine.memory("event").tolist() == [[0, 0], [0, 30], [1, -32], [2, 31]]
    assert engine.saturations() == {"pop": 2}
    engine.step()
    assert engine.saturations() == {"pop": 4}
    engine.reset()
    assert engine.saturations() == {}


@pytest.mark.parametrize("clear", [True, False])
def test_evt(make, clear):
    engine = make(
        [
            [
                Mac(6, 0, 1, 0, 2, 3, clear=True, wait=True),
                spikes(3),
                Mac(6, 0, 1, 2, 2, 3, clear=True, wait=True),
                Evt(0, 1, 1, 3, 2, 2, 3, clear=clear, wait=False),
            ]
        ],
        kernel("events"),
        weight=(*ROWS, (1, 0), (-2, 0)),
        value=(2,),
    )
    engine.step()
    # events (0, 2) and (2, -4): 2 * (1, 2, 3) - 4 * (-5, 6, 7)
    total = np.array([22, -20, -22, 0])
    before = np.array([2, 0, -4, 0])
    expected = total if clear else before + total
    assert engine.memory("count").tolist() == [0, 2]
    assert engine.memory("accumulator")[2:].reshape(-1).tolist() == expected.tolist()


def test_evt_without_events(make):
    engine = make(
        [
            [
                Mac(0, 0, 1, 0, 2, 3, clear=True, wait=True),
                Mac(0, 0, 1, 2, 2, 3, clear=True, wait=True),
                spikes(3, source=1, population="silent"),
            ],
            [Evt(0, 1, 1, 3, 0, 2, 3, clear=True, wait=True)],
            [Evt(0, 1, 1, 3, 2, 2, 3, clear=False, wait=True)],
        ],
        kernel("events", ops=(Op("const", (0,), 0, 0, 0),), emit=1),
        weight=ROWS,
        value=(2,),
    )
    engine.step(0)
    assert engine.memory("accumulator").tolist() == [[2, 4], [6, 0], [2, 4], [6, 0]]
    engine.step(1)
    engine.step(2)
    assert engine.memory("accumulator").tolist() == [[0, 0], [0, 0], [2, 4], [6, 0]]
    assert engine.memory("event").tolist() == [[0, 0]] * 4


@pytest.mark.parametrize("rows", [5, 23])
def test_evt_of_many_events_and_long_rows(make, rows):
    length = 40
    weight = (np.arange((rows + 1) * length) * 37 % 101 - 50).reshape(rows + 1, length)
    weight[rows] = 1
    payload = np.where(np.arange(rows) % 3 == 1, 0, np.arange(rows) % 5 - 2)
    words = (rows + 1) // 2
    first = np.zeros(2 * words, int)
    first[:rows] = payload
    engine = make(
        [
            [
                Mac((rows + 1) * 20, 0, 1, 0, words, rows, clear=True, wait=True),
                run_map(rows, target=0, list=0),
                Evt(0, 0, 0, rows, words, 20, length, clear=True, wait=True),
            ]
        ],
        kernel("events"),
        weight=np.concatenate([weight.reshape(-1, 2), first.reshape(-1, 2)]),
        value=(1,),
        accumulator_words=words + 20,
        event_words=rows,
    )
    engine.step()
    assert engine.memory("count")[0] == np.count_nonzero(payload)
    total = engine.memory("accumulator")[words:].reshape(-1)
    assert total.tolist() == (payload @ weight[:rows]).tolist()


@pytest.mark.parametrize(
    ("input_shift", "output_shift", "expected", "saturations"),
    [
        (0, 0, [10, -20, 30], {}),
        (0, 2, [3, -5, 8], {}),  # 2.5, -5, 7.5
        (2, 0, [3, -5, 8], {}),
        (2, 1, [2, -2, 4], {}),  # 3 / 2, -5 / 2, 8 / 2
        (-1, 2, [5, -10, 15], {}),
        (-3, 2, [20, -25, 25], {"pop": 2}),  # 80, -160 -> -100, 240 -> 100
        (0, -1, [20, -32, 31], {"pop": 2}),  # 20, -40, 60 into six bits
        (-9, 0, [31, -32, 31], {"pop": 6}),  # input and output limited, all three
        (30, 0, [0, 0, 0], {}),
    ],
)
def test_map_stores_values(make, input_shift, output_shift, expected, saturations):
    engine = make(
        [
            [
                Mac(2, 0, 1, 0, 2, 3, clear=True, wait=True),
                run_map(3, target=1, input_shift=input_shift, output_shift=output_shift),
            ]
        ],
        weight=ROWS,
        value=(1, 0, 0, 0),
        outputs=[OutputPort("out", "value", 1, 3, 0, 1.0, 0)],
    )
    engine.step()
    assert engine.memory("value").tolist() == [1, *expected]
    assert engine.read("out").tolist() == expected
    assert engine.saturations() == saturations


def integrator(lo, hi):
    """x += u, emits the x of before."""
    return kernel(
        "value",
        states=[("x", lo, hi)],
        ops=(
            Op("state", ("x",), lo, hi, 0),
            Op("add", (0, 1), lo - 100, hi + 100, 0),
            Op("sat", (2, lo, hi), lo, hi, 0),
        ),
        next_state=(3,),
        emit=1,
    )


def test_states_saturate_and_outputs_see_the_state_before(make):
    engine = make(
        [[Mac(2, 0, 1, 0, 2, 3, clear=True, wait=True), run_map(3, target=1)]],
        integrator(-50, 60),
        weight=ROWS,
        value=(1, 0, 0, 0),
        state=((1, 2, 3),),
        outputs=[OutputPort("x", "state", 0, 3, 0, 1.0, 0)],
    )
    found = engine.run(4, {}, ["x"])["x"]
    assert found.tolist() == [[11, -18, 33], [21, -38, 60], [31, -50, 60], [41, -50, 60]]
    # state: 1 + 2 + 2 times; output: -38 (-32) and 33, 60, 60 (31)
    assert engine.memory("value").tolist() == [1, 31, -32, 31]
    assert engine.saturations() == {"pop": 5 + 5}


def test_state_words_limit_without_counting(make):
    # The kernel declares a range beyond the machine's eight bits; the word itself limits.
    wide = kernel(
        "value",
        states=[("x", -4096, 4095)],
        ops=(Op("state", ("x",), -4096, 4095, 0), Op("shl", (0, 3), -800, 800, 0)),
        next_state=(2,),
        emit=0,
    )
    engine = make(
        [[Mac(2, 0, 1, 0, 2, 3, clear=True, wait=True), run_map(3, target=1)]],
        wide,
        weight=ROWS,
        value=(1, 0, 0, 0),
        state=((1, 2, 3),),
    )
    engine.step()
    assert engine.memory("state").tolist() == [[80, -128, 127]]
    assert engine.saturations() == {}


def test_inputs_are_held_and_enter_their_phase(make):
    engine = make(
        [
            [Mac(2, 0, 1, 0, 2, 3, clear=True, wait=True)],
            [Mac(2, 1, 1, 2, 2, 3, clear=True, wait=True)],
        ],
        weight=ROWS,
        value=(0, 0),
        inputs=[InputPort("late", 1, 1, 1, 0), InputPort("early", 0, 0, 1, 0)],
        outputs=[
            OutputPort("first", "accumulator", 0, 3, 0, 1.0, 0),
            OutputPort("second", "accumulator", 2, 3, 0, 1.0, 1),
        ],
    )
    inputs = {"late": np.array([[1], [2]]), "early": np.array([[3], [-1]])}
    found = engine.run(2, inputs, ["first", "second"])
    assert found["first"].tolist() == [[30, -60, 90], [-10, 20, -30]]
    assert found["second"].tolist() == [[10, -20, 30], [20, -40, 60]]
    held = engine.run(2, {"early": np.array([[1], [0]])}, ["first", "second"])
    assert held["first"].tolist() == [[10, -20, 30], [0, 0, 0]]
    assert held["second"].tolist() == [[20, -40, 60]] * 2


def test_run_of_no_steps(make):
    engine = make(
        [[Mac(0, 0, 1, 0, 2, 3, clear=True, wait=True)]],
        weight=ROWS,
        outputs=[OutputPort("sum", "accumulator", 0, 3, 0, 1.0, 0)],
    )
    assert engine.run(0, {}, ["sum"])["sum"].shape == (0, 3)
    assert not engine.memory("accumulator").any()


def test_load_memory_continues_where_another_stopped(make):
    def new():
        return make(
            [[Mac(2, 0, 1, 0, 2, 3, clear=True, wait=True), run_map(3, target=1)]],
            integrator(-50, 60),
            weight=ROWS,
            value=(1, 0, 0, 0),
            state=((0, 0, 0),),
        )

    one, other = new(), new()
    one.run(3, {}, [])
    for name in ("value", "state"):
        other.load_memory(name, one.memory(name))
    for engine in (one, other):
        engine.step()
    for name in ("value", "state", "accumulator"):
        assert one.memory(name).tolist() == other.memory(name).tolist()


def test_memory_is_a_copy(make):
    engine = make([[Mac(0, 0, 1, 0, 2, 3, clear=True, wait=True)]], weight=ROWS, value=(1,))
    for name in ("accumulator", "value", "state", "event", "count"):
        engine.memory(name)[:] = 99
        assert 99 not in engine.memory(name)

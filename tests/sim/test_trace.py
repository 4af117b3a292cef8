"""Traces: packing of words, golden's prediction by hand, and where two traces part."""

from dataclasses import replace

import numpy as np
import pytest
from example_program import example_program

from spikeloom.compiler.clock import PhaseClock
from spikeloom.sim.compare import compare
from spikeloom.sim.predict import PredictingEngine
from spikeloom.sim.trace import Trace, pack, unpack

STEPS = 6


def example_trace(steps=STEPS):
    engine = PredictingEngine(example_program())
    for step in range(steps):
        engine.write("stimulus", np.array([100 + step, 40]))
        engine.step()
    return engine.take_trace()


def changed(trace, memory, place, column, value):
    """`trace` with one write altered: its ``data`` in `column`, else its ``cycle``."""
    writes = trace.writes[memory]
    data, cycle = writes.data.copy(), writes.cycle.copy()
    if column is None:
        cycle[place] += value
    else:
        data[place, column] += value
    return Trace(trace.writes | {memory: replace(writes, data=data, cycle=cycle)}, trace.cycles)


@pytest.mark.parametrize("bits", [1, 7, 18, 31, 32, 33, 40, 63])
def test_words_are_packed_and_unpacked(bits):
    rng = np.random.default_rng(bits)
    low = -(1 << (bits - 1))
    values = rng.integers(low, -low, 50)
    assert unpack(pack(values, bits), bits, 1)[:, 0].tolist() == values.tolist()


def test_fields_that_cross_words():
    rng = np.random.default_rng(1)
    fields = rng.integers(-(1 << 39), 1 << 39, (20, 5))
    whole = [sum((int(v) & ((1 << 40) - 1)) << (40 * k) for k, v in enumerate(r)) for r in fields]
    words = pack(np.array(whole, object), 200)
    assert words.shape == (20, 7)
    assert unpack(words, 40, 5).tolist() == fields.tolist()
    unsigned = unpack(words, 40, 5, signed=False)
    assert (unsigned == fields % (1 << 40)).all()


def test_prediction_of_the_example():
    """By hand: 3 rows of bias and inputs, one word; then two neurons; and so on."""
    trace = example_trace(1)
    program = example_program()
    first, second = trace.writes["accumulator"].cycle.tolist()
    clock = PhaseClock(program.machine, program.kernels)
    mac, leaky, evt, _ = program.phases[0]
    assert first == clock.hand_over(mac) + 3 + 10  # the last of three rows, its latency
    handover = clock.hand_over(leaky)
    states = trace.writes["state0"]
    timing = clock.map_timing("Leaky")
    assert states.cycle[:2].tolist() == timing.state_writes(handover, 2).tolist()
    assert states.address.tolist() == [0, 1, 2]
    events = trace.writes["event"]
    assert events.data[:, 0].tolist() == [0, 1][: len(events)]
    assert trace.writes["count"].data.tolist() == [[len(events)]]
    assert second == clock.hand_over(evt, len(events)) + len(events) + 10
    assert trace.cycles[0] > max(w.cycle.max() for w in trace.writes.values() if len(w))


def test_equal_traces():
    result = compare(example_program(), example_trace(), example_trace())
    assert result.differences == 0 and result.first is None
    trace = example_trace()
    assert result.writes == len(trace)
    assert str(result) == (
        f"verified: {STEPS} steps, {trace.cycles.sum()} cycles, "
        f"{len(trace)} memory writes compared, 0 differences"
    )


def test_a_wrong_state_is_located():
    good = example_trace()
    place = 4  # step 1, neuron 1: three states are written in each step
    bad = changed(good, "state0", place, 0, 5)
    result = compare(example_program(), good, bad)
    assert result.differences == 1
    first = result.first
    assert (first.step, first.phase, first.memory, first.address) == (1, 0, "state0", 1)
    assert first.cycle == good.writes["state0"].cycle[place]
    assert (first.element, first.signal) == (1, "voltage of leaky")
    assert first.instruction == "phase 0 instruction 1 MAP leaky"
    value = good.writes["state0"].data[place, 0]
    assert first.expected == f"{value} at [1] in cycle {first.cycle}"
    assert first.found == f"{value + 5} at [1] in cycle {first.cycle}"
    assert str(first).startswith(f"step 1, phase 0, cycle {first.cycle}: phase 0 instruction 1 MAP")
    assert str(result).startswith("NOT verified")


def test_a_wrong_lane_is_located():
    good = example_trace()
    bad = changed(good, "accumulator", 2, 1, 1)
    first = compare(example_program(), good, bad).first
    assert first.step == 1
    assert first.element == 1
    assert first.instruction.startswith("phase 0 instruction 0 MAC")
    assert "in lane 1" in first.expected


def test_a_late_write_is_located():
    good = example_trace()
    first = compare(example_program(), good, changed(good, "value", 3, None, 1)).first
    assert (first.step, first.memory, first.signal) == (3, "value", "output of sum")
    assert first.expected != first.found


def test_a_missing_write_is_located():
    good = example_trace()
    writes = good.writes["count"]
    short = replace(
        writes, run=writes.run[:-1], cycle=writes.cycle[:-1],
        address=writes.address[:-1], data=writes.data[:-1],
    )  # fmt: skip
    result = compare(example_program(), good, Trace(good.writes | {"count": short}, good.cycles))
    assert result.differences == 1
    assert result.first.found == "no write"
    assert result.first.step == STEPS - 1


def test_the_earliest_divergence_comes_first():
    good = example_trace()
    bad = changed(changed(good, "value", 4, 0, 1), "state0", 1, 0, 1)
    result = compare(example_program(), good, bad)
    assert result.differences == 2
    assert (result.first.step, result.first.memory) == (0, "state0")


def test_another_number_of_cycles_is_a_difference():
    good = example_trace()
    cycles = good.cycles.copy()
    cycles[2] += 1
    result = compare(example_program(), good, Trace(good.writes, cycles))
    assert result.differences == 1
    assert result.first.step == 2
    assert result.first.signal == "end of the phase"

"""The cycle model, against schedules worked out by hand."""

import numpy as np
import pytest

from spikeloom.compiler.clock import PhaseClock, busy_cycles, phase_cycles
from spikeloom.compiler.instructions import Evt, Mac, Map
from spikeloom.compiler.kernels.code import KernelCode, Op, Parameter, Port
from spikeloom.compiler.kernels.neurons import LIF
from spikeloom.compiler.kernels.pipeline import (
    multiplier_chunks,
    multiply_latency,
    pipeline,
    rounded_later,
)
from spikeloom.compiler.kernels.rule_code import RuleCode
from spikeloom.compiler.machine import Machine
from spikeloom.compiler.timing import accumulate_writes, latencies

MACHINE = Machine()


def accumulator_kernel(emits: str = "value") -> KernelCode:
    """state += input; emits the state."""
    return KernelCode(
        name="Sum",
        input=Port("x", -8, 7, 0),
        states=(Port("s", -128, 127, 0),),
        parameters=(),
        tables=(),
        ops=(
            Op("input", ("x",), -8, 7, 0),
            Op("state", ("s",), -128, 127, 0),
            Op("add", (0, 1), -136, 134, 0),
            Op("sat", (2, -128, 127), -128, 127, 0),
        ),
        next_state=(3,),
        emit=3,
        emits=emits,
        emit_fraction=0,
        delayed=False,
    )


def mac(rows: int, words: int, clear: bool = True, wait: bool = False) -> Mac:
    return Mac(0, 0, rows, 0, words, words * 16, clear, wait)


def evt(words: int, clear: bool = False, wait: bool = False) -> Evt:
    return Evt(0, 0, 0, 100, 0, words, words * 16, clear, wait)


def run_map(length: int) -> Map:
    return Map("Sum", "p", length, 0, 0, 0, 0, -1, 0, 0, {})


def test_stages_of_a_kernel():
    p = pipeline(accumulator_kernel(), MACHINE)
    assert p.stages == (0, 0, 0, 1)  # in whose registers the operands stand
    assert p.steps == (0, 0, 1, 1)
    assert p.depth == 2


@pytest.mark.parametrize(("bits", "chunks"), [(2, 1), (18, 1), (19, 2), (35, 2), (36, 3)])
def test_multipliers_side_by_side(bits, chunks):
    assert multiplier_chunks(bits, MACHINE) == chunks


@pytest.mark.parametrize(("a", "b", "stages"), [(18, 18, 3), (19, 18, 4), (19, 19, 5), (36, 18, 5)])
def test_wide_products_take_adder_stages(a, b, stages):
    assert multiply_latency(a, b, MACHINE) == stages


def test_a_single_mac():
    clock = PhaseClock(MACHINE, {})
    assert clock.hand_over(mac(rows=3, words=2)) == 7
    # Issue in 8..13; the words leave 10 cycles after their last rows, 10 and 13.
    assert accumulate_writes(MACHINE, 7, 3, 2).tolist() == [20, 23]
    assert clock.finish() == 23 + 4 + 1


def test_instructions_follow_without_a_gap_unless_they_add():
    clock = PhaseClock(MACHINE, {})
    assert clock.hand_over(mac(5, 2)) == 7
    assert clock.hand_over(mac(5, 2)) == 17
    assert clock.hand_over(mac(5, 2, clear=False)) == 30
    assert clock.hand_over(mac(1, 1)) == 40
    assert clock.hand_over(mac(1, 1)) == 44  # not sooner than the decoder


def test_empty_event_lists():
    clock = PhaseClock(MACHINE, {})
    assert clock.hand_over(evt(4), 0) == 7
    assert clock.hand_over(evt(4, clear=True), 0) == 11  # one row of payload 0: 4 cycles
    assert clock.hand_over(evt(4, wait=True), 2) == 11 + 4 + 10 + 4


def test_map_waits_and_is_waited_for():
    code = accumulator_kernel()
    clock = PhaseClock(MACHINE, {"Sum": code})
    clock.hand_over(mac(2, 1))
    handover = clock.hand_over(run_map(10))
    assert handover == 7 + 2 + 10 + 4
    t = clock.map_timing("Sum")
    assert t.state_writes(handover, 10)[[0, 9]].tolist() == [handover + 17, handover + 26]
    assert t.output_writes(handover, 10)[-1] == handover + 32
    assert clock.hand_over(mac(2, 1)) == handover + 32 + 4


def test_arrays_of_counts_give_arrays_of_cycles():
    phase = [evt(4), evt(3, clear=True), mac(2, 2, clear=False)]
    counts = np.array([0, 1, 7, 100])
    together = phase_cycles(MACHINE, {}, phase, [counts, counts, 0])
    apart = [phase_cycles(MACHINE, {}, phase, [int(c), int(c), 0]) for c in counts]
    assert together.tolist() == apart
    assert busy_cycles(phase, [counts, counts, 0]).tolist() == [7, 11, 53, 704]


def test_lanes_are_busy_in_long_runs():
    phase = [mac(10, 4) for _ in range(50)]
    cycles = phase_cycles(MACHINE, {}, phase, [0] * 50)
    assert busy_cycles(phase, [0] * 50) / cycles > 0.9


def test_several_operations_in_a_stage_make_a_shorter_pipeline():
    slow = Machine(operations_per_stage=2)
    p = pipeline(accumulator_kernel(), slow)
    assert p.steps == (0, 0, 1, 2)
    assert p.depth == 1
    assert latencies(MACHINE).map_input == 2 + 2 + 6
    assert latencies(slow).map_input == 1 + 1 + 3
    assert latencies(MACHINE).row == 10
    assert latencies(slow).row == 1 + 1 + 1 + 2 + 1


def summing_rule(*ops: Op, outputs: tuple[int, ...] = (-1,)) -> RuleCode:
    """A rule of a weight that is scaled twice, and `ops` behind these."""
    ops = (
        Op("weight", (), -64, 64, 0),
        Op("scale", (0, "rate"), -64, 64, 0),
        Op("scale", (0, "other"), -64, 64, 0),
        *ops,
    )
    results = tuple(n % len(ops) for n in outputs)
    parameters = tuple(Parameter(n, True, -128, 127, 0) for n in ("rate", "other"))
    weight = Port("weight", -300, 300, 0)
    states = tuple(Port(f"s{n}", -300, 300, 0) for n in range(len(outputs) - 1))
    return RuleCode(
        "sums", weight, states, (), parameters, (), ops, results[0], results[1:], "always"
    )


@pytest.mark.parametrize(
    ("ops", "outputs", "rounded"),
    [
        ([Op("add", (0, 1), -128, 128, 0)], (-1,), {3: 1}),
        ([Op("add", (1, 0), -128, 128, 0)], (-1,), {3: 1}),
        ([Op("sub", (0, 1), -128, 128, 0)], (-1,), {3: 1}),
        ([Op("sub", (1, 0), -128, 128, 0)], (-1,), {}),  # it would take one adder more
        ([Op("add", (1, 2), -128, 128, 0)], (-1,), {3: 2}),  # one of both
        ([Op("add", (1, 1), -128, 128, 0)], (-1,), {}),
        ([Op("add", (0, 1), -128, 128, 0)], (-1, 1), {}),  # stored itself
        (
            [Op("add", (0, 1), -128, 128, 0), Op("max", (1, 3), -128, 128, 0)],
            (-1,),
            {},
        ),  # needed elsewhere
    ],
)
def test_a_sum_rounds_what_nothing_else_takes(ops, outputs, rounded):
    code = summing_rule(*ops, outputs=outputs)
    assert rounded_later(code) == rounded
    p = pipeline(code, MACHINE)
    for number in (1, 2):
        assert p.stages[number] == 3 + (2 if number in rounded.values() else 3)


def test_neurons_round_what_they_scale():
    assert rounded_later(LIF.code(MACHINE)) == {}

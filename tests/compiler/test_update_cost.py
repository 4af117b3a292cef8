"""What an update pass costs beside its words, for each rule that the package brings; exact."""

from dataclasses import replace

import numpy as np
import pytest

from spikeloom.compiler.clock import PhaseClock
from spikeloom.compiler.instructions import Map, Upd
from spikeloom.compiler.kernels.code import KernelCode, Op, Port
from spikeloom.compiler.kernels.rules.bcm import BCM
from spikeloom.compiler.kernels.rules.memristor import MPES, VariedMPES
from spikeloom.compiler.kernels.rules.oja import Oja
from spikeloom.compiler.kernels.rules.pes import PES
from spikeloom.compiler.kernels.rules.stdp import STDP
from spikeloom.compiler.kernels.rules.vdsp import VDSP
from spikeloom.compiler.kernels.rules.voja import Voja
from spikeloom.compiler.machine import Machine

MACHINE = Machine()
FEW = 32
ROWS, LENGTH = 100, 40
WORDS = MACHINE.words(LENGTH)

COSTS = {
    ("PES", "always"): 20,
    ("Oja", "always"): 25,
    ("BCM", "always"): 28,
    ("Voja", "always"): 32,
    ("STDP", "pre"): 19,
    ("STDP", "post"): 23,
    ("VDSP", "post"): 31,
    ("MPES", "pre"): 27,
    ("VariedMPES", "pre"): 31,
}
RULES = {cls.__name__: cls for cls in (PES, Oja, BCM, Voja, STDP, VDSP, MPES, VariedMPES)}


def neurons() -> tuple[KernelCode, Map]:
    """A population whose update comes before."""
    port = Port("u", -8, 7, 0)
    code = KernelCode(
        "copies", port, (Port("s", -8, 7, 0),), (), (), (Op("input", ("u",), -8, 7, 0),),
        (0,), 0, "value", 0, False,
    )  # fmt: skip
    return code, Map("copies", "p", LENGTH, 0, 0, 0, 0, -1, 0, 0, {}, True)


def update(rule: str, gate: str) -> Upd:
    return Upd(rule, "p", 0, ROWS, WORDS, LENGTH, gate, 0, 0, -1, 0, (), (), 0, {}, True)


def finish(instructions: list[Map | Upd], machine: Machine = MACHINE) -> int:
    """Cycles of a phase in which all neurons fire."""
    kernel, _ = neurons()
    clock = PhaseClock(
        machine, {"copies": kernel}, {name: cls.code(machine) for name, cls in RULES.items()}
    )
    for i in instructions:
        fired = ROWS if isinstance(i, Upd) and i.gate == "pre" else LENGTH
        clock.hand_over(i, fired, np.arange(fired))
    return int(clock.finish())


def test_all_rules_are_here():
    gates = {"either": {"pre", "post"}}
    expected = {
        (name, gate)
        for name, cls in RULES.items()
        for gate in gates.get(cls.code(MACHINE).gate, {cls.code(MACHINE).gate})
    }
    assert set(COSTS) == expected


@pytest.mark.parametrize(("rule", "gate"), COSTS)
def test_a_pass_costs_little_beside_its_words(rule, gate):
    _, neurons_before = neurons()
    cost = finish([neurons_before, update(rule, gate)]) - finish([neurons_before]) - ROWS * WORDS
    assert cost == COSTS[rule, gate] <= FEW


@pytest.mark.parametrize(("rule", "gate"), COSTS)
def test_a_pass_behind_another_one_costs_as_little(rule, gate):
    before = [neurons()[1], update("PES", "always")]
    cost = finish([*before, update(rule, gate)]) - finish(before) - ROWS * WORDS
    assert cost == COSTS[rule, gate] <= FEW


@pytest.mark.parametrize("operations", [2, 3])
@pytest.mark.parametrize(("rule", "gate"), COSTS)
def test_slower_clocks_take_fewer_cycles(rule, gate, operations):
    machine = replace(MACHINE, operations_per_stage=operations)
    before = [neurons()[1]]
    cost = finish([*before, update(rule, gate)], machine) - finish(before, machine)
    assert cost - ROWS * WORDS <= COSTS[rule, gate]


def test_nothing_is_paid_where_no_post_neuron_fired():
    kernel, before = neurons()
    clock = PhaseClock(MACHINE, {"copies": kernel}, {"VDSP": VDSP.code(MACHINE)})
    clock.hand_over(before)
    without = int(clock.finish())
    clock.restart()
    clock.hand_over(before)
    clock.hand_over(update("VDSP", "post"), 0, np.zeros(0, int))
    # The next instruction is decoded meanwhile.
    assert int(clock.finish()) - without <= 3

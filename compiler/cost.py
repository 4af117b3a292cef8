"""What a Program takes: words of each memory and clock cycles per step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from .clock import busy_cycles, phase_cycles
from .instructions import Cnv, Evt, Map, Upd
from .kernels.code import KernelCode
from .kernels.rule_code import RuleCode
from .program import Program
from .timing import ConvolutionTiming, Cycles


@dataclass(frozen=True)
class MemorySize:
    """Size of one memory of the loom.

    Attributes
    ----------
    words : int
    bits : int
        Of one word, all lanes together.
    """

    words: int
    bits: int

    @property
    def total_bits(self) -> int:
        """Bits of the whole memory."""
        return self.words * self.bits


def memory_sizes(program: Program) -> dict[str, MemorySize]:
    """Words that `program` occupies in each memory, by the memory's name."""
    machine = program.machine
    event_bits = machine.index_bits + machine.value_bits
    slots, states = program.state.shape
    sizes = {
        "weight": MemorySize(program.weight.shape[0], machine.lanes * machine.weight_bits),
        "value": MemorySize(program.value.size, machine.value_bits),
        "accumulator": MemorySize(
            program.accumulator_words, machine.lanes * machine.accumulator_bits
        ),
        "state": MemorySize(states, slots * machine.state_bits),
        "event": MemorySize(program.event_words, event_bits),
        "count": MemorySize(program.event_lists, machine.index_bits + 1),
        "residual": MemorySize(program.plastic_words, machine.lanes * machine.residual_bits),
        "synapse": _side_by_side(
            program.synapse.shape[0], program.plastic_words, machine.lanes * machine.state_bits
        ),
        "post": _side_by_side(
            program.post_memories, program.post_words, machine.lanes * machine.value_bits
        ),
    }
    if len(program.stencil):
        sizes["stencil"] = MemorySize(len(program.stencil), stencil_bits(program))
    codes: list[KernelCode | RuleCode] = [*program.kernels.values(), *program.rules.values()]
    tables = {f"{code.name}.{t.name}": t for code in codes for t in code.tables}
    for name, content in program.tables.items():
        table = tables[name]
        bits = max(table.hi.bit_length(), (-table.lo).bit_length()) + 1
        sizes[f"table {name}"] = MemorySize(content.size, bits)
    return sizes


def _side_by_side(memories: int, words: int, bits: int) -> MemorySize:
    """Several memories that are addressed as one; nothing if there are none."""
    return MemorySize(words if memories else 0, memories * bits)


def stencil_bits(program: Program) -> int:
    """Bits of a stencil's entry: whether there is anything, and two addresses."""
    depths = (program.accumulator_words, program.weight.shape[0])
    return 1 + sum(map(address_bits, depths))


def address_bits(depth: int) -> int:
    """Bits of an address of a memory of `depth` words."""
    return max(1, (depth - 1).bit_length())


@dataclass(frozen=True)
class StepCycles:
    """Clock cycles of a step.

    Attributes
    ----------
    total : int or int64 ndarray
        Sum over the phases, without the host's exchanges between them.
    multiplying : int or int64 ndarray
        Cycles among them in which the lanes multiply and add.
    """

    total: Cycles
    multiplying: Cycles


def step_cycles(
    program: Program,
    events: Mapping[int, Cycles] | None = None,
    previous: Mapping[int, Cycles] | None = None,
    values: Mapping[Cnv, tuple[Cycles, Cycles]] | None = None,
) -> StepCycles:
    """Clock cycles of one step as a function of how many events each list holds.

    Exact, but for an ``UPD`` with the gate ``"post"``, which takes the most where the events are
    spread over as many words as possible: that is assumed.

    Parameters
    ----------
    program : Program
    events : mapping of list number -> int or int64 (steps,), optional
        Events that each list is filled with in the step; lists not named stay empty.
    previous : the same, optional
        Events that each list was filled with in the step before, which matter where a list is read
        before it is filled; `events` if left out.
    values : mapping of Cnv -> (int or int64 (steps,), the same), optional
        For each ``CNV`` of values how many of them are not 0, and what `ConvolutionTiming.busy`
        gave for them. Of those not named all values are 0.

    Returns
    -------
    StepCycles
        Integers, or arrays with one element per step where `events` holds arrays.
    """
    events = events or {}
    previous = events if previous is None else previous
    filled: set[int] = set()
    total: Cycles = 0
    multiplying: Cycles = 0
    for phase in program.phases:
        counts: list[Cycles] = []
        busy: list[Cycles | None] = []
        for i in phase:
            count: Cycles = 0
            cycles: Cycles | None = None
            if (
                isinstance(i, Evt)
                or (isinstance(i, Cnv) and i.list >= 0)
                or (isinstance(i, Upd) and i.gate != "always")
            ):
                count = (events if i.list in filled else previous).get(i.list, 0)
            elif isinstance(i, Map) and i.list >= 0:
                filled.add(i.list)
            elif isinstance(i, Cnv):
                silent = 0, ConvolutionTiming(program.machine).busy(i, 0, np.zeros(0, np.int64))
                count, cycles = (values or {}).get(i, silent)
            counts.append(count)
            busy.append(cycles)
        total = total + phase_cycles(
            program.machine, program.kernels, phase, counts, program.rules, busy
        )
        multiplying = multiplying + busy_cycles(phase, counts)
    return StepCycles(total, multiplying)

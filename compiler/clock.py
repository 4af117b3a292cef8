"""The loom's clock followed through a phase: when each instruction is handed over, and the end.

The rules are those of `timing`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from .instructions import Cnv, Evt, Instruction, Mac, Map, Upd
from .kernels.code import KernelCode
from .kernels.rule_code import RuleCode
from .machine import Machine
from .timing import (
    UPD_COUNT,
    UPD_DRAIN,
    ConvolutionTiming,
    Cycles,
    MapTiming,
    UpdateTiming,
    latencies,
)


def issued_rows(instruction: Mac | Evt, count: Cycles = 0) -> Cycles:
    """Rows that are issued per word, given the event count of an ``EVT``'s list."""
    if isinstance(instruction, Mac):
        return instruction.rows
    return np.maximum(count, 1) if instruction.clear else count


def most_events(instruction: Instruction) -> int:
    """The most events that an instruction's list can hold; 0 if it looks at none."""
    if isinstance(instruction, Evt):
        return instruction.rows
    if isinstance(instruction, Cnv):
        return instruction.rows if instruction.list >= 0 else 0
    if isinstance(instruction, Upd) and instruction.gate != "always":
        return instruction.rows if instruction.gate == "pre" else instruction.length
    return 0


class PhaseClock:
    """Follows one run of one phase, instruction by instruction.

    Call `hand_over` for each instruction in order, then `finish`.

    Attributes
    ----------
    learning : bool
        Whether ``UPD`` runs.
    begins : int or int64 ndarray
        Of the ``UPD`` that was handed over last: the cycle before its first issue or look.
    """

    def __init__(
        self,
        machine: Machine,
        kernels: Mapping[str, KernelCode],
        rules: Mapping[str, RuleCode] | None = None,
    ) -> None:
        self._at = latencies(machine)
        self._map = {
            (name, captures): MapTiming(code, machine, captures)
            for name, code in kernels.items()
            for captures in (False, True)
        }
        self._update = {name: UpdateTiming(code, machine) for name, code in (rules or {}).items()}
        self.convolution = ConvolutionTiming(machine)
        self.learning = True
        self.begins: Cycles = 0
        self.restart()

    def restart(self) -> None:
        """Begin a new run of a phase."""
        self._ready: Cycles = self._at.first_handover  # the next instruction is decoded
        self._issued: Cycles | None = None  # last issue of the MAC or EVT before
        self._drained: Cycles = 0  # all writes so far have landed, and can be read
        self._after_map = False

    def map_timing(self, kernel: str, captures: bool = False) -> MapTiming:
        """Timing of a ``MAP`` of this kernel."""
        return self._map[kernel, captures]

    def update_timing(self, rule: str) -> UpdateTiming:
        """Timing of an ``UPD`` of this rule."""
        return self._update[rule]

    def hand_over(
        self,
        instruction: Instruction,
        count: Cycles = 0,
        fired: np.ndarray | None = None,
        busy: Cycles | None = None,
    ) -> Cycles:
        """Cycle in which `instruction` is handed over.

        Parameters
        ----------
        instruction : Instruction
        count : int or int64 ndarray
            For an ``EVT``, a ``CNV`` of events and an ``UPD`` with a gate: the number of events in
            its list.
        fired : (n,) int64 ndarray, optional
            For an ``UPD``: the indices of these events. Left out, one with the gate ``"post"``
            takes as long as if they were spread over as many words as possible. For a ``CNV`` of
            values: the numbers of those that are not 0. Left out, all of them are.
        busy : int or int64 ndarray, optional
            For a ``CNV`` of values, instead of `fired`: what `ConvolutionTiming.busy` gave.
        """
        if not isinstance(instruction, (Mac, Evt, Map, Upd, Cnv)):
            raise TypeError(f"the loom's clock does not know {type(instruction).__name__}")
        alone = isinstance(instruction, (Map, Upd, Cnv))
        handover = self._ready
        updates = isinstance(instruction, Upd)
        if not updates and (alone or self._after_map or instruction.wait):
            handover = np.maximum(handover, self._drained)
        if self._issued is not None and not updates:
            adds = isinstance(instruction, (Mac, Evt)) and not instruction.clear
            handover = np.maximum(handover, self._issued + (self._at.gap if adds else 0))
        self._ready = handover + self._at.period
        if isinstance(instruction, Map):
            timing = self._map[instruction.kernel, bool(instruction.captures)]
            last = timing.last_write(handover, instruction.length)
            self._drained = last + self._at.drain
            self._ready = handover + timing.first_issue - 1 + self._at.period
        elif isinstance(instruction, Upd):
            self._update_over(instruction, handover, count, fired)
        elif isinstance(instruction, Cnv):
            go = handover + self.convolution.load
            self._ready = go + self._at.period
            if busy is None:
                busy = self.convolution.busy(instruction, count, fired)
            last = go + busy + self.convolution.write
            drained = np.where(busy > 0, last + self._at.drain, 0)
            self._drained = np.maximum(self._drained, drained)
        else:
            issue = issued_rows(instruction, count) * instruction.words
            self._issued = handover + issue
            written = np.where(issue > 0, self._issued + self._at.row + self._at.drain, 0)
            self._drained = np.maximum(self._drained, written)
        if alone:
            self._issued = None
        self._after_map = alone
        return _plain(handover)

    def _update_over(
        self, i: Upd, handover: Cycles, count: Cycles, fired: np.ndarray | None
    ) -> None:
        timing = self._update[i.rule]
        self.begins = np.maximum(handover + timing.load, self._drained - 1)
        self._ready = self.begins + self._at.period
        if not self.learning:
            return
        busy = timing.busy(i, count) if fired is None else timing.updates(i, 0, fired).busy
        last = self.begins + busy + timing.write + UPD_COUNT
        self._drained = np.maximum(self._drained, np.where(busy > 0, last + UPD_DRAIN, 0))

    def finish(self) -> Cycles:
        """Cycles of the whole phase: from its accepted start until the next can be accepted."""
        return _plain(np.maximum(self._ready, self._drained) + 1)


def _plain(cycles: Cycles) -> Cycles:
    """Scalars as int."""
    return int(cycles) if np.ndim(cycles) == 0 else cycles


def phase_cycles(
    machine: Machine,
    kernels: Mapping[str, KernelCode],
    instructions: Sequence[Instruction],
    counts: Sequence[Cycles],
    rules: Mapping[str, RuleCode] | None = None,
    busy: Sequence[Cycles | None] | None = None,
) -> Cycles:
    """Clock cycles of one phase, the most for ``UPD`` of the gate ``"post"`` and ``CNV`` of values.

    Parameters
    ----------
    machine : Machine
    kernels : mapping of kernel name -> KernelCode
    instructions : sequence of Instruction
        The phase.
    counts : sequence, parallel to `instructions`
        For each ``EVT``, ``CNV`` of events and ``UPD`` with a gate, the events in its list when it
        runs, an int or an int64 array with one element per step; anything for the others.
    rules : mapping of rule name -> RuleCode, optional
    busy : sequence, parallel to `instructions`, optional
        For each ``CNV`` of values what `ConvolutionTiming.busy` gave, or None: the most.

    Returns
    -------
    int or int64 ndarray
    """
    clock = PhaseClock(machine, kernels, rules)
    known = [None] * len(instructions) if busy is None else busy
    for instruction, count, cycles in zip(instructions, counts, known, strict=True):
        clock.hand_over(instruction, count, busy=cycles)
    return clock.finish()


def busy_cycles(instructions: Sequence[Instruction], counts: Sequence[Cycles]) -> Cycles:
    """Cycles of a phase in which the lanes multiply: issue cycles of ``MAC``, ``EVT``, ``CNV``.

    Of a ``CNV`` all slots count, also those in which a position reaches nothing. Where it is one of
    values, `counts` has how many of them are not 0.
    """
    return sum(
        count * i.slots if isinstance(i, Cnv) else issued_rows(i, count) * i.words
        for i, count in zip(instructions, counts, strict=True)
        if isinstance(i, (Mac, Evt, Cnv))
    )

"""The loom's clock: in which cycle each instruction starts and each memory write happens.

Cycle 0 of a phase is the cycle in which the sequencer accepts the start of the phase. A memory
write happens *in* the cycle in which the memory's write enable is high; a read whose address stands
in a later cycle sees it.

Each instruction is handed over to the datapath in one cycle, its *handover*; the next one has been
fetched and decoded, and its event count read, in the meantime. The rules:

* The first handover of a phase is in cycle ``first_handover``; two handovers are at least
  ``period`` apart (`Latencies`).
* ``MAC`` and ``EVT`` issue one row of one word per cycle, beginning in the cycle after the
  handover. The accumulator word is written ``row`` cycles after its last row was issued. An
  ``EVT`` without events issues nothing, or, if it clears, one row of payload 0 per word.
* The following handover comes at the earliest in the cycle of the last issue, if that instruction
  clears its accumulators, else ``gap`` later, so that what it adds to has been written.
* ``MAP`` loads its parameters, issues one neuron per cycle, and writes its states, then its output.
  If its kernel reduces, a pass over all neurons that writes nothing comes before.
* ``UPD`` is handed over, and loads its parameters, while the instruction before it still runs.
  When its parameters have been loaded, but not sooner than one cycle before it could be handed over
  if it waited like others, it issues one word of all lanes per cycle, and writes it ``write``
  cycles (`UpdateTiming`) later; saturations are counted one cycle after the last write. One that
  selects nothing, or that is switched off, does nothing instead.
* ``CNV`` loads its extension word, then looks for the first source element that is not 0. It spends
  at least ``period`` cycles (`ConvolutionTiming`) on each, whatever it reaches, and looks for the
  next one meanwhile, one element per cycle. Slot s of one is issued s cycles after its first and
  written ``write`` cycles later. Without events it does nothing.
* An instruction that waits, every ``MAP``, ``CNV`` and whatever follows these or an ``UPD``, is
  handed over ``drain`` cycles after the last write before it; `UPD_DRAIN` cycles after the count of
  its saturations if that was an ``UPD``: what it wrote is not read sooner than some cycles later.
  So is the end of the phase, in whose handover cycle the sequencer is done; it accepts the next
  start one cycle later.

Everything here takes event counts either as integers or as int64 arrays (one element per step),
and gives integers or arrays accordingly.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from .instructions import Cnv, Upd
from .kernels.code import KernelCode
from .kernels.pipeline import (
    LANE_STEPS,
    RESCALE_STEPS,
    memory_latency,
    multiplier_latency,
    pipeline,
    stages_of,
)
from .kernels.rule_code import RuleCode
from .machine import Machine

Cycles = Any
"""An int, or an int64 array with one element per step."""

MAP_EVENT = 1
"""Saturation of a payload."""

MAP_COUNT = 2
"""The count is written this many cycles after the last neuron's state."""


MAP_CAPTURE = 1
"""A captured word is written this many cycles after the state of its last neuron."""

UPD_SOURCES = 1
"""Between the memories that an ``UPD`` reads and its rule: choice of memories, the full weight."""

UPD_STORE = 1
"""Between a rule's results and their write: the full weight in two."""

UPD_COUNT = 1
"""Saturations are counted this many cycles after the last write."""

UPD_DRAIN = 1
"""From this count to the handover of the next instruction."""

ADDRESS_STEPS = 2
"""Operations from a value or event to the weights' address: choice, addition."""


CNV_EXTENSION_WORDS = 1
"""Instruction words that follow the first one of a ``CNV``."""

CNV_POSITION_STEPS = 3
"""Operations from a source element to its stencil's address: two halves of a shift, addition."""

CNV_ADDRESS_STEPS = 2
"""Operations from a stencil's entry to the addresses that it means."""


@dataclass(frozen=True)
class Latencies:
    """Clock cycles that things take on some machine.

    Attributes
    ----------
    memory : int
        From a memory's read address to its data.
    fetch : int
        From a change of the program counter to the cycle in which its word is taken.
    period : int
        From there until the instruction is decoded, and its event count read: handovers are at
        least so far apart.
    address : int
        From a value or event to the weights' address.
    row : int
        From the issue of a word's last row to the write of its sum.
    gap : int
        From the last issue of one instruction to the handover of another that adds to what it
        wrote.
    drain : int
        From a write to the handover of an instruction that waits for it.
    map_input : int
        From a neuron's issue to its kernel: accumulator read, lane, shift and saturation.
    map_value : int
        From the states' write to the value's: shift and saturation.
    """

    memory: int
    fetch: int
    period: int
    address: int
    row: int
    gap: int
    drain: int
    map_input: int
    map_value: int

    @property
    def first_handover(self) -> int:
        """Cycle of the first handover of a phase."""
        return self.fetch + self.period

    @property
    def map_load(self) -> int:
        """From a ``MAP``'s handover to its first neuron, beside a cycle per extension word."""
        return self.fetch + 1


@cache
def latencies(machine: Machine) -> Latencies:
    """The latencies of `machine`."""
    memory = memory_latency(machine)
    address = stages_of(ADDRESS_STEPS, machine)
    rescale = stages_of(RESCALE_STEPS, machine)
    return Latencies(
        memory=memory,
        fetch=memory + 1,
        period=memory + 2,
        address=address,
        row=memory + address + memory + multiplier_latency(machine) + 1,
        gap=memory + 1,
        drain=memory + 2,
        map_input=memory + stages_of(LANE_STEPS, machine) + rescale,
        map_value=rescale,
    )


def map_extension_words(code: KernelCode, captures: bool = False) -> int:
    """Instruction words that follow the first one of a ``MAP``: one, parameters, tables, captures.

    The last one is there if the ``MAP`` captures anything.
    """
    return 1 + len(code.parameters) + len(code.tables) + int(captures)


def update_extension_words(code: RuleCode) -> int:
    """Instruction words that follow the first one of an ``UPD``: one, parameters, tables."""
    return 1 + len(code.parameters) + len(code.tables)


def accumulate_writes(machine: Machine, handover: int, rows: int, words: int) -> np.ndarray:
    """Cycles in which a ``MAC`` or ``EVT`` writes its accumulator words.

    Parameters
    ----------
    machine : Machine
    handover : int
        As `PhaseClock.hand_over` returned it.
    rows : int
        Rows that are really issued (`issued_rows`); 0 gives no writes.
    words : int

    Returns
    -------
    (words,) int64 ndarray
        Empty if `rows` is 0. Element w belongs to word ``target + w``.
    """
    if rows == 0:
        return np.zeros(0, np.int64)
    return handover + latencies(machine).row + rows * np.arange(1, words + 1, dtype=np.int64)


class MapTiming:
    """Cycles of the writes of a ``MAP`` with kernel `code`, relative to its handover."""

    def __init__(self, code: KernelCode, machine: Machine, captures: bool = False) -> None:
        stages = pipeline(code, machine)
        self.depth = stages.depth
        self.reduced = stages.reduced
        at = latencies(machine)
        self._lanes = machine.lanes
        self.first_issue = at.map_load + map_extension_words(code, captures)
        self.state = self.first_issue + at.map_input + self.depth
        self.events = code.emits == "events"
        self.output = self.state + (MAP_EVENT if self.events else at.map_value)
        self._last = MAP_COUNT if self.events else at.map_value

    def first_pass(self, length: int) -> int:
        """Cycles from the first issue to that of the second pass; 0 without reductions.

        The second pass begins when what the first one's last neuron adds has been reduced.
        """
        return length + self.reduced if self.reduced else 0

    def state_writes(self, handover: int, length: int) -> np.ndarray:
        """(length,) int64: cycle in which neuron i's states are written (all slots at once)."""
        first = handover + self.first_pass(length) + self.state
        return first + np.arange(length, dtype=np.int64)

    def output_writes(self, handover: int, length: int) -> np.ndarray:
        """(length,) int64: cycle in which neuron i's value, or its event if any, is written."""
        first = handover + self.first_pass(length) + self.output
        return first + np.arange(length, dtype=np.int64)

    def capture_writes(self, handover: int, length: int) -> np.ndarray:
        """(words,) int64: cycle in which each captured word is written, in all post memories."""
        last = np.append(np.arange(self._lanes - 1, length - 1, self._lanes), length - 1)
        return self.state_writes(handover, length)[last] + MAP_CAPTURE

    def count_write(self, handover: int, length: int) -> int:
        """Cycle in which the count of a kernel that emits events is written."""
        return handover + self.first_pass(length) + self.state + length - 1 + MAP_COUNT

    def last_write(self, handover: Cycles, length: int) -> Cycles:
        """Cycle of the last write of the ``MAP``."""
        return handover + self.first_pass(length) + self.state + length - 1 + self._last


@dataclass(frozen=True)
class Updates:
    """The words that an ``UPD`` goes through, in order; (n,) int64 arrays.

    `rows`, `words`: the row and word of each; `cycles`: when it is written (rows that are left out
    are not). `busy`: cycles from the one before the first issue to the last one in which anything
    is issued or looked for; 0 if nothing is selected.
    """

    rows: np.ndarray
    words: np.ndarray
    cycles: np.ndarray
    busy: int


class UpdateTiming:
    """Cycles of the writes of an ``UPD`` with rule `code`.

    Attributes
    ----------
    load : int
        From the handover to the cycle before the first issue, at least.
    write : int
        From an issue to its write.
    decide : int
        From an event's address to the decision whether it selects another word.
    prepare : int
        From that decision to the cycle before the first issue of the word, at least: the address of
        its weights is needed a memory's latency after the issue.
    resume : int
        From that cycle to the decision about the next event.
    """

    def __init__(self, code: RuleCode, machine: Machine) -> None:
        at = latencies(machine)
        self._lanes = machine.lanes
        self.depth = pipeline(code, machine).depth
        self.load = at.fetch + update_extension_words(code)
        self.write = 2 * at.memory + at.address + UPD_SOURCES + self.depth + UPD_STORE
        self.decide = at.memory
        self.prepare = max(1, multiplier_latency(machine) - at.memory)
        self.resume = max(1, 1 + at.memory - self.prepare)

    def busy(self, i: Upd, count: Cycles) -> Cycles:
        """At most so many cycles go by until the last issue, with `count` events in the list.

        Exact but for the gate ``"post"``, where events that share a word take less.
        """
        if i.gate == "always":
            return i.rows * i.words
        if i.gate == "pre":
            return count * i.words
        # The more words the longer; events that share a word cost most if they share few words.
        words = np.minimum(count, i.words)
        others = max(1, self._lanes - 1)
        full, rest = np.divmod(count - words, others)
        streams = full * self._word(i, others) + np.where(rest > 0, self._word(i, rest), 0)
        alone = np.maximum(words - full - (rest > 0), 0)
        first = 1 + self.decide + self.prepare
        return np.where(count > 0, first + streams + alone * self._word(i, 0), 0)

    def _word(self, i: Upd, others: Cycles) -> Cycles:
        """Cycles from a word's first issue to that of the next one, with further events in it."""
        looks = self.resume + (self.decide + 1) * others + self.prepare
        return np.maximum(i.rows, looks)

    def updates(self, i: Upd, begins: int, fired: np.ndarray) -> Updates:
        """All that is issued.

        Parameters
        ----------
        i : Upd
        begins : int
            Cycle before the first issue or look, as `PhaseClock.begins` has it.
        fired : (n,) int64 ndarray
            Indices of the events in the list, ascending; without meaning for ``"always"``.
        """
        rows = np.asarray(fired, np.int64) if i.gate == "pre" else np.arange(i.rows)
        if i.gate == "post":
            words, starts, busy = self._selected(i, fired)
        else:
            words = np.arange(i.words)
            starts = len(rows) * words
            busy = len(rows) * i.words
        issues = begins + 1 + starts[:, None] + np.arange(len(rows))
        return Updates(
            np.tile(rows, len(words)),
            np.repeat(words, len(rows)),
            issues.reshape(-1) + self.write,
            busy,
        )

    def _selected(self, i: Upd, fired: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
        """Words with events, the issues' cycles before each, and `Updates.busy`.

        Events are looked at one after the other, ahead of the issues, by one word at most.
        """
        words: list[int] = []
        starts: list[int] = []
        decided, finished = 1 + self.decide, 0
        for word in (np.asarray(fired, np.int64) // self._lanes).tolist():
            if words and word == words[-1]:
                finished = max(finished, decided)
                decided += 1 + self.decide
                continue
            begun = decided + self.prepare
            if starts:
                begun = max(begun, starts[-1] + i.rows)
            words.append(word)
            starts.append(begun)
            finished = begun + i.rows
            decided = begun + self.resume
        return np.array(words, np.int64), np.array(starts, np.int64), finished


class ConvolutionTiming:
    """Cycles of the writes of a ``CNV``.

    Attributes
    ----------
    load : int
        From the handover to the cycle before the first look.
    look : int
        From the look at an element to the cycle in which it may be taken.
    reach : int
        From the issue of a slot to the token of its accumulator word.
    write : int
        From the issue of a slot to the write.
    distance : int
        Two accesses to one accumulator word are at least so many cycles apart.
    """

    def __init__(self, machine: Machine) -> None:
        at = latencies(machine)
        self.load = at.fetch + CNV_EXTENSION_WORDS
        self.look = at.memory + 1
        position = stages_of(CNV_POSITION_STEPS, machine)
        self.reach = position + at.memory + stages_of(CNV_ADDRESS_STEPS, machine)
        self.write = self.reach + at.row
        self.distance = at.gap + 1
        assert self.look + 1 <= self.distance  # neighbours are taken period by period

    def period(self, slots: int) -> int:
        """Cycles that each source element takes."""
        return max(slots, self.distance)

    def busy(self, i: Cnv, count: Cycles, fired: np.ndarray | None = None) -> Cycles:
        """Cycles from the one before the first look to the last look or issue; 0 without events.

        With values these are the most, that is if none of them is 0, unless `fired` tells.

        Parameters
        ----------
        i : Cnv
        count : int or int64 ndarray
            Events, for one of events.
        fired : (n,) int64 ndarray, optional
            For one of values: the numbers of those that are not 0.
        """
        if i.list < 0 and fired is not None:
            if not len(fired):
                return i.rows + self.look - 1
            rest = i.rows - 1 - int(fired[-1])
            last = int(self._taken(i, fired)[-1])
            return last + max(self.period(i.slots), rest + self.look - 1)
        elements = i.rows if i.list < 0 else count
        return np.where(
            np.asarray(elements) > 0, self.look + 1 + elements * self.period(i.slots), 0
        )

    def _taken(self, i: Cnv, fired: np.ndarray) -> np.ndarray:
        """When each source element is taken, relative to the cycle before the first look."""
        steps = np.diff(np.asarray(fired, np.int64), prepend=-1)
        if i.list >= 0:
            steps = np.ones(len(fired), np.int64)
        apart = steps + self.look
        apart[1:] = np.maximum(apart[1:], self.period(i.slots))
        return np.cumsum(apart)

    def writes(self, i: Cnv, handover: int, fired: np.ndarray) -> np.ndarray:
        """(len(fired), slots) int64: cycle in which each source element's slots are written.

        `fired` are the indices of the events, or the numbers of the values that are not 0.
        """
        first = handover + self.load + 1 + self._taken(i, fired)
        return first[:, None] + np.arange(i.slots) + self.write

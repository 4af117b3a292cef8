"""Copies of a Program side by side: what is the same in all of them is done once.

A population whose inputs and states are the same in all copies gives the same in all. It is done in
a context of its own, some steps ahead of the copies, which read what they need of it: its values,
its events, and what rules see of it. Afterwards it is written into the copies' memories, too, so
that they are what they would be if each had been alone.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from ...compiler.instructions import Cnv, Evt, Instruction, Mac, Map, Upd
from ...compiler.program import OutputPort, Program
from .kept import readings
from .library import Region, Segment
from .memories import Memories

FRONT_SOURCE, FRONT_PRE, FRONT_POST = 1, 2, 4
"""`front_t` of loom.h."""


@dataclass(frozen=True)
class Division:
    """What is done once, and what in each copy.

    Attributes
    ----------
    shared : frozenset of int
        Numbers of the instructions that are done once.
    operands : dict of int -> int
        For the others, which operands are the same in all copies, as `front_t` says.
    ports : frozenset of str
        Input ports that only what is done once reads.
    outputs : frozenset of str
        Output ports of what is done once.
    read : frozenset of int
        The ``MAP`` instructions that are done once and whose results the others read.
    """

    shared: frozenset[int]
    operands: dict[int, int]
    ports: frozenset[str]
    outputs: frozenset[str]
    read: frozenset[int]


def divide(program: Program, own_ports: Collection[str], own_maps: Collection[int]) -> Division:
    """Find out what is the same in all copies.

    Parameters
    ----------
    program : Program
    own_ports : collection of str
        Input ports that differ from copy to copy.
    own_maps : collection of int
        Numbers of ``MAP`` instructions whose states may differ.
    """
    found = _Search(program, own_ports, own_maps)
    while found.grow():
        pass
    return found.division()


class _Search:
    def __init__(
        self, program: Program, own_ports: Collection[str], own_maps: Collection[int]
    ) -> None:
        self.program = program
        self.instructions = program.instructions
        self.own_ports = set(own_ports)
        self.own = set(own_maps)
        """Instructions that each copy has to do; those that are found out so far."""
        self.readers: dict[int, set[int]] = {}
        for writer, reader in readings(self.instructions, program.machine.lanes):
            self.readers.setdefault(writer, set()).add(reader)
        learned = {p.weights for p in program.projections.values()}
        for number, i in enumerate(self.instructions):
            if isinstance(i, Upd) or (isinstance(i, Mac | Evt) and i.weights in learned):
                self.own.add(number)
        self.maps = {n: i for n, i in enumerate(self.instructions) if isinstance(i, Map)}
        made = {e for m in self.maps.values() if m.list < 0 for e in _elements(m.target, m.length)}
        self.mixed = {
            number
            for number, i in enumerate(self.instructions)
            if isinstance(i, Mac) or (isinstance(i, Cnv) and i.list < 0)
            if not made.issuperset(_elements(i.source, i.rows))
        }
        """Those that read constants or inputs, perhaps among values that populations make."""
        self.operands = {
            number: operands
            for number, i in enumerate(self.instructions)
            if (operands := self._operands(i))
        }
        # What is looked at has to lie in one place, too: outputs are numbered from -1 downwards.
        for number, port in enumerate(program.outputs.values(), start=1):
            self.own.add(-number)
            self.operands[-number] = {FRONT_SOURCE: (self._seen(port), set())}

    def _operands(self, i: Instruction) -> dict[int, tuple[set[int], set[str]]]:
        """For each operand the ``MAP`` instructions and the input ports that it is made of."""
        if isinstance(i, Upd):
            fired = set() if i.gate == "always" else self._listed(i.list)
            pre = {n for n, m in self.maps.items() if _overlap(m.state, m.length, i.pre, i.rows)}
            if not i.pre_slots:
                pre = set()
            post = {
                n
                for n, m in self.maps.items()
                for _, memory, base in m.captures
                for wanted, first in i.post
                if memory == wanted
                and _overlap(base, self._words(m.length), first, self._words(i.length))
            }
            return {
                FRONT_SOURCE: (fired, set()),
                FRONT_PRE: (pre, set()),
                FRONT_POST: (post, set()),
            }
        if isinstance(i, Evt) or (isinstance(i, Cnv) and i.list >= 0):
            return {FRONT_SOURCE: (self._listed(i.list), set())}
        if isinstance(i, Mac | Cnv):
            made = {
                n
                for n, m in self.maps.items()
                if m.list < 0 and _overlap(m.target, m.length, i.source, i.rows)
            }
            ports = {
                name
                for name, p in self.program.inputs.items()
                if _overlap(p.base, p.size, i.source, i.rows)
            }
            return {FRONT_SOURCE: (made, ports)}
        return {}

    def _seen(self, port: OutputPort) -> set[int]:
        """The ``MAP`` instructions that make what an output shows."""
        if port.memory == "event":
            return self._listed(port.slot)
        lanes = self.program.machine.lanes
        first = port.first_element(lanes)
        if port.memory == "accumulator":
            self.own |= {
                number
                for number, i in enumerate(self.instructions)
                if isinstance(i, Mac | Evt | Cnv)
                and _overlap(i.target * lanes, i.words * lanes, first, port.size)
            }
            return set()
        of_value = port.memory == "value"
        return {
            n
            for n, m in self.maps.items()
            if (m.list < 0 or not of_value)
            and _overlap(m.target if of_value else m.state, m.length, first, port.size)
        }

    def _words(self, elements: int) -> int:
        return self.program.machine.words(elements)

    def _listed(self, number: int) -> set[int]:
        return {n for n, m in self.maps.items() if m.list == number}

    def grow(self) -> bool:
        """Find more that each copy has to do; returns whether there was."""
        before = len(self.own)
        for number, operands in self.operands.items():
            for maps, ports in operands.values():
                if maps & self.own or ports & self.own_ports:
                    self.own.add(number)
                    self.own |= maps  # all of an operand has to lie in one place
                if number in self.own and any(m > number >= 0 for m in maps):
                    self.own |= maps  # seen one step later: what is done once is ahead already
                if number in self.own and number in self.mixed:
                    self.own |= maps  # copies take over what populations make, and nothing else
        for writer, readers in self.readers.items():
            if writer in self.own or readers & self.own:
                self.own |= {writer, *readers}
        for number, i in enumerate(self.instructions):
            # What nobody reads is left in the accumulators of each copy.
            if isinstance(i, Mac | Evt | Cnv) and number not in self.readers:
                self.own.add(number)
        return len(self.own) > before

    def division(self) -> Division:
        shared = frozenset(range(len(self.instructions))) - self.own
        operands, needed = {}, set(self.own_ports)
        read: set[int] = set()
        for number in self.own:
            flags = 0
            for flag, (maps, ports) in self.operands.get(number, {}).items():
                if maps and not maps & self.own:
                    flags |= flag
                    read |= maps if number >= 0 else set()
                else:
                    needed |= ports
            operands[number] = flags
        seen = zip(self.program.outputs, range(-1, -len(self.program.outputs) - 1, -1), strict=True)
        return Division(
            shared,
            {number: flags for number, flags in operands.items() if number >= 0},
            frozenset(self.program.inputs) - needed,
            frozenset(name for name, number in seen if operands[number]),
            frozenset(read),
        )


def _elements(first: int, size: int) -> range:
    return range(first, first + size)


def _overlap(first: int, size: int, other: int, other_size: int) -> bool:
    return first < other + other_size and other < first + size


def segments(program: Program, division: Division, begins: np.ndarray) -> list[Segment]:
    """Stretches of instructions that are done once, or in each copy.

    Parameters
    ----------
    program : Program
    division : Division
    begins : (instructions + 1,) int ndarray
        Number of the first record of each instruction.
    """
    found = []
    number = 0
    for phase, instructions in enumerate(program.phases):
        found.append(Segment(phase, int(begins[number]), int(begins[number]), 1))
        for _ in instructions:
            once = int(number in division.shared)
            end = int(begins[number + 1])
            if found[-1].begin == found[-1].end or found[-1].front != once:
                found.append(Segment(phase, int(begins[number]), end, once))
            else:
                found[-1].end = end
            number += 1
    return found


def regions(program: Program, division: Division, memories: Memories) -> list[Region]:
    """What copies read of what is done once."""
    value, state, event, post = range(1, 5)
    found = []
    slots = {slot for i in program.instructions if isinstance(i, Upd) for slot in i.pre_slots}
    for number in sorted(division.read):
        i = program.instructions[number]
        assert isinstance(i, Map)
        if i.list >= 0:
            found.append(Region(event, i.target, i.length, i.list))
        else:
            found.append(Region(value, i.target, i.length, 0))
        for slot in sorted(slots & _slots(program, i)):
            found.append(Region(state, slot * memories.stride + i.state, i.length, 0))
        for place, size in _captured(program, i):
            found.append(Region(post, place, size, 0))
    return found


def _slots(program: Program, i: Map) -> set[int]:
    """Slots of the state memory that a ``MAP`` uses; in others its words are another's."""
    return set(range(len(program.kernels[i.kernel].states)))


def _captured(program: Program, i: Map) -> list[tuple[int, int]]:
    """Places and sizes of what a ``MAP`` leaves in the post memories."""
    lanes = program.machine.lanes
    return [
        ((memory * program.post_words + base) * lanes, program.machine.words(i.length) * lanes)
        for _, memory, base in i.captures
    ]


@dataclass(frozen=True)
class Part:
    """Part of one of the arrays of `Memories` that belongs to what is done once."""

    name: str
    begin: int
    size: int


def parts(program: Program, division: Division, memories: Memories) -> list[Part]:
    """All that what is done once changes, but for the counts of saturations."""
    lanes = program.machine.lanes
    found = []
    for number in sorted(division.shared):
        i = program.instructions[number]
        if not isinstance(i, Map):
            continue
        for slot in sorted(_slots(program, i)):
            found.append(Part("state", slot * memories.stride + i.state, i.length))
        if i.list >= 0:
            found.append(Part("event_index", i.target, i.length))
            found.append(Part("event_payload", i.target, i.length))
            found.append(Part("count", i.list, 1))
        else:
            found.append(Part("value", i.target, i.length))
        found += [Part("post", place, size) for place, size in _captured(program, i)]
    last: dict[int, int] = {}
    for number, i in enumerate(program.instructions):
        if isinstance(i, Mac | Evt | Cnv):
            for word in range(i.target, i.target + i.words):
                last[word] = number
    words = sorted(word for word, number in last.items() if number in division.shared)
    for word in words:
        if found and found[-1].name == "accumulator":
            before = found[-1]
            if before.begin + before.size == word * lanes:
                found[-1] = Part("accumulator", before.begin, before.size + lanes)
                continue
        found.append(Part("accumulator", word * lanes, lanes))
    for name, port in program.inputs.items():
        if name in division.ports:
            found.append(Part("value", port.base, port.size))
    return found


def saturating(program: Program, division: Division, memories: Memories) -> list[int]:
    """Places of the counts of saturations of what is done once."""
    names = memories.table.populations
    maps = [program.instructions[n] for n in division.shared]
    return sorted({names.index(i.population) for i in maps if isinstance(i, Map)})


@dataclass(frozen=True)
class Results:
    """All that what is done once leaves behind.

    Attributes
    ----------
    parts : list of Part
    saturating : list of int
        Places of its counts of saturations.
    ports : list of int
        Numbers of the input ports that only it reads.
    """

    parts: list[Part]
    saturating: list[int]
    ports: list[int]


def results(program: Program, division: Division, memories: Memories) -> Results:
    """Find where what is done once leaves its results."""
    ports = [n for n, name in enumerate(program.inputs) if name in division.ports]
    return Results(
        parts(program, division, memories), saturating(program, division, memories), ports
    )


def spread(found: Results, memories: Memories, source: int, copies: slice) -> None:
    """Write what is done once from one place among the copies into others."""
    for part in found.parts:
        array = getattr(memories, part.name)
        place = slice(part.begin, part.begin + part.size)
        array[copies, place] = array[source, place]
    for number in found.saturating:
        memories.saturations[copies, number] = memories.saturations[source, number]
    for number in found.ports:
        memories.version[copies, number] += 1


def prepare(found: Results, memories: Memories, copy: int, place: int) -> None:
    """Let `place`, where things are done once, begin with what a copy has."""
    spread(found, memories, copy, slice(place, place + 1))
    memories.value[place] = memories.value[copy]
    memories.accumulator[place] = memories.accumulator[copy]
    memories.version[place] += 1

"""Copies of a Program side by side: what is the same in all of them is done once.

A population whose inputs and states are the same in all copies gives the same in all. It is done in
a context of its own, some steps ahead of the copies, which read what they need of it: its values,
its events, and what rules see of it. Afterwards it is written into the copies' memories, too, so
that they are what they would be if each had been alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...compiler.instructions import Cnv, Evt, Mac, Map, Upd
from ...compiler.program import Program
from .bindings import Region, Segment
from .division import Division
from .memories import Memories

ONCE, IN_BOTH = 1, 2
"""`Segment.front`: what is done once, and what is done once and in each copy, too."""


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
            once = 0
            if number in division.shared:
                once = ONCE
            elif number in division.twice:
                once = IN_BOTH
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
    begins : list of Part
        What it begins with, but the copies have in the end themselves.
    saturating : list of int
        Places of its counts of saturations.
    ports : list of int
        Numbers of the input ports that only it reads.
    """

    parts: list[Part]
    begins: list[Part]
    saturating: list[int]
    ports: list[int]


def results(program: Program, division: Division, memories: Memories) -> Results:
    """Find where what is done once leaves its results."""
    ports = [n for n, name in enumerate(program.inputs) if name in division.ports]
    begins = [
        Part("state", slot * memories.stride + i.state, i.length)
        for i in (program.instructions[n] for n in sorted(division.twice))
        if isinstance(i, Map)
        for slot in sorted(_slots(program, i))
    ]
    return Results(
        parts(program, division, memories), begins, saturating(program, division, memories), ports
    )


def spread(found: Results, memories: Memories, source: int, copies: slice) -> None:
    """Write what is done once from one place among the copies into others."""
    _copy(found.parts, memories, source, copies)
    for number in found.saturating:
        memories.saturations[copies, number] = memories.saturations[source, number]
    for number in found.ports:
        memories.version[copies, number] += 1


def _copy(moved: list[Part], memories: Memories, source: int, copies: slice) -> None:
    for part in moved:
        array = getattr(memories, part.name)
        place = slice(part.begin, part.begin + part.size)
        array[copies, place] = array[source, place]


def prepare(found: Results, memories: Memories, copy: int, place: int) -> None:
    """Let `place`, where things are done once, begin with what a copy has."""
    spread(found, memories, copy, slice(place, place + 1))
    _copy(found.begins, memories, copy, slice(place, place + 1))
    memories.value[place] = memories.value[copy]
    memories.accumulator[place] = memories.accumulator[copy]
    memories.version[place] += 1

"""Which ``MAP`` instructions get the same input in each step until the host writes something new.

Where all that is summed up for a ``MAP`` comes from held inputs and constants, the engine keeps the
``MAP``'s input instead, and leaves the products out until one of these inputs changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ...compiler.instructions import Cnv, Evt, Instruction, Mac, Map
from ...compiler.program import Program


@dataclass(frozen=True)
class Kept:
    """A ``MAP`` whose input is kept, and the products before it that can be left out.

    Attributes
    ----------
    first : int
        Number of the first of these instructions; they reach to the one before the ``MAP``.
    ports : tuple of int
        Numbers of the input ports that they read (the constants are one behind the last port).
    """

    first: int
    ports: tuple[int, ...]


def kept_inputs(program: Program, watched: Sequence[int]) -> dict[int, Kept]:
    """Find them.

    Parameters
    ----------
    program : Program
    watched : sequence of int
        For each instruction, the number of the port that is all it reads, or -1.

    Returns
    -------
    dict of the ``MAP`` instruction's number -> Kept
    """
    lanes = program.machine.lanes
    seen = [p for p in program.outputs.values() if p.memory == "accumulator"]
    open_words = {
        word
        for p in seen
        for first in [p.first_element(lanes)]
        for word in range(first // lanes, (first + max(p.size, 1) - 1) // lanes + 1)
    }
    instructions = program.instructions
    begins, begin = [], 0
    for phase in program.phases:
        begins += [begin] * len(phase)
        begin += len(phase)
    read_by_others = readings(instructions, lanes)
    found = {}
    for number, i in enumerate(instructions):
        if not isinstance(i, Map):
            continue
        words = set(range(i.source, i.source + program.machine.words(i.length)))
        first = number
        while first > begins[number] and _feeds(instructions[first - 1], words):
            first -= 1
        group = range(first, number)
        if (
            first == number
            or any(watched[k] < 0 for k in group)
            or words & open_words
            or not _cleared_first(instructions[first:number], words)
            or any(writer in group and reader != number for writer, reader in read_by_others)
        ):
            continue
        found[number] = Kept(first, tuple(sorted({watched[k] for k in group})))
    return found


def _span(i: Mac | Evt | Cnv) -> set[int]:
    """Words of the accumulator that an instruction writes."""
    return set(range(i.target, i.target + i.words))


def _feeds(i: Instruction, words: set[int]) -> bool:
    return isinstance(i, Mac | Evt | Cnv) and _span(i) <= words


def _cleared_first(group: Sequence[Instruction], words: set[int]) -> bool:
    """Whether nothing is left in these words of what was there before."""
    missing = set(words)
    for i in group:
        assert isinstance(i, Mac | Evt | Cnv)
        if isinstance(i, Cnv) or not i.clear:
            if missing & _span(i):
                return False
        else:
            missing -= _span(i)
    return not missing


def readings(instructions: Sequence[Instruction], lanes: int) -> set[tuple[int, int]]:
    """Pairs of an instruction that writes sums and a ``MAP`` that reads them, in any later step."""
    writers: dict[int, set[int]] = {}
    found = set()
    for _ in range(2):  # what is left at the end of a step may be read in the next
        for number, i in enumerate(instructions):
            if isinstance(i, Mac | Evt | Cnv):
                for word in _span(i):
                    if not isinstance(i, Cnv) and i.clear:
                        writers[word] = set()
                    writers.setdefault(word, set()).add(number)
            elif isinstance(i, Map):
                for word in range(i.source, i.source + -(-i.length // lanes)):
                    found |= {(writer, number) for writer in writers.get(word, ())}
    return found

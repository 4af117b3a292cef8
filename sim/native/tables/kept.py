"""Which ``MAP`` instructions get the same input in each step until the host writes something new.

Where all that is summed up for a ``MAP`` comes from held inputs and constants, the engine keeps the
``MAP``'s input instead, and leaves the products out until one of these inputs changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ....compiler.instructions import Cnv, Evt, Instruction, Mac, Map
from ....compiler.program import Program


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
    instructions = program.instructions
    seen = open_words(program)
    begins = phase_begins(program)
    read = readings(instructions, program.machine.lanes)
    found = {}
    for number, i in enumerate(instructions):
        if not isinstance(i, Map):
            continue
        words = set(range(i.source, i.source + program.machine.words(i.length)))
        first = number
        while first > begins[number] and feeds(instructions[first - 1], words):
            first -= 1
        group = range(first, number)
        if (
            any(watched[k] < 0 for k in group)
            or words & seen
            or not sees_only(program, group, words, number, read)
        ):
            continue
        found[number] = Kept(first, tuple(sorted({watched[k] for k in group})))
    return found


def open_words(program: Program) -> set[int]:
    """Words of the accumulator that an output port shows."""
    lanes = program.machine.lanes
    return {
        word
        for p in program.outputs.values()
        if p.memory == "accumulator"
        for first in [p.first_element(lanes)]
        for word in range(first // lanes, (first + max(p.size, 1) - 1) // lanes + 1)
    }


def phase_begins(program: Program) -> list[int]:
    """For each instruction, the number of the first one of its phase."""
    begins: list[int] = []
    for phase in program.phases:
        begins += [len(begins)] * len(phase)
    return begins


def span(i: Instruction) -> set[int]:
    """Words of the accumulator that an instruction writes."""
    return set(range(i.target, i.target + i.words)) if isinstance(i, Mac | Evt | Cnv) else set()


def feeds(i: Instruction, words: set[int]) -> bool:
    """Whether it sums up something in these words alone."""
    return isinstance(i, Mac | Evt | Cnv) and span(i) <= words


def sees_only(
    program: Program, group: range, words: set[int], number: int, read: set[tuple[int, int]]
) -> bool:
    """Whether a ``MAP`` sees nothing but what a group of instructions makes, and nobody else does.

    Parameters
    ----------
    program : Program
    group : range
        Numbers of instructions that feed the ``MAP``.
    words : set of int
        What the ``MAP`` reads.
    number : int
        Of the ``MAP``.
    read : set of (int, int)
        `readings` of the Program.
    """
    if not group or not _cleared_first(program.instructions[group.start : group.stop], words):
        return False
    return not any(writer in group and reader != number for writer, reader in read)


def _cleared_first(group: Sequence[Instruction], words: set[int]) -> bool:
    """Whether nothing is left in these words of what was there before."""
    missing = set(words)
    for i in group:
        assert isinstance(i, Mac | Evt | Cnv)
        if isinstance(i, Cnv) or not i.clear:
            if missing & span(i):
                return False
        else:
            missing -= span(i)
    return not missing


def readings(instructions: Sequence[Instruction], lanes: int) -> set[tuple[int, int]]:
    """Pairs of an instruction that writes sums and a ``MAP`` that reads them, in any later step."""
    writers: dict[int, set[int]] = {}
    found = set()
    for _ in range(2):  # what is left at the end of a step may be read in the next
        for number, i in enumerate(instructions):
            if isinstance(i, Mac | Evt | Cnv):
                for word in span(i):
                    if not isinstance(i, Cnv) and i.clear:
                        writers[word] = set()
                    writers.setdefault(word, set()).add(number)
            elif isinstance(i, Map):
                for word in range(i.source, i.source + -(-i.length // lanes)):
                    found |= {(writer, number) for writer in writers.get(word, ())}
    return found

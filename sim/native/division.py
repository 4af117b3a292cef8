"""What is the same in all copies of a Program, and what may differ from one to the next.

A population whose inputs and states are the same in all copies gives the same in all. Populations
that the compiler has put into one ``MAP``, such as the filters of all connections of a kind, may be
the same in part: that ``MAP`` is done in each copy, and once more for those that read this part.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np

from ...compiler.instructions import Cnv, Evt, Instruction, Mac, Map, Upd
from ...compiler.program import OutputPort, Program
from .tables.kept import readings

FRONT_SOURCE, FRONT_PRE, FRONT_POST = 1, 2, 4
"""`front_t` of loom.h."""


@dataclass(frozen=True)
class Division:
    """What is done once, and what in each copy.

    Attributes
    ----------
    shared : frozenset of int
        Numbers of the instructions that are done once.
    twice : frozenset of int
        Of instructions that each copy does, those that are done once, too: each of these ``MAP``
        has neurons of its own in every copy, and others that are the same in all.
    own : dict of int -> bool ndarray
        For each ``MAP`` that is not done once, which of its neurons may differ from copy to copy.
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
    twice: frozenset[int]
    own: dict[int, np.ndarray]
    operands: dict[int, int]
    ports: frozenset[str]
    outputs: frozenset[str]
    read: frozenset[int]


def divide(
    program: Program,
    own_ports: Collection[str],
    own_neurons: Mapping[int, np.ndarray],
    twice: bool = False,
) -> Division:
    """Find out what is the same in all copies.

    Parameters
    ----------
    program : Program
    own_ports : collection of str
        Input ports that differ from copy to copy.
    own_neurons : mapping of int -> bool ndarray
        For numbers of ``MAP`` instructions, the neurons whose states may differ.
    twice : bool
        Whether a ``MAP`` that is the same in part may be done once and in each copy.
    """
    found = _Search(program, own_ports, own_neurons, twice)
    while found.grow():
        pass
    return found.division()


_Seen = dict[int, slice]
"""The ``MAP`` instructions that an operand is made of, and which of their neurons."""

EVERY = slice(None)


class _Search:
    def __init__(
        self,
        program: Program,
        own_ports: Collection[str],
        own_neurons: Mapping[int, np.ndarray],
        twice: bool,
    ) -> None:
        self.program = program
        self.instructions = program.instructions
        self.own_ports = set(own_ports)
        self.may_be_twice = twice
        self.own: set[int] = set()
        """Instructions that each copy has to do; those that are found out so far."""
        self.maps = {n: i for n, i in enumerate(self.instructions) if isinstance(i, Map)}
        self.differs = {n: np.zeros(i.length, bool) for n, i in self.maps.items()}
        for number, neurons in own_neurons.items():
            self.differs[number] |= neurons
        self.readers: dict[int, set[int]] = {}
        self.writers: dict[int, set[int]] = {n: set() for n in self.maps}
        for writer, reader in readings(self.instructions, program.machine.lanes):
            self.readers.setdefault(writer, set()).add(reader)
            self.writers[reader].add(writer)
        learned = {p.weights for p in program.projections.values()}
        self.learned = {
            number
            for number, i in enumerate(self.instructions)
            if isinstance(i, Mac | Evt) and i.weights in learned
        }
        made = {k for m in self.maps.values() if m.list < 0 for k in _elements(m.target, m.length)}
        self.mixed = {
            number
            for number, i in enumerate(self.instructions)
            if isinstance(i, Mac) or (isinstance(i, Cnv) and i.list < 0)
            if not made.issuperset(_elements(i.source, i.rows))
        }
        """Those that read constants or inputs, perhaps among values that populations make."""
        self.own |= self.learned
        self.own |= {n for n, i in enumerate(self.instructions) if isinstance(i, Upd)}
        self.reached: dict[tuple[int, int], np.ndarray] = {}
        self.operands = {
            number: operands
            for number, i in enumerate(self.instructions)
            if (operands := self._operands(i))
        }
        # What is looked at has to lie in one place, too: outputs are numbered from -1 downwards.
        for number, port in enumerate(program.outputs.values(), start=1):
            self.own.add(-number)
            self.operands[-number] = {FRONT_SOURCE: (self._seen(port), set())}

    def _operands(self, i: Instruction) -> dict[int, tuple[_Seen, set[str]]]:
        """For each operand the neurons and the input ports that it is made of."""
        if isinstance(i, Upd):
            fired = {} if i.gate == "always" else self._listed(i.list)
            pre = {
                n: part
                for n, m in self.maps.items()
                if i.pre_slots and (part := _part(m.state, m.length, i.pre, i.rows))
            }
            post = {
                n: EVERY
                for n, m in self.maps.items()
                for _, memory, base in m.captures
                for wanted, first in i.post
                if memory == wanted
                and _part(base, self._words(m.length), first, self._words(i.length))
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
                n: part
                for n, m in self.maps.items()
                if m.list < 0 and (part := _part(m.target, m.length, i.source, i.rows))
            }
            ports = {
                name
                for name, p in self.program.inputs.items()
                if _part(p.base, p.size, i.source, i.rows)
            }
            return {FRONT_SOURCE: (made, ports)}
        return {}

    def _seen(self, port: OutputPort) -> _Seen:
        """The neurons that an output shows."""
        if port.memory == "event":
            return self._listed(port.slot)
        lanes = self.program.machine.lanes
        first = port.first_element(lanes)
        if port.memory == "accumulator":
            for number, i in enumerate(self.instructions):
                if isinstance(i, Mac | Evt | Cnv) and _part(
                    i.target * lanes, i.words * lanes, first, port.size
                ):
                    self._do_in_copies(number)
            return {}
        of_value = port.memory == "value"
        return {
            n: part
            for n, m in self.maps.items()
            if (m.list < 0 or not of_value)
            and (part := _part(m.target if of_value else m.state, m.length, first, port.size))
        }

    def _words(self, elements: int) -> int:
        return self.program.machine.words(elements)

    def _listed(self, number: int) -> _Seen:
        return {n: EVERY for n, m in self.maps.items() if m.list == number}

    def _do_in_copies(self, number: int) -> None:
        """Take an instruction, and all of a ``MAP``'s neurons, for different from copy to copy."""
        self.own.add(number)
        if number in self.maps:
            self.differs[number][:] = True
        for reader in self.readers.get(number, ()):
            self.own.add(reader)
            self.differs[reader][:] = True

    def _do_too(self, number: int) -> None:
        """Let each copy do a ``MAP``, too, of which it cannot read what is done once."""
        if self._can_be_twice(number):
            self.own |= {number, *self.writers[number]}
        else:
            self._do_in_copies(number)

    def _reach(self, writer: int, reader: int) -> np.ndarray:
        """Which neurons of a ``MAP`` a product reaches, bool."""
        if (writer, reader) not in self.reached:
            self.reached[writer, reader] = self._find_reach(writer, reader)
        return self.reached[writer, reader]

    def _find_reach(self, writer: int, reader: int) -> np.ndarray:
        i, m = self.instructions[writer], self.maps[reader]
        lanes = self.program.machine.lanes
        reached = np.zeros(self.program.accumulator_words * lanes, bool)
        assert isinstance(i, Mac | Evt | Cnv)
        words = reached[i.target * lanes : (i.target + i.words) * lanes]
        if isinstance(i, Mac | Evt) and writer not in self.learned:
            rows = self.program.weight[i.weights : i.weights + i.rows * i.words]
            words[:] = rows.reshape(i.rows, -1).any(axis=0)
        elif isinstance(i, Mac | Evt):
            words[: i.length] = True
        else:
            words[:] = True
        return reached[m.source * lanes : m.source * lanes + m.length]

    def _can_be_twice(self, number: int) -> bool:
        """Whether neurons of a ``MAP`` do not depend on each other, nor its products on others."""
        i = self.maps[number]
        return (
            self.may_be_twice
            and i.list < 0
            and not self.program.kernels[i.kernel].reductions
            and all(self.readers[w] == {number} for w in self.writers[number])
        )

    def grow(self) -> bool:
        """Find more that each copy has to do; returns whether there was."""
        before = self._size()
        for number, writers in self.writers.items():
            differs = self.differs[number]
            for writer in writers & self.own:
                if self._differs_by_source(writer):
                    differs |= self._reach(writer, number)
            if not (differs.any() or writers & self.own):
                continue
            self._do_too(number)
            if self.differs[number].all():
                for writer in writers:
                    self._do_in_copies(writer)
        for number, operands in self.operands.items():
            for maps, ports in operands.values():
                if ports & self.own_ports or any(self.differs[m][p].any() for m, p in maps.items()):
                    self.own.add(number)
                if number not in self.own:
                    continue
                # All of an operand has to lie in one place; copies take over what populations make,
                # and nothing else. Where that is seen one step later, it is ahead already.
                ahead = any(m > number >= 0 for m in maps)
                if ahead or number in self.mixed or not maps.keys().isdisjoint(self.own):
                    for m in maps.keys() - self.own:
                        self._do_too(m)
        for number, i in enumerate(self.instructions):
            # What nobody reads is left in the accumulators of each copy.
            if isinstance(i, Mac | Evt | Cnv) and number not in self.readers:
                self.own.add(number)
        return self._size() > before

    def _differs_by_source(self, number: int) -> bool:
        """Whether a product is not the same in all copies."""
        return number in self.learned or any(
            ports & self.own_ports or any(self.differs[m][p].any() for m, p in maps.items())
            for maps, ports in self.operands[number].values()
        )

    def _size(self) -> int:
        return len(self.own) + sum(int(d.sum()) for d in self.differs.values())

    def division(self) -> Division:
        shared = frozenset(range(len(self.instructions))) - self.own
        operands, needed = {}, set(self.own_ports)
        read: set[int] = set()
        for number in self.own:
            flags = 0
            for flag, (maps, ports) in self.operands.get(number, {}).items():
                if maps and maps.keys().isdisjoint(self.own):
                    flags |= flag
                    read |= maps.keys() if number >= 0 else set()
                else:
                    needed |= ports
            operands[number] = flags
        seen = zip(self.program.outputs, range(-1, -len(self.program.outputs) - 1, -1), strict=True)
        return Division(
            shared,
            self._twice(shared),
            {number: self.differs[number] for number in self.maps.keys() & self.own},
            {number: flags for number, flags in operands.items() if number >= 0},
            frozenset(self.program.inputs) - needed,
            frozenset(name for name, number in seen if operands[number]),
            frozenset(read),
        )

    def _twice(self, shared: Collection[int]) -> frozenset[int]:
        """What each copy does and is done once, too, as others that are done once read it."""
        found: set[int] = set()
        wanted = {
            m
            for number in shared
            for maps, _ in self.operands.get(number, {}).values()
            for m in maps.keys() & self.own
        }
        while wanted:
            number = wanted.pop()
            if number in found:
                continue
            found |= {number, *self.writers[number]}
            for writer in self.writers[number]:
                for maps, _ in self.operands[writer].values():
                    wanted |= {
                        m for m, p in maps.items() if m in self.own and not self.differs[m][p].all()
                    }
        return frozenset(found & self.own)


def _elements(first: int, size: int) -> range:
    return range(first, first + size)


def _part(first: int, size: int, other: int, other_size: int) -> slice | None:
    """What of the elements that begin at `first` lies among others, or None."""
    begin, end = max(other - first, 0), min(other + other_size - first, size)
    return slice(begin, end) if begin < end else None

"""Products in front of a ``MAP`` that are summed in one pass, without the zeros around their rows.

Encoders of ensemble arrays are block diagonal: of each row only a short stretch is not zero. The
accumulators are cut into segments, each of which the same rows reach; all ``MAC`` instructions
one after the other are then one instruction with the rows of all. Where nobody but the ``MAP``
looks at the sums, its input is made at once, and the accumulators are left alone (`c/sums.c`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ....compiler.instructions import Cnv, Mac, Map
from ....compiler.program import Program
from .kept import feeds, open_words, phase_begins, readings, sees_only, span

MOST_VALUES = 64
"""Values that one pass reads, as in sums.c."""

LONGEST = 512
"""Elements of a segment: as many as `BLOCK` of loom.h, which stay in the first-level cache."""

LANES = 8
"""Rows of segments are filled up with zeros to a multiple of so many elements."""

SEGMENT_COST = 32
"""What going to another segment takes, in products."""

WORTHWHILE = 0.75
"""One product alone is cut into segments if it then takes no more than that."""

BEGINS_KEPT, BEGINS_THERE = 1, 2
"""As in sums.c."""


@dataclass(frozen=True)
class Row:
    """A row of weights that is multiplied by the value number `value` of a sum."""

    value: int
    first: int
    weights: np.ndarray

    @property
    def last(self) -> int:
        """One behind its last element."""
        return self.first + len(self.weights)

    def trimmed(self) -> Row | None:
        """Without the zeros at its ends; None if there is nothing else."""
        there = np.flatnonzero(self.weights)
        if not there.size:
            return None
        begin, end = int(there[0]), int(there[-1]) + 1
        return Row(self.value, self.first + begin, self.weights[begin:end])


@dataclass(frozen=True)
class Segment:
    """Elements that the same rows reach.

    Attributes
    ----------
    first, size : int
    length : int
        Elements that are worked on: those beyond `size` belong to the next segment, whose turn is
        later.
    begins : int
        `BEGINS_KEPT` and `BEGINS_THERE`.
    rows : tuple of Row
    """

    first: int
    size: int
    length: int
    begins: int
    rows: tuple[Row, ...]

    @property
    def stride(self) -> int:
        """Elements from one row of its weights to the next."""
        return -(-self.size // LANES) * LANES

    @property
    def cost(self) -> int:
        """In products."""
        return SEGMENT_COST + self.stride * max(len(self.rows), 1)

    def weights(self) -> np.ndarray:
        """Those of all rows, int64 (rows, stride)."""
        found = np.zeros((len(self.rows), self.stride), np.int64)
        for mine, row in zip(found, self.rows, strict=True):
            begin, end = max(row.first, self.first), min(row.last, self.first + self.size)
            if begin < end:
                part = row.weights[begin - row.first : end - row.first]
                mine[begin - self.first : end - self.first] = part
        return found


@dataclass(frozen=True)
class Joined:
    """Products that are summed in one pass.

    Attributes
    ----------
    first, last : int
        Numbers of the first instruction, and of the one behind the last.
    target, words : int
        The accumulators that they reach, in words.
    ports : tuple of int
        Numbers of the input ports (and of the constants) behind those that are held.
    makes : bool
        Whether the input of the ``MAP`` that follows is made at once.
    segments : tuple of Segment
    """

    first: int
    last: int
    target: int
    words: int
    ports: tuple[int, ...]
    makes: bool
    segments: tuple[Segment, ...]

    def places(self) -> list[int]:
        """The segments as sums.c reads them."""
        found: list[int] = []
        weights = 0
        for s in self.segments:
            found += [s.first, s.length, s.stride, s.begins, weights, len(s.rows)]
            found += [row.value for row in s.rows]
            weights += len(s.rows) * s.stride
        return found

    def weights(self) -> np.ndarray:
        """Weights of all segments, int64 (n,)."""
        return np.concatenate(
            [np.zeros(0, np.int64), *(s.weights().ravel() for s in self.segments)]
        )


def makes_input(program: Program, i: Map) -> bool:
    """Whether the engine knows how to make the input of a ``MAP`` without its sums."""
    code = program.kernels[i.kernel]
    small = -(1 << 31) <= code.input.lo < 0 <= code.input.hi < 1 << 31
    return small and not code.reductions and 0 <= i.input_shift <= 30


def joined_products(
    program: Program, held: Mapping[int, int], live: Mapping[int, int], kept: Sequence[range]
) -> list[Joined]:
    """Find products that are to be summed in one pass.

    Parameters
    ----------
    program : Program
    held : mapping of int -> int
        For instructions whose sums are held, the number of the port that they read.
    live : mapping of int -> int
        For those that are done in each step row by row, the number of rows.
    kept : sequence of range
        Instructions that are left out as a whole; none of these is joined.

    Returns
    -------
    list of Joined, in order
    """
    taken = {number for group in kept for number in group}
    begins = phase_begins(program)
    seen = open_words(program)
    read = readings(program.instructions, program.machine.lanes)
    found = []
    for number, i in enumerate(program.instructions):
        if not isinstance(i, Map):
            continue
        words = set(range(i.source, i.source + program.machine.words(i.length)))
        first = number
        while first > begins[number] and feeds(program.instructions[first - 1], words):
            first -= 1
        if first in taken:
            continue
        # What is cleared again before it is seen may be done elsewhere than the rest (`divide`).
        able = {n for n in range(first, number) if (n, number) in read}
        able = {n for n in able if n in held or live.get(n, MOST_VALUES + 1) <= MOST_VALUES}
        for group in _runs(program, range(first, number), able, live):
            makes = (
                group == range(first, number)
                and not words & seen
                and sees_only(program, group, words, number, read)
                and makes_input(program, i)
            )
            joined = _join(program, group, held, live, makes)
            if joined is not None:
                found.append(joined)
    return found


def _runs(program: Program, group: range, able: set[int], live: Mapping[int, int]) -> list[range]:
    """Stretches that can be summed in one pass: nothing is cleared again, and not too many rows."""
    found: list[range] = []
    begin, rows = group.start, 0
    written: set[int] = set()
    for number in group:
        i = program.instructions[number]
        again = isinstance(i, Mac) and i.clear and bool(written & span(i))
        rows += live.get(number, 0)
        if number not in able or again or rows > MOST_VALUES:
            found.append(range(begin, number))
            begin, rows, written = number, live.get(number, 0), set()
        if number not in able:
            begin, rows = number + 1, 0
        else:
            written |= span(i)
    found.append(range(begin, group.stop))
    return [run for run in found if run]


def _join(
    program: Program, group: range, held: Mapping[int, int], live: Mapping[int, int], makes: bool
) -> Joined | None:
    """These products in one pass, or None where that is no better."""
    lanes = program.machine.lanes
    written = set().union(*(span(program.instructions[number]) for number in group))
    target = min(written)
    words = max(written) + 1 - target
    begins = np.full(words * lanes, -1, np.int64)
    rows: list[Row] = []
    numbers: dict[int, int] = {}
    count = dense = 0
    for number in group:
        i = program.instructions[number]
        assert isinstance(i, Mac | Cnv)
        place = slice((i.target - target) * lanes, (i.target - target + i.words) * lanes)
        clears = isinstance(i, Mac) and i.clear
        begins[place] = np.where(begins[place] < 0, 0 if clears else BEGINS_THERE, begins[place])
        if number in held:
            begins[place] |= BEGINS_KEPT
            continue
        assert isinstance(i, Mac)
        weights = program.weight[i.weights : i.weights + i.rows * i.words].reshape(i.rows, -1)
        for k, w in enumerate(weights):
            # A value that several products read is taken where the first one does.
            value = numbers.setdefault(i.source + k, count + k)
            rows.append(Row(value, place.start, w.astype(np.int64)))
        count += i.rows
        dense += SEGMENT_COST + max(i.rows, 1) * -(-i.length // LANES) * LANES
    if not count and len(group) == 1:
        return None
    if makes:
        begins[:] = BEGINS_KEPT
    segments = min(_cuts(rows, begins), key=lambda cut: sum(s.cost for s in cut))
    if len(group) == 1 and not makes and sum(s.cost for s in segments) > WORTHWHILE * dense:
        return None
    ports = {held[number] for number in group if number in held}
    if makes and not ports:
        ports = {len(program.inputs)}
    return Joined(
        group.start, group.stop, target, words, tuple(sorted(ports)), makes, tuple(segments)
    )


def _cuts(rows: list[Row], begins: np.ndarray) -> list[list[Segment]]:
    """Several ways of cutting elements into segments."""
    short = [t for row in rows if (t := row.trimmed()) is not None]
    short = _merged(short)
    return [_cut(short, begins, 1), _cut(short, begins, 2 * LANES), _cut(rows, begins, 1)]


def _merged(rows: list[Row]) -> list[Row]:
    """Rows of the same value as one where they touch."""
    found: list[Row] = []
    for row in sorted(rows, key=lambda r: (r.value, r.first)):
        if found and found[-1].value == row.value and row.first <= found[-1].last + LANES:
            before = found.pop()
            weights = np.zeros(max(before.last, row.last) - before.first, np.int64)
            weights[: len(before.weights)] = before.weights
            weights[row.first - before.first : row.last - before.first] += row.weights
            row = Row(row.value, before.first, weights)
        found.append(row)
    return found


def _cut(rows: list[Row], begins: np.ndarray, grain: int) -> list[Segment]:
    """Cut where rows begin and end, or rather at the multiples of `grain` around."""
    size = len(begins)
    ends = [(r.first // grain * grain, min(-(-r.last // grain) * grain, size)) for r in rows]
    cuts = {0, size, *(np.flatnonzero(np.diff(begins)) + 1).tolist()}
    cuts.update(end for pair in ends for end in pair)
    alike = bool(np.all(begins == begins[0])) and begins[0] != BEGINS_KEPT | BEGINS_THERE
    found = []
    for a, b in pairwise(sorted(cuts)):
        cuts.update(range(a, b, LONGEST))
    for a, b in pairwise(sorted(cuts)):
        if begins[a] < 0:
            continue
        reach = tuple(r for r, (f, e) in zip(rows, ends, strict=True) if f <= a and b <= e)
        length = -(-(b - a) // LANES) * LANES
        if not alike or a + length > size:
            length = b - a
        found.append(Segment(a, b - a, length, int(begins[a]), reach))
    return found

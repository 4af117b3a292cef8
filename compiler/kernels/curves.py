"""Smooth functions of a traced value, by tables with straight lines between their entries.

`table` has an entry for each value that its argument can take, at most 4096. A smooth function of a
finer argument needs no more entries: between two of them it is nearly a straight line. `curve`
keeps two tables, entries and their differences, and multiplies what is left of the argument with
the difference. In float all of this is the function itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..errors import KernelError
from .expression import LARGEST_TABLE, Expression, select, table

REMAINDER_BITS = 16
"""Bits of the place between two entries."""

SEGMENTS = 8
SEGMENT_BITS = 8
"""Each segment of a geometric curve has ``2**SEGMENT_BITS`` entries ..."""

SEGMENT_OCTAVES = 3
"""... and reaches ``2**SEGMENT_OCTAVES`` times as far as the segment below."""


def curve(
    f: Callable[[Any], Any],
    x: Any,
    range: tuple[float, float],
    fraction: int,
    points: int = 512,
    geometric: bool = False,
) -> Any:
    """``f(x)`` of a smooth function, by straight lines between `points`.

    Parameters
    ----------
    f : callable
        Any function of one array; it may use the kernel's parameters and ``dt``.
    x : expression
        Of bounded range: ``clip`` it to where the function is not flat.
    range : (float, float)
        Smallest and largest result; entries are limited to it.
    fraction : int
        Fraction bits of the result; entries have at most as many as a parameter.
    points : int
        Entries of the tables, spread evenly over the range of `x`; at most 4096.
    geometric : bool
        For functions that are steep near 0, and `x` that is not negative: 2048 points that lie
        closer the smaller `x` is, at least 32 between any x and 2 x.

    Raises
    ------
    KernelError
        Too many points, or a geometric curve of a negative argument.
    """
    if not isinstance(x, Expression):
        with np.errstate(all="ignore"):
            return f(x)
    if geometric:
        place, position = _geometric(x)
    else:
        place, position = _even(x, points)

    def entries(k: Any) -> Any:
        with np.errstate(all="ignore"):
            return f(position(k, 0))

    number = _whole(place)
    rest = _rest(place)
    reach = range[1] - range[0]
    entry = table(entries, number, range, fraction)
    unit = 2.0**entry.fraction

    def differences(k: Any) -> Any:
        """From one entry, as it is stored, to the next: so that the lines meet."""
        with np.errstate(all="ignore"):
            after, here = f(position(k, 1)), f(position(k, 0))
            return (np.rint(after * unit) - np.rint(here * unit)) / unit

    slope = table(differences, number, (-reach, reach), entry.fraction)
    return entry + _product(slope, rest).with_fraction(max(fraction, entry.fraction))


def _product(slope: Expression, rest: Expression) -> Expression:
    """All bits of the product; `rest` is not negative."""
    lo, hi = slope.lo * rest.hi, slope.hi * rest.hi
    fraction = slope.fraction + rest.fraction
    return slope.tracer.op("mul", (slope.number, rest.number), lo, hi, fraction)


Place = tuple[Expression, Callable[[Any, int], Any]]
"""Number of an entry with the way to the next behind the point, and the argument at so many entries
behind an entry."""


def _even(x: Expression, points: int) -> Place:
    if not 2 <= points <= LARGEST_TABLE:
        raise KernelError(
            f"kernel {x.tracer.kernel}: a curve of {points} points; "
            f"2 to {LARGEST_TABLE} are possible"
        )
    span = (x.hi - x.lo) / 2.0**x.fraction
    finer = math.floor(math.log2((points - 1) / span)) if span > 0 else 0
    finer = min(finer, x.fraction)
    unit = 2.0**-finer
    return _shifted(x, finer), lambda k, ahead: (k + ahead) * unit


def _geometric(x: Expression) -> Place:
    tracer = x.tracer
    if x.lo < 0:
        raise KernelError(
            f"kernel {tracer.kernel}: a geometric curve of something that may be negative; use "
            "maximum(x, 0) first"
        )
    entries = 1 << SEGMENT_BITS
    top = max(0, x.hi).bit_length() - x.fraction  # x < 2**top
    ends = [top - SEGMENT_OCTAVES * (SEGMENTS - 1 - k) for k in range(SEGMENTS)]

    def argument(k: Any, ahead: int) -> Any:
        segment = np.asarray(k, dtype=int) // entries
        return (k + ahead - segment * entries) * 2.0 ** (np.array(ends)[segment] - SEGMENT_BITS)

    def place(segment: int) -> Expression:
        return _shifted(x, SEGMENT_BITS - ends[segment]) + segment * entries

    def chosen(first: int, last: int) -> Expression:
        """The place, if x lies in one of the segments first..last."""
        if first == last:
            return place(first)
        middle = (first + last) // 2
        below = x < 2.0 ** ends[middle]
        return select(below, chosen(first, middle), chosen(middle + 1, last))  # type: ignore[no-any-return]

    inside = chosen(0, SEGMENTS - 1)
    # A segment's place is chosen only where it lies inside the segment, so the upper bits are 0.
    most = (SEGMENTS * entries << REMAINDER_BITS) - 1
    return tracer.op("floor", (inside.number, 0), 0, most, inside.fraction), argument


def _shifted(x: Expression, finer: int) -> Expression:
    """``x * 2**finer``, cut off behind `REMAINDER_BITS`."""
    moved = Expression(x.tracer, x.number, x.lo, x.hi, x.fraction - finer)
    if moved.fraction > REMAINDER_BITS:
        n = moved.fraction - REMAINDER_BITS
        return x.tracer.op("floor", (x.number, n), x.lo >> n, x.hi >> n, REMAINDER_BITS)
    return moved.with_fraction(REMAINDER_BITS)


def _whole(place: Expression) -> Expression:
    n = place.fraction
    return place.tracer.op("floor", (place.number, n), place.lo >> n, place.hi >> n, 0)


def _rest(place: Expression) -> Expression:
    n = place.fraction
    whole = _whole(place).with_fraction(n)
    # What is behind the point is less than one, whatever the ranges of the two say.
    return place.tracer.op("sub", (place.number, whole.number), 0, (1 << n) - 1, n)

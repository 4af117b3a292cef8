"""Ranges of a kernel's numbers, where some of them are known to be smaller than they may be."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction

from ....compiler.kernels.code import Op

Range = tuple[int, int]


def narrowed(ops: Sequence[Op], limits: Mapping[int, Range]) -> list[Op]:
    """The operations with the ranges that follow from those of some of them.

    Parameters
    ----------
    ops : sequence of Op
    limits : dict of int -> (int, int)
        Narrower ranges of inputs, states and parameters.

    Returns
    -------
    list of Op
    """
    found: list[Op] = []
    for number, op in enumerate(ops):
        inner = [(found[r].lo, found[r].hi) for r in op.operands]
        lo, hi = op.lo, op.hi
        if number in limits:
            lo, hi = max(lo, limits[number][0]), min(hi, limits[number][1])
        if op.kind == "scale":
            # Linear: the factor's largest size follows from the whole ranges.
            operand = ops[op.operands[0]]
            factor = Fraction(max(-op.lo, op.hi), max(-operand.lo, operand.hi, 1))
            most = math.ceil(max(-inner[0][0], inner[0][1], 0) * factor) + 1
            lo, hi = max(lo, -most), min(hi, most)
        elif op.kind in _RANGES:
            least, most = _RANGES[op.kind](inner, [int(a) for a in op.args[len(inner) :]])
            lo, hi = max(lo, least), min(hi, most)
        found.append(replace(op, lo=lo, hi=hi))
    return found


def _product(a: Range, b: Range) -> Range:
    ends = [x * y for x in a for y in b]
    return min(ends), max(ends)


def _rounded(a: int, n: int) -> int:
    return (a + (1 << (n - 1))) >> n


def _absolute(a: Range) -> Range:
    return (0 if a[0] <= 0 <= a[1] else min(map(abs, a))), max(map(abs, a))


_RANGES: dict[str, Callable[[list[Range], list[int]], Range]] = {
    "add": lambda r, n: (r[0][0] + r[1][0], r[0][1] + r[1][1]),
    "sub": lambda r, n: (r[0][0] - r[1][1], r[0][1] - r[1][0]),
    "neg": lambda r, n: (-r[0][1], -r[0][0]),
    "abs": lambda r, n: _absolute(r[0]),
    "mul": lambda r, n: _product(r[0], r[1]),
    "shl": lambda r, n: (r[0][0] << n[0], r[0][1] << n[0]),
    "round": lambda r, n: (_rounded(r[0][0], n[0]), _rounded(r[0][1], n[0])),
    "floor": lambda r, n: (r[0][0] >> n[0], r[0][1] >> n[0]),
    "min": lambda r, n: (min(r[0][0], r[1][0]), min(r[0][1], r[1][1])),
    "max": lambda r, n: (max(r[0][0], r[1][0]), max(r[0][1], r[1][1])),
    "select": lambda r, n: (min(r[1][0], r[2][0]), max(r[1][1], r[2][1])),
    "sat": lambda r, n: (min(max(r[0][0], n[0]), n[1]), min(max(r[0][1], n[0]), n[1])),
}
"""Ranges of results, from those of the operands and the integers written in."""

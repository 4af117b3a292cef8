"""Finding what is cheap for most neurons in most steps.

A neuron's arithmetic has room for the largest numbers that it may meet, and looks up tables at any
place. Nearly always the numbers are far smaller, and some tables are read at one of two places: a
LIF neuron integrates over one whole step, or not at all while it is refractory. So the native
engine computes all neurons of a block as if they were like that, in narrower words and without the
look-up, and then those anew that are not. The results are the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache

from ...compiler.kernels.code import KernelCode, Op
from .rare import RarePart

Range = tuple[int, int]

WORD = 32
"""Bits of the narrow words."""

_BITS = range(30, 15, -1)
"""Sizes of usual numbers that are tried, the larger ones first."""


@dataclass(frozen=True)
class UsualPart:
    """What the usual neurons compute.

    Attributes
    ----------
    code : KernelCode
        The kernel with the ranges that its results have for usual neurons.
    common : dict of int -> (int, int)
        For each ``table`` operation the two arguments of which usual neurons have one.
    bits : dict of int -> int
        A usual neuron's input, states and parameters are within -2**bits..2**bits - 1, by the
        operation's number.
    tested : tuple of int
        Operations that have to be done to know whether a neuron is usual.
    """

    code: KernelCode
    common: dict[int, Range]
    bits: dict[int, int]
    tested: tuple[int, ...]


@lru_cache(maxsize=256)
def usual_part(code: KernelCode, rare: RarePart | None) -> UsualPart | None:
    """What usual neurons compute, if that is worth it: no reductions, and something is saved."""
    left_out = set(rare.ops) if rare is not None else set()
    done = [n for n in range(len(code.ops)) if n not in left_out]
    common = _common_arguments(code)
    tables = {n for n in done if code.ops[n].kind == "table"}
    if code.reductions or not tables <= set(common):
        return None
    if any(_is_wide(op) for op in code.ops if op.kind in ("input", "state")):
        return None
    if any(code.ops[n].kind == "divide" for n in done):
        return None
    best, least = None, _wide(code.ops, done)
    if tables:
        least += 1  # the look-up is saved in any case
    for bits in sorted(
        ((s, i) for s in _BITS for i in _BITS), key=lambda pair: (-min(pair), -sum(pair))
    ):
        limits = _limits(code, *bits)
        ops = narrowed(code.ops, {n: (-(1 << b), (1 << b) - 1) for n, b in limits.items()})
        wide = _wide(ops, done)
        if wide < least:
            best, least = (limits, tuple(ops)), wide
        if not wide:
            break
    if best is None:
        return None
    limits, narrow = best
    used = _behind(code, [code.ops[t].operands[0] for t in sorted(tables)])
    return UsualPart(
        code=replace(code, ops=narrow),
        common={t: common[t] for t in sorted(tables)},
        bits=limits,
        tested=tuple(sorted({*used, *limits})),
    )


def _common_arguments(code: KernelCode) -> dict[int, Range]:
    """The ends between which a table's argument is limited, if it depends on states alone."""
    found = {}
    for number, op in enumerate(code.ops):
        if op.kind != "table":
            continue
        limited = code.ops[op.operands[0]]
        seen = {code.ops[r].kind for r in _behind(code, [op.operands[0]])}
        if limited.kind in ("min", "max") and "input" not in seen and not _is_wide(limited):
            found[number] = limited.lo, limited.hi
    return found


def _behind(code: KernelCode, results: Sequence[int]) -> set[int]:
    """These operations and all that they depend on."""
    found, todo = set(), list(results)
    while todo:
        number = todo.pop()
        if number not in found:
            found.add(number)
            todo += code.ops[number].operands
    return found


def _limits(code: KernelCode, state_bits: int, input_bits: int) -> dict[int, int]:
    """Bits of inputs, states and parameters that may be larger than that."""
    found = {}
    for number, op in enumerate(code.ops):
        if op.kind in ("input", "state", "param"):
            bits = input_bits if op.kind == "input" else state_bits
            if op.lo < -(1 << bits) or op.hi >= 1 << bits:
                found[number] = bits
    return found


def _is_wide(op: Op) -> bool:
    end = 1 << (WORD - 1)
    return not (-end <= op.lo and op.hi < end)


def _wide(ops: Sequence[Op], done: Sequence[int]) -> int:
    """Operations that need more than a narrow word, but for products and their rounding."""
    count = 0
    for number in done:
        op = ops[number]
        inner = [ops[r] for r in op.operands]
        of_product = op.kind in ("round", "floor") and inner[0].kind == "mul"
        if op.kind == "mul" or of_product:
            count += any(map(_is_wide, inner if op.kind == "mul" else [op]))
        elif op.kind not in ("table", "param", "const"):
            count += any(map(_is_wide, [op, *inner]))
    return count


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

"""Finding what is cheap for most neurons in most steps.

A neuron's arithmetic has room for the largest numbers that it may meet, and looks up tables at any
place. Nearly always the numbers are far smaller, and some tables are read at one of two places: a
LIF neuron integrates over one whole step, or not at all while it is refractory. So the native
engine computes all neurons of a block as if they were like that, in narrower words and without the
look-up, and then those in full that are not. The results are the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache

from ...compiler.kernels.code import KernelCode, Op
from .products import Range, Split, split_product
from .rare import RarePart

WORD = 32
"""Bits of the narrow words."""

_BITS = range(30, 15, -1)
"""Sizes of usual numbers that are tried, the larger ones first."""


_ENTRY_BITS = range(30, 7, -1)
"""Sizes of tables' entries that are tried."""


@dataclass(frozen=True)
class Common:
    """The two places at which usual neurons read a table.

    Attributes
    ----------
    of : int
        The result that tells which: the table's argument, or a state that it follows.
    below, above : int
        Usual neurons have this at most ``below`` or at least ``above``.
    arguments : (int, int)
        The table's arguments then.
    """

    of: int
    below: int
    above: int
    arguments: Range


@dataclass(frozen=True)
class UsualPart:
    """What the usual neurons compute.

    Attributes
    ----------
    code : KernelCode
        The kernel with the ranges that its results have for usual neurons.
    common : dict of int -> Common
        For each ``table`` operation.
    bits : dict of int -> int
        A usual neuron's input, states and parameters are within -2**bits..2**bits - 1, by the
        operation's number.
    entries : dict of int -> int
        The same of all entries of tables.
    closed : frozenset of int
        States that stay within these bits, as long as neurons are usual.
    """

    code: KernelCode
    common: dict[int, Common]
    bits: dict[int, int]
    entries: dict[int, int]
    closed: frozenset[int]


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
    entries, narrow = _limited_entries(code, limits, narrow, sorted(tables))
    return UsualPart(
        code=replace(code, ops=narrow),
        common={t: common[t] for t in sorted(tables)},
        bits=limits,
        entries=entries,
        closed=_closed(code, limits, narrow, rare),
    )


def _closed(
    code: KernelCode, limits: Mapping[int, int], narrow: tuple[Op, ...], rare: RarePart | None
) -> frozenset[int]:
    """States whose next words are within their bits, too, where nothing rare happens."""
    known: dict[int, Range] = {}
    if rare is not None and narrow[rare.condition].kind in ("gt", "ge"):
        condition = narrow[rare.condition]
        a, b = condition.operands
        most = narrow[b].hi - (condition.kind == "ge")
        if narrow[a].lo <= most:
            known[a] = narrow[a].lo, min(narrow[a].hi, most)
    ops = narrowed(narrow, known)
    slots = {port.name: slot for slot, port in enumerate(code.states)}
    found = set()
    for number, bits in limits.items():
        if code.ops[number].kind == "state":
            after = ops[code.next_state[slots[str(code.ops[number].args[0])]]]
            if -(1 << bits) <= after.lo and after.hi < 1 << bits:
                found.add(number)
    return frozenset(found)


def _limited_entries(
    code: KernelCode, limits: Mapping[int, int], narrow: tuple[Op, ...], tables: Sequence[int]
) -> tuple[dict[int, int], tuple[Op, ...]]:
    """Smaller entries of tables, if with them products need no wide words."""
    least = _unsplit(narrow)
    found: dict[int, int] = {}
    for bits in _ENTRY_BITS:
        entries = {t: bits for t in tables if max(-code.ops[t].lo, code.ops[t].hi) > 1 << bits}
        ends = {n: (-(1 << b), (1 << b) - 1) for n, b in {**limits, **entries}.items()}
        ops = tuple(narrowed(code.ops, ends))
        if _unsplit(ops) < least:
            least, found, narrow = _unsplit(ops), entries, ops
    return found, narrow


def _unsplit(ops: Sequence[Op]) -> int:
    """Products that need wide words."""
    return sum(
        product_of(ops, op) is not None
        and _is_wide(ops[op.operands[0]])
        and split_of(ops, op) is None
        for op in ops
    )


def product_of(ops: Sequence[Op], op: Op) -> Op | None:
    """The product that an operation rounds, if that is what it does."""
    inner = ops[op.operands[0]] if op.kind in ("round", "floor") else None
    return inner if inner is not None and inner.kind == "mul" else None


def split_of(ops: Sequence[Op], op: Op) -> Split | None:
    """How to make a rounded product of narrow words."""
    product = product_of(ops, op)
    if product is None or _is_wide(op):
        return None
    a, b = (ops[r] for r in product.operands)
    n = int(op.args[1])
    half = 1 << (n - 1) if op.kind == "round" else 0
    return split_product((a.lo, a.hi), (b.lo, b.hi), n, half)


def _common_arguments(code: KernelCode) -> dict[int, Common]:
    """Where a table's argument is limited to an end, if it depends on states alone."""
    found = {}
    for number, op in enumerate(code.ops):
        if op.kind != "table":
            continue
        argument = op.operands[0]
        limited = code.ops[argument]
        seen = {code.ops[r].kind for r in _behind(code, [argument])}
        if limited.kind in ("min", "max") and "input" not in seen and not _is_wide(limited):
            ends = limited.lo, limited.hi
            found[number] = _of_state(code, argument) or Common(argument, *ends, ends)
    return found


def _of_state(code: KernelCode, argument: int) -> Common | None:
    """The same where the argument follows one state that only grows or only falls with it."""
    direction = _directions(code, argument)
    states = [n for n in _behind(code, [argument]) if code.ops[n].kind == "state"]
    if len(states) != 1 or not direction:
        return None
    state, limited = code.ops[states[0]], code.ops[argument]

    def at(value: int) -> int:
        return narrowed(code.ops, {states[0]: (value, value)})[argument].lo

    low, high = (limited.lo, limited.hi) if direction > 0 else (limited.hi, limited.lo)
    if at(state.lo) != low or at(state.hi) != high:
        return None
    below = _last(state.lo, state.hi, lambda value: at(value) == low)
    above = _last(state.lo, state.hi, lambda value: at(value) != high) + 1
    end = 1 << (WORD - 1)
    differences = (below - state.lo, below - state.hi, state.lo - above, state.hi - above)
    if any(not -end <= d < end for d in differences):
        return None
    return Common(states[0], below, above, (low, high))


def _last(lo: int, hi: int, holds: Callable[[int], bool]) -> int:
    """The last number for which something holds that holds up to there, `lo` included."""
    while lo < hi:
        middle = (lo + hi + 1) // 2
        lo, hi = (middle, hi) if holds(middle) else (lo, middle - 1)
    return lo


def _directions(code: KernelCode, result: int) -> int:
    """1 or -1 if a result never falls or never grows with the states behind it, else 0."""
    found: dict[int, int | None] = {}  # 0: does not change; None: may do both
    for number in sorted(_behind(code, [result])):
        op = code.ops[number]
        inner = [found[r] for r in op.operands]
        match op.kind:
            case "state":
                found[number] = 1
            case "const":
                found[number] = 0
            case "neg" | "sub":
                last = inner[-1]
                signs = [*inner[:-1], None if last is None else -last]
                found[number] = _joint(signs)
            case "add" | "min" | "max" | "shl" | "floor" | "round":
                found[number] = _joint(inner)
            case _:
                found[number] = None
    return found[result] or 0


def _joint(signs: Sequence[int | None]) -> int | None:
    """The direction of a sum of what has these."""
    there = {s for s in signs if s != 0}
    return 0 if not there else there.pop() if len(there) == 1 else None


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

"""Rounded products of narrow words that need no wide one.

A product of two 32-bit words has 64 bits, but what is left of it after rounding mostly fits 32. If
one factor is small enough, the other can be cut in two and the rounded product put together from
two narrow ones: vector units have twice as many lanes for them. The result is the same:
floor((a*b + h) / 2**n) with b = u * 2**s + v, 0 <= v < 2**s <= 2**n, is
floor((a*u + floor((a*v + h) / 2**s)) / 2**(n-s)).

The factor that is cut need not fit a narrow word itself, if its upper part can be had without it.
Its lower part is there in any case: it does not matter to the lower bits of sums what overflows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ....compiler.kernels.code import Op
from .ranges import Range

_END = 1 << 31


@dataclass(frozen=True)
class Split:
    """How a product a * b, divided by 2**n, is made.

    Attributes
    ----------
    first : bool
        The first factor is the one that is cut in two, not the second.
    bits : int
        Of the lower part.
    """

    first: bool
    bits: int


@dataclass(frozen=True)
class Upper:
    """The upper part of a * 2**shift + b, or of a * 2**shift - b, from narrow words.

    Without the lower n >= shift bits that is floor((a + floor(+-b / 2**shift)) / 2**(n - shift)).

    Attributes
    ----------
    a, b : int
        The results' numbers.
    shift : int
    minus : bool
    """

    a: int
    b: int
    shift: int
    minus: bool


def is_word(*numbers: int) -> bool:
    """Whether all fit a narrow word."""
    return all(-_END <= number < _END for number in numbers)


def is_wide(op: Op) -> bool:
    """Whether an operation's results need more than a narrow word."""
    return not is_word(op.lo, op.hi)


def split_product(
    a: Range, b: Range, n: int, half: int, least: tuple[int | None, int | None] | None = None
) -> Split | None:
    """How to make (a * b + half) >> n of 32-bit words, if that is possible.

    Parameters
    ----------
    a, b : (int, int)
        Ranges of the factors.
    n : int
        Bits that are dropped.
    half : int
        What is added before, at least 0.
    least : (int or None, int or None), optional
        The least number of lower bits that each factor can be cut at; None if it cannot be cut.
        Without, words can be, and nothing else.

    Returns
    -------
    Split or None
    """
    if half >= _END:
        return None
    if least is None:
        least = (1 if is_word(*a) else None, 1 if is_word(*b) else None)
    for first, whole, cut, fewest in ((False, a, b, least[1]), (True, b, a, least[0])):
        if fewest is None or not is_word(*whole):
            continue
        largest = max(map(abs, whole))
        for bits in range(min(n, 30), fewest - 1, -1):
            low = largest * ((1 << bits) - 1) + half
            upper = max(abs(end >> bits) for end in cut)
            high = largest * upper
            if max(low, upper, high + (low >> bits) + 1) < _END:
                return Split(first, bits)
    return None


def product_of(ops: Sequence[Op], op: Op) -> Op | None:
    """The product that an operation rounds, if that is what it does."""
    inner = ops[op.operands[0]] if op.kind in ("round", "floor") else None
    return inner if inner is not None and inner.kind == "mul" else None


def split_of(ops: Sequence[Op], op: Op) -> Split | None:
    """How to make a rounded product of narrow words."""
    product = product_of(ops, op)
    if product is None or is_wide(op):
        return None
    a, b = (ops[r] for r in product.operands)
    n = int(op.args[1])
    half = 1 << (n - 1) if op.kind == "round" else 0
    least = tuple(_least_bits(ops, r) for r in product.operands)
    return split_product((a.lo, a.hi), (b.lo, b.hi), n, half, (least[0], least[1]))


def _least_bits(ops: Sequence[Op], number: int) -> int | None:
    """The least number of lower bits that a result can be cut at, if it can be cut."""
    if not is_wide(ops[number]):
        return 1
    upper = upper_of(ops, number)
    return None if upper is None else upper.shift


def upper_of(ops: Sequence[Op], number: int) -> Upper | None:
    """How to have the upper part of a wide sum or difference from narrow words."""
    op = ops[number]
    if op.kind not in ("add", "sub"):
        return None
    minus = op.kind == "sub"
    for shifted, other in (op.operands, op.operands[::-1])[: 1 if minus else 2]:
        if ops[shifted].kind != "shl":
            continue
        a, b, shift = ops[shifted].operands[0], ops[other], int(ops[shifted].args[1])
        ends = (-b.hi, -b.lo) if minus else (b.lo, b.hi)
        sums = (ops[a].lo + (ends[0] >> shift), ops[a].hi + (ends[1] >> shift))
        if is_word(ops[a].lo, ops[a].hi, b.lo, b.hi, *ends, *sums):
            return Upper(a, other, shift, minus)
    return None


def only_cut(ops: Sequence[Op]) -> frozenset[int]:
    """Wide results that need not be made: of these only the lower bits are.

    They are cut in two for products, or are such products, or part of a sum that is cut.
    """
    users: list[set[int]] = [set() for _ in ops]
    for number, op in enumerate(ops):
        for r in op.operands:
            users[r].add(number)
    found = set()
    for number, op in enumerate(ops):
        upper = upper_of(ops, number) if is_wide(op) else None
        if upper is None:
            continue
        products = users[number]
        rounded = {user for product in products for user in users[product]}
        cut = {
            ops[user].operands[0]
            for user in rounded
            if (split := split_of(ops, ops[user])) is not None
            and ops[ops[user].operands[0]].operands[0 if split.first else 1] == number
        }
        if rounded and products <= cut:
            shifted = {r for r in op.operands if users[r] == {number} and is_wide(ops[r])}
            found |= {number} | products | shifted
    return frozenset(found)

"""Rounded products of narrow words that need no wide one.

A product of two 32-bit words has 64 bits, but what is left of it after rounding mostly fits 32. If
one factor is small enough, the other can be cut in two and the rounded product put together from
two narrow ones: vector units have twice as many lanes for them. The result is the same:
floor((a*b + h) / 2**n) with b = u * 2**s + v, 0 <= v < 2**s <= 2**n, is
floor((a*u + floor((a*v + h) / 2**s)) / 2**(n-s)).
"""

from __future__ import annotations

from dataclasses import dataclass

Range = tuple[int, int]

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


def split_product(a: Range, b: Range, n: int, half: int) -> Split | None:
    """How to make (a * b + half) >> n of 32-bit words, if that is possible.

    Parameters
    ----------
    a, b : (int, int)
        Ranges of the factors.
    n : int
        Bits that are dropped.
    half : int
        What is added before, at least 0.

    Returns
    -------
    Split or None
    """
    if not all(-_END <= end < _END for end in (*a, *b)) or half >= _END:
        return None
    for first, whole, cut in ((False, a, b), (True, b, a)):
        largest = max(map(abs, whole))
        for bits in range(min(n, 30), 0, -1):
            low = largest * ((1 << bits) - 1) + half
            high = largest * max(abs(end >> bits) for end in cut)
            if low < _END and high + (low >> bits) + 1 < _END:
                return Split(first, bits)
    return None

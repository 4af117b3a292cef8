"""How the weights of a product lie, where that is not row by row."""

from __future__ import annotations

import numpy as np

from ....compiler.instructions import Mac

VECTOR = 16
"""Elements of the widest vectors."""

SPARSE_ENTRIES, SPARSE_BITS = 2, 6
"""As in sparse.c."""

PAIRED_ROWS = 16
"""From so many rows on, two at a time are faster than one pass with other products (pairs.c)."""

LOWER_BITS = 9
"""As in pairs.c."""


def in_pairs(rows: np.ndarray, value_bits: int) -> bool:
    """Whether 32 bits hold the sums of pairs of rows, see pairs.c; rows are (rows, elements)."""
    largest = max(1 << LOWER_BITS, 1 << max(value_bits - 1 - LOWER_BITS, 0))
    sizes = np.abs(rows.astype(np.int64))
    return bool(
        len(rows) >= PAIRED_ROWS
        and largest <= 1 << 15
        and sizes.max() < 1 << 15
        and sizes.sum(axis=0).max() * largest < 1 << 31
        and np.count_nonzero(rows) > rows.size // 2
    )


def paired(rows: np.ndarray) -> np.ndarray:
    """Two rows in one, each number in half of a word: int64 (half the rows, padded elements)."""
    even = np.pad(rows, ((0, len(rows) % 2), (0, -rows.shape[1] % VECTOR)))
    return (even[::2] & 0xFFFF) | (even[1::2].astype(np.int64) << 16)


def is_diagonal(padded: np.ndarray, i: Mac) -> bool:
    """Whether each value of a product goes to the accumulator element of its own number."""
    if i.rows != i.length:
        return False
    rows = padded.reshape(i.rows, -1)[:, : i.length]
    return bool(np.count_nonzero(rows) == np.count_nonzero(rows.diagonal()))


def sparse(rows: np.ndarray) -> tuple[np.ndarray, int] | None:
    """Rows that are nearly empty as what is not zero, see sparse.c.

    Parameters
    ----------
    rows : (rows, elements) ndarray

    Returns
    -------
    (rows, entries) ndarray, int, or None
        Entries, weights with the elements' numbers in the lowest bits; and how many a row has. None
        if some row has too many.
    """
    most = max(int(np.count_nonzero(rows, axis=1).max()), 1)
    largest = int(np.abs(rows.astype(np.int64)).max())
    if (
        most > SPARSE_ENTRIES
        or rows.shape[1] > 1 << SPARSE_BITS
        or largest >= 1 << (31 - SPARSE_BITS)
    ):
        return None
    # Of equal keys the order stays: what is not zero comes first.
    columns = np.argsort(rows == 0, axis=1, kind="stable")[:, :most]
    weights = np.take_along_axis(rows, columns, axis=1).astype(np.int64)
    return (weights << SPARSE_BITS) | columns, most

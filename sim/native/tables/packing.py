"""Arrays one behind the other, in memory that begins on a cache line."""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike

CACHE_LINE = 64
"""Bytes; also the width of the widest vectors. What begins on a line is read twice as fast."""


def aligned_zeros(size: int, dtype: DTypeLike) -> np.ndarray:
    """Zeros, (size,), that begin on a cache line."""
    item = np.dtype(dtype).itemsize
    raw = np.zeros(size * item + CACHE_LINE, np.uint8)
    begin = -raw.ctypes.data % CACHE_LINE
    return raw[begin : begin + size * item].view(dtype)


class Packer:
    """Puts arrays one behind the other, each different one once."""

    def __init__(self, dtype: type) -> None:
        self.dtype = dtype
        self.parts: list[np.ndarray] = []
        self.size = 0
        self.places: dict[object, int] = {}

    def add(self, key: object, content: np.ndarray) -> int:
        """Where `content` begins; arrays with the same `key` share their place."""
        if key not in self.places:
            self.places[key] = self.size
            self.parts.append(np.ascontiguousarray(content, self.dtype).reshape(-1))
            self.size += content.size
        return self.places[key]

    def array(self) -> np.ndarray:
        """All of it; never empty, so that it has an address."""
        whole = aligned_zeros(self.size + 1, self.dtype)
        np.concatenate([*self.parts, np.zeros(1, self.dtype)], out=whole)
        return whole

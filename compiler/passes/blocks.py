"""Blocks: the parts of a matrix that become one ``MAC`` or ``EVT`` each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .route import INSTRUCTION_CYCLES


@dataclass
class Block:
    """Weights from source elements `first_source`.. to accumulator words `first_word`...

    Attributes
    ----------
    weights : (rows, words * lanes) int64
        Row k belongs to source element ``first_source + k``.
    length : int
        Elements of a row up to the last that is not padding.
    """

    first_source: int
    first_word: int
    weights: np.ndarray
    words: int
    length: int

    @property
    def rows(self) -> int:
        """Number of source elements."""
        return int(self.weights.shape[0])


def blocks(weights: np.ndarray, lanes: int, events: bool) -> list[Block]:
    """Cut a matrix into blocks, leaving out what is zero.

    Parameters
    ----------
    weights : (targets, sources) int64
    lanes : int
    events : bool
        For event sources each block keeps all rows (any neuron may fire) and spans the words that
        are used; for values the words are split where that saves cycles.
    """
    used_rows = np.flatnonzero(weights.any(axis=1))
    if len(used_rows) == 0:
        return []
    first, last = int(used_rows[0]) // lanes, int(used_rows[-1]) // lanes
    if events:
        return [_block(weights, lanes, first, last, 0, weights.shape[1])]
    columns = [
        np.flatnonzero(weights[w * lanes : (w + 1) * lanes].any(axis=0))
        for w in range(first, last + 1)
    ]
    spans = [(int(c[0]), int(c[-1]) + 1) if len(c) else None for c in columns]
    found: list[Block] = []
    for start, stop in _split(spans):
        inside = [s for s in spans[start:stop] if s is not None]
        low, high = min(s[0] for s in inside), max(s[1] for s in inside)
        found.append(_block(weights, lanes, first + start, first + stop - 1, low, high))
    return found


def grouped(spans: list[tuple[int, int] | None]) -> int:
    """Words of weights, and cycles, of all blocks of a matrix for values.

    Parameters
    ----------
    spans : list
        For each word of the target, the first source element that reaches it and the one after
        the last, or None.
    """
    total = 0
    for start, stop in _split(spans):
        inside = [s for s in spans[start:stop] if s is not None]
        total += (stop - start) * (max(s[1] for s in inside) - min(s[0] for s in inside))
    return total


def _split(spans: list[tuple[int, int] | None]) -> list[tuple[int, int]]:
    """Group neighbouring words: each group reads the union of its words' columns."""
    groups: list[tuple[int, int, int, int]] = []  # start, stop, low, high
    for w, span in enumerate(spans):
        if span is None:
            continue
        if groups:
            start, stop, low, high = groups[-1]
            joint = (min(low, span[0]), max(high, span[1]))
            together = (w + 1 - start) * (joint[1] - joint[0])
            apart = (stop - start) * (high - low) + span[1] - span[0] + INSTRUCTION_CYCLES
            if together <= apart:
                groups[-1] = (start, w + 1, *joint)
                continue
        groups.append((w, w + 1, *span))
    return [(start, stop) for start, stop, _, _ in groups]


def _block(weights: np.ndarray, lanes: int, first: int, last: int, low: int, high: int) -> Block:
    words = last - first + 1
    part = weights[first * lanes : (last + 1) * lanes, low:high]
    padded = np.zeros((high - low, words * lanes), np.int64)
    padded[:, : part.shape[0]] = part.T
    used = np.flatnonzero(padded.any(axis=0))
    return Block(low, first, padded, words, int(used[-1]) + 1 if len(used) else 1)

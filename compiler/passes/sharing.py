"""Sharing: the blocks of weights that recur in a sparse integer matrix, as in a convolution's.

See ``docs/convolution.md``. The matrix is looked at as the quantised weights that it is, so that
what is found to be shared is so exactly, wherever the matrix came from.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import networkx as nx
import numpy as np
import scipy.sparse as sp

from ..cost import address_bits
from ..machine import Machine
from ..timing import ConvolutionTiming
from .blocks import grouped
from .route import EXPECTED_RATE, INSTRUCTION_CYCLES, MAP_CYCLES, WORDS_PER_CYCLE

MOST_CHANNELS = 8
"""Blocks have at most ``2**MOST_CHANNELS`` rows."""

WORTHWHILE = 1 << 17
"""Bits of weights that sharing must save: less would not be worth hardware that convolves."""


LARGE = 1024
"""Words of weights from which on the report tells what became of a matrix."""

MOST_FILLED = 0.75
"""Matrices with a larger share of numbers that are not 0 are not looked at."""

MOST_DIFFERENT = 0.5
"""Where more than this share of all words differ, nothing recurs that would be worth it."""


@dataclass
class Shared:
    """A matrix as blocks and the places where they stand.

    Attributes
    ----------
    weights : (n, lanes) int64 ndarray
        The blocks one after the other, each of ``2**shift`` rows of one word.
    shift : int
    stencil : (slots * positions, 2) int32 ndarray
        As in `Program.stencil`.
    slots : int
    first_word, words : int
        The accumulator words of the target that are reached.
    """

    weights: np.ndarray
    shift: int
    stencil: np.ndarray
    slots: int
    first_word: int
    words: int


@dataclass
class Choice:
    """What became of a matrix.

    Attributes
    ----------
    shared : Shared or None
        None: it stays as it is.
    unrolled_words : int
        Words of weights that it takes as it is.
    reason : str
        Why it is not shared.
    """

    shared: Shared | None
    unrolled_words: int
    reason: str = ""


@dataclass
class _Words:
    """The words of a matrix that are not all zero: source element, word, number of its content."""

    element: np.ndarray
    word: np.ndarray
    content: np.ndarray
    different: np.ndarray


def may_recur(matrix: Any) -> bool:
    """Whether a matrix has so many zeros that `choose` may find anything in it."""
    if sp.issparse(matrix):
        return True
    return bool(np.count_nonzero(matrix) <= MOST_FILLED * matrix.size)


def choose(matrix: Any, machine: Machine, events: bool, dt: float) -> Choice:
    """Share a sparse matrix if that is cheaper.

    Parameters
    ----------
    matrix : (targets, sources) csr_array or ndarray of int64
    machine : Machine
    events : bool
        Whether the sources emit events, and not values.
    dt : float
        Seconds of a step.
    """
    sources = matrix.shape[1]
    found = _words(matrix, machine.lanes)
    if not len(found.word):
        return Choice(None, 0, "it is empty")
    first = int(found.word.min())
    span = int(found.word.max()) - first + 1
    active = min(1.0, EXPECTED_RATE * dt) * sources if events else float(sources)
    if events:
        unrolled, cycles = sources * span, span * active
    else:
        unrolled = grouped(_spans(found, span, first))
        cycles = float(unrolled)
    worthwhile = WORTHWHILE / (machine.lanes * machine.weight_bits)  # words
    if unrolled < worthwhile:
        return Choice(None, unrolled, "it is small")
    if sources > 1 << machine.index_bits:
        return Choice(None, unrolled, f"it has more than {1 << machine.index_bits} sources")
    if len(found.different) > len(found.word) * MOST_DIFFERENT:
        return Choice(None, unrolled, "too little of it recurs")
    before = cycles + unrolled / WORDS_PER_CYCLE
    period = ConvolutionTiming(machine).period
    ways = [
        _cut(found, sources, shift, first, span)
        for shift in range(MOST_CHANNELS + 1)
        if sources % (1 << shift) == 0
    ]

    def words(way: _Blocks, slots: int) -> float:
        entry = 1 + address_bits(span) + address_bits(way.count << way.shift)
        stencil = slots * (sources >> way.shift) * entry / (machine.lanes * machine.weight_bits)
        return (way.count << way.shift) + stencil

    def cost(way: _Blocks, slots: int) -> float:
        own = MAP_CYCLES + INSTRUCTION_CYCLES + words(way, slots) / WORDS_PER_CYCLE
        return own + period(slots) * active

    # The slots are the most work: those ways first that are best if the fewest will do.
    best: tuple[float, _Blocks, np.ndarray] | None = None
    for way in sorted(ways, key=lambda way: cost(way, way.fewest)):
        if unrolled - words(way, way.fewest) < worthwhile:
            continue
        if best is not None and cost(way, way.fewest) >= best[0]:
            break
        slot_of = _slots(way, span)
        slots = int(slot_of.max()) + 1
        if best is None or cost(way, slots) < best[0]:
            best = cost(way, slots), way, slot_of
    if best is None:
        return Choice(None, unrolled, "too little of it recurs")
    if best[0] >= before:
        return Choice(None, unrolled, f"it would take {best[0] / before:.1f} times as long")
    _, way, slot_of = best
    return Choice(_share(found, way, slot_of, sources >> way.shift, first, span), unrolled)


@dataclass
class _Blocks:
    """A matrix cut into blocks of ``2**shift`` rows.

    `position` and `word` tell where there is one, `which` is its number among the different ones;
    `content` has, for each of these, the different words that its rows are, plus 1; 0 for zeros.
    `fewest` is the largest number of words that a position reaches.
    """

    shift: int
    position: np.ndarray
    word: np.ndarray
    which: np.ndarray
    content: np.ndarray
    fewest: int

    @property
    def count(self) -> int:
        return len(self.content)


def _words(matrix: Any, lanes: int) -> _Words:
    entries = sp.coo_array(matrix)
    used = entries.data != 0
    row, column, data = entries.coords[0][used], entries.coords[1][used], entries.data[used]
    span = matrix.shape[0] // lanes + 1
    place, number = np.unique(
        column.astype(np.int64) * span + row.astype(np.int64) // lanes, return_inverse=True
    )
    content = np.zeros((len(place), lanes), np.int64)
    content[number, row % lanes] = data
    different, which = np.unique(content, axis=0, return_inverse=True)
    return _Words(place // span, place % span, which.reshape(-1), different)


def _spans(found: _Words, span: int, first: int) -> list[tuple[int, int] | None]:
    """First source element and the one after the last, of each word."""
    low, high = np.full(span, np.iinfo(np.int64).max), np.full(span, -1)
    np.minimum.at(low, found.word - first, found.element)
    np.maximum.at(high, found.word - first, found.element)
    return [
        (int(a), int(b) + 1) if b >= 0 else None
        for a, b in zip(low.tolist(), high.tolist(), strict=True)
    ]


def _cut(found: _Words, sources: int, shift: int, first: int, span: int) -> _Blocks:
    channels, positions = 1 << shift, sources >> shift
    pair, number = np.unique(
        (found.element >> shift) * span + found.word - first, return_inverse=True
    )
    block = np.zeros((len(pair), channels), np.int64)
    block[number.reshape(-1), found.element % channels] = found.content + 1
    content, which = np.unique(block, axis=0, return_inverse=True)
    position, word = pair // span, pair % span
    fewest = int(np.bincount(position, minlength=positions).max())
    return _Blocks(shift, position, word, which.reshape(-1), content, fewest)


def _share(
    found: _Words, way: _Blocks, slot_of: np.ndarray, positions: int, first: int, span: int
) -> Shared:
    content = np.vstack([np.zeros_like(found.different[:1]), found.different])
    slot = slot_of[way.word]
    slots = int(slot.max()) + 1
    stencil = np.full((slots, positions, 2), -1, np.int32)
    stencil[..., 1] = 0
    stencil[slot, way.position, 0] = way.word
    stencil[slot, way.position, 1] = way.which << way.shift
    weights = content[way.content.reshape(-1)]
    return Shared(weights, way.shift, stencil.reshape(-1, 2), slots, first, span)


def _slots(way: _Blocks, span: int) -> np.ndarray:
    """A slot for each word, another one for any two that some position reaches together."""
    entries = (np.ones(len(way.word), np.int64), (way.position, way.word))
    reach = sp.csr_array(entries, shape=(int(way.position.max()) + 1, span))
    together = nx.from_scipy_sparse_array(sp.csr_array(reach.T @ reach))
    together.remove_edges_from([(w, w) for w in range(span)])
    best: np.ndarray | None = None
    # Where rows of an image end inside a word, one direction may do better than the other.
    for order in (range(span), range(span - 1, -1, -1)):
        colours = nx.greedy_color(together, strategy=lambda *_, order=order: order)
        found = np.array([colours[w] for w in range(span)])
        if best is None or found.max() < best.max():
            best = found
        if best.max() + 1 == way.fewest:
            break
    assert best is not None
    return best

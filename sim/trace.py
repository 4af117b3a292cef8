"""The trace: every memory write of a run, with the clock cycle in which it happens."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Writes:
    """The writes of one memory, in the order in which they happen.

    Attributes
    ----------
    run : (n,) int64 ndarray
        Number of the phase's run, counted over all phases of all steps since the trace began.
    cycle : (n,) int64 ndarray
        Clock cycle since the start of that run was accepted.
    address : (n,) int64 ndarray
        Word of the memory.
    data : (n, k) int64 ndarray
        What is written: a column for each lane of words of all lanes (0 where a lane of a learned
        word is left alone); index and payload of an event; one column otherwise.
    """

    run: np.ndarray
    cycle: np.ndarray
    address: np.ndarray
    data: np.ndarray

    def __len__(self) -> int:
        return len(self.cycle)

    def row(self, n: int) -> tuple[int, int, int, tuple[int, ...]]:
        """Write `n` as (run, cycle, address, data)."""
        data = tuple(int(d) for d in self.data[n])
        return int(self.run[n]), int(self.cycle[n]), int(self.address[n]), data


@dataclass(frozen=True)
class Trace:
    """All writes of a run.

    Attributes
    ----------
    writes : dict of str -> Writes
        By memory: ``accumulator``, ``value``, ``event``, ``count``, ``state0``, ``state1``, ...;
        where weights are learned ``weight``, ``residual``, ``synapse0``, ..., ``post0``, ..., the
        first three with their addresses in the hardware, word after word.
    cycles : (runs,) int64 ndarray
        Clock cycles of each run of a phase, until the next could start.
    """

    writes: dict[str, Writes]
    cycles: np.ndarray

    def __len__(self) -> int:
        return sum(len(w) for w in self.writes.values())


def unpack(words: np.ndarray, bits: int, count: int, signed: bool = True) -> np.ndarray:
    """Fields of `bits` bits each out of 32-bit words.

    Parameters
    ----------
    words : (n, parts) uint32 ndarray
        Little end first.
    bits : int
        At most 63.
    count : int
        Fields per row.
    signed : bool
        Whether the fields are two's complement.

    Returns
    -------
    (n, count) int64 ndarray
    """
    wide = np.zeros((len(words), words.shape[1] + 3), np.uint64)
    wide[:, : words.shape[1]] = words
    fields = np.empty((len(words), count), np.uint64)
    for k in range(count):
        word, offset = divmod(k * bits, 32)
        low = wide[:, word] | (wide[:, word + 1] << np.uint64(32))
        fields[:, k] = low >> np.uint64(offset)
        if offset:
            fields[:, k] |= wide[:, word + 2] << np.uint64(64 - offset)
    spare = np.uint64(64 - bits)
    shifted = fields << spare
    return (shifted.view(np.int64) >> np.int64(spare)) if signed else (
        (shifted >> spare).view(np.int64)
    )  # fmt: skip


def pack(values: np.ndarray, bits: int) -> np.ndarray:
    """Two's complement words of `bits` bits as 32-bit parts.

    Parameters
    ----------
    values : (n,) int64 or object ndarray
        Object arrays may hold integers of any width.

    Returns
    -------
    (n, parts) uint32 ndarray
    """
    parts = -(-bits // 32)
    if values.dtype == object:
        mask = (1 << (32 * parts)) - 1
        raw = b"".join((int(v) & mask).to_bytes(4 * parts, "little") for v in values)
        return np.frombuffer(raw, "<u4").reshape(len(values), parts).astype(np.uint32)
    extended = np.asarray(values, np.int64)
    packed = np.zeros((len(extended), parts), np.uint32)
    for k in range(min(parts, 2)):
        packed[:, k] = (extended >> (32 * k)).astype(np.uint32)
    if parts > 2:
        packed[:, 2:] = (extended >> 63).astype(np.uint32)[:, None]
    return packed

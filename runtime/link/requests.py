"""Commands of the link's protocol, made from arrays; and arrays, made from its replies."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ...compiler.encoding import MemoryInfo
from ...compiler.protocol import (
    CRC_BYTES,
    FRAME_BYTES,
    HEADER,
    LARGEST_COUNT,
    Opcode,
    element_bytes,
)
from ...sim.trace import pack, unpack

ROOM = FRAME_BYTES - CRC_BYTES - 1
"""Bytes of a request that its commands may take."""

REPLY_BYTES = 2048
"""Reads are cut so that no result is longer: what is damaged has to be sent again."""


def _header(opcode: Opcode, memory: int, address: int, count: int) -> bytes:
    return HEADER.pack(opcode, memory, address & 0xFFFF, address >> 16, count)


def elements_to_bytes(values: np.ndarray, bits: int) -> bytes:
    """Elements of a memory `bits` wide as the protocol sends them.

    Parameters
    ----------
    values : (n,) int64 or object ndarray
        Object arrays may hold integers of any width.
    bits : int
    """
    words = pack(np.asarray(values), bits).astype("<u4")
    raw = words.view(np.uint8).reshape(len(words), -1)
    return raw[:, : element_bytes(bits)].tobytes()


def elements_from_bytes(raw: bytes, bits: int, signed: bool = True) -> np.ndarray:
    """The inverse of `elements_to_bytes`, for at most 63 bits: int64 (n,)."""
    width = element_bytes(bits)
    elements = np.frombuffer(raw, np.uint8).reshape(-1, width)
    padded = np.zeros((len(elements), -(-bits // 32) * 4), np.uint8)
    padded[:, :width] = elements
    return unpack(padded.view("<u4").astype(np.uint32), bits, 1, signed)[:, 0]


def write(info: MemoryInfo, first: int, raw: bytes) -> list[bytes]:
    """Commands that write elements, as `elements_to_bytes` gives them, from address `first` on.

    Long runs of equal elements, such as the padding of weights, take one command.
    """
    width = element_bytes(info.bits)
    most = (ROOM - HEADER.size) // width
    commands, written = [], 0
    for start, end in [*_runs(raw, width), (len(raw) // width, len(raw) // width)]:
        for piece, count in _pieces(start - written, most):
            place = written + piece
            commands.append(
                _header(Opcode.WRITE, info.number, first + place, count)
                + raw[place * width : (place + count) * width]
            )
        element = raw[start * width : (start + 1) * width]
        for piece, count in _pieces(end - start, LARGEST_COUNT):
            commands.append(_header(Opcode.FILL, info.number, first + start + piece, count))
            commands[-1] += element
        written = end
    return commands


def _runs(raw: bytes, width: int) -> list[tuple[int, int]]:
    """First element and end of each run of equal elements that is cheaper to fill than to write."""
    least = 2 * HEADER.size // width + 2
    if len(raw) < least * width:
        return []
    elements = np.frombuffer(raw, np.uint8).reshape(-1, width)
    changes = np.flatnonzero((elements[1:] != elements[:-1]).any(axis=1)) + 1
    bounds = np.concatenate([[0], changes, [len(elements)]])
    long = np.flatnonzero(np.diff(bounds) >= least)
    return [(int(bounds[n]), int(bounds[n + 1])) for n in long]


def fill(info: MemoryInfo, first: int, count: int, value: int = 0) -> list[bytes]:
    """Commands that write the same element `count` times from address `first` on."""
    element = elements_to_bytes(np.array([value], object), info.bits)
    return [
        _header(Opcode.FILL, info.number, first + start, number) + element
        for start, number in _pieces(count, LARGEST_COUNT)
    ]


def run(start_address: int, times: int = 1) -> list[bytes]:
    """Commands that run the phase at an instruction address."""
    return [
        _header(Opcode.RUN, 0, start_address, number) for _, number in _pieces(times, LARGEST_COUNT)
    ]


@dataclass(frozen=True)
class Read:
    """Read `count` elements of a memory from address `first` on.

    `signed` says whether they are two's complement.
    """

    info: MemoryInfo
    first: int
    count: int
    signed: bool = True

    def commands(self) -> list[tuple[bytes, int]]:
        """Commands, and the bytes of the result of each."""
        width = element_bytes(self.info.bits)
        return [
            (_header(Opcode.READ, self.info.number, self.first + start, number), number * width)
            for start, number in _pieces(self.count, REPLY_BYTES // width)
        ]

    def elements(self, raw: bytes) -> np.ndarray:
        """The elements, int64 (count,), from the results of all the commands."""
        return elements_from_bytes(raw, self.info.bits, self.signed)


def _pieces(count: int, most: int) -> Iterator[tuple[int, int]]:
    for start in range(0, count, most):
        yield start, min(most, count - start)

"""The protocol of the link between host and hardware, as plain data: both sides are built from it.

A frame is a row of bytes, COBS-encoded (so that none is 0) and followed by a 0. All numbers are
little-endian. The last four bytes of a frame are its CRC.

A request is ``sequence, commands..., crc``, its reply ``sequence, results..., status, crc``.

* `sequence` counts modulo `SEQUENCES`. Hardware executes a request if its number follows that of
  the last one. If it has the same number, it is the same request again, because the host missed
  the reply: then whatever changes something is left out and only its reads are done, which gives
  the same reply, because nothing has changed since. With the bit `SYNCHRONISE`, hardware takes the
  number as it is and executes the request; such a request may only read.
* A command is a header, as `HEADER` says, and for `Opcode.WRITE` and `Opcode.FILL` elements. An
  element is an integer of the memory's width in as few bytes as hold it, its unused bits ignored.
* In a request, commands that change something come before those that read.
* A request that is damaged is not answered, only counted; so is one that comes while another is
  being executed. The host sends it again.
* The memories are those of `compiler.encoding.memories`, and `LINK_MEMORY`, whose elements are the
  bytes of `LINK_FIELDS`.
"""

from __future__ import annotations

import struct
from enum import IntEnum

VERSION = 1
MAGIC = b"SL"

SEQUENCES = 128
SYNCHRONISE = 0x80

FRAME_BYTES = 512
"""The most bytes of a request, before COBS and with its CRC. Replies may have any length."""

CRC_BYTES = 4
CRC_POLYNOMIAL = 0xEDB88320
"""CRC-32 as in Ethernet and zlib, bits reflected; starts as all ones, is sent inverted."""

CRC_RESIDUE = 0xDEBB20E3
"""What the register holds, not inverted, after a whole undamaged frame."""


class Opcode(IntEnum):
    """What a command does with `count` elements from `address` on."""

    WRITE = 1
    """Write them; that many elements follow."""

    FILL = 2
    """Write the one element that follows into all of them."""

    READ = 3
    """Put them into the reply."""

    RUN = 4
    """Run the phase whose instructions start at `address`, `count` times; `memory` is ignored."""


class Status(IntEnum):
    """How a request went."""

    OK = 0
    OUT_OF_SEQUENCE = 1
    """Nothing was done: the number is neither the last one nor its successor."""

    MALFORMED = 2
    """Executed up to a command that does not exist, is cut short, or changes after a read."""


HEADER = struct.Struct("<BBHBH")
"""Opcode, memory, lower 16 and upper 8 bits of the address, count."""

LARGEST_COUNT = 0xFFFF
ADDRESS_BITS = 24

LINK_MEMORY = 0x80
"""Number of the memory that describes the hardware and the link. It can only be read."""

LINK_FIELDS = {
    "magic": (0, 2),
    "version": (2, 2),
    "fingerprint": (4, 8),
    "clock": (12, 4),
    "cycles": (16, 5),
    "damaged": (21, 1),
}
"""First byte and bytes of each field: `MAGIC`; `VERSION`; the Shape's fingerprint; clock frequency
in Hz; clock cycles spent in phases since the start; damaged requests since the start.
Both counters wrap."""

LINK_BYTES = 22


def element_bytes(bits: int) -> int:
    """Bytes of an element of a memory `bits` wide."""
    return -(-bits // 8)

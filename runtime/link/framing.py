"""Frames of the link on the host's side: COBS and the checksum."""

from __future__ import annotations

import zlib

from ...compiler.protocol import CRC_BYTES

_LONGEST = 254


def cobs_encode(data: bytes) -> bytes:
    """`data` without zeros in it, at most a byte in 254 longer, and one more."""
    encoded = bytearray()
    for block in data.split(b"\0"):
        while len(block) >= _LONGEST:
            encoded.append(_LONGEST + 1)
            encoded += block[:_LONGEST]
            block = block[_LONGEST:]
        encoded.append(len(block) + 1)
        encoded += block
    return bytes(encoded)


def cobs_decode(encoded: bytes) -> bytes | None:
    """The inverse of `cobs_encode`; None if it is cut short or holds a zero."""
    if not encoded or 0 in encoded:
        return None
    data = bytearray()
    position = 0
    while position < len(encoded):
        code = encoded[position]
        data += encoded[position + 1 : position + code]
        position += code
        if code <= _LONGEST and position < len(encoded):
            data.append(0)
    return bytes(data) if position == len(encoded) else None


def frame(payload: bytes) -> bytes:
    """`payload` with its checksum, encoded and delimited: what goes over the line."""
    checksum = zlib.crc32(payload).to_bytes(CRC_BYTES, "little")
    return cobs_encode(payload + checksum) + b"\0"


def unframe(encoded: bytes) -> bytes | None:
    """The payload of an encoded frame without its delimiter; None if it is damaged."""
    data = cobs_decode(encoded)
    if data is None or len(data) < CRC_BYTES:
        return None
    payload, checksum = data[:-CRC_BYTES], data[-CRC_BYTES:]
    return payload if zlib.crc32(payload).to_bytes(CRC_BYTES, "little") == checksum else None

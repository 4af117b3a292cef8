"""The host's end of the link to a board: requests, replies, and what to do when they get lost."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Protocol

from ...compiler.encoding import MemoryInfo
from ...compiler.errors import LinkError
from ...compiler.protocol import (
    LINK_BYTES,
    LINK_FIELDS,
    LINK_MEMORY,
    MAGIC,
    SEQUENCES,
    SYNCHRONISE,
    VERSION,
    Status,
)
from .framing import frame, unframe
from .requests import REPLY_BYTES, ROOM, Read

LINK_INFO = MemoryInfo(LINK_MEMORY, LINK_BYTES, 8)
ATTEMPTS = 8
"""Times that a request is sent before the board counts as gone."""

SILENCE = 0.02
"""Seconds without a byte after which nothing more is expected of a damaged reply."""


OVERTIME = 0.1
"""Seconds that a stream of bytes that is no reply is listened to after the deadline."""


class Port(Protocol):
    """Where encoded bytes go to and come from.

    Attributes
    ----------
    name : str
        For messages.
    """

    name: str

    def write(self, data: bytes) -> None:
        """Send all of `data`; `LinkError` if the port is gone."""

    def read(self, timeout: float) -> bytes:
        """What has arrived; waits up to `timeout` seconds if there is nothing; may be empty."""

    def close(self) -> None:
        """Give the port back."""


@dataclass(frozen=True)
class Identity:
    """What a board says about itself.

    Attributes
    ----------
    version : int
        Of the protocol.
    fingerprint : str
        Of the `Shape` that its hardware was generated for.
    clock_hz : int
    cycles : int
        Clock cycles spent in phases since the board started.
    damaged : int
        Requests that reached the board damaged since it started.
    """

    version: int
    fingerprint: str
    clock_hz: int
    cycles: int
    damaged: int


@dataclass
class LinkCounts:
    """What went over a link.

    `requests` that were answered, `repeats` sent because an answer was missing, `damaged` replies,
    encoded bytes `sent` and `received`.
    """

    requests: int = 0
    repeats: int = 0
    damaged: int = 0
    sent: int = 0
    received: int = 0

    def __sub__(self, before: LinkCounts) -> LinkCounts:
        return LinkCounts(*(getattr(self, f.name) - getattr(before, f.name) for f in fields(self)))

    def copy(self) -> LinkCounts:
        """The counts as they stand."""
        return LinkCounts(*(getattr(self, f.name) for f in fields(self)))


class Link:
    """Requests to a board, each executed exactly once.

    Parameters
    ----------
    port : Port
    timeout : float
        Seconds to wait for a reply, beside the time that the request itself takes.
    attempts : int
        Times that a request is sent before the board counts as gone.
    """

    def __init__(self, port: Port, timeout: float = 0.5, attempts: int = ATTEMPTS) -> None:
        self.port = port
        self.timeout = timeout
        self.attempts = attempts
        self.counts = LinkCounts()
        self._sequence = random.randrange(SEQUENCES)
        self._buffer = bytearray()
        self._garbage = 0

    def identify(self) -> Identity:
        """Begin a conversation: ask the board what it is, and agree on a sequence number.

        Raises
        ------
        LinkError
            If there is no answer, or not that of a loom.
        """
        read = Read(LINK_INFO, 0, LINK_BYTES)
        ((command, length),) = read.commands()
        raw = self._exchange(command, length, synchronise=True)
        field = {name: raw[first : first + size] for name, (first, size) in LINK_FIELDS.items()}
        version = int.from_bytes(field["version"], "little")
        if field["magic"] != MAGIC or version != VERSION:
            raise LinkError(
                f"{self.port.name} speaks version {version} of the link's protocol, this Spikeloom "
                f"version {VERSION}: build and flash the hardware again"
            )
        return Identity(
            version,
            field["fingerprint"].hex(),
            int.from_bytes(field["clock"], "little"),
            int.from_bytes(field["cycles"], "little"),
            int.from_bytes(field["damaged"], "little"),
        )

    def perform(
        self, changes: Sequence[bytes], reads: Sequence[Read] = (), allowance: float = 0.0
    ) -> list[bytes]:
        """Execute commands in order, in as few requests as possible.

        Parameters
        ----------
        changes : sequence of bytes
            Commands that write or run.
        reads : sequence of Read
            Done after all of them.
        allowance : float
            Seconds that the commands of any one request may take on the board.

        Returns
        -------
        list of bytes
            The result of each read.

        Raises
        ------
        LinkError
            If the board stops answering, or has lost its place.
        """
        request = bytearray()
        for command in changes:
            if len(request) + len(command) > ROOM:
                self._exchange(bytes(request), 0, allowance)
                request.clear()
            request += command
        pieces = [(n, *piece) for n, read in enumerate(reads) for piece in read.commands()]
        results = [bytearray() for _ in reads]
        pending: list[tuple[int, int]] = []
        expected = 0
        for number, command, length in pieces:
            if len(request) + len(command) > ROOM or (pending and expected + length > REPLY_BYTES):
                reply = self._exchange(bytes(request), expected, allowance)
                _distribute(reply, pending, results)
                request.clear()
                pending, expected = [], 0
            request += command
            pending.append((number, length))
            expected += length
        if request:
            _distribute(self._exchange(bytes(request), expected, allowance), pending, results)
        return [bytes(result) for result in results]

    def close(self) -> None:
        """Close the port."""
        self.port.close()

    def _exchange(
        self, commands: bytes, expected: int, allowance: float = 0.0, synchronise: bool = False
    ) -> bytes:
        """Send one request until it is answered; the results, `expected` bytes."""
        self._sequence = (self._sequence + 1) % SEQUENCES
        first = self._sequence | (SYNCHRONISE if synchronise else 0)
        encoded = frame(bytes([first]) + commands)
        self._garbage = 0
        for attempt in range(self.attempts):
            # A leading delimiter ends whatever a broken transmission has left at the board.
            self._send(b"\0" + encoded if attempt or synchronise else encoded)
            reply = self._receive(first, time.monotonic() + self.timeout + allowance)
            if reply is not None:
                self.counts.requests += 1
                self.counts.repeats += attempt
                return self._results(reply, expected)
        raise self._no_answer(synchronise)

    def _send(self, data: bytes) -> None:
        self.counts.sent += len(data)
        self.port.write(data)

    def _receive(self, first: int, deadline: float) -> bytes | None:
        """The reply to the request that began with byte `first`, or None in time."""
        while True:
            end = self._buffer.find(0)
            if end >= 0:
                encoded = bytes(self._buffer[:end])
                del self._buffer[: end + 1]
                payload = unframe(encoded) if encoded else None
                if payload is not None and len(payload) >= 2:
                    if payload[0] == first:
                        return payload
                elif encoded:  # the rest of it may still come, but no other reply will
                    self.counts.damaged += 1
                    self._garbage += len(encoded)
                    deadline = min(deadline, time.monotonic() + SILENCE)
                continue
            left = deadline - time.monotonic()
            data = self.port.read(max(left, 0.0))
            if left < -OVERTIME or (left <= 0 and not data):
                self._garbage += len(self._buffer)
                self._buffer.clear()
                return None
            self.counts.received += len(data)
            self._buffer += data

    def _results(self, reply: bytes, expected: int) -> bytes:
        status = reply[-1]
        if status == Status.OUT_OF_SEQUENCE:
            raise LinkError(
                f"the board at {self.port.name} lost its place: it was reset, or another program "
                "uses it too; start again"
            )
        if status != Status.OK or len(reply) != expected + 2:
            raise LinkError(
                f"the board at {self.port.name} refused a request (status {status}, "
                f"{len(reply) - 2} of {expected} bytes): its hardware is of another build; flash it"
            )
        return reply[1:-1]

    def _no_answer(self, first_contact: bool) -> LinkError:
        tries = f"{self.attempts} attempts of {self.timeout:g} s"
        if self._garbage:
            return LinkError(
                f"{self.port.name} answers garbage ({self._garbage} bytes in {tries}): check the "
                "baud rate, the wiring, and that the device is a flashed board"
            )
        if first_contact:
            return LinkError(
                f"no answer from {self.port.name} in {tries}: check that the board is powered and "
                "flashed (spikeloom flash DIR) and that this is its port"
            )
        return LinkError(
            f"the board at {self.port.name} stopped answering ({tries}): check its cable and power"
        )


def _distribute(
    reply: bytes, pending: Sequence[tuple[int, int]], results: Sequence[bytearray]
) -> None:
    position = 0
    for number, length in pending:
        results[number] += reply[position : position + length]
        position += length

"""COBS: frames of bytes without zeros, each followed by a zero.

A frame is cut at its zeros into blocks. A block is sent as one byte, its length plus one, and its
bytes; the zero after it is implied, except after the last block and after those of 254 bytes.
"""

from __future__ import annotations

from amaranth import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..primitives import READ_LATENCY, add_memory

LONGEST_BLOCK = 254


class Decoder(wiring.Component):
    """Frames from an encoded stream.

    Attributes
    ----------
    enable : bool, in
        While it is low, whatever comes is dropped, and so is the rest of a frame that began then.
    raw : unsigned(8), in; raw_valid : bool, in; raw_ready : bool, out
        The encoded stream.
    data : unsigned(8), out; valid : bool, out; ready : bool, in
        The frame's bytes. Nothing, neither bytes nor ends, is taken in while `ready` is low.
    end : bool, out
        A frame is complete.
    intact : bool, out
        At the end: its last block was complete.
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "enable": In(1),
                "raw": In(8),
                "raw_valid": In(1),
                "raw_ready": Out(1),
                "data": Out(8),
                "valid": Out(1),
                "ready": In(1),
                "end": Out(1),
                "intact": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        left = Signal(8)
        began = Signal()
        implied = Signal()
        dropping = Signal()
        taken = self.raw_valid & self.raw_ready
        delimits = self.raw == 0
        m.d.comb += [
            self.raw_ready.eq(self.ready | ~self.enable),
            self.data.eq(self.raw),
            self.intact.eq(left == 0),
        ]
        with m.If(taken & (~self.enable | dropping)):
            m.d.sync += [dropping.eq(~delimits), began.eq(0), left.eq(0)]
        with m.Elif(taken & delimits):
            m.d.comb += self.end.eq(began)
            m.d.sync += [began.eq(0), left.eq(0)]
        with m.Elif(taken & (left == 0)):
            # A length: the zero after the block before it comes out in its place.
            m.d.comb += [self.valid.eq(began & implied), self.data.eq(0)]
            m.d.sync += [
                began.eq(1),
                implied.eq(self.raw != LONGEST_BLOCK + 1),
                left.eq(self.raw - 1),
            ]
        with m.Elif(taken):
            m.d.comb += self.valid.eq(1)
            m.d.sync += left.eq(left - 1)
        return m


class Encoder(wiring.Component):
    """Frames to an encoded stream. A block is collected, then sent.

    Parameters
    ----------
    latency : int
        Of its memory: 1, or 2 with an output register.

    Attributes
    ----------
    data : unsigned(8), in; valid : bool, in; ready : bool, out
        The frame's bytes.
    finish : bool, in
        The frame ends here; to be held until `finished`. Not together with `valid`.
    finished : bool, out
        The last byte of the encoded frame is being taken.
    raw : unsigned(8), out; raw_valid : bool, out; raw_ready : bool, in
        The encoded stream.
    """

    def __init__(self, latency: int = READ_LATENCY) -> None:
        self.latency = latency
        super().__init__(
            {
                "data": In(8),
                "valid": In(1),
                "ready": Out(1),
                "finish": In(1),
                "finished": Out(1),
                "raw": Out(8),
                "raw_valid": Out(1),
                "raw_ready": In(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        length = Signal(8)
        position = Signal(8)
        age = Signal(range(self.latency + 1))
        final = Signal()
        stored = Signal(8)
        keeps = self.data != 0
        add_memory(
            m,
            "block",
            256,
            write=(self.valid & self.ready & keeps, length, self.data),
            read_address=position,
            read_data=stored,
            latency=self.latency,
        )
        with m.FSM():
            with m.State("COLLECT"):
                m.d.comb += self.ready.eq(1)
                m.d.sync += [position.eq(0), final.eq(self.finish)]
                with m.If(self.finish):
                    m.next = "LENGTH"
                with m.Elif(self.valid & keeps):
                    m.d.sync += length.eq(length + 1)
                    with m.If(length == LONGEST_BLOCK - 1):
                        m.next = "LENGTH"
                with m.Elif(self.valid):
                    m.next = "LENGTH"
            with m.State("LENGTH"):
                m.d.comb += [self.raw.eq(length + 1), self.raw_valid.eq(1)]
                m.d.sync += age.eq(0)
                with m.If(self.raw_ready):
                    m.next = "BLOCK"
            with m.State("BLOCK"):
                here = age == self.latency
                m.d.comb += [self.raw.eq(stored), self.raw_valid.eq(here & (position != length))]
                with m.If(position == length):
                    m.d.sync += length.eq(0)
                    with m.If(final):
                        m.next = "DELIMITER"
                    with m.Else():
                        m.next = "COLLECT"
                with m.Elif(~here):
                    m.d.sync += age.eq(age + 1)
                with m.Elif(self.raw_ready):
                    m.d.sync += [position.eq(position + 1), age.eq(0)]
            with m.State("DELIMITER"):
                m.d.comb += [self.raw.eq(0), self.raw_valid.eq(1)]
                with m.If(self.raw_ready):
                    m.d.comb += self.finished.eq(1)
                    m.next = "COLLECT"
        return m

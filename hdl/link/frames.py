"""Whole frames: requests checked and stored, replies completed with their checksum."""

from __future__ import annotations

from amaranth import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ...compiler.encoding import bits_for
from ...compiler.protocol import CRC_BYTES, CRC_RESIDUE, FRAME_BYTES, LINK_FIELDS
from ..primitives import READ_LATENCY, add_memory
from .cobs import Decoder, Encoder
from .crc import Crc

SHORTEST = 1 + CRC_BYTES
DAMAGED_BITS = 8 * LINK_FIELDS["damaged"][1]


class FrameReceiver(wiring.Component):
    """Takes in one request after the other.

    Parameters
    ----------
    latency : int
        Of its memory: 1, or 2 with an output register.

    Attributes
    ----------
    raw, raw_valid, raw_ready
        The encoded stream.
    present : bool, out
        An undamaged request is stored; what comes meanwhile is dropped.
    length : unsigned, out
        Its bytes, without the checksum.
    done : bool, in
        It is not needed any more.
    position : unsigned, in; data : unsigned(8), out
        A byte of the request, `latency` cycles after its position.
    damaged : unsigned, out
        Requests that were dropped because of what they held; wraps.
    """

    def __init__(self, latency: int = READ_LATENCY) -> None:
        self.latency = latency
        super().__init__(
            {
                "raw": In(8),
                "raw_valid": In(1),
                "raw_ready": Out(1),
                "present": Out(1),
                "length": Out(bits_for(FRAME_BYTES + 1)),
                "done": In(1),
                "position": In(bits_for(FRAME_BYTES)),
                "data": Out(8),
                "damaged": Out(DAMAGED_BITS),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.decoder = decoder = Decoder()
        m.submodules.crc = crc = Crc()
        count = Signal(bits_for(FRAME_BYTES + 1))
        too_long = Signal()
        full = count == FRAME_BYTES
        ended = Signal()
        intact = Signal()
        receiving = ~self.present & ~ended
        m.d.comb += [
            decoder.raw.eq(self.raw),
            decoder.raw_valid.eq(self.raw_valid),
            self.raw_ready.eq(decoder.raw_ready),
            decoder.enable.eq(~self.present),
            decoder.ready.eq(crc.ready & receiving),
            crc.data.eq(decoder.data),
            crc.valid.eq(decoder.valid),
        ]
        add_memory(
            m,
            "request",
            FRAME_BYTES,
            write=(decoder.valid & ~full, count, decoder.data),
            read_address=self.position,
            read_data=self.data,
            latency=self.latency,
        )
        with m.If(decoder.valid):
            m.d.sync += [count.eq(Mux(full, count, count + 1)), too_long.eq(too_long | full)]
        m.d.sync += [ended.eq(decoder.end), intact.eq(decoder.intact)]
        with m.If(ended):
            whole = intact & (crc.state == CRC_RESIDUE) & ~too_long & (count >= SHORTEST)
            m.d.comb += crc.clear.eq(1)
            m.d.sync += [
                self.present.eq(whole),
                self.length.eq(count - CRC_BYTES),
                self.damaged.eq(self.damaged + Mux(whole, 0, 1)),
                count.eq(0),
                too_long.eq(0),
            ]
        with m.If(self.done):
            m.d.sync += self.present.eq(0)
        return m


class FrameSender(wiring.Component):
    """Sends one reply after the other.

    Parameters
    ----------
    latency : int
        Of its memory: 1, or 2 with an output register.

    Attributes
    ----------
    data : unsigned(8), in; valid : bool, in; ready : bool, out
        The reply's bytes, without the checksum.
    finish : bool, in
        The reply ends here; to be held until `finished`. Not together with `valid`.
    finished : bool, out
    raw, raw_valid, raw_ready
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
        m.submodules.encoder = encoder = Encoder(self.latency)
        m.submodules.crc = crc = Crc()
        left = Signal(range(CRC_BYTES + 1), init=CRC_BYTES)
        checksum = self.finish & (left != 0)
        may = crc.ready & encoder.ready
        m.d.comb += [
            self.ready.eq(may),
            # Fed with its own low byte, the register shifts down by a byte.
            crc.data.eq(Mux(checksum, crc.state[:8], self.data)),
            crc.valid.eq((self.valid | checksum) & may),
            encoder.data.eq(Mux(checksum, ~crc.state[:8], self.data)),
            encoder.valid.eq(crc.valid),
            encoder.finish.eq(self.finish & (left == 0) & crc.ready),
            self.finished.eq(encoder.finished),
            self.raw.eq(encoder.raw),
            self.raw_valid.eq(encoder.raw_valid),
            encoder.raw_ready.eq(self.raw_ready),
        ]
        with m.If(checksum & may):
            m.d.sync += left.eq(left - 1)
        with m.If(self.finished):
            m.d.sync += left.eq(CRC_BYTES)
            m.d.comb += crc.clear.eq(1)
        return m

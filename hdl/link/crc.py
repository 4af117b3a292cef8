"""CRC-32, one bit per clock cycle."""

from __future__ import annotations

from amaranth import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ...compiler.protocol import CRC_POLYNOMIAL

CRC_START = 0xFFFFFFFF


class Crc(wiring.Component):
    """Adds bytes to a checksum, in eight cycles each.

    Attributes
    ----------
    clear : bool, in
        Begin a new frame.
    data : unsigned(8), in
    valid : bool, in
        Add `data`; accepted while `ready`.
    ready : bool, out
    state : unsigned(32), out
        Not inverted; stable while `ready`.
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "clear": In(1),
                "data": In(8),
                "valid": In(1),
                "ready": Out(1),
                "state": Out(32, init=CRC_START),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        bits = Signal(8)
        left = Signal(4)
        m.d.comb += self.ready.eq(left == 0)
        with m.If(self.clear):
            m.d.sync += [self.state.eq(CRC_START), left.eq(0)]
        with m.Elif(~self.ready):
            odd = self.state[0] ^ bits[0]
            m.d.sync += [
                self.state.eq((self.state >> 1) ^ Mux(odd, CRC_POLYNOMIAL, 0)),
                bits.eq(bits >> 1),
                left.eq(left - 1),
            ]
        with m.Elif(self.valid):
            m.d.sync += [bits.eq(self.data), left.eq(8)]
        return m

"""The serial line: 8 data bits, least significant first, no parity, one stop bit."""

from __future__ import annotations

from amaranth import Cat, Const, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

LEAST_DIVISOR = 4
"""Fewest clock cycles per bit with which the receiver still samples in the middle of a bit."""

FRAME_BITS = 10
"""Start bit, data, stop bit."""

LARGEST_ERROR = 0.02
"""Largest relative difference between the wanted and the real speed of the line."""


def divisor(clock_hz: float, baud: float) -> int:
    """Clock cycles per bit.

    Raises
    ------
    ValueError
        If no whole number of cycles comes within `LARGEST_ERROR` of the speed.
    """
    cycles = max(round(clock_hz / baud), 1)
    if cycles < LEAST_DIVISOR or abs(clock_hz / cycles / baud - 1) > LARGEST_ERROR:
        raise ValueError(f"{baud:g} baud cannot be made from a clock of {clock_hz:g} Hz")
    return cycles


class Receiver(wiring.Component):
    """Bytes from a serial line.

    Parameters
    ----------
    divisor : int
        Clock cycles per bit, at least `LEAST_DIVISOR`.

    Attributes
    ----------
    line : bool, in
        Asynchronous.
    data : unsigned(8), out; valid : bool, out; ready : bool, in
        A byte that is not taken before the next one is complete is lost, as is one without a stop
        bit.
    """

    def __init__(self, divisor: int) -> None:
        if divisor < LEAST_DIVISOR:
            raise ValueError(f"a bit must take at least {LEAST_DIVISOR} cycles, not {divisor}")
        self.divisor = divisor
        super().__init__({"line": In(1), "data": Out(8), "valid": Out(1), "ready": In(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        synchronised = Signal(3, init=0b111)
        line, falls = synchronised[1], synchronised[2] & ~synchronised[1]
        m.d.sync += synchronised.eq(Cat(self.line, synchronised[:2]))

        # `bits` is what is still to be sampled: start bit, data, stop bit.
        wait = Signal(range(self.divisor))
        bits = Signal(range(FRAME_BITS + 1))
        shift = Signal(8)
        with m.If(self.ready):
            m.d.sync += self.valid.eq(0)
        with m.If(bits == 0):
            with m.If(falls):
                m.d.sync += [bits.eq(FRAME_BITS), wait.eq(self.divisor // 2 - 1)]
        with m.Elif(wait != 0):
            m.d.sync += wait.eq(wait - 1)
        with m.Else():
            m.d.sync += [wait.eq(self.divisor - 1), bits.eq(bits - 1)]
            with m.If(bits == FRAME_BITS):
                with m.If(line):  # too short for a start bit
                    m.d.sync += bits.eq(0)
            with m.Elif(bits != 1):
                m.d.sync += shift.eq(Cat(shift[1:], line))
            with m.Elif(line):
                m.d.sync += [self.data.eq(shift), self.valid.eq(1)]
        return m


class Transmitter(wiring.Component):
    """Bytes to a serial line.

    Parameters
    ----------
    divisor : int
        Clock cycles per bit.

    Attributes
    ----------
    data : unsigned(8), in; valid : bool, in; ready : bool, out
    line : bool, out
    """

    def __init__(self, divisor: int) -> None:
        self.divisor = divisor
        super().__init__({"data": In(8), "valid": In(1), "ready": Out(1), "line": Out(1, init=1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        wait = Signal(range(self.divisor))
        bits = Signal(range(FRAME_BITS + 1))
        shift = Signal(FRAME_BITS - 1, init=-1)
        m.d.comb += self.ready.eq(bits == 0)
        with m.If(self.ready):
            with m.If(self.valid):
                m.d.sync += [
                    Cat(self.line, shift).eq(Cat(Const(0, 1), self.data, Const(1, 1))),
                    bits.eq(FRAME_BITS),
                    wait.eq(self.divisor - 1),
                ]
        with m.Elif(wait != 0):
            m.d.sync += wait.eq(wait - 1)
        with m.Else():
            m.d.sync += [
                Cat(self.line, shift).eq(Cat(shift, Const(1, 1))),
                bits.eq(bits - 1),
                wait.eq(self.divisor - 1),
            ]
        return m

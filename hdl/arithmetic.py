"""Pipelined integer arithmetic: delays, wide products, rounding shifts, saturation, division."""

from __future__ import annotations

from amaranth import Cat, Const, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..compiler.encoding import SHIFT_BITS
from ..compiler.kernels.pipeline import multiplier_bits, multiplier_chunks
from ..compiler.machine import Machine
from .primitives import add_multiplier

RESCALE_LATENCY = 7


def register(m: Module, value: Value, name: str | None = None) -> Signal:
    """`value`, one cycle later."""
    later = Signal(value.shape(), name=name)
    m.d.sync += later.eq(value)
    return later


def delay(m: Module, value: Value, cycles: int, name: str = "delayed") -> Value:
    """`value`, some cycles later."""
    for n in range(cycles):
        value = register(m, value, f"{name}_{n + 1}")
    return value


def _chunks(value: Value, machine: Machine) -> list[tuple[Value, int]]:
    """Signed pieces of a signed value, each no wider than a multiplier, with their weights."""
    step = multiplier_bits(machine) - 1
    count = multiplier_chunks(len(value), machine)
    pieces: list[tuple[Value, int]] = [
        (Cat(value[n * step : (n + 1) * step], Const(0, 1)).as_signed(), n * step)
        for n in range(count - 1)
    ]
    return [*pieces, (value[(count - 1) * step :].as_signed(), (count - 1) * step)]


def multiply(m: Module, a: Value, b: Value, machine: Machine, name: str) -> Value:
    """Signed product of `a` and `b`, `multiply_latency` cycles later."""
    bits = len(a) + len(b)
    partial: list[Value] = []
    for i, (x, i_weight) in enumerate(_chunks(a, machine)):
        for j, (y, j_weight) in enumerate(_chunks(b, machine)):
            product = Signal(signed(len(x) + len(y)), name=f"{name}_product_{i}_{j}")
            add_multiplier(m, f"{name}_multiplier_{i}_{j}", x, y, product)
            partial.append((product << (i_weight + j_weight))[:bits].as_signed())
    level = 0
    while len(partial) > 1:
        sums = []
        for n in range(0, len(partial), 2):
            total = Signal(signed(bits), name=f"{name}_sum_{level}_{n // 2}")
            m.d.sync += total.eq(sum(partial[n + 1 : n + 2], partial[n]))
            sums.append(total)
        partial, level = sums, level + 1
    # A single product may be narrower than the shift-and-slice above makes it look.
    result = Signal(signed(bits), name=f"{name}_result")
    m.d.comb += result.eq(partial[0])
    return result


def rounding_constant(m: Module, amount: Value, bits: int, name: str) -> Signal:
    """Half of the last place of a right shift by `amount` (0 for no shift), one cycle later.

    `bits` is the width of the number to be shifted; amounts up to ``bits + 1`` are meant.
    """
    half = Signal(unsigned(bits + 1), name=name)
    m.d.sync += half.eq(Mux(amount == 0, 0, Const(1, 1) << (amount - 1)[:SHIFT_BITS]))
    return half


def shift_right(m: Module, value: Value, amount: Value, half: Value, name: str) -> Signal:
    """``(value + half) >> amount``, `SHIFT_LATENCY` cycles later; both stand still."""
    total = register(m, value + half, f"{name}_rounded")
    bits = len(value) + 2
    fine = Signal(signed(bits), name=f"{name}_fine")
    coarse = Signal(signed(bits), name=f"{name}_coarse")
    m.d.sync += fine.eq(total >> amount[:3])
    m.d.sync += coarse.eq(fine >> (amount[3:] << 3))
    return coarse


def _shift_left(value: Value, amount: Value, steps: range) -> tuple[Value, Value]:
    """Shift by the bits `steps` of `amount`: result of the same width, and overflow."""
    overflow: Value = Const(0, 1)
    bits = len(value)
    value = value.as_unsigned()
    for step in steps:
        by = 1 << step
        if by >= bits:
            lost, moved = value.any(), Const(0, bits)
        else:
            top = value[bits - 1 - by :]
            lost = top.any() & ~top.all()
            moved = Cat(Const(0, by), value[: bits - by])
        overflow = overflow | (amount[step] & lost)
        value = Mux(amount[step], moved, value)
    return value, overflow


class Rescale(wiring.Component):
    """Multiply by a power of two, round, saturate; `RESCALE_LATENCY` cycles, one number per cycle.

    `right` and `left` must stand still, two cycles before the first number at the latest; one of
    them must be 0. `low` and `high` are the limits (``low <= 0 <= high``).

    Parameters
    ----------
    in_bits, out_bits : int
        Widths (signed).

    Attributes
    ----------
    x : signed(in_bits), in
    right, left : unsigned, in
    low, high : signed(out_bits), in
    y : signed(out_bits), out
    limited : bool, out
        Goes with `y`.
    """

    def __init__(self, in_bits: int, out_bits: int) -> None:
        super().__init__(
            {
                "x": In(signed(in_bits)),
                "right": In(SHIFT_BITS),
                "left": In(SHIFT_BITS),
                "low": In(signed(out_bits)),
                "high": In(signed(out_bits)),
                "y": Out(signed(out_bits)),
                "limited": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """The component as an Amaranth module."""
        m = Module()
        half = rounding_constant(m, self.right, len(self.x), "half")
        shifted = shift_right(m, self.x, self.right, half, "right")
        bits = len(self.y)

        fitted = Signal(signed(bits))
        overflow, sign = Signal(), Signal()
        above, below = shifted > self.high, shifted < self.low
        m.d.sync += [
            fitted.eq(Mux(above, self.high, Mux(below, self.low, shifted))),
            overflow.eq(above | below),
            sign.eq(shifted < 0),
        ]
        for stage, steps in enumerate((range(3), range(3, SHIFT_BITS))):
            moved, lost = _shift_left(fitted, self.left, steps)
            after = Signal(signed(bits), name=f"left_{stage}")
            after_overflow = Signal(name=f"overflow_{stage}")
            negative = Signal(name=f"negative_{stage}")
            m.d.sync += [
                after.eq(moved),
                after_overflow.eq(overflow | lost),
                negative.eq(sign),
            ]
            fitted, overflow, sign = after, after_overflow, negative
        above, below = fitted > self.high, fitted < self.low
        m.d.sync += [
            self.limited.eq(overflow | above | below),
            self.y.eq(
                Mux(
                    overflow,
                    Mux(sign, self.low, self.high),
                    Mux(above, self.high, Mux(below, self.low, fitted)),
                )
            ),
        ]
        return m


def divide(m: Module, a: Value, b: Value, n: int, name: str) -> Signal:
    """The fraction ``a / b`` as `KernelCode`'s ``divide`` defines it, ``n + 3`` cycles later."""
    bits = len(b)
    zero, one = Signal(name=f"{name}_zero"), Signal(name=f"{name}_one")
    rest = Signal(unsigned(bits), name=f"{name}_rest")
    divisor = Signal(unsigned(bits), name=f"{name}_divisor")
    # Where 0 < a < b, the only case in which the quotient is used, both are unsigned and fit.
    m.d.sync += [
        zero.eq(a <= 0),
        one.eq((b <= a) | (b <= 0)),
        rest.eq(a[:bits] if len(a) >= bits else a),
        divisor.eq(b),
    ]
    quotient: Value = Const(0, 0)
    for step in range(n + 1):
        doubled = Cat(Const(0, 1), rest)
        fits = doubled >= divisor
        next_rest = Signal(unsigned(bits), name=f"{name}_rest_{step}")
        m.d.sync += next_rest.eq(Mux(fits, doubled - divisor, doubled))
        quotient = register(m, Cat(fits, quotient), f"{name}_quotient_{step}")
        divisor = register(m, divisor, f"{name}_divisor_{step}")
        zero = register(m, zero, f"{name}_zero_{step}")
        one = register(m, one, f"{name}_one_{step}")
        rest = next_rest
    result = Signal(unsigned(n + 1), name=f"{name}_result")
    m.d.sync += result.eq(Mux(zero, 0, Mux(one, 1 << n, (quotient + 1) >> 1)))
    return result

"""Pipelined integer arithmetic: delays, wide products, rounding shifts, saturation, division."""

from __future__ import annotations

from collections.abc import Mapping

from amaranth import Cat, Const, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..compiler.encoding import SHIFT_BITS
from ..compiler.kernels.pipeline import (
    DIVIDE_STEPS,
    RESCALE_STEPS,
    multiplier_bits,
    multiplier_chunks,
)
from ..compiler.machine import Machine
from .primitives import add_multiplier


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


class Steps:
    """A chain of simple operations with a register behind every few of them, and the last.

    Parameters
    ----------
    m : Module
    machine : Machine
        Says how many operations a stage takes.
    count : int
        Operations of the whole chain.
    """

    def __init__(self, m: Module, machine: Machine, count: int) -> None:
        self.m, self.each, self.count = m, machine.operations_per_stage, count
        self.done = 0

    def after(self, values: Mapping[str, Value]) -> list[Signal]:
        """What the next operation made of all signals of the chain, each with a name."""
        self.done += 1
        domain = self.m.d.sync
        if self.done % self.each and self.done < self.count:
            domain = self.m.d.comb
        signals = []
        for name, value in values.items():
            signal = Signal(Value.cast(value).shape(), name=name)
            domain += signal.eq(value)
            signals.append(signal)
        return signals


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
    levels = Steps(m, machine, (len(partial) - 1).bit_length())
    while len(partial) > 1:
        sums = {
            f"{name}_sum_{levels.done}_{n // 2}": sum(partial[n + 1 : n + 2], partial[n])[:bits]
            for n in range(0, len(partial), 2)
        }
        partial = [total.as_signed() for total in levels.after(sums)]
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


def shift_right(steps: Steps, value: Value, amount: Value, half: Value, name: str) -> Signal:
    """``(value + half) >> amount`` in three operations; `amount` and `half` stand still."""
    bits = len(value) + 2
    (total,) = steps.after({f"{name}_rounded": (value + half)[:bits].as_signed()})
    (fine,) = steps.after({f"{name}_fine": total >> amount[:3]})
    (coarse,) = steps.after({f"{name}_coarse": fine >> (amount[3:] << 3)})
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
    """Multiply by a power of two, round, saturate; `RESCALE_STEPS`, one number per cycle.

    `right` and `left` must stand still, two cycles before the first number at the latest; one of
    them must be 0. `low` and `high` are the limits (``low <= 0 <= high``).

    Parameters
    ----------
    machine : Machine
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

    def __init__(self, machine: Machine, in_bits: int, out_bits: int) -> None:
        self.machine = machine
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
        steps = Steps(m, self.machine, RESCALE_STEPS)
        half = rounding_constant(m, self.right, len(self.x), "half")
        shifted = shift_right(steps, self.x, self.right, half, "right")
        fitted, beyond = self._limit(shifted)
        value, overflow, negative = steps.after(
            {"fitted": fitted, "beyond": beyond, "negative": shifted < 0}
        )
        for stage, bits in enumerate((range(3), range(3, SHIFT_BITS))):
            moved, lost = _shift_left(value, self.left, bits)
            value, overflow, negative = steps.after(
                {
                    f"left_{stage}": moved.as_signed(),
                    f"overflow_{stage}": overflow | lost,
                    f"negative_{stage}": negative,
                }
            )
        fitted, beyond = self._limit(value)
        extreme = Mux(negative, self.low, self.high)
        limited, y = steps.after(
            {"limited_y": overflow | beyond, "limit": Mux(overflow, extreme, fitted)}
        )
        m.d.comb += [self.limited.eq(limited), self.y.eq(y)]
        return m

    def _limit(self, value: Value) -> tuple[Value, Value]:
        """`value` within the limits, and whether it was beyond."""
        above, below = value > self.high, value < self.low
        fitted = Mux(above, self.high, Mux(below, self.low, value))
        return fitted[: len(self.y)].as_signed(), above | below


def divide(m: Module, a: Value, b: Value, n: int, machine: Machine, name: str) -> Signal:
    """The fraction ``a / b`` as `KernelCode`'s ``divide`` defines it, in ``n + 3`` operations."""
    bits = len(b)
    steps = Steps(m, machine, n + DIVIDE_STEPS)
    # Where 0 < a < b, the only case in which the quotient is used, both are unsigned and fit.
    wide = Signal(signed(max(bits, len(a))), name=f"{name}_dividend")
    m.d.comb += wide.eq(a)
    zero, one, rest, divisor = steps.after(
        {
            f"{name}_zero": a <= 0,
            f"{name}_one": (b <= a) | (b <= 0),
            f"{name}_rest": wide[:bits],
            f"{name}_divisor": b.as_unsigned(),
        }
    )
    quotient: Value = Const(0, 0)
    for step in range(n + 1):
        doubled = Cat(Const(0, 1), rest)
        fits = doubled >= divisor
        rest, quotient, divisor, zero, one = steps.after(
            {
                f"{name}_rest_{step}": Mux(fits, doubled - divisor, doubled)[:bits],
                f"{name}_quotient_{step}": Cat(fits, quotient),
                f"{name}_divisor_{step}": divisor,
                f"{name}_zero_{step}": zero,
                f"{name}_one_{step}": one,
            }
        )
    rounded = ((quotient + 1) >> 1)[: n + 1]
    (result,) = steps.after(
        {f"{name}_result": Mux(zero, Const(0, n + 1), Mux(one, Const(1 << n, n + 1), rounded))}
    )
    return result

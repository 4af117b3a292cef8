"""Pipelined integer arithmetic: delays, wide products, rounding shifts, saturation, division."""

from __future__ import annotations

from collections.abc import Mapping

from amaranth import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..compiler.encoding import SHIFT_BITS
from ..compiler.kernels.pipeline import (
    DIVIDE_STEPS,
    RESCALE_STEPS,
    division_steps_per_stage,
    multiplier_bits,
    multiplier_chunks,
    multiplier_latency,
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
    each : int
        Operations in a stage.
    count : int
        Operations of the whole chain.
    """

    def __init__(self, m: Module, each: int, count: int) -> None:
        self.m, self.each, self.count = m, each, count
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
            latency = multiplier_latency(machine)
            add_multiplier(m, f"{name}_multiplier_{i}_{j}", x, y, product, latency)
            partial.append((product << (i_weight + j_weight))[:bits].as_signed())
    levels = Steps(m, machine.operations_per_stage, (len(partial) - 1).bit_length())
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


def shift_right(
    steps: Steps, value: Value, amount: Value, name: str, rounds: bool = True
) -> Signal:
    """`value` shifted to the right by `amount`, rounded: three operations.

    The number is shifted with one bit more behind the point, on which 1 is added at the end; that
    is the same as adding half before the shift. Two operations leave that bit, if another one
    `rounds`. `amount` stands still.
    """
    longer = Cat(Const(0, 1), value).as_signed()
    (coarse,) = steps.after({f"{name}_coarse": longer >> (amount[3:] << 3)})
    (fine,) = steps.after({f"{name}_fine": coarse >> amount[:3]})
    if not rounds:
        return fine
    (rounded,) = steps.after({f"{name}_rounded": ((fine + 1) >> 1)[: len(value)].as_signed()})
    return rounded


class Rescale(wiring.Component):
    """Multiply by a power of two, round, saturate; `RESCALE_STEPS`, one number per cycle.

    `right` and `left` must stand still, two cycles before the first number at the latest; one of
    them must be 0. `low` and `high` are the limits (``low <= 0 <= high``).

    Parameters
    ----------
    machine : Machine
    in_bits, out_bits : int
        Widths (signed).
    full : bool
        The limits are those of `out_bits`: `low` and `high` need not be given.

    Attributes
    ----------
    x : signed(in_bits), in
    right, left : unsigned, in
    low, high : signed(out_bits), in
    y : signed(out_bits), out
    limited : bool, out
        Goes with `y`.
    """

    def __init__(self, machine: Machine, in_bits: int, out_bits: int, full: bool = False) -> None:
        self.machine, self.full = machine, full
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
        steps = Steps(m, self.machine.operations_per_stage, RESCALE_STEPS)
        # With one bit more behind the point, on which 1 is added at the end, as in `shift_right`.
        wide = Signal(1 + max(len(self.x), len(self.y)), name="wide")
        m.d.comb += wide.eq(Cat(Const(0, 1), self.x).as_signed())
        # One shifter for both directions: to the left it works on the reversed number.
        leftwards = register(m, self.left != 0, "leftwards")
        amount = register(m, self.left | self.right, "amount")
        sign, fill = wide[-1], wide[-1] & ~leftwards
        value, sign, fill = steps.after(
            {"turned": Mux(leftwards, wide[::-1], wide), "turned_sign": sign, "turned_fill": fill}
        )
        value, lost = _shift(value, amount, range(3), fill, sign)
        value, lost, sign, fill = steps.after(
            {"fine": value, "fine_lost": lost, "fine_sign": sign, "fine_fill": fill}
        )
        value, also_lost = _shift(value, amount, range(3, SHIFT_BITS), fill, sign)
        value = Mux(leftwards, value[::-1], value)
        lost = leftwards & (lost | also_lost | (value[-1] != sign))
        value, lost, sign = steps.after({"coarse": value, "coarse_lost": lost, "coarse_sign": sign})
        value, lost, sign = steps.after(
            {"rounded": (value.as_signed() + 1) >> 1, "lost": lost, "sign": sign}
        )
        if self.full:  # what fits has nothing but signs above
            top = value[len(self.y) - 1 :]
            above, below = ~value[-1] & top.any(), value[-1] & ~top.all()
        else:
            above, below = value > self.high, value < self.low
        above, below, value = steps.after(
            {
                "above": Mux(lost, ~sign, above),
                "below": Mux(lost, sign, below),
                "inside": value[: len(self.y)],
            }
        )
        low, high = self.low, self.high
        if self.full:
            low, high = Const(-1 << (len(low) - 1), low.shape()), Const(~(-1 << (len(low) - 1)))
        limited, y = steps.after(
            {
                "beyond": above | below,
                "fitted": Mux(above, high, Mux(below, low, value.as_signed())),
            }
        )
        m.d.comb += [self.limited.eq(limited), self.y.eq(y)]
        return m


def _shift(
    value: Value, amount: Value, steps: range, fill: Value, sign: Value
) -> tuple[Value, Value]:
    """Shift right by the bits `steps` of `amount`; also whether bits unlike `sign` fell out."""
    lost: Value = Const(0, 1)
    bits = len(value)
    for step in steps:
        by = min(1 << step, bits)
        lost = lost | (amount[step] & (value[:by] ^ sign.replicate(by)).any())
        value = Mux(amount[step], Cat(value[by:], fill.replicate(by)), value)
    return value, lost


def divide(m: Module, a: Value, b: Value, n: int, machine: Machine, name: str) -> Signal:
    """The fraction ``a / b`` as `KernelCode`'s ``divide`` defines it, in ``n + 3`` operations."""
    bits = len(b)
    steps = Steps(m, division_steps_per_stage(machine), n + DIVIDE_STEPS)
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
        difference = (doubled - divisor)[: bits + 2]
        fits = ~difference[-1]
        rest, quotient, divisor, zero, one = steps.after(
            {
                f"{name}_rest_{step}": Mux(fits, difference, doubled)[:bits],
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

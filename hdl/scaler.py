"""The unit that multiplies with a scaled parameter; all kernels share it, for only one runs."""

from __future__ import annotations

from amaranth import Cat, Const, Module, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..compiler.encoding import SHIFT_BITS
from ..compiler.kernels.pipeline import SHIFT_STEPS
from ..compiler.machine import Machine
from .arithmetic import Steps, multiply, shift_right


class Scaler(wiring.Component):
    """``x * mantissa * 2**-shift``, rounded: a multiplication and a shift, one number per cycle.

    Parameters
    ----------
    machine : Machine
    x_bits, y_bits : int
        Widths (signed); of a larger result the lowest `y_bits` are kept.
    zeros : int
        So many zeros stand behind the product, before it is shifted.
    rounds : bool
        Else `y` has one bit more, behind the point, and comes a step earlier.

    Attributes
    ----------
    x : signed(x_bits), in
    mantissa : signed, in; shift : unsigned, in
        They stand still.
    y : signed(y_bits), out
    """

    def __init__(
        self, machine: Machine, x_bits: int, y_bits: int, zeros: int = 0, rounds: bool = True
    ) -> None:
        self.machine, self.zeros, self.rounds = machine, zeros, rounds
        super().__init__(
            {
                "x": In(signed(x_bits)),
                "mantissa": In(signed(machine.parameter_bits)),
                "shift": In(SHIFT_BITS),
                "y": Out(signed(y_bits if rounds else y_bits + 1)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """The component as an Amaranth module."""
        m = Module()
        product = multiply(m, self.x, self.mantissa, self.machine, "product")
        product = Cat(Const(0, self.zeros), product).as_signed()
        count = SHIFT_STEPS if self.rounds else SHIFT_STEPS - 1
        steps = Steps(m, self.machine.operations_per_stage, count)
        m.d.comb += self.y.eq(shift_right(steps, product, self.shift, "shift", self.rounds))
        return m

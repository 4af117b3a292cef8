"""Tracing: real-valued equations become integer operations with known ranges.

A traced value is an `Expression`: a result number in a `Tracer`'s list of operations together with
its fixed-point format. Python's operators and the functions of this module work on it; the same
functions work on NumPy arrays in float, which is how one definition of a kernel serves both.

Formats follow from the declarations alone, by three rules:

- a sum or comparison first shifts the operand with fewer fraction bits left (exact);
- a product is rounded to the larger number of fraction bits of its two factors; a number written
  in the equations has at most as many significant bits as a parameter there;
- what is stored is rounded to the format declared for it, and limited to its range (counted).

Where a declared format is wider than the machine's words, it loses fraction bits: inputs, states
and constants keep to `Machine.state_bits`, entries of tables to `Machine.parameter_bits`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..errors import KernelError
from .code import Op, Parameter, Table, signed_bits
from .parameters import ParameterExpression
from .refusals import UFUNCS, Traced
from .source import line_here

WIDEST = 62
"""Bits that a result may have: engines compute in 64-bit words."""

LARGEST_TABLE = 4096

LARGEST_AS_WEIGHT = 8.0

FACTOR_BITS = 3
"""Fewer fraction bits than its result has may stand in front of a factor in a rule."""

STEEPEST_STEP = 4096.0
"""What a rule multiplies with a scaled parameter may reach so many times the weights' range: that
is where all signals are at the ends of their ranges at once, which they seldom are."""


def fitting(limits: tuple[float, float], fraction: int, bits: int) -> int:
    """As many fraction bits as a word of `bits` has for a range, at most `fraction`.

    Where the upper limit is a power of two, the word may end just below it.
    """
    largest = max(abs(limits[0]), abs(limits[1]))
    whole = math.ceil(math.log2(largest)) if largest > 0 else 0
    return max(0, min(fraction, bits - 1 - whole))


@dataclass
class Tracer:
    """Collects the operations of one kernel while its equations are run once.

    Attributes
    ----------
    product_bits : int or None
        For rules: a product keeps all its bits, but for as many as pass this width.
    scaled_fraction : int or None
        For rules: what is multiplied with a scaled parameter gets this many fraction bits, and the
        same parameter may multiply values of different formats.
    lines : list of str
        The user's line that each operation comes from.
    index_bits : int or None
        Populations have at most ``2**index_bits`` neurons; None where there is no population to
        reduce over (rules).
    """

    kernel: str
    parameter_bits: int
    state_bits: int
    product_bits: int | None = None
    scaled_fraction: int | None = None
    index_bits: int | None = None
    ops: list[Op] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    parameters: dict[Parameter, ParameterExpression] = field(default_factory=dict)
    tables: dict[Table, ParameterExpression] = field(default_factory=dict)
    _known: dict[tuple[Any, ...], int] = field(default_factory=dict)
    _users: dict[str, list[int]] = field(default_factory=dict)

    def op(self, kind: str, args: tuple[int | str, ...], lo: int, hi: int, f: int) -> Expression:
        """Append an operation, or reuse the same one; its range must fit 62 bits."""
        key = (kind, args, f)
        if key not in self._known:
            if max(abs(lo), abs(hi)).bit_length() > WIDEST:
                raise KernelError(
                    f"kernel {self.kernel}: a '{kind}' needs more than {WIDEST} bits; "
                    "declare smaller ranges or fewer fraction bits"
                )
            self._known[key] = len(self.ops)
            self.ops.append(Op(kind, args, lo, hi, f))
            self.lines.append(line_here())
        number = self._known[key]
        op = self.ops[number]
        return Expression(self, number, op.lo, op.hi, op.fraction)

    def constant(self, value: float, fraction: int) -> Expression:
        """A number written in the equations, exact or rounded to `fraction` bits."""
        n = round(value * 2**fraction)
        return self.op("const", (n,), n, n, fraction)

    def unused_name(self, name: str, operand: int) -> str:
        """`name`, numbered where it already multiplies something else than `operand`."""
        users = self._users.setdefault(name, [])
        if operand not in users:
            users.append(operand)
        number = users.index(operand)
        return f"{name} ({number + 1})" if number else name

    def bind(self, parameter: Parameter, expression: ParameterExpression) -> None:
        """Remember how the value of an uploaded parameter is computed."""
        self.parameters.setdefault(parameter, expression)


class Expression(Traced):
    """A traced value: result number, integer range, fraction bits."""

    def __init__(self, tracer: Tracer, number: int, lo: int, hi: int, fraction: int) -> None:
        self.tracer = tracer
        self.number = number
        self.lo = lo
        self.hi = hi
        self.fraction = fraction

    # -- formats -----------------------------------------------------------------------------

    def with_fraction(self, fraction: int) -> Expression:
        """The value with another number of fraction bits (rounded if fewer)."""
        n = fraction - self.fraction
        if n == 0:
            return self
        if self.lo == self.hi and n > 0 and self.tracer.ops[self.number].kind == "const":
            return self.tracer.op("const", (self.lo << n,), self.lo << n, self.lo << n, fraction)
        if n > 0:
            return self.tracer.op("shl", (self.number, n), self.lo << n, self.hi << n, fraction)
        op = self.tracer.ops[self.number]
        if self.tracer.product_bits is not None and op.kind == "round":
            inner = self.tracer.ops[op.operands[0]]  # once is nearer than twice
            exact = Expression(self.tracer, op.operands[0], inner.lo, inner.hi, inner.fraction)
            return exact.with_fraction(fraction)
        half = 1 << (-n - 1)
        return self.tracer.op(
            "round", (self.number, -n), (self.lo + half) >> -n, (self.hi + half) >> -n, fraction
        )

    def limited(self, lo: int, hi: int) -> Expression:
        """The value limited to the integers lo..hi, counting each time that it limits."""
        if self.lo >= lo and self.hi <= hi:
            return self
        new_lo, new_hi = min(max(self.lo, lo), hi), max(min(self.hi, hi), lo)
        return self.tracer.op("sat", (self.number, lo, hi), new_lo, new_hi, self.fraction)

    def _traced(self, other: Any) -> Expression:
        if isinstance(other, Expression):
            return other
        if isinstance(other, (int, float, np.number)):
            value = float(other)
            exact = next((f for f in range(31) if (value * 2**f).is_integer()), 30)
            return self.tracer.constant(value, max(exact, 0))
        if isinstance(other, ParameterExpression):
            raise KernelError(
                f"kernel {self.tracer.kernel}: the parameter expression {other} meets a traced "
                "value; wrap it in scaled(..., bound) to multiply, else in constant(..., range)"
            )
        raise KernelError(f"kernel {self.tracer.kernel}: cannot compute with {other!r}")

    def _factor(self, other: Any) -> Expression:
        """The other factor; a number gets as many bits as a parameter has, if it needs so many."""
        if isinstance(other, (int, float, np.number)) and self.tracer.product_bits is None:
            exact = self._traced(other)
            fraction = self.tracer.parameter_bits - 1 - math.frexp(float(other))[1]
            if fraction < exact.fraction:
                return self.tracer.constant(float(other), max(fraction, 0))
            return exact
        return self._traced(other)

    def _scaled_fraction(self) -> int:
        given = self.tracer.scaled_fraction
        return self.fraction if given is None else given

    def _aligned(self, other: Any) -> tuple[Expression, Expression]:
        b = self._traced(other)
        fraction = max(self.fraction, b.fraction)
        return self.with_fraction(fraction), b.with_fraction(fraction)

    # -- arithmetic --------------------------------------------------------------------------

    def __add__(self, other: Any) -> Expression:
        a, b = self._aligned(other)
        args = (min(a.number, b.number), max(a.number, b.number))
        return self.tracer.op("add", args, a.lo + b.lo, a.hi + b.hi, a.fraction)

    __radd__ = __add__

    def __sub__(self, other: Any) -> Expression:
        a, b = self._aligned(other)
        return self.tracer.op("sub", (a.number, b.number), a.lo - b.hi, a.hi - b.lo, a.fraction)

    def __rsub__(self, other: Any) -> Expression:
        return self._traced(other) - self

    def __neg__(self) -> Expression:
        return self.tracer.op("neg", (self.number,), -self.hi, -self.lo, self.fraction)

    def __abs__(self) -> Expression:
        low = 0 if self.lo <= 0 <= self.hi else min(abs(self.lo), abs(self.hi))
        high = max(abs(self.lo), abs(self.hi))
        return self.tracer.op("abs", (self.number,), low, high, self.fraction)

    def __mul__(self, other: Any) -> Expression:
        if isinstance(other, Scaled):
            return other.times(self, self._scaled_fraction())
        b = self._factor(other)
        corners = [x * y for x in (self.lo, self.hi) for y in (b.lo, b.hi)]
        args = (min(self.number, b.number), max(self.number, b.number))
        product = self.tracer.op(
            "mul", args, min(corners), max(corners), self.fraction + b.fraction
        )
        bits = self.tracer.product_bits
        if bits is None:
            return product.with_fraction(max(self.fraction, b.fraction))
        excess = max(0, signed_bits(product.lo, product.hi) - bits)
        return product.with_fraction(product.fraction - excess)

    __rmul__ = __mul__

    # -- comparisons -------------------------------------------------------------------------

    def __eq__(self, other: Any) -> Any:
        a, b = self._aligned(other)
        return self._compare("eq", a, b)

    def __ne__(self, other: Any) -> Any:
        return ~(self == other)

    __hash__ = object.__hash__

    def _compare(self, kind: str, a: Expression, b: Expression) -> Expression:
        return self.tracer.op(kind, (a.number, b.number), 0, 1, 0)

    def __gt__(self, other: Any) -> Expression:
        a, b = self._aligned(other)
        return self._compare("gt", a, b)

    def __ge__(self, other: Any) -> Expression:
        a, b = self._aligned(other)
        return self._compare("ge", a, b)

    def __lt__(self, other: Any) -> Expression:
        a, b = self._aligned(other)
        return self._compare("gt", b, a)

    def __le__(self, other: Any) -> Expression:
        a, b = self._aligned(other)
        return self._compare("ge", b, a)

    def __and__(self, other: Expression) -> Expression:
        return self._logic("and", other)

    def __or__(self, other: Expression) -> Expression:
        return self._logic("or", other)

    def __invert__(self) -> Expression:
        self._check_truth(self)
        return self.tracer.op("not", (self.number,), 0, 1, 0)

    def _logic(self, kind: str, other: Expression) -> Expression:
        self._check_truth(self)
        self._check_truth(other)
        return self.tracer.op(kind, (self.number, other.number), 0, 1, 0)

    def _check_truth(self, value: Any) -> None:
        if not isinstance(value, Expression) or value.lo < 0 or value.hi > 1 or value.fraction:
            raise KernelError(
                f"kernel {self.tracer.kernel}: &, | and ~ need results of comparisons"
            )


class Scaled:
    """A parameter expression to multiply with: uploaded as mantissa and shift."""

    def __init__(self, expression: ParameterExpression, bound: float) -> None:
        self.expression = expression
        self.bound = bound

    def times(self, x: Expression, fraction: int) -> Expression:
        """``x`` times the parameter, rounded to `fraction` bits."""
        tracer = x.tracer
        largest = 1 << (tracer.parameter_bits - 1)
        name = self.expression.text
        if tracer.scaled_fraction is not None:
            # Zeros behind the number: then factors up to STEEPEST_STEP still shift to the right.
            x = x.with_fraction(max(x.fraction, tracer.scaled_fraction - FACTOR_BITS))
            name = tracer.unused_name(name, x.number)
        parameter = Parameter(name, True, -largest, largest - 1, x.fraction - fraction)
        tracer.bind(parameter, self.expression)
        names = [p.name for p in tracer.parameters if p.scaled and p.name == parameter.name]
        if len(names) > 1:
            raise KernelError(
                f"kernel {tracer.kernel}: {parameter.name} multiplies values of different formats"
            )
        magnitude = max(abs(x.lo), abs(x.hi)) * self.bound * 2.0 ** (fraction - x.fraction)
        reach = math.ceil(magnitude) + 1
        if tracer.scaled_fraction is not None:
            reach = round(self.bound * STEEPEST_STEP * 2.0**fraction)
        return tracer.op("scale", (x.number, parameter.name), -reach, reach, fraction)

    __array_ufunc__ = None

    def __mul__(self, other: Any) -> Any:
        if not isinstance(other, Expression):
            return NotImplemented
        return self.times(other, other._scaled_fraction())

    __rmul__ = __mul__


# -- the language's functions, in float and traced ----------------------------------------------


def _tracer(*values: Any) -> Tracer | None:
    return next((v.tracer for v in values if isinstance(v, Expression)), None)


def _expressions(*values: Any) -> list[Expression]:
    first = next(v for v in values if isinstance(v, Expression))
    aligned = [first._traced(v) for v in values]
    fraction = max(e.fraction for e in aligned)
    return [e.with_fraction(fraction) for e in aligned]


def minimum(a: Any, b: Any) -> Any:
    """The smaller of two values."""
    if (tracer := _tracer(a, b)) is None:
        return np.minimum(a, b)
    x, y = _expressions(a, b)
    return tracer.op("min", (x.number, y.number), min(x.lo, y.lo), min(x.hi, y.hi), x.fraction)


def maximum(a: Any, b: Any) -> Any:
    """The larger of two values."""
    if (tracer := _tracer(a, b)) is None:
        return np.maximum(a, b)
    x, y = _expressions(a, b)
    return tracer.op("max", (x.number, y.number), max(x.lo, y.lo), max(x.hi, y.hi), x.fraction)


def clip(x: Any, low: Any, high: Any) -> Any:
    """`x` limited to low..high; part of the equations, not counted as a saturation."""
    return minimum(maximum(x, low), high)


def select(condition: Any, a: Any, b: Any) -> Any:
    """`a` where the condition holds, else `b`."""
    if (tracer := _tracer(condition, a, b)) is None:
        return np.where(condition, a, b)
    if not isinstance(condition, Expression):
        raise KernelError(f"kernel {tracer.kernel}: select needs a traced condition")
    if not (isinstance(a, Expression) or isinstance(b, Expression)):
        a = condition._traced(a)
    x, y = _expressions(a, b)
    return tracer.op(
        "select",
        (condition.number, x.number, y.number),
        min(x.lo, y.lo),
        max(x.hi, y.hi),
        x.fraction,
    )


def floor(x: Any) -> Any:
    """The largest whole number not above `x`."""
    if (tracer := _tracer(x)) is None:
        return np.floor(x)
    if x.fraction == 0:
        return x
    return tracer.op("floor", (x.number, x.fraction), x.lo >> x.fraction, x.hi >> x.fraction, 0)


def rounded(x: Any, fraction: int) -> Any:
    """`x`, on the chip rounded to at most `fraction` bits behind the point; exact in float."""
    if not isinstance(x, Expression) or x.fraction <= fraction:
        return x
    return x.with_fraction(fraction)


def divide(a: Any, b: Any, bits: int) -> Any:
    """The fraction a / b where it lies in 0..1, to `bits` bits; 0 below and 1 above.

    It is 0 where a <= 0, and 1 where b <= a (also where b <= 0 < a), in float and in integers.
    """
    if (tracer := _tracer(a, b)) is None:
        a, b = np.broadcast_arrays(np.asarray(a, dtype=float), np.asarray(b, dtype=float))
        inside = (a > 0) & (a < b)
        quotient = np.divide(a, b, out=np.zeros(a.shape), where=inside)
        return np.where(inside, quotient, np.where(a > 0, 1.0, 0.0))
    x, y = _expressions(a, b)
    if max(abs(x.lo), abs(x.hi)).bit_length() + bits + 1 > WIDEST:
        raise KernelError(f"kernel {tracer.kernel}: divide needs more than {WIDEST} bits")
    return tracer.op("divide", (x.number, y.number, bits), 0, 1 << bits, bits)


def scaled(parameter: Any, bound: float = 1.0) -> Any:
    """A parameter expression to multiply a traced value with; its magnitude is at most `bound`.

    In a learning rule it can be left out: there the product of both is limited to many times the
    weights' range.
    """
    if isinstance(parameter, ParameterExpression):
        return Scaled(parameter, bound)
    return parameter


def as_weight(x: Any, fraction: int | None = None) -> Any:
    """`x` in the unit of the weight, so that the two can be added or compared; for rules.

    On the chip it may be at most `LARGEST_AS_WEIGHT` times as large as the weights' range, and is
    rounded to as many bits behind the point as the weight has, or to at most `fraction`.
    """
    if not isinstance(x, Expression):
        return x
    unit = ParameterExpression(lambda env: 1.0, "unit")
    most = x._scaled_fraction()
    bits = most if fraction is None else min(fraction, most)
    return Scaled(unit, LARGEST_AS_WEIGHT / STEEPEST_STEP).times(x, bits)


def scale(x: Any, parameter: Any, fraction: int) -> Any:
    """``x * parameter`` rounded to `fraction` bits (`parameter` from `scaled`)."""
    if isinstance(x, Expression):
        return parameter.times(x, fraction)
    return x * parameter


def constant(parameter: Any, range: tuple[float, float], fraction: int, like: Any) -> Any:
    """A parameter expression to add, compare or store: a register of a fixed format.

    `like` is any traced value of the kernel; in float it is ignored.
    """
    if not isinstance(like, Expression):
        return parameter
    expression = (
        parameter
        if isinstance(parameter, ParameterExpression)
        else ParameterExpression(lambda env: parameter, str(parameter))
    )
    fraction = fitting(range, fraction, like.tracer.state_bits)
    lo, hi = math.ceil(range[0] * 2**fraction), math.floor(range[1] * 2**fraction)
    register = Parameter(expression.text, False, lo, hi, fraction)
    like.tracer.bind(register, expression)
    return like.tracer.op("param", (expression.text,), lo, hi, fraction)


def table(f: Callable[[Any], Any], x: Any, range: tuple[float, float], fraction: int) -> Any:
    """``f(x)`` by a lookup table with one entry for each value that `x` can take.

    Parameters
    ----------
    f : callable
        Any function of one array; it may use the kernel's parameters and ``dt``.
    x : expression
        Must take at most 4096 values: round or clip it first.
    range : (float, float)
        Smallest and largest result; entries are limited to it.
    fraction : int
        Fraction bits of the result.
    """
    if (tracer := _tracer(x)) is None:
        return f(x)
    entries = x.hi - x.lo + 1
    if entries > LARGEST_TABLE:
        raise KernelError(
            f"kernel {tracer.kernel}: a table over {entries} values is too large "
            f"(at most {LARGEST_TABLE}); clip or round its argument first"
        )
    content = f(np.arange(x.lo, x.hi + 1) / 2.0**x.fraction)
    if not isinstance(content, ParameterExpression):
        fixed = content
        content = ParameterExpression(lambda env: fixed, "f(x)")
    content.where = line_here()
    fraction = fitting(range, fraction, tracer.parameter_bits)
    lo, hi = math.ceil(range[0] * 2**fraction), math.floor(range[1] * 2**fraction)
    entry = Table(f"table{len(tracer.tables)}", x.lo, entries, lo, hi, fraction)
    tracer.tables[entry] = content
    return tracer.op("table", (x.number, entry.name), lo, hi, fraction)


UFUNCS.update({"minimum": minimum, "maximum": maximum, "floor": floor})

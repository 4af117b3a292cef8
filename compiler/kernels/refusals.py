"""What cannot be done with a traced value, and what to write instead.

Equations are run once, on symbols. Python's `if`, loops, and functions of NumPy or `math` would
need numbers; each such attempt is refused with its remedy. Functions of NumPy that the language has
too just work.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from ..errors import KernelError
from .parameters import ParameterExpression

_DIVISION = (
    "`/` by, or of,",
    "divide(a, b, bits) for a fraction between 0 and 1 (it says what a division by zero gives), or "
    "table(lambda x: 1 / x, x, range, fraction) of something that cannot be zero",
)

UFUNCS: dict[str, Callable[..., Any]] = {
    "add": operator.add,
    "subtract": operator.sub,
    "multiply": operator.mul,
    "divide": operator.truediv,
    "power": operator.pow,
    "square": lambda x: x * x,
    "negative": operator.neg,
    "absolute": abs,
    "greater": operator.gt,
    "greater_equal": operator.ge,
    "less": operator.lt,
    "less_equal": operator.le,
    "equal": operator.eq,
    "not_equal": operator.ne,
    "logical_and": operator.and_,
    "logical_or": operator.or_,
    "logical_not": operator.invert,
    "bitwise_and": operator.and_,
    "bitwise_or": operator.or_,
    "invert": operator.invert,
}
"""Functions of NumPy that the language has as well."""

_INSTEAD = {
    "where": "select(condition, a, b)",
    "clip": "clip(x, low, high) of the language",
    "any": "any_of(x)",
    "sum": "sum_of(x)",
    "max": "max_of(x)",
    "amax": "max_of(x)",
    "argmax": "winner(x)",
    "interp": "table(f, x, range, fraction) or curve(...)",
}


class Traced:
    """Base of traced values: methods that Python or NumPy call and that have no meaning here."""

    tracer: Any

    def _refuse(self, what: str, remedy: str) -> KernelError:
        return KernelError(f"kernel {self.tracer.kernel}: {what} a traced value; use {remedy}")

    def __bool__(self) -> bool:
        raise self._refuse(
            "`if`, `while`, `and`, `or`, `not`, min() or max() on",
            "select(condition, a, b), minimum, maximum, &, | or ~",
        )

    def __iter__(self) -> Any:
        raise self._refuse(
            "a loop over, or unpacking of,",
            "arithmetic: equations are for one neuron, any_of, sum_of, max_of and winner see all",
        )

    def __getitem__(self, index: Any) -> Any:
        raise self._refuse(
            "an index into", "select: equations are for one neuron, any_of ... winner see all"
        )

    def __setitem__(self, index: Any, value: Any) -> None:
        raise self._refuse("an assignment into", "select(condition, value, v)")

    def __len__(self) -> int:
        raise self._refuse("len() of", "a parameter: equations are for one neuron")

    def __float__(self) -> float:
        raise self._refuse(
            "a function of Python's math module, or float(), of",
            "table(f, x, range, fraction) or curve(...) with a function of NumPy",
        )

    def __index__(self) -> int:
        raise self._refuse("int() or range() of", "floor(x)")

    __int__ = __index__

    def __truediv__(self, other: Any) -> Any:
        if isinstance(other, (int, float, np.number)):
            if other == 0:
                raise self._refuse("a division by zero of", "another number")
            return operator.mul(self, 1 / float(other))
        if isinstance(other, ParameterExpression):
            raise self._refuse("`/` of a parameter and", "x * scaled(1 / parameter, bound)")
        raise self._refuse(*_DIVISION)

    def __rtruediv__(self, other: Any) -> Any:
        raise self._refuse(*_DIVISION)

    def __mod__(self, other: Any) -> Any:
        raise self._refuse("`%` of", "x - floor(x) for what is behind the point")

    __rmod__ = __mod__

    def __floordiv__(self, other: Any) -> Any:
        raise self._refuse("`//` of", "floor(x * factor)")

    __rfloordiv__ = __floordiv__

    def __pow__(self, exponent: Any) -> Any:
        if not isinstance(exponent, int) or not 1 <= exponent <= 4:
            raise self._refuse("this power of", "table(lambda x: x**p, x, range, fraction)")
        result: Any = self
        for _ in range(exponent - 1):
            result = result * self
        return result

    def __rpow__(self, base: Any) -> Any:
        raise self._refuse("a power with", "table(lambda x: a**x, x, range, fraction)")

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        operation = UFUNCS.get(ufunc.__name__)
        if operation is None or method != "__call__" or kwargs:
            raise self._refuse(
                f"np.{ufunc.__name__} of",
                f"table(np.{ufunc.__name__}, x, range, fraction) or curve(...)",
            )
        return operation(*(self._plain(i) for i in inputs))

    def _plain(self, operand: Any) -> Any:
        """A number of NumPy as one of Python, so that it leaves the operation to this class."""
        if not isinstance(operand, np.ndarray | np.generic):
            return operand
        if operand.size != 1:
            raise self._refuse("an array together with", "one number, or a state for each neuron")
        return operand.item()

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        remedy = _INSTEAD.get(function.__name__, "the functions of the language")
        raise self._refuse(f"np.{function.__name__} of", remedy)

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise self._refuse("a NumPy array of", "arithmetic on the value itself")

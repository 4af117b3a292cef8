"""Expressions over a kernel's parameters alone, evaluated in float when a Program is made.

While a kernel is traced, ``self.tau_rc`` or ``dt`` stand for a `ParameterExpression`. Arithmetic
and NumPy's functions on it give another one, so that ``np.expm1(-dt / self.tau_rc)`` written in a
kernel is computed once per population on the host and uploaded as one number (or one table).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..errors import KernelError

Environment = Mapping[str, float]

_SYMBOLS = {
    "add": "+",
    "subtract": "-",
    "multiply": "*",
    "divide": "/",
    "power": "**",
}


class ParameterExpression:
    """A function of a kernel's parameters and the time step.

    Parameters
    ----------
    evaluate : callable
        Takes the parameters' values by name (and ``dt``), returns a float or an array.
    text : str
        How to write it down.

    Attributes
    ----------
    where : str
        Of a table: the line of the user's text that asks for it.
    """

    def __init__(self, evaluate: Callable[[Environment], Any], text: str) -> None:
        self.evaluate = evaluate
        self.text = text
        self.where = ""

    def __repr__(self) -> str:
        return self.text

    def __format__(self, form: str) -> str:
        return self.text

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if method != "__call__" or kwargs:
            return NotImplemented
        for item in inputs:
            if not isinstance(item, (ParameterExpression, int, float, np.ndarray, np.number)):
                return NotImplemented
        functions = [_evaluator(item) for item in inputs]
        return ParameterExpression(
            lambda env: ufunc(*(f(env) for f in functions)), _text(ufunc.__name__, inputs)
        )

    def __bool__(self) -> bool:
        raise KernelError(
            f"`if`, `while`, `and`, `or`, min() or max() on the parameter expression {self}; the "
            "equations are traced once for all parameters: use np.minimum, np.maximum, or "
            "select(constant(...) > 0, a, b)"
        )

    def __float__(self) -> float:
        raise KernelError(
            "float() or a function of Python's math module of the parameter expression "
            f"{self}; use NumPy's function of that name"
        )

    def __iter__(self) -> Any:
        raise KernelError(f"a loop over the parameter expression {self}; it is one number")

    def __gt__(self, other: Any) -> Any:
        return self._binary(np.greater, other)

    def __ge__(self, other: Any) -> Any:
        return self._binary(np.greater_equal, other)

    def __lt__(self, other: Any) -> Any:
        return self._binary(np.less, other)

    def __le__(self, other: Any) -> Any:
        return self._binary(np.less_equal, other)

    def __eq__(self, other: Any) -> Any:
        return self._binary(np.equal, other)

    def __ne__(self, other: Any) -> Any:
        return self._binary(np.not_equal, other)

    __hash__ = object.__hash__

    def __pow__(self, other: Any) -> Any:
        return self._binary(np.power, other)

    def __rpow__(self, other: Any) -> Any:
        return self._binary(np.power, other, swapped=True)

    def __abs__(self) -> Any:
        return np.absolute(self)  # type: ignore[call-overload]

    def __add__(self, other: Any) -> Any:
        return self._binary(np.add, other)

    def __radd__(self, other: Any) -> Any:
        return self._binary(np.add, other, swapped=True)

    def __sub__(self, other: Any) -> Any:
        return self._binary(np.subtract, other)

    def __rsub__(self, other: Any) -> Any:
        return self._binary(np.subtract, other, swapped=True)

    def __mul__(self, other: Any) -> Any:
        return self._binary(np.multiply, other)

    def __rmul__(self, other: Any) -> Any:
        return self._binary(np.multiply, other, swapped=True)

    def __truediv__(self, other: Any) -> Any:
        return self._binary(np.divide, other)

    def __rtruediv__(self, other: Any) -> Any:
        return self._binary(np.divide, other, swapped=True)

    def __neg__(self) -> Any:
        return np.negative(self)  # type: ignore[call-overload]

    def _binary(self, ufunc: np.ufunc, other: Any, swapped: bool = False) -> Any:
        if not isinstance(other, (ParameterExpression, int, float, np.ndarray, np.number)):
            return NotImplemented
        return ufunc(other, self) if swapped else ufunc(self, other)


def _evaluator(item: Any) -> Callable[[Environment], Any]:
    if isinstance(item, ParameterExpression):
        return item.evaluate
    return lambda env: item


def _text(name: str, inputs: tuple[Any, ...]) -> str:
    words = ["x" if isinstance(item, np.ndarray) and item.ndim else str(item) for item in inputs]
    if name in _SYMBOLS:
        return f"({words[0]} {_SYMBOLS[name]} {words[1]})"
    if name == "negative":
        return f"-{words[0]}"
    return f"{name}({', '.join(words)})"

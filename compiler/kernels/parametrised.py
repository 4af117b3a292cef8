"""Equations with declared parameters: what kernels and learning rules have in common."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from ..errors import KernelError


@dataclass(frozen=True)
class Parameter:
    """A number that a population gives to the kernel.

    Attributes
    ----------
    low, high : float
        Allowed range, ends included.
    default : float or None
        Value where none is given; None makes it required.
    unit : str
        For people: ``"s"``, ``"Hz"``, or empty.
    """

    low: float = -math.inf
    high: float = math.inf
    default: float | None = None
    unit: str = ""

    def __get__(self, instance: object, owner: type) -> Any:
        """The declaration itself; instances hold the value under the same name."""
        return self


class Parametrised:
    """Base of kernels and rules: declarations are class attributes, parameters become attributes.

    Parameters
    ----------
    **values : float
        One for each declared `Parameter` without a default.

    Raises
    ------
    KernelError
        If one is missing, unknown or outside its range.
    """

    def __init__(self, **values: float) -> None:
        declared = self.declared(Parameter)
        for name in values:
            if name not in declared:
                raise KernelError(f"{type(self).__name__} has no parameter {name!r}")
        for name, parameter in declared.items():
            value = values.get(name, parameter.default)
            if value is None:
                raise KernelError(f"{type(self).__name__} needs the parameter {name!r}")
            if not parameter.low <= value <= parameter.high:
                raise KernelError(
                    f"{type(self).__name__}.{name} = {value} is outside "
                    f"{parameter.low}..{parameter.high}"
                )
            setattr(self, name, float(value))

    @classmethod
    def declared(cls, kind: type) -> dict[str, Any]:
        """The declarations of one kind, by name, in the order of definition."""
        found: dict[str, Any] = {}
        for base in reversed(cls.__mro__):
            found.update({n: v for n, v in vars(base).items() if isinstance(v, kind)})
        return found

    @property
    def values(self) -> dict[str, float]:
        """The parameters' values by name."""
        return {name: getattr(self, name) for name in self.declared(Parameter)}

    def parameter_key(self) -> tuple[Any, ...]:
        """Equal for equal parameters of one class; for nothing but being compared."""
        return type(self), tuple(self.values.items())

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{n}={v:g}' for n, v in self.values.items())})"

"""Scales: which units meet in each operation of a rule, and what its parameters must absorb.

A free signal stands in the equations as a number between -1 and 1; what 1 is worth, its unit, is
chosen for each network. Every result has a unit that is a product of powers of those; sums and
comparisons need equal units on both sides. A parameter that is multiplied with may change the unit,
so it takes up whatever is missing: the power of each unit is worked out here, once per rule.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ..errors import KernelError
from .code import Op

Powers = dict[str, int]
"""Power of each unit, by the name of the signal; those of 0 are left out."""


@dataclass(frozen=True)
class Unit:
    """Powers of known units, and of parameters whose result has a unit that is still open."""

    powers: tuple[tuple[str, int], ...] = ()
    open: tuple[tuple[str, int], ...] = ()

    @classmethod
    def of(cls, powers: Mapping[str, int], open_: Mapping[str, int] | None = None) -> Unit:
        """Without what has the power 0."""
        return cls(
            tuple(sorted((k, n) for k, n in powers.items() if n)),
            tuple(sorted((k, n) for k, n in (open_ or {}).items() if n)),
        )

    def times(self, other: Unit, power: int = 1) -> Unit:
        """The unit times a power of another."""
        powers, opened = Counter(dict(self.powers)), Counter(dict(self.open))
        for name, n in other.powers:
            powers[name] += power * n
        for name, n in other.open:
            opened[name] += power * n
        return Unit.of(powers, opened)

    def __str__(self) -> str:
        parts = [name if n == 1 else f"{name}**{n}" for name, n in self.powers]
        return " * ".join(parts) or "no unit"


PLAIN = Unit()


@dataclass
class Scales:
    """Works out the unit of every result of a rule.

    Parameters
    ----------
    rule : str
        Name, for errors.
    free : set of str
        Names of the free signals; the weight's is ``"weight"``.
    where : callable
        Result number -> where in the user's text it comes from, for errors.
    """

    rule: str
    free: dict[str, str]
    where: Callable[[int], str] = lambda number: ""
    _solved: dict[str, Unit] = field(default_factory=dict)

    def absorbed(self, ops: list[Op], weight: int) -> dict[str, Powers]:
        """Powers of the units that each scaled parameter must be multiplied with.

        Parameters
        ----------
        ops : list of Op
        weight : int
            Number of the result that becomes the weight.

        Raises
        ------
        KernelError
            Results of different units are added or compared.
        """
        units: list[Unit | None] = []  # None: a zero, which suits any unit
        operands: dict[str, Unit] = {}
        for number, op in enumerate(ops):
            units.append(self._unit(number, op, units, operands))
        target = Unit.of({"weight": 1}) if "weight" in self.free else PLAIN
        self._equal(units[weight], target, weight, "becomes the weight")
        found = {}
        for name, operand in operands.items():
            result = self._resolved(Unit.of({}, {name: 1}))
            missing = self._resolved(operand).times(result, -1)
            found[name] = dict(missing.powers)  # what is open still is never compared: no unit
        return found

    def _unit(
        self, number: int, op: Op, units: list[Unit | None], operands: dict[str, Unit]
    ) -> Unit | None:
        inner = [units[i] for i in op.operands]
        match op.kind:
            case "weight":
                return Unit.of({"weight": 1}) if "weight" in self.free else PLAIN
            case "pre" | "post":
                name = str(op.args[0])
                return Unit.of({self.free[name]: 1}) if name in self.free else PLAIN
            case "const":
                return None if op.lo == op.hi == 0 else PLAIN
            case "mul":
                if None in inner:
                    return None
                return inner[0].times(inner[1])  # type: ignore[union-attr, arg-type]
            case "scale":
                name = str(op.args[1])
                operands[name] = inner[0] or PLAIN
                return Unit.of({}, {name: 1})
            case "add" | "sub" | "min" | "max":
                return self._equal(inner[0], inner[1], number, f"an operand of '{op.kind}'")
            case "select":
                return self._equal(inner[1], inner[2], number, "a choice of 'select'")
            case "gt" | "ge" | "eq" | "divide":
                self._equal(inner[0], inner[1], number, "compared")
                return PLAIN
            case "table":
                self._equal(inner[0], PLAIN, number, "the argument of a table")
                return PLAIN
            case "neg" | "abs" | "shl" | "round" | "floor" | "sat":
                return inner[0]
        return PLAIN

    def _resolved(self, unit: Unit) -> Unit:
        result = Unit.of(dict(unit.powers))
        for name, n in unit.open:
            known = self._solved.get(name)
            result = result.times(self._resolved(known) if known else Unit.of({}, {name: 1}), n)
        return result

    def _equal(self, a: Unit | None, b: Unit | None, number: int, what: str) -> Unit | None:
        if a is None or b is None:
            return a if b is None else b
        difference = self._resolved(a).times(self._resolved(b), -1)
        for name, n in difference.open:
            if abs(n) == 1:
                rest = dict(difference.open)
                del rest[name]
                self._solved[name] = PLAIN.times(Unit.of(dict(difference.powers), rest), -n)
                return self._resolved(a)
        if difference != PLAIN:
            where = self.where(number)
            raise KernelError(
                f"{where + ': ' if where else ''}rule {self.rule}: {what} has the unit "
                f"({self._resolved(a)}), the other ({self._resolved(b)}); signals without ranges "
                "only go together multiplied by scaled(...), or declare their ranges"
            )
        return self._resolved(a)

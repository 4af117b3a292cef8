"""Learning rules: the change of one weight, written once, as equations.

A rule is a class with declared parameters, a weight, states of a synapse and variables of the two
neurons, and a `step` in plain arithmetic::

    class PairSTDP(Rule):
        rate = Parameter(low=0, default=1e-3)
        tau = Parameter(low=1e-3, default=0.02, unit="s")
        weight = Weight(range=(0, 1))
        pre_spike, post_spike = Pre("spike"), Post("spike")
        pre_trace, post_trace = Pre("activity", tau="tau"), Post("activity", tau="tau")

        def step(self, now, dt):
            up = select(now.post_spike, now.pre_trace, 0)
            down = select(now.pre_spike, now.post_trace, 0)
            change = up * scaled(self.rate) - down * scaled(self.rate)
            return {"weight": clip(now.weight + change, 0, 1)}

As with kernels, `step` runs on NumPy arrays to give the float rule, and once on traced values to
give the integer code that all engines execute (`Rule.code`). It sees one synapse: nothing can
depend on the order of synapses.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import SimpleNamespace
from typing import Any, ClassVar, TypeAlias

import numpy as np

from ..errors import KernelError, RangeError
from ..machine import Machine
from .code import Op, Port, Table
from .code import Parameter as Register
from .expression import Expression, Tracer, fitting
from .gates import unchanged
from .kernel import named, needed, scaled_register
from .parameters import ParameterExpression
from .parametrised import Parameter, Parametrised
from .rule_code import GATES, RuleCode, Variable
from .scales import Powers, Scales
from .source import line_here, line_of_definition, located

Trace: TypeAlias = tuple[
    RuleCode,
    dict[Register, ParameterExpression],
    dict[Table, ParameterExpression],
    dict[str, Powers],
]
"""Code, how parameters and tables are computed, and the units that parameters absorb."""


class Located:
    """A declaration that remembers the user's line, for errors."""

    where: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "where", line_here())

    def error(self, rule: type, message: str) -> KernelError:
        """An error that names the line of the declaration and the rule."""
        return KernelError(f"{self.where}: rule {rule.__name__}: {message}")


@dataclass(frozen=True)
class Weight(Located):
    """The weight; without a range it is free: its unit is chosen for each network."""

    range: tuple[float, float] | None = None


@dataclass(frozen=True)
class Synapse(Located):
    """A state of each synapse: range, fraction bits and initial value.

    `initial` is a number, or (low, high) for values drawn evenly from there, one for each synapse.
    What `step` does not return stays as it is: a drawn constant is a device's own parameter.
    """

    range: tuple[float, float]
    fraction: int
    initial: float | tuple[float, float] = 0.0


@dataclass(frozen=True)
class Seen(Located):
    """Base of `Pre`, `Post` and `Error`: something that a rule sees.

    Attributes
    ----------
    of : str
        ``"spike"`` (1 in a step in which the neuron fires, else 0), ``"activity"`` (the output,
        filtered with the time constant that the parameter `tau` holds; as it is if `tau` is None),
        ``"input"`` (what the connection brings, before its weights), ``"gain"`` (the neuron's gain
        divided by the radius), ``"error"``, or the name of a state of the neuron type.
    range, fraction :
        Format; needed for states. Without them the variable is free.
    tau : str or None
        Name of a parameter of the rule, in seconds.
    """

    of: str = "activity"
    range: tuple[float, float] | None = None
    fraction: int | None = None
    tau: str | None = None
    side: ClassVar[str] = "post"


class Pre(Seen):
    """A variable of the pre neuron."""

    side = "pre"


class Post(Seen):
    """A variable of the post neuron."""


@dataclass(frozen=True)
class Error(Seen):
    """The learning signal: one number for each row of weights, or, if `scalar`, one for all."""

    of: str = "error"
    scalar: bool = False


class Rule(Parametrised):
    """Base of all learning rules; see the module's docstring.

    Attributes
    ----------
    gate : str or None
        ``"pre"``, ``"post"``, ``"either"`` or ``"always"``: without which spikes nothing changes.
        None: found from the equations. What is declared must be provable.
    modifies : str
        What it changes of a connection: ``"weights"``, ``"decoders"`` or ``"encoders"``.
    """

    gate: ClassVar[str | None] = None
    modifies: ClassVar[str] = "weights"
    weight: Any = Weight()

    def __init_subclass__(cls) -> None:
        """Refuse declarations whose names the base class needs itself."""
        super().__init_subclass__()
        for name, declared in vars(cls).items():
            if hasattr(Rule, name) and isinstance(declared, (Parameter, Synapse, Seen)):
                raise KernelError(
                    f"{line_here()}: rule {cls.__name__}: rules use {name!r} themselves, rename it"
                )

    def step(self, now: Any, dt: Any) -> dict[str, Any]:
        """One step of one synapse: new values of the weight and of the synapse's states."""
        raise KernelError(f"rule {type(self).__name__} defines no step")

    def step_float(self, now: Mapping[str, np.ndarray], dt: float) -> dict[str, np.ndarray]:
        """One step in float64, in the user's units.

        Parameters
        ----------
        now : mapping of name -> ndarray
            ``weight`` and the synapse's states (post, pre); variables of pre neurons (1, pre), of
            post neurons (post, 1).
        dt : float
            Seconds.

        Returns
        -------
        dict of name -> (post, pre) ndarray
            The weight and those states that `step` returns.
        """
        shape = np.shape(now["weight"])
        new = self.step(SimpleNamespace(**now), dt)
        return {name: np.broadcast_to(np.asarray(v, float), shape) for name, v in new.items()}

    @classmethod
    def seen(cls) -> dict[str, Seen]:
        """The declared variables by name."""
        return cls.declared(Seen)

    @classmethod
    def code(cls, machine: Machine) -> RuleCode:
        """The rule's integer code; depends on the machine's word widths only."""
        return cls._traced(machine)[0]

    @classmethod
    def _traced(cls, machine: Machine) -> Trace:
        this: Any = cls  # a class is hashable, which mypy does not believe
        return _trace(this, machine)  # type: ignore[no-any-return]

    def registers(
        self, dt: float, machine: Machine, units: Mapping[str, float]
    ) -> dict[str, int | tuple[int, int]]:
        """Values of the parameter registers: integers, or (mantissa, shift) if scaled.

        Parameters
        ----------
        dt : float
            Seconds.
        machine : Machine
        units : mapping of str -> float
            What 1 of the normal form of each free signal (and ``"weight"``) is worth.

        Raises
        ------
        RangeError
            If a single step would pass the range of the weights, or a parameter its format.
        """
        code, expressions, _, absorbed = self._traced(machine)
        environment = {**self.values, "dt": dt}
        found: dict[str, int | tuple[int, int]] = {}
        for register, expression in expressions.items():
            value = float(expression.evaluate(environment))
            if not math.isfinite(value):
                raise KernelError(f"{self!r}: the parameter {register.name} is not finite")
            if register.scaled:
                for name, power in absorbed[register.name].items():
                    value *= units[name] ** power
                found[register.name] = self._scaled(code, register, value)
            else:
                integer = round(value * 2**register.fraction)
                if not register.lo <= integer <= register.hi:
                    raise RangeError(
                        f"{self!r}: {register.name} = {value:g} is outside the range that the rule "
                        f"holds ({register.lo / 2**register.fraction:g}.."
                        f"{register.hi / 2**register.fraction:g})"
                    )
                found[register.name] = integer
        return found

    def _scaled(self, code: RuleCode, register: Register, value: float) -> tuple[int, int]:
        for op in code.ops:
            if op.kind == "scale" and op.args[1] == register.name:
                x = code.ops[op.operands[0]]
                reach = max(abs(x.lo), abs(x.hi)) * abs(value) * 2.0**-register.fraction
                if reach > op.hi:
                    raise RangeError(
                        f"{self!r}: {register.name} is {reach / op.hi:.3g} times too large: one "
                        "step could change a weight by far more than its range; make it smaller, "
                        "or give the weights a larger limit"
                    )
        return scaled_register(value, register)

    def table_entries(self, dt: float, machine: Machine) -> dict[str, np.ndarray]:
        """Entries of the tables by name, int64 (entries,)."""
        _, _, tables, _ = self._traced(machine)
        environment = {**self.values, "dt": dt}
        found = {}
        for table, expression in tables.items():
            with np.errstate(all="ignore"):
                content = np.asarray(expression.evaluate(environment), dtype=float)
            if not np.all(np.isfinite(content)):
                raise KernelError(
                    f"{expression.where}: {self!r}: this table is not finite everywhere "
                    f"(dt {dt:g}); clip its argument to where the function is"
                )
            integers = np.rint(np.broadcast_to(content, (table.entries,)) * 2.0**table.fraction)
            found[table.name] = np.clip(integers, table.lo, table.hi).astype(np.int64)
        return found


def unit_of(cls: type[Rule], name: str) -> str:
    """The variable whose unit a free variable has: all activities of one neuron share one."""
    seen = cls.seen()
    if seen[name].of != "activity":
        return name
    return next(n for n, s in seen.items() if s.of == "activity" and s.side == seen[name].side)


def full_limit(machine: Machine) -> int:
    """Largest magnitude of a full weight, so that rounding to a weight keeps within its word."""
    return ((1 << (machine.weight_bits - 1)) - 1) << machine.residual_bits


def full_bits(machine: Machine) -> int:
    """Width of a full weight."""
    return machine.weight_bits + machine.residual_bits


@cache
def _trace(cls: Any, machine: Machine) -> Trace:
    """Run a rule's equations once on traced values."""
    name = cls.__name__
    weight = _weight_port(cls, machine)
    inner = full_bits(machine) - 1
    tracer = Tracer(
        name,
        machine.parameter_bits,
        machine.state_bits,
        product_bits=full_bits(machine),
        scaled_fraction=inner if weight.fraction is None else weight.fraction,
    )
    rule = object.__new__(cls)
    for parameter in cls.declared(Parameter):
        setattr(rule, parameter, named(parameter))
    synapses = {n: _synapse_port(cls, n, s, machine) for n, s in cls.declared(Synapse).items()}
    variables = {n: _variable(cls, n, s, machine) for n, s in cls.seen().items()}
    now = {
        "weight": tracer.op("weight", (), weight.lo, weight.hi, tracer.scaled_fraction or 0),
        **{n: tracer.op("synapse", (n,), p.lo, p.hi, p.fraction or 0) for n, p in synapses.items()},
        **{n: tracer.op(v.side, (n,), v.lo, v.hi, v.fraction) for n, v in variables.items()},
    }
    with located(f"rule {name}", cls.step):
        new = rule.step(SimpleNamespace(**now), named("dt"))
    if not isinstance(new, dict) or "weight" not in new or set(new) - {"weight", *synapses}:
        raise KernelError(
            f"{line_of_definition(cls.step)}: rule {name}: step must return a dict with 'weight'"
            + (f" and any of {sorted(synapses)}" if synapses else "")
        )
    stored = {}
    for n, port in {"weight": weight, **synapses}.items():
        value = new.get(n, now[n])
        if isinstance(value, (int, float)):
            value = tracer.constant(float(value), now[n].fraction)
        if not isinstance(value, Expression):
            raise KernelError(
                f"{line_of_definition(cls.step)}: rule {name}: step returned {value!r} for {n}, no "
                "traced value"
            )
        stored[n] = value.with_fraction(now[n].fraction).limited(port.lo, port.hi).number
    sources = [e.number for e in now.values()]
    free = {n: unit_of(cls, n) for n, v in variables.items() if v.free}
    if weight.fraction is None:
        free["weight"] = "weight"
    absorbed = Scales(name, free, tracer.lines.__getitem__).absorbed(tracer.ops, stored["weight"])
    ops, numbers = needed(tracer.ops, [*stored.values(), *sources])
    results = dict(zip(stored, numbers, strict=False))
    reads = dict(zip(now, numbers[len(stored) :], strict=True))
    pairs = {results[n]: reads[n] for n in stored}
    gate = _gate(cls, ops, pairs, variables)
    ops, numbers = needed(list(ops), list(results.values()))
    used = {str(op.args[0]) for op in ops if op.kind in ("pre", "post")}
    code = RuleCode(
        name=name,
        weight=weight,
        synapses=tuple(synapses.values()),
        variables=tuple(
            v for n, v in variables.items() if n in used or (v.spike and gate != "always")
        ),
        parameters=tuple(tracer.parameters),
        tables=tuple(tracer.tables),
        ops=ops,
        next_weight=numbers[0],
        next_synapses=tuple(numbers[1:]),
        gate=gate,
    )
    return code, tracer.parameters, tracer.tables, absorbed


def _gate(
    cls: Any, ops: tuple[Op, ...], pairs: dict[int, int], variables: dict[str, Variable]
) -> str:
    pre = {n for n, v in variables.items() if v.spike and v.side == "pre"}
    post = {n for n, v in variables.items() if v.spike and v.side == "post"}
    proved = {"always"}
    for gate, silent in (("post", post), ("pre", pre), ("either", pre | post)):
        if silent and unchanged(ops, pairs, silent):
            proved.add(gate)
    if "either" in proved and not (pre and post):
        proved.discard("either")
    what = f"{line_of_definition(cls.step)}: rule {cls.__name__}"
    if cls.gate is not None:
        if cls.gate not in GATES:
            raise KernelError(f"{what}: gate must be one of {GATES}, not {cls.gate!r}")
        if cls.gate not in proved:
            raise KernelError(
                f"{what} declares gate {cls.gate!r}, but something may change without that "
                "spike; use select(spike, ..., 0) around the whole change, or gate = None"
            )
        return str(cls.gate)
    return next(g for g in ("post", "pre", "either", "always") if g in proved)


def _weight_port(cls: Any, machine: Machine) -> Port:
    declared = cls.weight
    if not isinstance(declared, Weight):
        raise KernelError(f"rule {cls.__name__}: weight must be declared as Weight(...)")
    largest = full_limit(machine)
    if declared.range is None:
        return Port("weight", -largest, largest, None)
    low, high = declared.range
    magnitude = max(abs(low), abs(high))
    if not (math.isfinite(magnitude) and low < high):
        raise declared.error(cls, f"the weight's range {declared.range} is not finite")
    fraction = math.floor(math.log2(largest / magnitude))
    return Port("weight", math.ceil(low * 2**fraction), math.floor(high * 2**fraction), fraction)


def _synapse_port(cls: Any, name: str, declared: Synapse, machine: Machine) -> Port:
    low, high = declared.range
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise declared.error(cls, f"the range of {name} is not finite")
    fraction = fitting(declared.range, declared.fraction, machine.state_bits)
    largest = 1 << (machine.state_bits - 1)
    lo, hi = math.ceil(low * 2**fraction), math.floor(high * 2**fraction)
    if lo < -largest or hi > largest:
        raise declared.error(
            cls, f"{name} does not fit {machine.state_bits} bits; declare a smaller range"
        )
    return Port(name, lo, min(hi, largest - 1), fraction)


def _variable(cls: Any, name: str, seen: Seen, machine: Machine) -> Variable:
    largest = 1 << (machine.value_bits - 1)
    if seen.of == "spike":
        return Variable(name, seen.side, 0, 1, 0, False, True)
    if seen.range is None:
        if seen.of not in ("activity", "input", "gain", "error"):
            raise seen.error(
                cls,
                f"{name} sees the state {seen.of!r}: give its range and fraction, such as "
                "range=(-1, 1), fraction=12",
            )
        fraction = machine.value_bits - 1
        return Variable(name, seen.side, 1 - largest, largest - 1, fraction, True, False)
    if seen.of in ("activity", "gain"):
        raise seen.error(
            cls, f"{name} is an {seen.of}, whose unit each network chooses: leave its range out"
        )
    low, high = seen.range
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise seen.error(cls, f"the range of {name} is not finite")
    fraction = fitting(
        seen.range, 30 if seen.fraction is None else seen.fraction, machine.value_bits
    )
    lo, hi = math.ceil(low * 2**fraction), min(math.floor(high * 2**fraction), largest - 1)
    return Variable(name, seen.side, lo, hi, fraction, False, False)

"""Kernels: a neuron or synapse model written once, as equations.

A kernel is a class with declared parameters, input and states and a `step` in plain arithmetic::

    class Leaky(Kernel):
        tau = Parameter(low=0, unit="s")
        current = Input(range=(-8, 8), fraction=16)
        voltage = State(range=(-8, 8), fraction=20)
        emits = "events"

        def step(self, state, current, dt):
            decay = scaled(-np.expm1(-dt / self.tau), bound=1)
            voltage = state.voltage + (current - state.voltage) * decay
            spike = voltage > 1
            return spike, {"voltage": select(spike, 0, voltage)}

`step` is run on NumPy arrays to give the float model, and once on traced values to give the
integer code that all engines execute (`Kernel.code`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from types import SimpleNamespace
from typing import Any, ClassVar, TypeAlias

import numpy as np

from ..errors import KernelError, RangeError
from ..machine import Machine
from .code import KernelCode, Op, Port, Table, signed_bits
from .code import Parameter as Register
from .expression import Expression, Tracer, fitting
from .parameters import ParameterExpression
from .parametrised import Parameter as Parameter
from .parametrised import Parametrised
from .source import line_here, line_of_definition, located

Trace: TypeAlias = tuple[
    KernelCode, dict[Register, ParameterExpression], dict[Table, ParameterExpression]
]
"""Code, and how the values of its parameters and tables are computed."""


INPUT_FRACTION = 18
STATE_FRACTION = 22
"""Fraction bits where none are declared, as far as the words of the machine hold them."""


@dataclass(frozen=True)
class Declaration:
    """Something with a range; it remembers the line that declares it, for errors."""

    range: tuple[float, float] | None = None
    fraction: int | None = None
    where: str = field(default="", init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "where", line_here())

    def error(self, message: str) -> KernelError:
        """An error that names the line of the declaration."""
        return KernelError(f"{self.where}: {message}" if self.where else message)

    def checked(self, what: str) -> tuple[float, float]:
        """The range; raises `KernelError` if there is none, or no end to it."""
        if self.range is None:
            raise self.error(f"{what} has no range; declare one, such as range=(-1, 1)")
        low, high = self.range
        if not (math.isfinite(low) and math.isfinite(high)):
            raise self.error(
                f"{what} has the unbounded range {self.range}; give both ends: what lies beyond "
                "saturates, and is counted"
            )
        if low >= high:
            raise self.error(f"{what} has the empty range {self.range}; low must be below high")
        return low, high


@dataclass(frozen=True)
class Input(Declaration):
    """The input's range and fraction bits; leave them out in a homogeneous kernel."""


@dataclass(frozen=True)
class State(Declaration):
    """A state variable's range and fraction bits; leave them out in a homogeneous kernel.

    `unit` is ``"step"`` for a time: the equations see it in time steps, users in seconds. In a
    homogeneous kernel a `narrow` state keeps only as many bits as a value has
    (`Machine.value_bits`), which is what learning rules can see. It begins at `initial`, in the
    user's unit: a number, or (low, high) for numbers drawn uniformly between them.
    """

    unit: str = ""
    narrow: bool = False
    initial: float | tuple[float, float] = 0.0


class Kernel(Parametrised):
    """Base of all kernels; see the module's docstring.

    Attributes
    ----------
    emits : str
        ``"events"`` (a spike or a small count, appended to an event list where not zero) or
        ``"value"``.
    payload_bits : int
        For events: bits of the largest number of spikes in one step (1 if it is 0 or 1).
    delayed : bool
        True for synapses: readers see the output of the step before.
    homogeneous : bool
        True where scaling the input scales states and output alike (linear filters, rectifiers):
        a population's signals then share a power-of-two scale of their own.
    threshold : float or None
        Input at which the output changes most, where there is one.
    output_state : str or None
        The state that equals the output, where one does: it is stored with more bits.
    """

    emits: ClassVar[str] = "value"
    payload_bits: ClassVar[int] = 8
    delayed: ClassVar[bool] = False
    homogeneous: ClassVar[bool] = False
    threshold: ClassVar[float | None] = None
    output_state: ClassVar[str | None] = None

    # -- to be defined by a kernel -----------------------------------------------------------

    def step(self, state: Any, u: Any, dt: Any) -> tuple[Any, dict[str, Any]]:
        """One time step: ``(output, {state name: new value})``."""
        raise KernelError(f"{type(self).__name__} defines no step")

    def input_gain(self, dt: float) -> float:
        """Factor that is folded into everything that enters the kernel's input."""
        return 1.0

    def event_interval(self, dt: float) -> int:
        """Fewest steps from one event of a neuron to its next."""
        return 1

    def output_limit(self, input_limit: float, dt: float) -> float:
        """Largest absolute output for inputs of at most `input_limit`, inf if unknown.

        For a delayed (linear) kernel the bound comes from its impulse response instead.
        """
        return 1.0 if self.emits == "events" else math.inf

    def saturation_matters(self) -> bool:
        """Whether limiting a signal to its format changes what the model does, worth a warning."""
        return True

    # -- float evaluation --------------------------------------------------------------------

    def step_float(
        self, state: Mapping[str, np.ndarray], u: np.ndarray, dt: float
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """One step in float64, in the user's units.

        Parameters
        ----------
        state : mapping of name -> (n,) float64
        u : (n,) float64
            The input, with `input_gain` already applied.
        dt : float
            Seconds.

        Returns
        -------
        output : (n,) float64
        state : dict of name -> (n,) float64
        """
        units = self.state_units(dt)
        inner = SimpleNamespace(**{n: np.asarray(v) / units[n] for n, v in state.items()})
        output, new = self.step(inner, u, dt)
        return (
            np.broadcast_to(np.asarray(output, dtype=float), np.shape(u)),
            {n: np.broadcast_to(v, np.shape(u)) * units[n] for n, v in new.items()},
        )

    def state_units(self, dt: float) -> dict[str, float]:
        """What 1.0 in the equations is worth in the user's unit, per state."""
        return {n: dt if s.unit == "step" else 1.0 for n, s in self.declared(State).items()}

    # -- lowering ----------------------------------------------------------------------------

    @classmethod
    def code(cls, machine: Machine) -> KernelCode:
        """The kernel's integer code; depends on the machine's word widths only."""
        return cls._traced(machine)[0]

    @classmethod
    def _traced(cls, machine: Machine) -> Trace:
        this: Any = cls  # a class is hashable, which mypy does not believe
        return _trace(this, machine)  # type: ignore[no-any-return]

    def registers(self, dt: float, machine: Machine) -> dict[str, int | tuple[int, int]]:
        """Values of the parameter registers: integers, or (mantissa, shift) if scaled."""
        _, expressions, _ = self._traced(machine)
        environment = {**self.values, "dt": dt}
        return {
            register.name: self._register(register, float(expression.evaluate(environment)))
            for register, expression in expressions.items()
        }

    def table_entries(self, dt: float, machine: Machine) -> dict[str, np.ndarray]:
        """Entries of the tables by name, int64 (entries,)."""
        _, _, tables = self._traced(machine)
        environment = {**self.values, "dt": dt}
        found = {}
        for table, expression in tables.items():
            with np.errstate(all="ignore"):
                content = np.asarray(expression.evaluate(environment), dtype=float)
            if not np.all(np.isfinite(content)):
                raise KernelError(
                    f"{expression.where}: {self!r}: this table is not finite everywhere "
                    f"(dt {dt:g}); clip its argument to where the function is, or choose other "
                    "parameters"
                )
            integers = np.rint(np.broadcast_to(content, (table.entries,)) * 2.0**table.fraction)
            found[table.name] = np.clip(integers, table.lo, table.hi).astype(np.int64)
        return found

    def _register(self, register: Register, value: float) -> int | tuple[int, int]:
        if math.isnan(value):
            raise KernelError(f"{self!r}: the parameter {register.name} is not a number")
        if not register.scaled:
            if math.isinf(value):
                return register.lo if value < 0 else register.hi
            integer = round(value * 2**register.fraction)
            if not register.lo <= integer <= register.hi:
                raise RangeError(
                    f"{self!r}: {register.name} = {value:g} is outside the range that the kernel "
                    f"holds ({register.lo / 2**register.fraction:g}.."
                    f"{register.hi / 2**register.fraction:g})"
                )
            return integer
        if math.isinf(value):
            raise RangeError(f"{self!r}: {register.name} is infinite")
        return scaled_register(value, register)


def scaled_register(value: float, register: Register) -> tuple[int, int]:
    """Mantissa and shift for a factor: ``value = mantissa * 2**(fraction - shift)``.

    The mantissa uses all bits that the shift's range 1..62 leaves it.
    """
    if value == 0:
        return 0, 1
    exponent = math.frexp(value)[1]
    shift = register.hi.bit_length() - exponent + register.fraction
    shift = min(max(shift, 1), 62)
    mantissa = round(math.ldexp(value, shift - register.fraction))
    if not register.lo <= mantissa <= register.hi:  # rounded up to a power of two
        shift -= 1
        mantissa = round(math.ldexp(value, shift - register.fraction))
    if shift < 1 or not register.lo <= mantissa <= register.hi:
        raise RangeError(f"the factor {register.name} = {value:g} is too large for its register")
    return mantissa, shift


def payload_fraction(payload_bits: int, machine: Machine) -> int:
    """Fraction bits of an event's payload.

    A payload is a whole number, but products of weights with events and with values of 18 bits
    meet in one accumulator, whose scale both must suit. So payloads carry zeros behind the binary
    point: as many as leave the accumulator room for the sum of a thousand of the largest weights.
    """
    spare = machine.accumulator_bits - machine.weight_bits - 10
    return max(0, min(spare, machine.value_bits - 1 - payload_bits))


@cache
def _trace(cls: Any, machine: Machine) -> Trace:
    """Run a kernel's equations once on traced values."""
    name = cls.__name__
    tracer = Tracer(name, machine.parameter_bits, machine.state_bits, index_bits=machine.index_bits)
    kernel = object.__new__(cls)
    for parameter in cls.declared(Parameter):
        setattr(kernel, parameter, named(parameter))
    inputs = cls.declared(Input)
    if len(inputs) != 1:
        raise KernelError(f"kernel {name} must declare exactly one Input, not {len(inputs)}")
    (input_name, declaration), *_ = inputs.items()
    input_port = _port(cls, input_name, declaration, machine)
    states = {n: _port(cls, n, s, machine) for n, s in cls.declared(State).items()}
    inner_fraction = machine.state_bits - 1

    def read(kind: str, port: Port) -> Expression:
        fraction = _inner_fraction(port) if port.fraction is None else port.fraction
        return tracer.op(kind, (port.name,), port.lo, port.hi, fraction)

    state = SimpleNamespace(**{n: read("state", p) for n, p in states.items()})
    with located(f"kernel {name}", cls.step):
        returned = kernel.step(state, read("input", input_port), named("dt"))
    where = line_of_definition(cls.step)
    pair = isinstance(returned, tuple) and len(returned) == 2
    if not pair or not isinstance(returned[1], dict):
        raise KernelError(
            f"{where}: kernel {name}: step must return (output, {{state name: new value}})"
        )
    output, new = returned
    if set(new) != set(states):
        raise KernelError(
            f"{where}: kernel {name}: step returns the states {sorted(new)}, declared are "
            f"{sorted(states)}"
        )
    emitted = _as_expression(tracer, output)
    stored = []
    for n, port in states.items():
        fraction = _inner_fraction(port) if port.fraction is None else port.fraction
        value = _as_expression(tracer, new[n]).with_fraction(fraction)
        limited = value.limited(port.lo, port.hi)
        stored.append(limited.number)
        if value.number == emitted.number:  # the output is this state, so it is what is stored
            emitted = limited
    if cls.emits == "events":
        if emitted.fraction:
            raise KernelError(
                f"{where}: kernel {name}: an event's payload must be whole, use floor()"
            )
        largest = (1 << cls.payload_bits) - 1
        fraction = payload_fraction(cls.payload_bits, machine)
        emitted = emitted.limited(-largest, largest).with_fraction(fraction)
    if cls.homogeneous:
        emitted = emitted.with_fraction(inner_fraction)
    names = [p.name for p in tracer.parameters]
    for repeated in {n for n in names if names.count(n) > 1}:
        raise KernelError(f"kernel {name}: {repeated} is used in two formats; name it once")
    ops, (*next_state, emit) = needed(tracer.ops, [*stored, emitted.number])
    code = KernelCode(
        name=name,
        input=input_port,
        states=tuple(states.values()),
        parameters=tuple(tracer.parameters),
        tables=tuple(tracer.tables),
        ops=ops,
        next_state=tuple(next_state),
        emit=emit,
        emits=cls.emits,
        emit_fraction=None if cls.homogeneous else emitted.fraction,
        delayed=cls.delayed,
    )
    if code.reductions and cls.delayed:
        raise KernelError(
            f"kernel {name}: a reduction over the population in a synapse; only neurons have one"
        )
    return code, tracer.parameters, tracer.tables


def needed(ops: list[Op], results: list[int]) -> tuple[tuple[Op, ...], list[int]]:
    """Leave out the operations on which no result depends; returns the results' new numbers."""
    used = set(results)
    for number in reversed(range(len(ops))):
        if number in used:
            used.update(ops[number].operands)
    renumbered = {old: new for new, old in enumerate(sorted(used))}
    kept = []
    for old in sorted(used):
        op = ops[old]
        count = len(op.operands)
        args = (*(renumbered[a] for a in op.operands), *op.args[count:])
        kept.append(replace(op, args=args))
    return tuple(kept), [renumbered[r] for r in results]


def named(name: str) -> ParameterExpression:
    """A parameter, or ``dt``, while equations are traced."""
    return ParameterExpression(lambda env: env[name], name)


def _port(cls: type[Kernel], name: str, declared: Input | State, machine: Machine) -> Port:
    if cls.homogeneous:
        narrow = isinstance(declared, State) and declared.narrow
        largest = 1 << ((machine.value_bits if narrow else machine.state_bits) - 1)
        return Port(name, -largest + narrow, largest - 1, None)
    what = f"kernel {cls.__name__}: {type(declared).__name__.lower()} {name}"
    limits = declared.checked(what)
    wanted = INPUT_FRACTION if isinstance(declared, Input) else STATE_FRACTION
    fraction = wanted if declared.fraction is None else declared.fraction
    fraction = fitting(limits, fraction, machine.state_bits)
    lo, hi = math.ceil(limits[0] * 2**fraction), math.floor(limits[1] * 2**fraction)
    largest = 1 << (machine.state_bits - 1)
    if lo < -largest or hi > largest:
        raise declared.error(
            f"{what} does not fit {machine.state_bits} bits; declare a smaller range"
        )
    if isinstance(declared, State) and not declared.unit:
        ends = np.atleast_1d(declared.initial)
        if ends.min() < limits[0] or ends.max() > limits[1]:
            raise declared.error(f"{what} begins at {declared.initial}, outside its range {limits}")
    return Port(name, lo, min(hi, largest - 1), fraction)


def _inner_fraction(port: Port) -> int:
    """Fraction bits of a signal without a format of its own, if its largest word is 1."""
    return signed_bits(port.lo, port.hi) - 1


def _as_expression(tracer: Tracer, value: Any) -> Expression:
    if isinstance(value, Expression):
        return value
    if isinstance(value, (int, float)):
        return tracer.constant(float(value), 0 if float(value).is_integer() else 20)
    raise KernelError(f"kernel {tracer.kernel}: step returned {value!r}, not a traced value")

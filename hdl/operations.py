"""Operations of kernels and rules as pipelines: what `KernelPipeline` and `RulePipeline` share."""

from __future__ import annotations

from dataclasses import dataclass, field

from amaranth import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring

from ..compiler.encoding import SHIFT_BITS, Encoding, bits_for, parameter_width, table_words
from ..compiler.kernels.code import KernelCode, Op, signed_bits
from ..compiler.kernels.pipeline import (
    STATIC,
    WIRES,
    Pipeline,
    clipped,
    memory_latency,
    rounded_later,
    taken,
)
from ..compiler.kernels.rule_code import RuleCode
from ..compiler.machine import Machine
from ..compiler.shape import Shape
from .arithmetic import delay, divide, multiply, register
from .host import memory_number
from .primitives import add_delay, add_memory

LONG_DELAY = 10
"""From so many stages on, a delay is a component instead of a chain that others may tap."""


@dataclass
class Registers:
    """Registers of parameters and table bases.

    Attributes
    ----------
    plain : dict of parameter name -> Signal
    scaled : dict of parameter name -> (mantissa, shift)
    base : dict of table name -> Signal
    """

    plain: dict[str, Signal] = field(default_factory=dict)
    scaled: dict[str, tuple[Signal, Signal]] = field(default_factory=dict)
    base: dict[str, Signal] = field(default_factory=dict)


def add_registers(
    m: Module,
    shape: Shape,
    code: KernelCode | RuleCode,
    load: Value,
    load_index: Value,
    load_word: Value,
    go: Value | None = None,
) -> Registers:
    """Registers of parameters and table bases, each loaded by its extension word.

    With `go` they keep what they have until then, when all take over what has been loaded.
    """
    encoding = Encoding(shape)
    found = Registers()

    def held(signal: Signal) -> Signal:
        if go is None:
            return signal
        later = Signal(signal.shape(), name=f"{signal.name}_held")
        with m.If(go):
            m.d.sync += later.eq(signal)
        return later

    values: dict[str, tuple[Signal, ...]] = {}
    for index, p in enumerate(code.parameters, start=1):
        with m.If(load & (load_index == index)):
            if p.scaled:
                mantissa = Signal(
                    signed(shape.machine.parameter_bits), name=f"parameter_{index}_mantissa"
                )
                shift = Signal(SHIFT_BITS, name=f"parameter_{index}_shift")
                for name, signal in (("mantissa", mantissa), ("shift", shift)):
                    f = encoding.scaled[name]
                    m.d.sync += signal.eq(load_word[f.start : f.start + f.width])
                values[p.name] = mantissa, shift
            else:
                plain = Signal(signed(parameter_width(p)), name=f"parameter_{index}")
                m.d.sync += plain.eq(load_word)
                values[p.name] = (plain,)
    for p in code.parameters:
        if p.scaled:
            mantissa, shift = values[p.name]
            found.scaled[p.name] = held(mantissa), held(shift)
        else:
            found.plain[p.name] = held(*values[p.name])
    for index, t in enumerate(code.tables, start=1 + len(code.parameters)):
        base = Signal(bits_for(table_words(t, shape)), name=f"{t.name}_base")
        with m.If(load & (load_index == index)):
            m.d.sync += base.eq(load_word)
        found.base[t.name] = held(base)
    return found


class Operations:
    """Results of a code's operations, each at its stage or later.

    Parameters
    ----------
    m : Module
    code : KernelCode or RuleCode
    stages : Pipeline
    machine : Machine
    prefix : str
        Begins the names of all signals.
    upper : Operations, optional
        Holds some of the results; those that are not in it are added here.

    Attributes
    ----------
    unrounded : set of int
        Results that have one bit more, behind the point, on which another operation rounds.
    """

    def __init__(
        self,
        m: Module,
        code: KernelCode | RuleCode,
        stages: Pipeline,
        machine: Machine,
        prefix: str = "",
        upper: Operations | None = None,
    ) -> None:
        self.m, self.code, self.stages, self.machine = m, code, stages, machine
        self.prefix, self.upper = prefix, upper
        self._rounds = rounded_later(code)
        self.unrounded = set(self._rounds.values())
        self._chains: dict[int, list[Value]] = {}
        self._late: dict[tuple[int, int], Value] = {}

    def add(self, number: int, result: Value) -> None:
        """Result `number`, at its stage."""
        op = self.code.ops[number]
        named = Signal(signed(self._bits(number)), name=f"{self.prefix}r{number}_{op.kind}")
        self.m.d.comb += named.eq(result)
        self._chains[number] = [named]

    def _bits(self, number: int) -> int:
        return self.code.ops[number].bits + (number in self.unrounded)

    def operands(self, number: int) -> list[Value]:
        """The operands of an operation, at the stage at which it takes them."""
        start = self.stages.starts[number]
        return [self.at(i, start) for i in taken(self.code, number)]

    def at(self, number: int, stage: int) -> Value:
        """Result `number` as it stands at `stage`, delayed where it was ready earlier."""
        m, op = self.m, self.code.ops[number]
        if number not in self._chains and self.upper is not None:
            return self.upper.at(number, stage)
        chain = self._chains[number]
        name = f"{self.prefix}r{number}"
        if op.kind in STATIC:
            return chain[0]
        if op.kind in WIRES:  # delays its operand, which others may use delayed as well
            named = Signal(signed(op.bits), name=f"{name}_wired_{stage}")
            m.d.comb += named.eq(_wire(op, self.at(int(op.args[0]), stage)))
            return named
        ready = self.stages.stages[number]
        if stage - ready >= LONG_DELAY:
            if (number, stage) not in self._late:
                later = Signal(signed(self._bits(number)), name=f"{name}_at_{stage}")
                add_delay(m, f"{name}_delay_{stage}", chain[0], stage - ready, later)
                self._late[number, stage] = later
            return self._late[number, stage]
        while len(chain) <= stage - ready:
            chain.append(register(m, chain[-1], f"{name}_at_{ready + len(chain)}"))
        return chain[stage - ready]

    def limits(self, number: int) -> Value:
        """Whether the ``sat`` operation `number` limits, at the stage at which it starts."""
        op = self.code.ops[number]
        a = self.at(int(op.args[0]), self.stages.starts[number])
        return (a < int(op.args[1])) | (a > int(op.args[2]))

    def result(self, number: int, x: list[Value]) -> Value:
        """The result of an operation that needs nothing but its operands."""
        op = self.code.ops[number]
        name = f"{self.prefix}r{number}"
        match op.kind:
            case "const":
                return Const(int(op.args[0]), signed(op.bits))
            case "shl" | "floor":
                return _wire(op, x[0])
            case "mul":
                return multiply(self.m, x[0], x[1], self.machine, name)
            case "divide":
                return divide(self.m, x[0], x[1], int(op.args[2]), self.machine, name)
        if clip := clipped(self.code, number):
            _, low, high = clip
            return _limit(x[0], low, high)
        if number in self._rounds:
            left = op.operands.index(self._rounds[number])
            return _rounded_sum(op, x[1 - left], x[left])
        return _combine(op, x)

    def table(
        self,
        number: int,
        argument: Value,
        base: Value,
        shape: Shape,
        host: wiring.PureInterface,
    ) -> Signal:
        """A table's entry; each ``table`` operation has its own copy of the table.

        The address is computed in the argument's stage, and held in registers if it has to wait.
        """
        table = str(self.code.ops[number].args[1])
        t = next(t for t in self.code.tables if t.name == table)
        name = f"{self.prefix}r{number}"
        latency = memory_latency(self.machine)
        wait = self.stages.stages[number] - self.stages.starts[number] - latency
        depth = table_words(t, shape)
        computed = Signal(bits_for(depth), name=f"{name}_address")
        self.m.d.comb += computed.eq(argument + base)
        address = delay(self.m, computed, wait, f"{name}_held_address")
        entry = Signal(signed(signed_bits(t.lo, t.hi)), name=f"{name}_entry")
        at: Value = host.address[: len(address)]  # type: ignore[attr-defined]
        here = host.memory == memory_number(  # type: ignore[attr-defined]
            shape, f"{self.code.name}.{table}"
        )
        add_memory(
            self.m,
            f"{name}_table",
            depth,
            write=(host.write & here, at, host.data[: len(entry)]),  # type: ignore[attr-defined]
            read_address=Mux(host.idle, at, address),  # type: ignore[attr-defined]
            read_data=entry,
            latency=latency,
        )
        return entry


def _wire(op: Op, x: Value) -> Value:
    """Operations without hardware."""
    return x << int(op.args[1]) if op.kind == "shl" else x >> int(op.args[1])


def _rounded_sum(op: Op, whole: Value, halves: Value) -> Value:
    """``whole + halves / 2`` or ``whole - halves / 2``, the halves rounded (`rounded_later`)."""
    if op.kind == "add":
        return (Cat(Const(1, 1), whole).as_signed() + halves) >> 1
    return (Cat(Const(0, 1), whole).as_signed() - halves) >> 1


def _combine(op: Op, x: list[Value]) -> Value:
    """Simple operations."""
    match op.kind:
        case "add":
            return x[0] + x[1]
        case "sub":
            return x[0] - x[1]
        case "neg":
            return -x[0]
        case "abs":
            return Mux(x[0] < 0, -x[0], x[0])
        case "round":
            n = int(op.args[1])
            return (x[0] + (1 << (n - 1))) >> n
        case "min":
            return Mux(x[0] < x[1], x[0], x[1])
        case "max":
            return Mux(x[0] > x[1], x[0], x[1])
        case "gt":
            return x[0] > x[1]
        case "ge":
            return x[0] >= x[1]
        case "eq":
            return x[0] == x[1]
        case "and":
            return x[0] & x[1]
        case "or":
            return x[0] | x[1]
        case "not":
            return x[0] == 0
        case "select":
            return Mux(x[0] != 0, x[1], x[2])
        case "sat":
            return _limit(x[0], int(op.args[1]), int(op.args[2]))
    raise AssertionError(op.kind)


def _limit(x: Value, low: int, high: int) -> Value:
    return Mux(x < low, low, Mux(x > high, high, x))

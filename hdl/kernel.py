"""The pipeline of one kernel, generated from its `KernelCode`: one neuron per clock cycle."""

from __future__ import annotations

from dataclasses import dataclass

from amaranth import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..compiler.encoding import SHIFT_BITS, Encoding, bits_for, parameter_width, table_words
from ..compiler.kernels.code import REDUCTIONS, KernelCode, Op, signed_bits
from ..compiler.kernels.pipeline import (
    STATIC,
    WIRES,
    memory_latency,
    multiplier_chunks,
    pipeline,
)
from ..compiler.machine import Machine
from ..compiler.shape import Shape
from .arithmetic import delay, divide, multiply, register
from .host import HostBus, extension_words, memory_number
from .primitives import add_delay, add_memory

LONG_DELAY = 10
"""From so many stages on, a delay is a component instead of a chain that others may tap."""


@dataclass(frozen=True)
class ScaleUse:
    """What a ``scale`` operation needs of a `Scaler`.

    Attributes
    ----------
    number : int
        Counts the kernel's ``scale`` operations.
    x_bits, y_bits : int
    machine : Machine
    """

    number: int
    x_bits: int
    y_bits: int
    machine: Machine

    @property
    def name(self) -> str:
        """Beginning of its ports' names."""
        return f"scale_{self.number}"

    @property
    def kind(self) -> int:
        """Those of the same kind take equally long."""
        return multiplier_chunks(self.x_bits, self.machine)


class KernelPipeline(wiring.Component):
    """A kernel's operations as a pipeline of initiation interval 1.

    Parameters
    ----------
    shape : Shape
    code : KernelCode

    Attributes
    ----------
    valid, last : bool, in
        A neuron enters; it is the population's last one.
    x : signed, in
        The kernel's input, already scaled and saturated.
    state_0, state_1, ... : signed, in
    load : bool, in
    load_index, load_word : unsigned, in
        Extension word `load_index` of the ``MAP`` (the first parameter is word 1).
    begin, reducing, again : bool, in
        Of a kernel with reductions: a ``MAP`` begins; a neuron enters in the first pass, while
        `valid` is low; the second pass begins in the next cycle.
    out_valid, out_last : bool, out
        A neuron leaves, `Pipeline.depth` cycles after it entered.
    next_0, next_1, ... : signed(state_bits), out
    output : signed, out
    saturations : unsigned, out
        ``sat`` operations that limited something in this cycle, for whichever neuron.
    scale_N_x, scale_N_mantissa, scale_N_shift : out; scale_N_y : in
        A `Scaler` of `scales[N]`, for the kernel's use while it runs.
    host : HostBus, in
    table_NAME : signed, out
        What the host reads of each table.
    """

    def __init__(self, shape: Shape, code: KernelCode) -> None:
        self.shape, self.code = shape, code
        self.encoding = Encoding(shape)
        self.stages = pipeline(code, shape.machine)
        self.sats = [n for n, op in enumerate(code.ops) if op.kind == "sat"]
        self.scales = {
            n: ScaleUse(k, code.ops[op.operands[0]].bits, op.bits, shape.machine)
            for k, (n, op) in enumerate(
                (n, op) for n, op in enumerate(code.ops) if op.kind == "scale"
            )
        }
        state_bits = shape.machine.state_bits
        members = {
            "valid": In(1),
            "last": In(1),
            "x": In(signed(signed_bits(code.input.lo, code.input.hi))),
            "load": In(1),
            "load_index": In(bits_for(extension_words(shape) + 1)),
            "load_word": In(self.encoding.word_bits),
            "out_valid": Out(1),
            "out_last": Out(1),
            "output": Out(signed(code.ops[code.emit].bits)),
            "saturations": Out(bits_for(len(self.sats) + 1)),
            "host": In(HostBus(shape)),
        }
        for k in range(len(code.states)):
            members[f"state_{k}"] = In(signed(state_bits))
            members[f"next_{k}"] = Out(signed(state_bits))
        for use in self.scales.values():
            members[f"{use.name}_x"] = Out(signed(use.x_bits))
            members[f"{use.name}_mantissa"] = Out(signed(shape.machine.parameter_bits))
            members[f"{use.name}_shift"] = Out(SHIFT_BITS)
            members[f"{use.name}_y"] = In(signed(use.y_bits))
        if code.reductions:
            members |= {"begin": In(1), "reducing": In(1), "again": In(1)}
        for t in code.tables:
            members[f"table_{t.name}"] = Out(signed(signed_bits(t.lo, t.hi)))
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:
        """The component as an Amaranth module."""
        m = Module()
        code = self.code
        self._chains: dict[int, list[Value]] = {}
        self._late: dict[tuple[int, int], Value] = {}
        self._read_back: set[str] = set()
        self._load_parameters(m)
        depth = self.stages.depth
        valid: list[Value] = [self.valid]
        for stage in range(1, max(depth, *self.stages.stages) + 1):
            valid.append(register(m, valid[-1], f"valid_{stage}"))
        self._reducing: list[Value] = [self.reducing] if code.reductions else []
        for stage in range(1, self.stages.reduced):
            self._reducing.append(register(m, self._reducing[-1], f"reducing_{stage}"))
        self._index: dict[int, Signal] = {}
        flags: list[Value] = []
        for number, op in enumerate(code.ops):
            result = self._result(m, number, op)
            if op.kind == "sat":
                stage = self.stages.starts[number]
                a = self._at(m, int(op.args[0]), stage)
                limited = (a < int(op.args[1])) | (a > int(op.args[2]))
                flags.append(register(m, limited & valid[stage], f"limited_{number}"))
            named = Signal(signed(op.bits), name=f"r{number}_{op.kind}")
            m.d.comb += named.eq(result)
            self._chains[number] = [named]
        lowest = -(1 << (self.shape.machine.state_bits - 1))
        highest = -lowest - 1
        for k, number in enumerate(code.next_state):
            following = self._at(m, number, depth)
            op = code.ops[number]
            if op.lo < lowest:
                following = Mux(following < lowest, lowest, following)
            if op.hi > highest:
                following = Mux(following > highest, highest, following)
            m.d.comb += getattr(self, f"next_{k}").eq(following)
        total = sum(flags, Const(0, 1)) if flags else Const(0, 1)
        m.d.sync += self.saturations.eq(total)
        m.d.comb += [
            self.output.eq(self._at(m, code.emit, depth)),
            self.out_valid.eq(valid[depth]),
            self.out_last.eq(delay(m, self.last, depth, "last")),
        ]
        return m

    def _load_parameters(self, m: Module) -> None:
        """Registers of parameters and table bases, each loaded by its extension word."""
        machine = self.shape.machine
        self._plain: dict[str, Signal] = {}
        self._scaled: dict[str, tuple[Signal, Signal]] = {}
        self._base: dict[str, Signal] = {}
        for index, p in enumerate(self.code.parameters, start=1):
            with m.If(self.load & (self.load_index == index)):
                if p.scaled:
                    mantissa = Signal(
                        signed(machine.parameter_bits), name=f"parameter_{index}_mantissa"
                    )
                    shift = Signal(SHIFT_BITS, name=f"parameter_{index}_shift")
                    for field, signal in (("mantissa", mantissa), ("shift", shift)):
                        f = self.encoding.scaled[field]
                        m.d.sync += signal.eq(self.load_word[f.start : f.start + f.width])
                    self._scaled[p.name] = mantissa, shift
                else:
                    plain = Signal(signed(parameter_width(p)), name=f"parameter_{index}")
                    m.d.sync += plain.eq(self.load_word)
                    self._plain[p.name] = plain
        for index, t in enumerate(self.code.tables, start=1 + len(self.code.parameters)):
            base = Signal(bits_for(table_words(t, self.shape)), name=f"{t.name}_base")
            with m.If(self.load & (self.load_index == index)):
                m.d.sync += base.eq(self.load_word)
            self._base[t.name] = base

    def _at(self, m: Module, number: int, stage: int) -> Value:
        """Result `number` as it stands at `stage`, delayed where it was ready earlier."""
        chain = self._chains[number]
        op = self.code.ops[number]
        if op.kind in STATIC:
            return chain[0]
        if op.kind in WIRES:  # delays its operand, which others may use delayed as well
            named = Signal(signed(op.bits), name=f"r{number}_wired_{stage}")
            m.d.comb += named.eq(_wire(op, self._at(m, int(op.args[0]), stage)))
            return named
        ready = self.stages.stages[number]
        if stage - ready >= LONG_DELAY:
            if (number, stage) not in self._late:
                later = Signal(signed(op.bits), name=f"r{number}_at_{stage}")
                add_delay(m, f"r{number}_delay_{stage}", chain[0], stage - ready, later)
                self._late[number, stage] = later
            return self._late[number, stage]
        while len(chain) <= stage - ready:
            chain.append(register(m, chain[-1], f"r{number}_at_{ready + len(chain)}"))
        return chain[stage - ready]

    def _result(self, m: Module, number: int, op: Op) -> Value:
        """The operation's result, at its stage."""
        name = f"r{number}"
        args = op.operands
        start = self.stages.starts[number]
        x = [self._at(m, i, start) for i in args]
        machine = self.shape.machine
        match op.kind:
            case "input":
                return self.x
            case "state":
                slot = [s.name for s in self.code.states].index(str(op.args[0]))
                return getattr(self, f"state_{slot}")  # type: ignore[no-any-return]
            case "param":
                return self._plain[str(op.args[0])]
            case "const":
                return Const(int(op.args[0]), signed(op.bits))
            case "shl" | "floor":
                return _wire(op, x[0])
            case "mul":
                return multiply(m, x[0], x[1], machine, name)
            case "scale":
                mantissa, shift = self._scaled[str(op.args[1])]
                unit = self.scales[number].name
                m.d.comb += [
                    getattr(self, f"{unit}_x").eq(x[0]),
                    getattr(self, f"{unit}_mantissa").eq(mantissa),
                    getattr(self, f"{unit}_shift").eq(shift),
                ]
                return getattr(self, f"{unit}_y")  # type: ignore[no-any-return]
            case "divide":
                return divide(m, x[0], x[1], int(op.args[2]), machine, name)
            case "table":
                wait = self.stages.stages[number] - start - memory_latency(machine)
                return self._table(m, x[0], str(op.args[1]), wait, name)
        if op.kind in REDUCTIONS:
            return self._reduction(m, op, x[0], start, name)
        return _combine(op, x)

    def _reduction(self, m: Module, op: Op, x: Value, stage: int, name: str) -> Value:
        """A register that collects `x` of all neurons in the first pass.

        `x` stands in a register at `stage`.
        """
        here = self._reducing[stage]
        inner = self.code.ops[op.operands[0]]
        if op.kind in ("any_of", "sum_of"):
            total = Signal(signed(op.bits), name=f"{name}_total")
            with m.If(self.begin):
                m.d.sync += total.eq(0)
            with m.Elif(here):
                m.d.sync += total.eq(total | (x != 0) if op.kind == "any_of" else total + x)
            return total
        best = Signal(signed(inner.bits), name=f"{name}_best")
        better = here & (x > best)
        with m.If(self.begin):
            m.d.sync += best.eq(inner.lo)
        with m.Elif(better):
            m.d.sync += best.eq(x)
        if op.kind == "max_of":
            return best
        place = Signal(self.shape.machine.index_bits, name=f"{name}_place")
        index = self._neuron(m, stage)
        with m.If(self.begin):
            m.d.sync += place.eq(0)
        with m.Elif(better):
            m.d.sync += place.eq(index)
        # At stage 0 of the second pass, out of a register: the comparison is made ahead.
        following = Signal.like(place, name=f"{name}_following")
        wins = Signal(name=f"{name}_wins")
        with m.If(self.again):
            m.d.sync += [following.eq(1), wins.eq(place == 0)]
        with m.Elif(self.valid):
            m.d.sync += [following.eq(following + 1), wins.eq(place == following)]
        return Cat(wins, Const(0, 1)).as_signed()

    def _neuron(self, m: Module, stage: int) -> Signal:
        """Index of the neuron that is at `stage` in the first pass."""
        if stage not in self._index:
            index = Signal(self.shape.machine.index_bits, name=f"index_{stage}")
            with m.If(self.begin):
                m.d.sync += index.eq(0)
            with m.Elif(self._reducing[stage]):
                m.d.sync += index.eq(index + 1)
            self._index[stage] = index
        return self._index[stage]

    def _table(self, m: Module, argument: Value, table: str, wait: int, name: str) -> Value:
        """A table's entry; each ``table`` operation has its own copy of the table.

        The address, computed in the argument's stage, is held in `wait` registers.
        """
        t = next(t for t in self.code.tables if t.name == table)
        depth = table_words(t, self.shape)
        computed = Signal(bits_for(depth), name=f"{name}_address")
        m.d.comb += computed.eq(argument + self._base[table])
        address = delay(m, computed, wait, f"{name}_held_address")
        entry = Signal(signed(signed_bits(t.lo, t.hi)), name=f"{name}_entry")
        host = self.host
        here = host.memory == memory_number(self.shape, f"{self.code.name}.{table}")
        add_memory(
            m,
            f"{name}_table",
            depth,
            write=(host.write & here, host.address[: len(address)], host.data[: len(entry)]),
            read_address=Mux(host.idle, host.address[: len(address)], address),
            read_data=entry,
            latency=memory_latency(self.shape.machine),
        )
        if table not in self._read_back:
            self._read_back.add(table)
            m.d.comb += getattr(self, f"table_{table}").eq(entry)
        return entry


def _wire(op: Op, x: Value) -> Value:
    """Operations without hardware."""
    return x << int(op.args[1]) if op.kind == "shl" else x >> int(op.args[1])


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
            low, high = int(op.args[1]), int(op.args[2])
            return Mux(x[0] < low, low, Mux(x[0] > high, high, x[0]))
    raise AssertionError(op.kind)

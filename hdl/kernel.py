"""The pipeline of one kernel, generated from its `KernelCode`: one neuron per clock cycle."""

from __future__ import annotations

from dataclasses import dataclass

from amaranth import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..compiler.encoding import SHIFT_BITS, Encoding, bits_for
from ..compiler.kernels.code import REDUCTIONS, KernelCode, Op, signed_bits
from ..compiler.kernels.pipeline import multiplier_chunks, pipeline
from ..compiler.machine import Machine
from ..compiler.shape import Shape
from .arithmetic import delay, register
from .host import HostBus, extension_words
from .operations import Operations, add_registers


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
        self._operations = Operations(m, code, self.stages, self.shape.machine)
        self._read_back: set[str] = set()
        self._registers = add_registers(
            m, self.shape, code, self.load, self.load_index, self.load_word
        )
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
                limited = self._operations.limits(number)
                flags.append(register(m, limited & valid[stage], f"limited_{number}"))
            self._operations.add(number, result)
        lowest = -(1 << (self.shape.machine.state_bits - 1))
        highest = -lowest - 1
        for k, number in enumerate(code.next_state):
            following = self._operations.at(number, depth)
            op = code.ops[number]
            if op.lo < lowest:
                following = Mux(following < lowest, lowest, following)
            if op.hi > highest:
                following = Mux(following > highest, highest, following)
            m.d.comb += getattr(self, f"next_{k}").eq(following)
        total = sum(flags, Const(0, 1)) if flags else Const(0, 1)
        m.d.sync += self.saturations.eq(total)
        m.d.comb += [
            self.output.eq(self._operations.at(code.emit, depth)),
            self.out_valid.eq(valid[depth]),
            self.out_last.eq(delay(m, self.last, depth, "last")),
        ]
        return m

    def _result(self, m: Module, number: int, op: Op) -> Value:
        """The operation's result, at its stage."""
        name = str(op.args[0]) if op.args else ""
        match op.kind:
            case "input":
                return self.x
            case "state":
                slot = [s.name for s in self.code.states].index(name)
                return getattr(self, f"state_{slot}")  # type: ignore[no-any-return]
            case "param":
                return self._registers.plain[name]
        x = self._operations.operands(number)
        if op.kind in REDUCTIONS:
            return self._reduction(m, op, x[0], self.stages.starts[number], f"r{number}")
        if op.kind == "scale":
            mantissa, shift = self._registers.scaled[str(op.args[1])]
            unit = self.scales[number].name
            m.d.comb += [
                getattr(self, f"{unit}_x").eq(x[0]),
                getattr(self, f"{unit}_mantissa").eq(mantissa),
                getattr(self, f"{unit}_shift").eq(shift),
            ]
            return getattr(self, f"{unit}_y")  # type: ignore[no-any-return]
        if op.kind == "table":
            table = str(op.args[1])
            base = self._registers.base[table]
            entry = self._operations.table(number, x[0], base, self.shape, self.host)
            if table not in self._read_back:
                self._read_back.add(table)
                m.d.comb += getattr(self, f"table_{table}").eq(entry)
            return entry
        return self._operations.result(number, x)

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

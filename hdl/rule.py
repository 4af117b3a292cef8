"""The pipeline of one rule, generated from its `RuleCode`: one word of all lanes per clock cycle.

What depends on the pre neuron, parameters and constants alone is the same for all lanes, and is
generated once.
"""

from __future__ import annotations

from amaranth import Const, Module, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..compiler.encoding import Encoding, bits_for
from ..compiler.kernels.code import Op, signed_bits
from ..compiler.kernels.pipeline import pipeline, scaled_factor
from ..compiler.kernels.rule_code import RuleCode
from ..compiler.shape import Shape
from .arithmetic import register
from .host import HostBus, extension_words
from .operations import Operations, add_registers
from .scaler import Scaler

GROUP = 8
"""So many flags are added up in a cycle."""


def shared_operations(code: RuleCode) -> frozenset[int]:
    """Numbers of the operations that are the same for all lanes."""
    shared: set[int] = set()
    for number, op in enumerate(code.ops):
        if op.kind in ("pre", "param", "const") or (op.operands and shared.issuperset(op.operands)):
            shared.add(number)
    return frozenset(shared)


class RulePipeline(wiring.Component):
    """A rule's operations for all lanes, initiation interval 1.

    Parameters
    ----------
    shape : Shape
    code : RuleCode

    Attributes
    ----------
    valid : unsigned, in
        Lanes (a bit each) whose synapse changes, with the synapses' word.
    weight_L, synapse_K_L : signed, in
        Full weight and states of lane L's synapse.
    pre_V : signed, in; post_V_L : signed, in
        Variables of the pre neuron, and of lane L's post neuron.
    load : bool, in; load_index, load_word : unsigned, in
        An extension word of the ``UPD`` (the first parameter is word 1).
    go : bool, in
        What was loaded counts from the next cycle on.
    next_weight_L, next_synapse_K_L : signed, out; out_valid : unsigned, out
        `Pipeline.depth` cycles later.
    saturations : unsigned, out
        How many ``sat`` operations limited something: of a word not later than `UPD_COUNT` cycles
        after its write.
    host : HostBus, in
    table_NAME : signed, out
        What the host reads of each table.
    """

    def __init__(self, shape: Shape, code: RuleCode) -> None:
        self.shape, self.code = shape, code
        self.stages = pipeline(code, shape.machine)
        self.sats = [n for n, op in enumerate(code.ops) if op.kind == "sat"]
        machine = shape.machine
        self.full_bits = machine.weight_bits + machine.residual_bits
        members = {
            "valid": In(machine.lanes),
            "out_valid": Out(machine.lanes),
            "go": In(1),
            "load": In(1),
            "load_index": In(bits_for(extension_words(shape) + 1)),
            "load_word": In(Encoding(shape).word_bits),
            "saturations": Out(bits_for(machine.lanes * len(self.sats) + 1)),
            "host": In(HostBus(shape)),
        }
        for v in range(len(code.pre)):
            members[f"pre_{v}"] = In(signed(machine.value_bits))
        for lane in range(machine.lanes):
            members[f"weight_{lane}"] = In(signed(self.full_bits))
            members[f"next_weight_{lane}"] = Out(signed(self.full_bits))
            for k in range(len(code.synapses)):
                members[f"synapse_{k}_{lane}"] = In(signed(machine.state_bits))
                members[f"next_synapse_{k}_{lane}"] = Out(signed(machine.state_bits))
            for v in range(len(code.post)):
                members[f"post_{v}_{lane}"] = In(signed(machine.value_bits))
        for t in code.tables:
            members[f"table_{t.name}"] = Out(signed(signed_bits(t.lo, t.hi)))
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:
        """The component as an Amaranth module."""
        m = Module()
        code, machine, depth = self.code, self.shape.machine, self.stages.depth
        self._read_back: set[str] = set()
        self._registers = add_registers(
            m, self.shape, code, self.load, self.load_index, self.load_word, self.go
        )
        shared = shared_operations(code)
        once = Operations(m, code, self.stages, machine, "row_")
        lanes = [
            Operations(m, code, self.stages, machine, f"lane_{lane}_", once)
            for lane in range(machine.lanes)
        ]
        valid: list[Value] = [self.valid]
        for stage in range(1, max(depth, *self.stages.stages) + 1):
            valid.append(register(m, valid[-1], f"valid_{stage}"))
        flags: list[Value] = []
        for number, op in enumerate(code.ops):
            places = [(once, 0)] if number in shared else [(x, n) for n, x in enumerate(lanes)]
            for operations, lane in places:
                operations.add(number, self._result(m, operations, number, op, lane))
            if op.kind == "sat":
                limited = [operations.limits(number) for operations, _ in places]
                here = valid[self.stages.starts[number]]
                for lane in range(machine.lanes):
                    flag = limited[min(lane, len(limited) - 1)] & here[lane]
                    flags.append(register(m, flag, f"limited_{number}_{lane}"))
        for lane, operations in enumerate(lanes):
            results = operations.at(code.next_weight, depth)
            m.d.comb += getattr(self, f"next_weight_{lane}").eq(results)
            for k, number in enumerate(code.next_synapses):
                m.d.comb += getattr(self, f"next_synapse_{k}_{lane}").eq(
                    operations.at(number, depth)
                )
        m.d.comb += self.out_valid.eq(valid[depth])
        groups = [
            register(m, _sum(flags[n : n + GROUP]), f"limited_{n}")
            for n in range(0, len(flags), GROUP)
        ]
        m.d.sync += self.saturations.eq(_sum(groups))
        return m

    def _result(self, m: Module, o: Operations, number: int, op: Op, lane: int) -> Value:
        """The operation's result, at its stage."""
        name = str(op.args[0]) if op.args else ""
        code = self.code
        match op.kind:
            case "weight":
                return getattr(self, f"weight_{lane}")  # type: ignore[no-any-return]
            case "synapse":
                slot = [s.name for s in code.synapses].index(name)
                return getattr(self, f"synapse_{slot}_{lane}")  # type: ignore[no-any-return]
            case "pre":
                place = [v.name for v in code.pre].index(name)
                return getattr(self, f"pre_{place}")  # type: ignore[no-any-return]
            case "post":
                place = [v.name for v in code.post].index(name)
                return getattr(self, f"post_{place}_{lane}")  # type: ignore[no-any-return]
            case "param":
                return self._registers.plain[name]
        x = o.operands(number)
        if op.kind == "scale":
            _, zeros = scaled_factor(code, op)
            rounds = number not in o.unrounded
            unit = Scaler(self.shape.machine, len(x[0]), op.bits, zeros, rounds)
            m.submodules[f"{o.prefix}r{number}_scaler"] = unit
            mantissa, shift = self._registers.scaled[str(op.args[1])]
            m.d.comb += [unit.x.eq(x[0]), unit.mantissa.eq(mantissa), unit.shift.eq(shift)]
            return unit.y
        if op.kind == "table":
            table = str(op.args[1])
            base = self._registers.base[table]
            entry = o.table(number, x[0], base, self.shape, self.host)
            if table not in self._read_back:
                self._read_back.add(table)
                m.d.comb += getattr(self, f"table_{table}").eq(entry)
            return entry
        return o.result(number, x)


def _sum(values: list[Value]) -> Value:
    """Their sum, as a tree."""
    while len(values) > 1:
        values = [sum(values[n + 1 : n + 2], values[n]) for n in range(0, len(values), 2)]
    return values[0] if values else Const(0, 1)

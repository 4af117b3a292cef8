"""From kernel code to source text: the walk over the operations, whatever the language.

The walk decides the order, the width of each number (32 or 64 bits, by the operation's range) and
where a saturation has to be counted; a `Target` knows how to write it down. Nothing of a network's
numbers enters the source: like a bitstream it depends on the kernels and the word widths alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ....compiler.kernels.code import REDUCTIONS, KernelCode, Op, Port
from ....compiler.kernels.rule_code import RuleCode, Variable
from ....compiler.machine import Machine
from ...check import signed_range
from .products import only_cut, product_of, split_of, upper_of
from .rare import RarePart
from .target import Number, Slot, Target
from .usual import Common


def width_of(lo: int, hi: int) -> int:
    """32 if two's complement words of that width hold both numbers, else 64."""
    return 32 if lo >= -(1 << 31) and hi < 1 << 31 else 64


def parameter_slots(code: KernelCode | RuleCode) -> tuple[Slot, ...]:
    """The layout of the parameter block of each ``MAP`` of this kernel."""
    slots: list[Slot] = []
    place = 0
    for p in code.parameters:
        slots.append(Slot(p.name, "scaled" if p.scaled else "plain", place, width_of(p.lo, p.hi)))
        place += slots[-1].places
    for t in code.tables:
        slots.append(Slot(t.name, "table", place, width_of(t.lo, t.hi)))
        place += slots[-1].places
    return tuple(slots)


def way_to_divide(a: Op, b: Op, bits: int) -> str:
    """The fastest way that is exact, for `Target.divide`; for proofs see the functions in C."""
    if width_of(min(a.lo, b.lo), max(a.hi, b.hi)) == 32 and b.hi <= 3 << 29 and bits <= 12:
        return "single"
    largest = 1 << 53
    ends = (abs(a.lo), abs(a.hi), abs(b.lo), abs(b.hi))
    exact = bits <= 29 and max(ends) <= largest and max(b.hi, 0) << bits < largest
    return "double" if exact else "whole"


TRUTHS = frozenset("gt ge eq and or not".split())
"""Operations whose result is 0 or 1."""


class Walk:
    """Operations of one kernel, turned into statements one after the other.

    Parameters
    ----------
    code : KernelCode or RuleCode
    machine : Machine
    target : Target
    counts : bool
        Whether saturations are counted.
    common : mapping of int -> Common
        Places at which tables are read, so that nothing is looked up.
    """

    def __init__(
        self,
        code: KernelCode | RuleCode,
        machine: Machine,
        target: Target,
        counts: bool = True,
        common: Mapping[int, Common] | None = None,
    ) -> None:
        self.code: Any = code
        self.counts = counts
        self.common = common or {}
        self.target = target
        self.only_cut = only_cut(code.ops)
        self.slots = {slot.name: slot for slot in parameter_slots(code)}
        states = () if isinstance(code, RuleCode) else code.states
        self.state_slot = {port.name: k for k, port in enumerate(states)}
        self.state_width = 32 if machine.state_bits <= 32 else 64
        self.first_of = {table.name: table.first for table in code.tables}
        self.results: dict[int, Number] = {}
        self.conditions: dict[int, str] = {}
        self.body: list[str] = []
        self._given: dict[int, str] = {}
        self.limited: list[tuple[Number, Number]] = []
        """What saturations read and give."""

    def run_all_but(self, rare: RarePart | None) -> None:
        """All operations, without what is postponed."""
        for number, op in enumerate(self.code.ops):
            if op.kind == "mul" and number in self.only_cut:
                continue
            if rare is not None and number in rare.selects:
                self._name(number, self.results[op.operands[2]])
            elif rare is None or number not in rare.ops:
                self._name(number, self._result(number, op))

    def give(self, number: int, text: str) -> None:
        """Let a result be at hand, so that it is not made."""
        self._given[number] = text

    def run_some(self, numbers: Iterable[int]) -> None:
        """Some operations, in order; all that they depend on is among them."""
        for number in numbers:
            self._name(number, self._result(number, self.code.ops[number]))

    def run_with_operands(self, numbers: Iterable[int], given: Mapping[int, str]) -> None:
        """Some operations, in order, and what they read; some of that is given."""
        wanted = set(numbers)
        read = {r for n in wanted for r in self.code.ops[n].operands}
        for number in sorted(wanted | read):
            if number in given and number not in wanted:
                self.give(number, given[number])
            self._name(number, self._result(number, self.code.ops[number]))

    def width(self, number: int) -> int:
        """The width of a result, in bits."""
        op = self.code.ops[number]
        return 32 if number in self.only_cut else width_of(op.lo, op.hi)

    def _name(self, number: int, result: Number) -> None:
        named = Number(f"r{number}", self.width(number))
        self.body.append(self.target.assign(named.text, self.target.cast(result, named.width)))
        self.results[number] = named

    def _operand(self, op: Op, k: int) -> Op:
        return self.code.ops[op.operands[k]]

    def _result(self, number: int, op: Op) -> Number:
        target = self.target
        if number in self._given:
            return Number(self._given[number], self.width(number))
        name = str(op.args[-1]) if op.args else ""
        match op.kind:
            case "weight" | "synapse" | "pre" | "post":
                return self._seen(op)
            case "input":
                return Number(target.read_input(), width_of(self.code.input.lo, self.code.input.hi))
            case "state":
                return Number(target.read_state(self.state_slot[name]), self.state_width)
            case "param":
                slot = self.slots[name]
                return Number(target.read_parameter(slot, slot.width), slot.width)
            case "const":
                return target.constant(int(op.args[0]), width_of(op.lo, op.hi))
            case "scale":
                return Number(target.scale(self.results[op.operands[0]], self.slots[name]), 64)
            case "table" if number in self.common:
                common, width = self.common[number], self.slots[name].width
                at = self.results[common.of]
                chosen = f"common_{number}_1"
                for end, below in self._below(number, common):
                    text = target.constant(end, at.width).text
                    is_above = target.operation("gt", [at.text, text], [], at.width)
                    chosen = target.select(is_above, chosen, below)
                return Number(chosen, width)
            case "table":
                slot = self.slots[name]
                argument = self.results[op.operands[0]].text
                return Number(target.table(argument, self.first_of[name], slot), slot.width)
            case "divide":
                way = way_to_divide(self._operand(op, 0), self._operand(op, 1), int(name))
                a, b = (self.results[r].text for r in op.operands)
                return target.divide(a, b, int(name), way)
            case "sat":
                return self._sat(number, op)
            case "winner":
                return self._truth(number, target.is_neuron(target.read_reduction(number)))
            case kind if kind in REDUCTIONS:
                return Number(target.read_reduction(number), self.width(number))
            case "gt" | "ge" | "eq":
                return self._truth(number, self._arithmetic(op).text)
            case "and" | "or" | "not":
                conditions = [self.condition(r) for r in op.operands]
                return self._truth(number, target.operation(op.kind, conditions, [], 1))
            case "select":
                choices = [self._operand(op, k) for k in (1, 2)]
                width = width_of(min(o.lo for o in choices), max(o.hi for o in choices))
                a, b = (self._text(r, width) for r in op.operands[1:])
                condition = self.condition(op.operands[0])
                if isinstance(self.code, RuleCode):
                    return Number(target.select_by_mask(condition, a, b, width), width)
                return Number(target.select(condition, a, b), width)
            case "round" | "floor" if (split := split_of(self.code.ops, op)) and self._is_wide(op):
                product = product_of(self.code.ops, op)
                assert product is not None
                whole, cut = product.operands[::-1] if split.first else product.operands
                n = int(op.args[1])
                half = 1 << (n - 1) if op.kind == "round" else 0
                upper = self._upper(cut, split.bits)
                texts = (self.results[whole].text, self.results[cut].text, upper)
                return Number(target.split_product(*texts, split.bits, n, half), 32)
        return self._arithmetic(op, number)

    def _below(self, number: int, common: Common) -> list[tuple[int, str]]:
        """What is read of a table up to ends, the higher one first, of what tells where."""
        first = (common.below, f"common_{number}_0")
        if common.period is None:
            return [first]
        return [(common.above - 1, self.target.read_remembered(number)), first]

    def _upper(self, number: int, bits: int) -> str:
        """A result without its lower bits."""
        operation, known = self.target.operation, upper_of(self.code.ops, number)
        if number not in self.only_cut or known is None:
            return operation("floor", [self.results[number].text], [bits], 32)
        a, b = self.results[known.a].text, self.results[known.b].text
        other = operation("neg", [b], [], 32) if known.minus else b
        if known.shift:
            other = operation("floor", [other], [known.shift], 32)
        total = operation("add", [a, other], [], 32)
        rest = bits - known.shift
        return operation("floor", [total], [rest], 32) if rest else total

    def _is_wide(self, op: Op) -> bool:
        """Whether what an operation reads takes a wide word."""
        inner = self._operand(op, 0)
        return width_of(inner.lo, inner.hi) == 64

    def _seen(self, op: Op) -> Number:
        """What a rule sees."""
        if op.kind == "weight":
            return self.target.read_variable("weight", 0)
        groups: dict[str, Sequence[Port | Variable]] = {
            "synapse": self.code.synapses,
            "pre": self.code.pre,
            "post": self.code.post,
        }
        names = [one.name for one in groups[op.kind]]
        found = self.target.read_variable(op.kind, names.index(str(op.args[0])))
        return Number(found.text, self.state_width if op.kind == "synapse" else found.width)

    def _truth(self, number: int, text: str) -> Number:
        """Name a condition, for logical operations; as a number it is made from that name."""
        self.conditions[number] = f"c{number}"
        self.body.append(self.target.assign_condition(f"c{number}", text))
        return self.target.truth(f"c{number}")

    def condition(self, result: int) -> str:
        """The condition that a result is not zero."""
        return self.conditions.get(result) or self.target.condition(self.results[result])

    def sign(self, result: int) -> str:
        """A 32-bit number that is negative where a result is not zero."""
        if not self._is_difference(result):
            return self.target.sign(self.condition(result))
        op = self.code.ops[result]
        texts = [self.results[r].text for r in reversed(op.operands)]
        difference = self.target.operation("sub", texts, [], 32)
        if op.kind == "gt":
            return difference
        one = self.target.constant(1, 32).text
        return self.target.operation("sub", [difference, one], [], 32)

    def _is_difference(self, result: int) -> bool:
        """Whether a comparison's outcome is the sign of a difference that fits a narrow word."""
        op = self.code.ops[result]
        if op.kind not in ("gt", "ge"):
            return False
        a, b = (self.code.ops[r] for r in op.operands)
        lo, hi = b.lo - a.hi - 1, b.hi - a.lo
        return width_of(min(lo, a.lo, b.lo), max(hi, a.hi, b.hi)) == 32

    def known_from_sign(self, result: int, sign: str) -> dict[int, str]:
        """What a sign tells of the numbers that were compared: the first, if the other is fixed."""
        op = self.code.ops[result]
        if not self._is_difference(result) or self._operand(op, 1).kind != "const":
            return {}
        end = self.target.constant(self._operand(op, 1).lo - (op.kind == "ge"), 32).text
        return {op.operands[0]: self.target.operation("sub", [end, sign], [], 32)}

    def _text(self, result: int, width: int) -> str:
        """A result at some width; what does not change is not converted, but there at both."""
        op = self.code.ops[result]
        if op.kind == "param" and width == 64:
            return self.target.read_parameter(self.slots[str(op.args[0])], 64)
        if op.kind == "const" and width == 64:
            return self.target.constant(int(op.args[0]), 64).text
        return self.target.cast(self.results[result], width).text

    def _arithmetic(self, op: Op, number: int | None = None) -> Number:
        count = len(op.operands)
        numbers = [int(a) for a in op.args[count:]]
        inner = [self._operand(op, k) for k in range(count)]
        lo, hi = min(op.lo, *(o.lo for o in inner)), max(op.hi, *(o.hi for o in inner))
        if op.kind == "round":
            hi = max(hi, inner[0].hi + (1 << (numbers[0] - 1)))
        width = 64 if numbers and numbers[0] > 30 else width_of(lo, hi)
        if number in self.only_cut:
            width = 32  # what overflows is of no interest
        texts = [self._text(r, width) for r in op.operands]
        return Number(self.target.operation(op.kind, texts, numbers, width), width)

    def _sat(self, number: int, op: Op) -> Number:
        a = self._operand(op, 0)
        lo, hi = int(op.args[1]), int(op.args[2])
        if lo <= a.lo and a.hi <= hi:
            return self.results[op.operands[0]]
        width = width_of(min(lo, a.lo), max(hi, a.hi))
        before = self.target.cast(self.results[op.operands[0]], width)
        after = self._limited(before, a, lo, hi)
        name = f"s{number}"
        self.body.append(self.target.assign(name, after))
        if self.counts:
            self.body.append(self.target.count_limited(before.text, name))
        self.limited.append((before, Number(name, width)))
        return Number(name, width)

    def state(self, number: int, machine: Machine) -> str:
        """A result as a next state, limited to a state word without being counted."""
        op, result = self.code.ops[number], self.results[number]
        lo, hi = signed_range(machine.state_bits)
        if not (lo <= op.lo and op.hi <= hi):
            result = self._limited(self.target.cast(result, 64), op, lo, hi)
        return self.target.cast(result, self.state_width).text

    def _limited(self, number: Number, op: Op, lo: int, hi: int) -> Number:
        """A number with the range of `op`, limited at the ends that it can pass."""
        for kind, bound, needed in (("max", lo, op.lo < lo), ("min", hi, op.hi > hi)):
            if needed:
                texts = [number.text, self.target.constant(bound, number.width).text]
                text = self.target.operation(kind, texts, [], number.width)
                number = Number(text, number.width)
        return number

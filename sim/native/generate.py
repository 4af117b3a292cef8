"""From kernel code to source text: the walk over the operations, whatever the language.

The walk decides the order, the width of each number (32 or 64 bits, by the operation's range) and
where a saturation has to be counted; a `Target` knows how to write it down. Nothing of a network's
numbers enters the source: like a bitstream it depends on the kernels and the word widths alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ...compiler.kernels.code import REDUCTIONS, KernelCode, Op, Port
from ...compiler.kernels.rule_code import RuleCode, Variable
from ...compiler.machine import Machine
from ..check import signed_range
from .rare import RarePart, rare_part


@dataclass(frozen=True)
class Number:
    """A number in the generated source: its text, and whether it is 32 or 64 bits wide."""

    text: str
    width: int


@dataclass(frozen=True)
class Slot:
    """Where a parameter or table stands in the parameter block of a ``MAP``'s instruction.

    A scaled parameter takes two entries, mantissa and shift; a table takes one, the place of its
    first entry in the memory of tables of its width.
    """

    name: str
    kind: str
    place: int
    width: int


class Target(Protocol):
    """A language that kernels can be written in."""

    def cast(self, number: Number, width: int) -> Number:
        """The same number with another width."""

    def constant(self, value: int, width: int) -> Number:
        """A number written into the source."""

    def operation(
        self, kind: str, operands: Sequence[str], numbers: Sequence[int], width: int
    ) -> str:
        """The text of an arithmetic operation on operands of this width."""

    def assign_condition(self, name: str, text: str) -> str:
        """A statement that names the outcome of a comparison or of a logical operation."""

    def condition(self, number: Number) -> str:
        """A 0/1 number as a condition."""

    def select(self, condition: str, a: str, b: str) -> str:
        """One of two numbers of equal width."""

    def select_by_mask(self, condition: str, a: str, b: str, width: int) -> str:
        """The same without a branch: for rules, whose conditions often are those of a whole row."""

    def truth(self, condition: str) -> Number:
        """A condition as a 0/1 number."""

    def read_input(self) -> str:
        """The kernel's input."""

    def read_saved(self, name: str) -> str:
        """A number that the body saved for the rare part."""

    def read_state(self, slot: int) -> str:
        """The word of a state."""

    def read_parameter(self, slot: Slot, width: int) -> str:
        """A parameter of fixed format as a number of this width."""

    def read_reduction(self, number: int) -> str:
        """What the first pass made of a reduction; of a ``winner`` the neuron's index."""

    def is_neuron(self, index: str) -> str:
        """The condition that this neuron has an index."""

    def scale(self, a: str, slot: Slot) -> str:
        """A 64-bit number times a scaled parameter, rounded."""

    def table(self, argument: str, first: int, slot: Slot) -> str:
        """An entry of a table."""

    def divide(self, a: str, b: str, bits: int, double: bool) -> Number:
        """A fraction; `double` says that double precision is exact."""

    def assign(self, name: str, number: Number) -> str:
        """A statement that names a number."""

    def count_limited(self, before: str, after: str) -> str:
        """A statement that counts a saturation where the two differ."""

    def kernel(self, number: int, code: KernelCode, body: Sequence[str], outputs: Outputs) -> str:
        """The whole function of a kernel."""

    def read_variable(self, kind: str, number: int) -> Number:
        """Of a rule: the full ``weight``, state `number` of the ``synapse``, variable of a side."""

    def rule(
        self, number: int, code: RuleCode, body: Sequence[str], outputs: RuleOutputs, bits: int
    ) -> str:
        """The whole function of a rule; `bits` are those of a residual."""

    def source(self, machine: Machine, kernels: Sequence[str], rules: Sequence[str]) -> str:
        """The whole source."""


@dataclass(frozen=True)
class Outputs:
    """What a kernel's body leaves behind: the next states and the emitted number.

    `states` are already within the machine's state words; `emitted` is the condition that the
    output is not zero; `narrow` tells that every output is certain to fit a payload, `unit` that it
    is 0 or 1. `reduce` is the first pass of a kernel with reductions.
    """

    slots: tuple[Slot, ...]
    states: tuple[str, ...]
    emit: Number
    emitted: str
    narrow: bool
    unit: bool
    rare: Rare | None
    reduce: Reduce | None = None


@dataclass(frozen=True)
class Reduce:
    """The first pass over the population: its body, and what is reduced afterwards.

    `operands` are the numbers of the body that are reduced, by the number of the reduction.
    """

    body: tuple[str, ...]
    operands: dict[int, Number]


@dataclass(frozen=True)
class Rare:
    """What follows the body for the neurons where a condition holds.

    `saved` are the numbers of the body that it reads, by the name that it reads them with;
    `states` the slots that it stores.
    """

    condition: str
    saved: dict[str, Number]
    body: tuple[str, ...]
    states: dict[int, str]


def width_of(lo: int, hi: int) -> int:
    """32 if two's complement words of that width hold both numbers, else 64."""
    return 32 if lo >= -(1 << 31) and hi < 1 << 31 else 64


@dataclass(frozen=True)
class RuleOutputs:
    """What the body of a rule leaves behind: the full weight and the synapse's states."""

    slots: tuple[Slot, ...]
    weight: Number
    synapses: tuple[Number, ...]


def parameter_slots(code: KernelCode | RuleCode) -> tuple[Slot, ...]:
    """The layout of the parameter block of each ``MAP`` of this kernel."""
    slots: list[Slot] = []
    place = 0
    for p in code.parameters:
        slots.append(Slot(p.name, "scaled" if p.scaled else "plain", place, width_of(p.lo, p.hi)))
        place += 2 if p.scaled else 1
    for t in code.tables:
        slots.append(Slot(t.name, "table", place, width_of(t.lo, t.hi)))
        place += 1
    return tuple(slots)


def double_is_exact(a: Op, b: Op, bits: int) -> bool:
    """Whether ``divide`` may use double precision; the proof stands beside the function in C."""
    largest = 1 << 53
    ends = (abs(a.lo), abs(a.hi), abs(b.lo), abs(b.hi))
    return bits <= 29 and max(ends) <= largest and max(b.hi, 0) << bits < largest


TRUTHS = frozenset("gt ge eq and or not".split())
"""Operations whose result is 0 or 1."""


class _Walk:
    """Operations of one kernel, turned into statements one after the other."""

    def __init__(
        self, code: KernelCode | RuleCode, machine: Machine, target: Target, counts: bool = True
    ) -> None:
        self.code: Any = code
        self.counts = counts
        self.target = target
        self.slots = {slot.name: slot for slot in parameter_slots(code)}
        states = () if isinstance(code, RuleCode) else code.states
        self.state_slot = {port.name: k for k, port in enumerate(states)}
        self.state_width = 32 if machine.state_bits <= 32 else 64
        self.first_of = {table.name: table.first for table in code.tables}
        self.results: dict[int, Number] = {}
        self.conditions: dict[int, str] = {}
        self.body: list[str] = []

    def run_all_but(self, rare: RarePart | None) -> None:
        """All operations, without what is postponed."""
        for number, op in enumerate(self.code.ops):
            if rare is not None and number in rare.selects:
                self._name(number, self.results[op.operands[2]])
            elif rare is None or number not in rare.ops:
                self._name(number, self._result(number, op))

    def run_reduced(self) -> None:
        """What reductions depend on."""
        for number in self.code.reduced:
            self._name(number, self._result(number, self.code.ops[number]))

    def run_rare(self, rare: RarePart) -> None:
        """What was postponed, with what it reads."""
        for number in rare.needs:
            text = self.target.read_saved(f"r{number}")
            self._name(number, Number(text, self._width(number)))
        read = {r for n in rare.ops for r in self.code.ops[n].operands}
        for number in sorted(read.union(rare.ops).difference(rare.needs)):
            self._name(number, self._result(number, self.code.ops[number]))

    def _width(self, number: int) -> int:
        op = self.code.ops[number]
        return width_of(op.lo, op.hi)

    def _name(self, number: int, result: Number) -> None:
        named = Number(f"r{number}", self._width(number))
        self.body.append(self.target.assign(named.text, self.target.cast(result, named.width)))
        self.results[number] = named

    def _operand(self, op: Op, k: int) -> Op:
        return self.code.ops[op.operands[k]]

    def _result(self, number: int, op: Op) -> Number:
        target = self.target
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
                return Number(target.scale(self._text(op.operands[0], 64), self.slots[name]), 64)
            case "table":
                slot = self.slots[name]
                argument = self.results[op.operands[0]].text
                return Number(target.table(argument, self.first_of[name], slot), slot.width)
            case "divide":
                double = double_is_exact(self._operand(op, 0), self._operand(op, 1), int(name))
                a, b = (self.results[r].text for r in op.operands)
                return target.divide(a, b, int(name), double)
            case "sat":
                return self._sat(number, op)
            case "winner":
                return self._truth(number, target.is_neuron(target.read_reduction(number)))
            case kind if kind in REDUCTIONS:
                return Number(target.read_reduction(number), self._width(number))
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
        return self._arithmetic(op)

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

    def _text(self, result: int, width: int) -> str:
        """A result at some width; what does not change is not converted, but there at both."""
        op = self.code.ops[result]
        if op.kind == "param" and width == 64:
            return self.target.read_parameter(self.slots[str(op.args[0])], 64)
        if op.kind == "const" and width == 64:
            return self.target.constant(int(op.args[0]), 64).text
        return self.target.cast(self.results[result], width).text

    def _arithmetic(self, op: Op) -> Number:
        count = len(op.operands)
        numbers = [int(a) for a in op.args[count:]]
        inner = [self._operand(op, k) for k in range(count)]
        lo, hi = min(op.lo, *(o.lo for o in inner)), max(op.hi, *(o.hi for o in inner))
        if op.kind == "round":
            hi = max(hi, inner[0].hi + (1 << (numbers[0] - 1)))
        width = 64 if numbers and numbers[0] > 30 else width_of(lo, hi)
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


def payload_source(code: KernelCode, machine: Machine) -> tuple[int, int]:
    """The result that an event's payload is a power of two of, and which: (result, shift).

    Kernels end with a shift that gives payloads their fraction bits. The engine stores payloads
    without it, and shifts sums instead, so that they fit narrower words. A shifted payload that
    does not fit a value would have to be limited first, so there nothing is left out.
    """
    last = code.ops[code.emit]
    lo, hi = signed_range(machine.value_bits)
    if code.emits == "events" and last.kind == "shl" and lo <= last.lo and last.hi <= hi:
        return int(last.args[0]), int(last.args[1])
    return code.emit, 0


def generate_kernel(code: KernelCode, number: int, machine: Machine, target: Target) -> str:
    """The function of one kernel."""
    rare = rare_part(code)
    walk = _Walk(code, machine, target)
    walk.run_all_but(rare)
    emit, shift = payload_source(code, machine)
    emitted = code.ops[emit]
    lo, hi = (end >> shift for end in signed_range(machine.value_bits))
    outputs = Outputs(
        slots=tuple(walk.slots.values()),
        states=tuple(walk.state(result, machine) for result in code.next_state),
        emit=walk.results[emit],
        emitted=walk.condition(emit),
        narrow=lo <= emitted.lo and emitted.hi <= hi,
        unit=emitted.kind in TRUTHS,
        rare=None if rare is None else _rare(code, machine, target, walk, rare),
        reduce=_reduce(code, machine, target) if code.reductions else None,
    )
    return target.kernel(number, code, walk.body, outputs)


def _reduce(code: KernelCode, machine: Machine, target: Target) -> Reduce:
    first = _Walk(code, machine, target, counts=False)
    first.run_reduced()
    operands = {n: first.results[code.ops[n].operands[0]] for n in code.reductions}
    return Reduce(tuple(first.body), operands)


def _rare(code: KernelCode, machine: Machine, target: Target, walk: _Walk, part: RarePart) -> Rare:
    late = _Walk(code, machine, target)
    late.run_rare(part)
    choice = {slot: int(code.ops[code.next_state[slot]].args[1]) for slot in part.states}
    return Rare(
        condition=walk.condition(part.condition),
        saved={f"r{number}": walk.results[number] for number in part.needs},
        body=tuple(late.body),
        states={slot: late.state(result, machine) for slot, result in choice.items()},
    )


def generate_rule(code: RuleCode, number: int, machine: Machine, target: Target) -> str:
    """The function of one rule."""
    walk = _Walk(code, machine, target)
    walk.run_all_but(None)
    outputs = RuleOutputs(
        slots=tuple(walk.slots.values()),
        weight=target.cast(walk.results[code.next_weight], 64),
        synapses=tuple(target.cast(walk.results[n], walk.state_width) for n in code.next_synapses),
    )
    return target.rule(number, code, walk.body, outputs, machine.residual_bits)


def generate(
    kernels: Mapping[str, KernelCode],
    rules: Mapping[str, RuleCode],
    machine: Machine,
    target: Target,
) -> str:
    """The source of an engine for these kernels and rules.

    Parameters
    ----------
    kernels : mapping of name -> KernelCode
        Numbered in the order of their names.
    rules : mapping of name -> RuleCode
        Likewise.
    machine : Machine
        Only its value and state widths matter.
    target : Target

    Returns
    -------
    str
    """
    functions = [
        generate_kernel(kernels[name], number, machine, target)
        for number, name in enumerate(sorted(kernels))
    ]
    rule_functions = [
        generate_rule(rules[name], number, machine, target)
        for number, name in enumerate(sorted(rules))
    ]
    return target.source(machine, functions, rule_functions)

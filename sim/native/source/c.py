"""The target C: how the walk's numbers and operations are written in C11 for a desktop computer."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from ....compiler.kernels.code import KernelCode
from ....compiler.kernels.rule_code import RuleCode
from ....compiler.machine import Machine
from ...check import signed_range
from .c_kernels import kernel_source
from .c_rules import rule_source
from .target import Number, Outputs, RuleOutputs, Slot

_TEMPLATES = {
    "add": "{0} + {1}",
    "sub": "{0} - {1}",
    "neg": "-{0}",
    "abs": "{0} < 0 ? -{0} : {0}",
    "mul": "{0} * {1}",
    "min": "{0} < {1} ? {0} : {1}",
    "max": "{0} > {1} ? {0} : {1}",
    "gt": "{0} > {1}",
    "ge": "{0} >= {1}",
    "eq": "{0} == {1}",
    "and": "{0} & {1}",
    "or": "{0} | {1}",
    "not": "!{0}",
}


class C:
    """Plain C over plain arrays; see `spikeloom.sim.native.source.target.Target`."""

    def cast(self, number: Number, width: int) -> Number:
        """The same number as an int32_t or int64_t."""
        if number.width == width:
            return number
        return Number(f"(int{width}_t)({number.text})", width)

    def constant(self, value: int, width: int) -> Number:
        """A literal; the most negative numbers have none in C and are written as a difference."""
        if value < 0:
            return Number(f"({self._literal(value + 1, width)} - 1)", width)
        return Number(self._literal(value, width), width)

    @staticmethod
    def _literal(value: int, width: int) -> str:
        return f"INT{width}_C({value})"

    def operation(
        self, kind: str, operands: Sequence[str], numbers: Sequence[int], width: int
    ) -> str:
        """An expression in brackets."""
        if kind == "shl":
            return f"({operands[0]} * {self._literal(1 << numbers[0], width)})"
        if kind == "round":
            half = self._literal(1 << (numbers[0] - 1), width)
            return f"(({operands[0]} + {half}) >> {numbers[0]})"
        if kind == "floor":
            return f"({operands[0]} >> {numbers[0]})"
        return f"({_TEMPLATES[kind].format(*operands)})"

    def assign_condition(self, name: str, text: str) -> str:
        """A boolean definition."""
        return f"const _Bool {name} = {text};"

    def condition(self, number: Number) -> str:
        """A test against zero."""
        return f"({number.text} != 0)"

    def select(self, condition: str, a: str, b: str) -> str:
        """A conditional expression."""
        return f"({condition} ? {a} : {b})"

    def select_by_mask(self, condition: str, a: str, b: str, width: int) -> str:
        """A selection of bits.

        From several choices by one condition GCC makes a branch, with which it does not vectorise.
        """
        return f"({b} ^ (({a} ^ {b}) & -(int{width}_t){condition}))"

    def truth(self, condition: str) -> Number:
        """A 1 that the compiler does not know, or 0.

        A plain conversion to int would do, but GCC 12.2's vectoriser gives wrong results where a
        comparison has such a converted comparison as its operand.
        """
        return Number(f"({condition} ? one : 0)", 32)

    def read_input(self) -> str:
        """The input array of the block."""
        return "input[i]"

    def read_remembered(self, table: int) -> str:
        """A word of an array beside the states, read at the head of the loop."""
        return f"entry_{table}"

    def read_sign(self) -> str:
        """An array that the loop before fills."""
        return "hit_rare[k]"

    def read_saved(self, name: str) -> str:
        """An array that the loop before fills."""
        return f"saved_{name}[k]"

    def read_carried(self, name: str) -> str:
        """An array of the rare neurons alone."""
        return f"carried_{name}[e]"

    def read_state(self, slot: int) -> str:
        """A word of the state memory, read at the head of the loop."""
        return f"old_{slot}"

    def read_parameter(self, slot: Slot, width: int) -> str:
        """A constant that the prologue sets.

        It is there at both widths: GCC does not vectorise a selection of a converted constant.
        """
        return f"p{slot.place}" if width == slot.width else f"wide_{slot.place}"

    def read_reduction(self, number: int) -> str:
        """A constant that the first pass leaves."""
        return f"reduced_{number}"

    def read_reduced(self, number: int) -> str:
        """An array that the first pass fills."""
        return f"reduced_in_{number}[i]"

    def is_neuron(self, index: str) -> str:
        """A comparison with the neuron's index."""
        return f"((int32_t)i == (int32_t)({index} - base))"

    def scale(self, a: Number, slot: Slot) -> str:
        """Product with the mantissa, rounding, shift; of 32-bit numbers processors have it fast."""
        k = slot.place
        product = f"{a.text} * p{k}" if a.width == 64 else f"(int64_t){a.text} * (int64_t)m{k}"
        return f"(({product} + half_{k}) >> shift_{k})"

    def table(self, argument: str, first: int, slot: Slot) -> str:
        """A load; the compiler makes it a gather where the processor has one."""
        return f"t{slot.place}[{argument} - ({first})]"

    def sign(self, condition: str) -> str:
        """A -1 that the compiler does not know, for the reason above, or 0."""
        return f"({condition} ? -one : 0)"

    def split_product(self, a: str, b: str, upper: str, low: int, n: int, half: int) -> str:
        """Two products of 32-bit words."""
        lower = f"({a} * ({b} & {(1 << low) - 1}) + {half}) >> {low}"
        return f"(({a} * {upper} + ({lower})) >> {n - low})"

    def beyond(self, number: Number, bits: int) -> str:
        """The signs of the distances to both ends; one that overflows is the other's."""
        if number.width == 64:
            above = f"((uint64_t){number.text} + (UINT64_C(1) << {bits})) >> {bits + 1}"
            return self.sign(f"({above} != 0)")
        end = 1 << bits
        return f"(({number.text} + {end}) | ({end - 1} - {number.text}))"

    def between(self, number: Number, lo: int, hi: int) -> str:
        """The signs of two differences."""
        ends = [self.constant(end, number.width).text for end in (lo, hi)]
        return f"(({ends[0]} - {number.text}) & ({number.text} - {ends[1]}))"

    def differ(self, a: Number, b: Number) -> str:
        """A comparison."""
        return self.sign(f"({a.text} != {b.text})")

    def parameter_fits(self, slot: Slot, bits: int) -> str:
        """A comparison of the parameter's words."""
        if slot.kind == "table":
            return f"(parameters[{slot.place + 1}] <= {bits})"
        end = 1 << bits
        k = slot.place
        return f"(parameters[{k}] >= -INT64_C({end}) && parameters[{k}] < INT64_C({end}))"

    def divide(self, a: str, b: str, bits: int, by: str) -> Number:
        """A call of one of the divisions of loom.h."""
        if by == "single":
            return Number(f"divide_single({a}, {b}, {bits})", 32)
        if by == "double":
            return Number(f"divide_double((double){a}, (double){b}, {bits})", 32)
        return Number(f"divide_whole({a}, {b}, {bits})", 64)

    def assign(self, name: str, number: Number) -> str:
        """A constant definition."""
        return f"const int{number.width}_t {name} = {number.text};"

    def count_limited(self, before: str, after: str) -> str:
        """Count into the block's counter."""
        return f"within += ({before} != {after}) & counted;"

    def kernel(self, number: int, code: KernelCode, body: Sequence[str], outputs: Outputs) -> str:
        """A function over blocks of neurons: fit the input, one loop of arithmetic, emit."""
        loads = [line for slot in outputs.slots for line in self._load(slot)]
        return kernel_source(self, number, code, loads, body, outputs)

    def _load(self, slot: Slot) -> list[str]:
        """Statements that load one slot of the parameter block before the loop."""
        k = slot.place
        if slot.kind == "table":
            return [
                f"const int{slot.width}_t *restrict t{k} = "
                f"context->table_{slot.width} + parameters[{k}];"
            ]
        if slot.kind == "plain":
            return [
                f"const int{slot.width}_t p{k} = (int{slot.width}_t)parameters[{k}];",
                f"const int64_t wide_{k} = parameters[{k}];",
                f"(void)wide_{k};",
            ]
        return [
            f"const int64_t p{k} = parameters[{k}], shift_{k} = parameters[{k + 1}];",
            f"const int64_t half_{k} = INT64_C(1) << (shift_{k} - 1);",
            f"const int32_t m{k} = (int32_t)p{k};",
            f"(void)m{k};",
        ]

    def read_variable(self, kind: str, number: int) -> Number:
        """Definitions at the head of the loops of a rule."""
        if kind == "weight":
            return Number("full", 64)
        return Number(f"{kind}_{number}", 32)

    def rule(
        self, number: int, code: RuleCode, body: Sequence[str], outputs: RuleOutputs, bits: int
    ) -> str:
        """A function with a loop over the synapses of a row, and one over those of a column."""
        return rule_source(
            number,
            code,
            [line for slot in outputs.slots for line in self._load(slot)],
            sum(slot.places for slot in outputs.slots),
            body,
            outputs,
            bits,
        )

    def source(
        self,
        machine: Machine,
        kernels: Sequence[str],
        late: Collection[int],
        rules: Sequence[str],
    ) -> str:
        """Widths, memories, kernels and interpreter in one translation unit."""
        folder = Path(__file__).parents[1] / "c"
        lo, hi = (self.constant(end, 64).text for end in signed_range(machine.value_bits))
        head = [
            f"#define VALUE_LO {lo}",
            f"#define VALUE_HI {hi}",
            "#include <stdint.h>",
            f"typedef int{32 if machine.state_bits <= 32 else 64}_t state_t;",
            "",
        ]
        table = ", ".join(f"kernel_{k}" for k in range(len(kernels))) or "0"
        lates = ", ".join(f"late_{k}" if k in late else "0" for k in range(len(kernels))) or "0"
        updates = ", ".join(f"rule_{k}" for k in range(len(rules))) or "0"
        return "\n".join(
            [
                *head,
                (folder / "loom.h").read_text(),
                *kernels,
                f"static kernel_function *const kernels[] = {{{table}}};",
                f"static kernel_function *const lates[] = {{{lates}}};",
                *rules,
                f"static rule_function *const rules[] = {{{updates}}};",
                "",
                *(
                    (folder / f"{name}.c").read_text()
                    for name in ("rows", "pairs", "sparse", "loom", "sums", "run")
                ),
            ]
        )

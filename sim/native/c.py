"""The target C: how the walk's numbers and operations are written in C11 for a desktop computer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ...compiler.kernels.code import KernelCode
from ...compiler.kernels.rule_code import RuleCode
from ...compiler.machine import Machine
from ..check import signed_range
from .c_rules import rule_source
from .generate import Number, Outputs, Rare, Reduce, RuleOutputs, Slot, width_of

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

_KERNEL = """\
/* {name} */
static void kernel_{number}(context_t *context, const instruction_t *in)
{{
    const int64_t *parameters = context->parameters + in->parameters;
    const int32_t one = (int32_t)context->one;
    (void)parameters;
    (void)one;
{prologue}{reduce}
    int64_t limited = 0{events};
    for (int64_t base = 0; base < in->length; base += BLOCK) {{
        const int64_t n = least(BLOCK, in->length - base);
        {input_type} input[BLOCK];
{arrays}
        const accumulator_t *sums = context->accumulator + in->source + base;
        if (in->input_fits)
            shift_64_to_{input_width}(sums, input, n, in->input_shift);
        else
            limited += fit_64_to_{input_width}(sums, input, n, in->input_shift, {input_lo},
                                               {input_hi});
        int32_t within = 0;
        INDEPENDENT
        for (int64_t i = 0; i < n; i++) {{
{body}
        }}
        limited += within;
{epilogue}
    }}
    context->saturations[in->population] += limited;{finish}
}}
"""

_REDUCE = """
    /* The first pass: what is reduced over the population. Nothing is counted or written. */
{before}
    for (int64_t base = 0; base < in->length; base += BLOCK) {{
        const int64_t n = least(BLOCK, in->length - base);
        {input_type} input[BLOCK];
{arrays}
        fit_64_to_{input_width}(context->accumulator + in->source + base, input, n,
                                in->input_shift, {input_lo}, {input_hi});
        INDEPENDENT
        for (int64_t i = 0; i < n; i++) {{
{body}
        }}
{combine}
    }}
{after}"""

_COMBINE = {
    "any_of": "for (int64_t i = 0; i < n; i++) best_{0} |= reduced_in_{0}[i] != 0;",
    "sum_of": "for (int64_t i = 0; i < n; i++) best_{0} += reduced_in_{0}[i];",
    "max_of": "for (int64_t i = 0; i < n; i++)"
    " if (reduced_in_{0}[i] > best_{0}) best_{0} = reduced_in_{0}[i];",
    "winner": "for (int64_t i = 0; i < n; i++)"
    " if (reduced_in_{0}[i] > best_{0}) best_{0} = reduced_in_{0}[i], at_{0} = base + i;",
}
"""How the numbers of a block are reduced; the loops are in the order of the neurons."""


class C:
    """Plain C over plain arrays; see `spikeloom.sim.native.generate.Target`."""

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

    def read_saved(self, name: str) -> str:
        """An array that the loop before fills."""
        return f"saved_{name}[i]"

    def read_state(self, slot: int) -> str:
        """A word of the state memory."""
        return f"state_{slot}[base + i]"

    def read_parameter(self, slot: Slot, width: int) -> str:
        """A constant that the prologue sets.

        It is there at both widths: GCC does not vectorise a selection of a converted constant.
        """
        return f"p{slot.place}" if width == slot.width else f"wide_{slot.place}"

    def read_reduction(self, number: int) -> str:
        """A constant that the first pass leaves."""
        return f"reduced_{number}"

    def is_neuron(self, index: str) -> str:
        """A comparison with the neuron's index."""
        return f"(base + i == {index})"

    def scale(self, a: str, slot: Slot) -> str:
        """Product with the mantissa, rounding, shift."""
        return f"(({a} * p{slot.place} + half_{slot.place}) >> shift_{slot.place})"

    def table(self, argument: str, first: int, slot: Slot) -> str:
        """A load; the compiler makes it a gather where the processor has one."""
        return f"t{slot.place}[{argument} - ({first})]"

    def divide(self, a: str, b: str, bits: int, double: bool) -> Number:
        """A call of one of the two divisions of loom.h."""
        if double:
            return Number(f"divide_double((double){a}, (double){b}, {bits})", 32)
        return Number(f"divide_whole({a}, {b}, {bits})", 64)

    def assign(self, name: str, number: Number) -> str:
        """A constant definition."""
        return f"const int{number.width}_t {name} = {number.text};"

    def count_limited(self, before: str, after: str) -> str:
        """Count into the block's counter."""
        return f"within += {before} != {after};"

    def kernel(self, number: int, code: KernelCode, body: Sequence[str], outputs: Outputs) -> str:
        """A function over blocks of neurons: fit the input, one loop of arithmetic, emit."""
        events = code.emits == "events"
        prologue = [line for slot in outputs.slots for line in self._load(slot)]
        prologue += [
            f"state_t *restrict state_{k} = context->state + {k} * context->state_stride"
            " + in->state;"
            for k in range(len(code.states))
        ]
        stores = [f"state_{k}[base + i] = {text};" for k, text in enumerate(outputs.states)]
        direct = events and outputs.narrow
        emit = self.cast(outputs.emit, 32) if direct else outputs.emit
        arrays: list[str] = []
        if not (events and outputs.unit):
            arrays.append(f"int{emit.width}_t output[BLOCK];")
            stores.append(f"output[i] = {emit.text};")
        middle: list[str] = []
        if rare := outputs.rare:
            arrays += self._hits("rare")
            for name, saved in rare.saved.items():
                arrays.append(f"int{saved.width}_t saved_{name}[BLOCK];")
                stores.append(f"saved_{name}[i] = {saved.text};")
            stores.append(f"hit_rare[i] = {rare.condition};")
            middle += self._rare(rare)
        listed = "rare"
        if events and not (rare and rare.condition == outputs.emitted):
            listed = "event"
            arrays += self._hits("event")
            stores.append(f"hit_event[i] = {outputs.emitted};")
            middle.append("const int64_t event_hits = find_hits(hit_event, n, at_event);")
        fit = f"limited += fit_{emit.width}_to_32(output, "
        if not events:
            epilogue = [
                fit + "context->value + in->target + base, n,",
                "                          in->output_shift, VALUE_LO, VALUE_HI);",
            ]
        elif outputs.unit:
            epilogue = [self._append(listed, "")]
        elif direct:
            epilogue = [self._append(listed, "output")]
        else:
            epilogue = [
                "value_t payload[BLOCK];",
                fit + "payload, n, 0, VALUE_LO, VALUE_HI);",
                self._append(listed, "payload"),
            ]
        input_width = width_of(code.input.lo, code.input.hi)
        return _KERNEL.format(
            name="".join(c for c in code.name if c.isalnum() or c in "_ .-"),
            number=number,
            prologue="\n".join(f"    {line}" for line in prologue),
            reduce=self._reduce(code, outputs.reduce) if outputs.reduce else "",
            events=", count = 0" if events else "",
            input_type=f"int{input_width}_t",
            input_width=input_width,
            input_lo=self.constant(code.input.lo, 64).text,
            input_hi=self.constant(code.input.hi, 64).text,
            body="\n".join(f"            {line}" for line in [*body, *stores]),
            arrays="\n".join(f"        {line}" for line in arrays),
            epilogue="\n".join(f"        {line}" for line in [*middle, *epilogue]),
            finish="\n    context->count[in->list] = count;" if events else "",
        )

    def _reduce(self, code: KernelCode, reduce: Reduce) -> str:
        """The first pass."""
        before, arrays, body, combine, after = [], [], [*reduce.body], [], []
        for number, operand in reduce.operands.items():
            op = code.ops[number]
            extreme = op.kind in ("max_of", "winner")
            before.append(f"int64_t best_{number} = {'INT64_MIN' if extreme else 0};")
            result = f"best_{number}"
            if op.kind == "winner":
                before.append(f"int64_t at_{number} = 0;")
                result = f"at_{number}"
            width = 64 if op.kind == "winner" else width_of(op.lo, op.hi)
            arrays.append(f"int{operand.width}_t reduced_in_{number}[BLOCK];")
            body.append(f"reduced_in_{number}[i] = {operand.text};")
            combine.append(_COMBINE[op.kind].format(number))
            after.append(f"const int{width}_t reduced_{number} = (int{width}_t){result};")
        input_width = width_of(code.input.lo, code.input.hi)

        def indented(lines: Sequence[str], columns: int) -> str:
            return "\n".join(" " * columns + line for line in lines)

        return _REDUCE.format(
            before=indented(before, 4),
            input_type=f"int{input_width}_t",
            input_width=input_width,
            input_lo=self.constant(code.input.lo, 64).text,
            input_hi=self.constant(code.input.hi, 64).text,
            arrays=indented(arrays, 8),
            body=indented(body, 12),
            combine=indented(combine, 8),
            after=indented(after, 4),
        )

    @staticmethod
    def _hits(name: str) -> list[str]:
        """Arrays for the neurons of the block where something holds."""
        return [f"uint8_t hit_{name}[BLOCK + HIT_SPARE];", f"int32_t at_{name}[BLOCK + HIT_SPARE];"]

    @staticmethod
    def _append(listed: str, payload: str) -> str:
        found = f"at_{listed}, {listed}_hits"
        if not payload:
            return f"count = append_spikes(context, in, base, {found}, count);"
        return f"count = append_events(context, in, {payload}, base, {found}, count);"

    @staticmethod
    def _rare(rare: Rare) -> list[str]:
        """The loop over the neurons where the rare part's condition holds."""
        stores = [f"state_{slot}[base + i] = {text};" for slot, text in rare.states.items()]
        return [
            "const int64_t rare_hits = find_hits(hit_rare, n, at_rare);",
            "const int64_t rare_filled = fill_vector(at_rare, rare_hits);",
            "INDEPENDENT",
            "for (int64_t e = 0; e < rare_filled; e++) {",
            "    const int64_t i = at_rare[e];",
            *(f"    {line}" for line in [*rare.body, *stores]),
            "}",
        ]

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
            sum(2 if slot.kind == "scaled" else 1 for slot in outputs.slots),
            body,
            outputs,
            bits,
        )

    def source(self, machine: Machine, kernels: Sequence[str], rules: Sequence[str]) -> str:
        """Widths, memories, kernels and interpreter in one translation unit."""
        folder = Path(__file__).parent
        lo, hi = (self.constant(end, 64).text for end in signed_range(machine.value_bits))
        head = [
            f"#define VALUE_LO {lo}",
            f"#define VALUE_HI {hi}",
            "#include <stdint.h>",
            f"typedef int{32 if machine.state_bits <= 32 else 64}_t state_t;",
            "",
        ]
        table = ", ".join(f"kernel_{k}" for k in range(len(kernels))) or "0"
        updates = ", ".join(f"rule_{k}" for k in range(len(rules))) or "0"
        return "\n".join(
            [
                *head,
                (folder / "loom.h").read_text(),
                *kernels,
                f"static kernel_function *const kernels[] = {{{table}}};",
                *rules,
                f"static rule_function *const rules[] = {{{updates}}};",
                "",
                (folder / "loom.c").read_text(),
            ]
        )

"""Learning rules in C: the function of an ``UPD``.

One body serves several loops: along the synapses of a pre neuron's row, and along the column of a
post neuron: if the weights lie so that a column is together, or if only post neurons that fired
learn and these are few.
"""

from __future__ import annotations

from collections.abc import Sequence

from ....compiler.kernels.rule_code import RuleCode
from .target import RuleOutputs

_RULE = """\
/* {name} */
static NOT_INLINED void rule_{number}(context_t *context, const instruction_t *in)
{{
    const int64_t *parameters = context->parameters + in->parameters;
    const int32_t one = (int32_t)context->one;
    (void)parameters;
    (void)one;
    weight_t *restrict weight = context->learned + in->weights;
    int32_t *restrict residual = context->residual + in->weights;
    const int64_t stride = in->target;
    const int32_t counted = 1;
    (void)counted;
    int64_t limited = 0;
{prologue}
    const context_t *firing = made_in(context, in, FRONT_SOURCE);
    const int32_t *index = firing->event_index + in->source;
    const int64_t fired = firing->count[in->list];
    if (context->late && in->late && fired)
        lates[in[in->late].kernel](context, in + in->late);
    if (in->transposed) {{
        const int each = in->gate == GATE_ALWAYS;
        const int64_t posts = each ? in->length : fired;
        for (int64_t e = 0; e < posts; e++) {{
            const int64_t j = each ? e : index[e], begin = j * stride;
{post_once}
            int32_t within = 0;
            INDEPENDENT
            for (int64_t k = 0; k < in->rows; k++) {{
                const int64_t at = begin + k;
                const int32_t counted = {kept};
{pre_each}
{body}
            }}
            limited += within;
        }}
    }} else if (in->gate == GATE_POST && fired * context->dense < in->length) {{
        for (int64_t e = 0; e < fired; e++) {{
            const int64_t j = index[e];
{post_once}
            int32_t within = 0;
            INDEPENDENT
            for (int64_t k = 0; k < in->rows; k++) {{
{skip}
                const int64_t at = k * stride + j;
{pre_each}
{body}
            }}
            limited += within;
        }}
    }} else {{
        /* For post neurons that did not fire the rule changes nothing: see check_gate. */
        const int64_t selected = in->gate == GATE_PRE ? fired : in->rows;
        for (int64_t e = 0; e < selected; e++) {{
            const int64_t k = in->gate == GATE_PRE ? index[e] : e;
{skip}
{pre_once}
            int32_t within = 0;
            INDEPENDENT
            for (int64_t i = 0; i < in->length; i++) {{
                const int64_t at = k * stride + i;
{post_each}
{body}
            }}
            limited += within;
        }}
    }}
    context->saturations[in->population] += limited;
}}
"""


def rule_source(
    number: int,
    code: RuleCode,
    parameters: Sequence[str],
    places: int,
    body: Sequence[str],
    outputs: RuleOutputs,
    bits: int,
) -> str:
    """The function of a rule.

    Parameters
    ----------
    number : int
    code : RuleCode
    parameters : sequence of str
        Statements that load the parameters.
    places : int
        Entries of the parameter block in front of the places of variables.
    body : sequence of str
    outputs : RuleOutputs
    bits : int
        Of a residual.
    """
    prologue = [*parameters]
    for slot in range(len(code.synapses)):
        prologue.append(
            f"state_t *restrict synapses_{slot} ="
            f" context->synapse + {slot} * context->synapse_stride + in->weights;"
        )
    pre, post = range(len(code.pre)), range(len(code.post))
    for k in pre:
        prologue.append(
            f"const state_t *restrict pre_of_{k} = made_in(context, in, FRONT_PRE)->state"
            f" + parameters[{places + k}] * context->state_stride + in->state;"
        )
    for k in post:
        prologue.append(
            f"const value_t *restrict post_of_{k} ="
            f" made_in(context, in, FRONT_POST)->post + parameters[{places + len(pre) + k}];"
        )
    pre_loads = [f"const int32_t pre_{k} = (int32_t)pre_of_{k}[k]; (void)pre_{k};" for k in pre]
    skipped = " || ".join(f"(in->skip == {k} && pre_of_{k}[k] != 0)" for k in pre)
    inner = [
        f"const int64_t full = weight[at] * (INT64_C(1) << {bits}) + residual[at];",
        "(void)full;",
        *(f"const state_t synapse_{k} = synapses_{k}[at];" for k in range(len(code.synapses))),
        *(f"(void)synapse_{k};" for k in range(len(code.synapses))),
        *body,
        f"const int64_t learned = full ^ ((full ^ {outputs.weight.text}) & -(int64_t)counted);",
        f"const int64_t upper = (learned + (INT64_C(1) << {bits - 1})) >> {bits};",
        "weight[at] = (weight_t)upper;",
        f"residual[at] = (int32_t)(learned - upper * (INT64_C(1) << {bits}));",
        *(
            f"synapses_{k}[at] = synapse_{k} ^ ((synapse_{k} ^ {new.text}) & -(state_t)counted);"
            for k, new in enumerate(outputs.synapses)
        ),
    ]

    def posts(index: str) -> list[str]:
        return [f"const int32_t post_{k} = post_of_{k}[{index}]; (void)post_{k};" for k in post]

    def indented(lines: Sequence[str], columns: int) -> str:
        return "\n".join(" " * columns + line for line in lines)

    return _RULE.format(
        name="".join(c for c in code.name if c.isalnum() or c in "_ .-"),
        number=number,
        prologue=indented(prologue, 4),
        kept=" & ".join(f"((in->skip != {k}) | (pre_of_{k}[k] == 0))" for k in pre) or "1",
        skip=indented([f"if ({skipped}) continue;"] if skipped else [], 12),
        post_once=indented(posts("j"), 12),
        pre_each=indented(pre_loads, 16),
        pre_once=indented(pre_loads, 12),
        post_each=indented(posts("i"), 16),
        body=indented(inner, 16),
    )

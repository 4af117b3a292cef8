"""Kernels in C: the function of a ``MAP``.

It goes over the population in blocks. In each, the sums are fitted to the kernel's input, one loop
does the arithmetic, what is rare follows for the few neurons that need it, and events are appended.
Where a kernel has a usual part, that takes the place of the loop (`c_usual.py`). A condition that
decides what is done is a number that is negative where it holds: it takes less to join signs than
comparisons.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ....compiler.kernels.code import KernelCode
from .c_lines import (
    Frame,
    hit_arrays,
    indented,
    input_lines,
    input_place,
    input_type,
    old_states,
    rare_loops,
    saved_arrays,
)
from .c_reductions import first_pass
from .c_usual import frame_usual, usual_loops
from .target import Late, Outputs

if TYPE_CHECKING:
    from .c import C

_KERNEL = """\
/* {name} */
static void kernel_{number}(context_t *context, const instruction_t *in)
{{
    const int64_t *parameters = context->parameters + in->parameters;
    const int32_t one = (int32_t)context->one;
    (void)parameters;
    (void)one;
{prologue}
    const int keeps = in->kept >= 0, kept = keeps && is_kept(context, in);
{knows}    int64_t limited = 0, inside = 0{counters};
{reduce}    for (int64_t base = 0; base < in->length; base += BLOCK) {{
        const int64_t n = least(BLOCK, in->length - base);
{arrays}
{input}
        int32_t within = 0;
{loop}
        inside += within;
{emit}
    }}
    if (kept)
        limited = context->held[in->kept];
    else if (keeps) {{
        context->held[in->kept] = limited;
        context->held_version[in->kept_number] = kept_version(context, in);
    }}
    context->saturations[in->population] += limited + inside;
{finish}
}}
"""

_LATE = """
/* States that only rules look at, made from the others. */
static void late_{number}(context_t *context, const instruction_t *in)
{{
    const int64_t *parameters = context->parameters + in->parameters;
    (void)parameters;
{prologue}
    INDEPENDENT
    for (int64_t i = 0; i < in->length; i++) {{
{old}
{body}
    }}
}}
"""

_LOOP = """\
        INDEPENDENT
        for (int64_t i = 0; i < n; i++) {{
            const int32_t counted = 1;
            (void)counted;
{old}
{body}
        }}"""

_EITHER = """\
        if (usual) {{
{usual}
        }} else {{
{loop}
        }}"""


def kernel_source(
    c: C,
    number: int,
    code: KernelCode,
    loads: Sequence[str],
    body: Sequence[str],
    outputs: Outputs,
) -> str:
    """The function of a kernel.

    Parameters
    ----------
    c : C
    number : int
        The function's.
    code : KernelCode
    loads : sequence of str
        Statements that load parameters.
    body : sequence of str
        All operations but the rare ones.
    outputs : Outputs

    Returns
    -------
    str
    """
    states = [
        *loads,
        *(
            f"state_t *restrict state_{k} = context->state + {k} * context->state_stride"
            " + in->state;"
            for k in range(len(code.states))
        ),
    ]
    frame = Frame([*states])
    events, rare = code.emits == "events", outputs.rare
    emit_width = 32 if events and outputs.narrow else outputs.emit.width
    listed = ""  # the neurons that emit are those of the rare part, or have a list of their own
    if events:
        listed = "rare" if rare and rare.condition == outputs.emitted else "event"
        frame.counters.append("count = 0")
        frame.finish.append("context->count[in->list] = count;")
    if not (events and outputs.unit):
        frame.arrays.append(f"int{emit_width}_t output[BLOCK];")
    for name in ["rare"] * bool(rare) + ["event"] * (listed == "event"):
        frame.arrays += [*hit_arrays(name), f"int64_t {name}_hits;"]
    first = ""
    frame.input = [
        f"{input_type(code)} buffer[BLOCK];",
        *input_place(code),
        *input_lines(c, code, "limited +="),
    ]
    if outputs.reduce:
        first, frame.input = first_pass(c, code, outputs.reduce)
    loop = _whole_loop(c, code, body, outputs, emit_width, listed)
    if outputs.usual:
        frame_usual(c, outputs.usual, frame)
        usual = usual_loops(c, code, outputs.usual, outputs, emit_width, listed)
        loop = _EITHER.format(usual=usual, loop=loop)
    if outputs.late:
        frame.knows += ["const int late = in->late && context->late;", "(void)late;"]
    function = _KERNEL.format(
        name="".join(c for c in code.name if c.isalnum() or c in "_ .-"),
        number=number,
        prologue=indented(frame.prologue, 4),
        reduce=first,
        knows="".join(f"    {line}\n" for line in frame.knows),
        counters="".join(f", {counter}" for counter in frame.counters),
        input=indented(frame.input, 8),
        loop=loop,
        arrays=indented(frame.arrays, 8),
        emit=indented(_emit(outputs, events, emit_width, listed), 8),
        finish=indented(frame.finish, 4),
    )
    return function + (_late(code, number, states, outputs.late) if outputs.late else "")


def _whole_loop(
    c: C, code: KernelCode, body: Sequence[str], outputs: Outputs, emit_width: int, listed: str
) -> str:
    """The loop over a block that does everything but what is rare, and then that."""
    rare = outputs.rare
    stores = [f"state_{k}[base + i] = {text};" for k, text in enumerate(outputs.states)]
    if not (listed and outputs.unit):
        stores.append(f"output[i] = {c.cast(outputs.emit, emit_width).text};")
    if rare:
        stores += [f"saved_{n}[i] = {s.text};" for n, s in rare.saved.items()]
        stores.append(f"hit_rare[i] = {rare.condition};")
    if listed == "event":
        stores.append(f"hit_event[i] = {outputs.emitted};")
    old = old_states(code, "state_{0}[base + i]")
    loop = _LOOP.format(old=indented(old, 12), body=indented([*body, *stores], 12))
    if rare:
        find = "rare_hits = find_hits(hit_rare, n, at_rare);"
        after = indented([find, *rare_loops(rare)], 8)
        loop = "\n".join([indented(saved_arrays(rare), 8), loop, after])
    return loop


def _emit(outputs: Outputs, events: bool, emit_width: int, listed: str) -> list[str]:
    """What becomes of a block's output: values, or the events of those that emit."""
    if not events:
        return [
            f"inside += fit_{emit_width}_to_32(output, context->value + in->target + base, n,",
            "                          in->output_shift, VALUE_LO, VALUE_HI);",
        ]
    found = []
    if listed == "event":
        found.append("event_hits = find_hits(hit_event, n, at_event);")
    at = f"at_{listed}, {listed}_hits"
    if outputs.unit:
        return [*found, f"count = append_spikes(context, in, base, {at}, count);"]
    payload = "output"
    if not outputs.narrow:
        payload = "payload"
        fit = f"fit_{emit_width}_to_32(output, payload, n, 0, VALUE_LO, VALUE_HI)"
        found += ["value_t payload[BLOCK];", f"inside += {fit};"]
    return [*found, f"count = append_events(context, in, {payload}, base, {at}, count);"]


def _late(code: KernelCode, number: int, prologue: Sequence[str], late: Late) -> str:
    """The function that makes late states of a whole population."""
    stores = [f"state_{slot}[i] = {text};" for slot, text in late.states.items()]
    return _LATE.format(
        number=number,
        prologue=indented(prologue, 4),
        old=indented(old_states(code, "state_{0}[i]"), 8),
        body=indented([*late.body, *stores], 8),
    )

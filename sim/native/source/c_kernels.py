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
from .c_lines import indented, input_lines, input_type, old_states, rare_loops, saved_arrays
from .c_reductions import first_pass
from .c_usual import STRAYS, usual_loops, usual_prologue
from .target import Late, Number, Outputs

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
{epilogue}
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
    events = code.emits == "events"
    states = [
        *loads,
        *(
            f"state_t *restrict state_{k} = context->state + {k} * context->state_stride"
            " + in->state;"
            for k in range(len(code.states))
        ),
    ]
    prologue = [*states]
    direct = events and outputs.narrow
    emit_width = 32 if direct else outputs.emit.width
    rare = outputs.rare
    listed = "rare"
    if events and not (rare and rare.condition == outputs.emitted):
        listed = "event"

    pick = {"rare": bool(rare), "event": listed == "event" and events}
    picked = [name for name, there in pick.items() if there]
    arrays: list[str] = []
    if not (events and outputs.unit):
        arrays.append(f"int{emit_width}_t output[BLOCK];")
    for name in picked:
        arrays += _hits(name)

    def stores(place: str) -> list[str]:
        """Statements that leave behind what is needed later; some of it at this place."""
        found = [f"state_{k}[base + i] = {text};" for k, text in enumerate(outputs.states)]
        if not (events and outputs.unit):
            found.append(f"output[i] = {c.cast(outputs.emit, emit_width).text};")
        if rare:
            found += [f"saved_{n}[{place}] = {s.text};" for n, s in rare.saved.items()]
            found.append(f"hit_rare[{place}] = {rare.condition};")
        if pick["event"]:
            found.append(f"hit_event[{place}] = {outputs.emitted};")
        return found

    if not events:
        append = []
    elif outputs.unit:
        append = [_append(listed, "")]
    elif direct:
        append = [_append(listed, "output")]
    else:
        append = [
            "value_t payload[BLOCK];",
            f"inside += fit_{emit_width}_to_32(output, payload, n, 0, VALUE_LO, VALUE_HI);",
            _append(listed, "payload"),
        ]
    old = old_states(code, "state_{0}[base + i]")
    loop = _LOOP.format(old=indented(old, 12), body=indented([*body, *stores("i")], 12))
    if rare:
        find = "rare_hits = find_hits(hit_rare, n, at_rare);"
        middle = [find, *rare_loops(rare)]
        loop = "\n".join([indented(saved_arrays(rare), 8), loop, indented(middle, 8)])
    counters = ", count = 0" if events else ""
    finish = ["context->count[in->list] = count;"] if events else []
    knows = list[str]()
    first, lines = "", [f"{input_type(code)} buffer[BLOCK];", *input_lines(c, code, "limited +=")]
    if outputs.reduce:
        first, lines = first_pass(c, code, outputs.reduce)
    if usual := outputs.usual:
        counters += ", anew = 0"
        arrays += _hits("listed")
        prologue += usual_prologue(c, usual)
        if usual.closed or usual.remembered:
            counters += ", wild = 0"
            finish.append(
                "context->known[in->population] = usual && wild >= 0 ? context->call : 0;"
            )
        if usual.input_bits is not None:
            counters += ", stray = 0"
            of_input = Number("input[i]", 32)
            knows.append("const int tame = kept && context->held[in->kept + KEPT_TAME];")
            lines += STRAYS.format(beyond=c.beyond(of_input, usual.input_bits)).splitlines()
            finish += [
                "if (keeps && !kept)",
                "    context->held[in->kept + KEPT_TAME] = stray >= 0;",
            ]
        finish += [
            "if (usual)",
            "    context->unusual[in->population] = anew;",
            "else /* tried again after a while */",
            "    context->unusual[in->population] -= in->length / UNUSUAL_STEPS + 1;",
        ]
        list_of_events = listed if events else ""
        usual_text = usual_loops(c, code, usual, outputs, emit_width, list_of_events)
        loop = _EITHER.format(usual=usual_text, loop=loop)
    if pick["event"]:
        append = ["event_hits = find_hits(hit_event, n, at_event);", *append]
    if append:
        loop += "\n" + indented(append, 8)
    arrays += [f"int64_t {name}_hits;" for name in picked]
    epilogue = []
    if not events:
        epilogue = [
            f"inside += fit_{emit_width}_to_32(output, context->value + in->target + base, n,",
            "                          in->output_shift, VALUE_LO, VALUE_HI);",
        ]
    if outputs.late:
        knows.append("const int late = in->late && context->late;")
        knows.append("(void)late;")
    function = _KERNEL.format(
        name="".join(c for c in code.name if c.isalnum() or c in "_ .-"),
        number=number,
        prologue=indented(prologue, 4),
        reduce=first,
        knows="".join(f"    {line}\n" for line in knows),
        counters=counters,
        input=indented(lines, 8),
        loop=loop,
        arrays=indented(arrays, 8),
        epilogue=indented(epilogue, 8),
        finish=indented(finish, 4),
    )
    return function + (_late(code, number, states, outputs.late) if outputs.late else "")


def _late(code: KernelCode, number: int, prologue: Sequence[str], late: Late) -> str:
    """The function that makes late states of a whole population."""
    stores = [f"state_{slot}[i] = {text};" for slot, text in late.states.items()]
    return _LATE.format(
        number=number,
        prologue=indented(prologue, 4),
        old=indented(old_states(code, "state_{0}[i]"), 8),
        body=indented([*late.body, *stores], 8),
    )


def _hits(name: str) -> list[str]:
    """Arrays for the neurons of the block where something holds."""
    return [f"int32_t hit_{name}[BLOCK + HIT_SPARE];", f"int32_t at_{name}[BLOCK + HIT_SPARE];"]


def _append(listed: str, payload: str) -> str:
    found = f"at_{listed}, {listed}_hits"
    if not payload:
        return f"count = append_spikes(context, in, base, {found}, count);"
    return f"count = append_events(context, in, {payload}, base, {found}, count);"

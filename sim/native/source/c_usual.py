"""Kernels in C: what is done for all neurons of a block as if they were usual.

The others are listed. They keep their states, and are then done in full, so many at a time that no
loop's end is hard to predict.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import TYPE_CHECKING

from ....compiler.kernels.code import KernelCode
from .c_lines import Frame, hit_arrays, indented, old_states, rare_loops, saved_arrays
from .target import Number, Outputs, Rare, Remembered, Usual

if TYPE_CHECKING:
    from .c import C

_USUAL_LOOP = """\
        INDEPENDENT
        for (int64_t i = 0; i < n; i++) {{
{old}
{body}
{stores}
        }}"""

_LISTED = """\
        if (some < 0) {{
            const int64_t listed_hits = find_hits(hit_listed, n, at_listed);
            fill_vectors(at_listed, listed_hits);
            for (int64_t first = 0; first < listed_hits; first += CHUNK) {{
                const int32_t *restrict at = at_listed + first;
                const int64_t left = least(listed_hits - first, CHUNK);
                (void)left;
{arrays}
                INDEPENDENT
                for (int32_t e = 0; e < CHUNK; e++) {{
                    const int32_t i = at[e], counted = 1;
                    int32_t within = 0; /* a sum over the lanes would keep GCC from vectorising */
                    (void)counted;
                    (void)within;
{old}
{body}
                }}
                for (int e = 0; e < CHUNK; e++) {{
                    const int64_t i = at[e];
{scatter}
                }}
{after}
            }}
            anew += listed_hits;
{events}
        }}"""
"""Events of the others have been listed before those of these neurons are known."""

_BY_INPUT = """\
        if (tame) {{
{tame}
        }} else {{
{loop}
        }}"""
"""A kept input has been tested once and for all."""

_BY_LATE = """\
        if (late) {{
{late}
        }} else {{
{loops}
        }}"""

_ANEW = """\
if (usual && context->known[in->population] != context->call) {{
{closed}
{remembered}
}}"""
"""States that something else has written since may have any size, and nothing is remembered."""

_CLOSED = """\
    int32_t beyond = 0;
    for (int64_t i = 0; i < in->length; i++)
        beyond |= {beyond};
    usual = beyond >= 0;"""

_REMEMBER_ALL = """\
    INDEPENDENT
    for (int64_t i = 0; i < in->length; i++) {{
{remember}
    }}"""


def frame_usual(c: C, usual: Usual, frame: Frame) -> None:
    """Add what stands around the blocks: whether neurons are usual, and what is known of them."""
    many = "in->length >= USUAL_LEAST"
    few = "context->unusual[in->population] * UNUSUAL_FEW < in->length"
    frame.arrays += hit_arrays("listed")
    frame.counters.append("anew = 0")
    frame.prologue += [
        *(
            f"int32_t *restrict remembered_{one.table} = context->remembered"
            f" + {k} * context->state_stride + in->state;"
            for k, one in enumerate(usual.remembered)
        ),
        *usual.constants,
        f"int usual = {' && '.join([many, few, *usual.holds])};",
    ]
    if usual.closed or usual.remembered:
        frame.prologue += _anew(c, usual)
        frame.counters.append("wild = 0")
        frame.finish.append(
            "context->known[in->population] = usual && wild >= 0 ? context->call : 0;"
        )
    if usual.tame_bits is not None:
        frame.counters.append("stray = 0")
        frame.knows.append("const int tame = kept && context->held[in->kept + KEPT_TAME];")
        beyond = c.beyond(Number("input[i]", 32), usual.tame_bits)
        frame.input += [
            "if (keeps && !kept)",
            "    for (int64_t i = 0; i < n; i++)",
            f"        stray |= {beyond};",
        ]
        frame.finish += [
            "if (keeps && !kept)",
            "    context->held[in->kept + KEPT_TAME] = stray >= 0;",
        ]
    frame.finish += [
        "if (usual)",
        "    context->unusual[in->population] = anew;",
        "else /* tried again after a while */",
        "    context->unusual[in->population] -= in->length / UNUSUAL_STEPS + 1;",
    ]


def _anew(c: C, usual: Usual) -> list[str]:
    """What is to be found out where something else may have written states."""
    closed, remembered = "", list[str]()
    if usual.closed:
        beyond = " | ".join(_beyond_states(c, usual, "state_{0}[i]"))
        closed = _CLOSED.format(beyond=beyond)
    for one in usual.remembered:
        lines = _remember(one, f"state_{one.state}[i]", f"remembered_{one.table}[i]")
        remembered.append(_REMEMBER_ALL.format(remember=indented(lines, 8)))
    anew = _ANEW.format(closed=closed, remembered="\n".join(remembered))
    return [line for line in anew.splitlines() if line]


def usual_loops(
    c: C, code: KernelCode, usual: Usual, outputs: Outputs, emit_width: int, listed_events: str
) -> str:
    """The loops for usual neurons, and for those that are not: see `kernel_source`.

    Parameters
    ----------
    c : C
    code : KernelCode
    usual : Usual
    outputs : Outputs
    emit_width : int
        Of the array ``output``.
    listed_events : str
        The list of neurons that emit: ``"rare"`` if it is that of the rare part, ``"event"``, or
        nothing.

    Returns
    -------
    str
    """
    # Read for all: it takes longer to leave some out.
    entries = [
        f"const int32_t entry_{one.table} = remembered_{one.table}[base + i];"
        for one in usual.remembered
    ]

    def loop(body: Sequence[str], reasons: Sequence[str], leaves_out: Container[int]) -> str:
        """The loop over a block, in which neurons may be listed for these reasons."""
        stores = []
        if reasons:
            stores += [f"const int32_t listed = {' | '.join(reasons)};"]
            stores += ["hit_listed[i] = listed;", "some |= listed;"]
        # What a kernel does not read may be anything until a listed neuron is done in full.
        stores += [
            f"state_{k}[base + i] = "
            + (f"listed < 0 ? old_{k} : {text};" if reasons and k in usual.reads else f"{text};")
            for k, text in enumerate(usual.states)
            if k not in leaves_out
        ]
        if not (listed_events and outputs.unit):
            stores.append(f"output[i] = {c.cast(usual.emit, emit_width).text};")
        hits = {"rare": usual.rare.condition} if usual.rare else {}
        if listed_events == "event":
            hits["event"] = usual.emitted
        for name, sign in hits.items():
            stores.append(f"hit_{name}[i] = {f'listed < 0 ? 0 : {sign}' if reasons else sign};")
        if usual.rare:
            stores += [f"saved_{n}[i] = {s.text};" for n, s in usual.rare.saved.items()]
        return _USUAL_LOOP.format(
            old=indented([*old_states(code, "state_{0}[base + i]"), *entries], 12),
            body=indented(body, 12),
            stores=indented(stores, 12),
        )

    def loops(leaves_out: Container[int] = ()) -> str:
        found = loop(usual.body, usual.listed, leaves_out)
        if usual.tame_bits is not None:
            tame = loop(usual.tame_body, usual.tame_listed, leaves_out)
            found = _BY_INPUT.format(tame=tame, loop=found)
        return found

    all_loops = loops()
    if outputs.late:
        all_loops = _BY_LATE.format(late=loops(outputs.late.states), loops=all_loops)
    parts = [all_loops]
    if usual.rare:
        arrays = saved_arrays(usual.rare)
        parts = [indented(arrays, 8), *parts, indented(_usual_rare(c, usual, usual.rare), 8)]
    if usual.listed:
        listed = _listed(c, code, usual, outputs, emit_width, listed_events)
        parts = ["        int32_t some = 0;", *parts, listed]
    return "\n".join(parts)


def _usual_rare(c: C, usual: Usual, rare: Rare) -> list[str]:
    """The rare part for usual neurons, and what follows from the states that it sets."""
    stores = [
        f"wild |= {c.beyond(Number(f'state_{k}[base + i]', 32), bits)};"
        for k, bits in usual.closed.items()
        if k in rare.states
    ]
    for one in usual.remembered:
        stores += _remember(one, rare.states[one.state], f"remembered_{one.table}[base + i]")
    find = "rare_hits = find_hits(hit_rare, n, at_rare);"
    return [find, *rare_loops(rare, stores)]


def _remember(one: Remembered, state: str, to: str) -> list[str]:
    """Statements that look up an entry from the state that a neuron has now."""
    passed = f"({state} - {one.first}) & {one.period - 1}"
    return [
        "{",
        f"    const state_t {one.when} = {one.first} + ({passed});",
        *(f"    {line}" for line in one.body),
        f"    {to} = {one.entry};",
        "}",
    ]


def _listed(
    c: C, code: KernelCode, usual: Usual, outputs: Outputs, emit_width: int, listed_events: str
) -> str:
    """What is done in full for the neurons that are not usual."""
    whole = usual.whole
    arrays = [f"state_t next_{k}[CHUNK];" for k in range(len(code.states))]
    leaves = [f"next_{k}[e] = {text};" for k, text in enumerate(whole.states)]
    scatter = [f"state_{k}[base + i] = next_{k}[e];" for k in range(len(code.states))]
    if whole.counts:
        arrays.append("int32_t over[CHUNK];")
        leaves.append("over[e] = within;")
        scatter.append("within += e < left ? over[e] : 0;")
    if not (listed_events and outputs.unit):
        arrays.append(f"int{emit_width}_t emitted[CHUNK];")
        leaves.append(f"emitted[e] = {c.cast(whole.emit, emit_width).text};")
        scatter.append("output[i] = emitted[e];")
    events = []
    if listed_events:
        arrays.append("int32_t hit[CHUNK];")
        leaves.append(f"hit[e] = {whole.emitted};")
        scatter.append(f"hit_{listed_events}[i] = hit[e];")
    if listed_events == "rare":
        events.append("rare_hits = find_hits(hit_rare, n, at_rare);")
    after = []
    if usual.closed:
        beyond = " | ".join(_beyond_states(c, usual, "next_{0}[e]"))
        after.append(f"for (int e = 0; e < CHUNK; e++) wild |= {beyond};")
    if usual.remembered:
        after.append("for (int e = 0; e < CHUNK; e++) {")
        for one in usual.remembered:
            to = f"remembered_{one.table}[base + at[e]]"
            after += [f"    {line}" for line in _remember(one, f"next_{one.state}[e]", to)]
        after.append("}")
    return _LISTED.format(
        arrays=indented(arrays, 16),
        old=indented(old_states(code, "(state_{0} + base)[i]"), 20),
        body=indented([*whole.body, *leaves], 20),
        scatter=indented(scatter, 20),
        after=indented(after, 16),
        events=indented(events, 12),
    )


def _beyond_states(c: C, usual: Usual, place: str) -> list[str]:
    """Numbers that are negative where a state has not the size that usual neurons leave it with."""
    return [c.beyond(Number(place.format(k), 32), bits) for k, bits in usual.closed.items()]

"""Kernels in C: what is done for all neurons of a block as if they were usual.

The others are listed. They keep their states, and are then done in full, so many at a time that no
loop's end is hard to predict.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import TYPE_CHECKING

from ...compiler.kernels.code import KernelCode
from .c_lines import indented, old_states
from .target import Number, Outputs, Usual

if TYPE_CHECKING:
    from .c import C

_USUAL_LOOP = """\
        INDEPENDENT
        for (int64_t i = 0; i < n; i++) {{
{old}
{body}
            const int32_t listed = {listed};
            hit_listed[i] = listed;
{stores}
        }}"""

_USUAL = """\
{loops}
        const int64_t listed_hits = find_hits(hit_listed, n, at_listed);
        fill_chunk(at_listed, listed_hits);
        for (int64_t first = 0; first < listed_hits; first += CHUNK) {{
            const int32_t *restrict at = at_listed + first;
            const int64_t left = least(listed_hits - first, CHUNK);
{whole_arrays}
            INDEPENDENT
            for (int32_t e = 0; e < CHUNK; e++) {{
                const int32_t i = at[e], counted = 1;
                int32_t within = 0; /* a sum over the lanes would keep GCC from vectorising */
                (void)counted;
                (void)within;
{old_again}
{whole}
            }}
            for (int e = 0; e < CHUNK; e++) {{
                const int64_t i = at[e];
{scatter}
            }}
{chunk_events}
        }}
        anew += listed_hits;"""

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

CLOSED = """\
if (usual && context->known[in->population] != context->call) {{
    int32_t beyond = 0;
    for (int64_t i = 0; i < in->length; i++)
        beyond |= {beyond};
    usual = beyond >= 0;
}}"""
"""States that something else has written since may have any size."""

STRAYS = """\
        if (keeps && !kept)
            for (int64_t i = 0; i < n; i++)
                stray |= {beyond};
"""


def usual_loops(c: C, code: KernelCode, usual: Usual, outputs: Outputs, emit_width: int) -> str:
    """The loop for usual neurons, and what follows it: see `kernel_source`."""
    events, whole = code.emits == "events", usual.whole
    has_payload = events and not outputs.unit
    slots = range(len(code.states))
    # What a kernel does not read may be anything until a listed neuron is done in full.
    of_state = [
        f"state_{k}[base + i] = "
        + (f"listed < 0 ? old_{k} : {text};" if k in usual.reads else f"{text};")
        for k, text in enumerate(usual.states)
    ]
    outputs_too = [] if events else [f"output[i] = {c.cast(usual.emit, emit_width).text};"]
    arrays = [f"state_t next_{k}[CHUNK];" for k in slots]
    leaves = [f"next_{k}[e] = {text};" for k, text in enumerate(whole.states)]
    scatter = [f"state_{k}[base + i] = next_{k}[e];" for k in slots]
    if whole.counts:
        arrays.append("int32_t over[CHUNK];")
        leaves.append("over[e] = within;")
        scatter.append("within += e < left ? over[e] : 0;")
    chunk_events = []
    if has_payload or not events:
        arrays.append(f"int{emit_width}_t emitted[CHUNK];")
        leaves.append(f"emitted[e] = {c.cast(whole.emit, emit_width).text};")
    if not events:
        scatter.append("output[i] = emitted[e];")
    else:
        arrays.append("int32_t hit[CHUNK];")
        leaves.append(f"hit[e] = {whole.emitted};")
        payload = "emitted" if has_payload else "0"
        if has_payload and not outputs.narrow:
            payload = "payload"
            chunk_events = [
                "value_t payload[CHUNK];",
                f"inside += fit_{emit_width}_to_32(emitted, payload, left, 0, VALUE_LO, VALUE_HI);",
            ]
        chunk_events.append(
            f"count = append_chunk(context, in, {payload}, base, at, hit, left, count);"
        )
    if usual.closed:
        beyond = " | ".join(beyond_states(c, usual, "next_{0}[e]"))
        chunk_events.append(f"for (int e = 0; e < CHUNK; e++) wild |= {beyond};")

    def loop(listed: Sequence[str], leaves_out: Container[int] = ()) -> str:
        stores = [text for k, text in enumerate(of_state) if k not in leaves_out]
        return _USUAL_LOOP.format(
            old=indented(old_states(code, "state_{0}[base + i]"), 12),
            body=indented(usual.body, 12),
            listed=" | ".join(listed) or "0",
            stores=indented([*stores, *outputs_too], 12),
        )

    def loops(leaves_out: Container[int] = ()) -> str:
        found = loop([*usual.listed, *usual.listed_by_input], leaves_out)
        if usual.listed_by_input:
            found = _BY_INPUT.format(tame=loop(usual.listed, leaves_out), loop=found)
        return found

    all_loops = loops()
    if outputs.late:
        all_loops = _BY_LATE.format(late=loops(outputs.late.states), loops=all_loops)
    return _USUAL.format(
        loops=all_loops,
        whole_arrays=indented(arrays, 12),
        old_again=indented(old_states(code, "(state_{0} + base)[i]"), 16),
        whole=indented([*whole.body, *leaves], 16),
        scatter=indented(scatter, 16),
        chunk_events=indented(chunk_events, 12),
    )


def beyond_states(c: C, usual: Usual, place: str) -> list[str]:
    """Numbers that are negative where a state has not the size that usual neurons leave it with."""
    return [c.beyond(Number(place.format(k), 32), bits) for k, bits in usual.closed.items()]

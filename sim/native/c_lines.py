"""Lines that all parts of a kernel's function in C have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...compiler.kernels.code import KernelCode
from .target import Rare
from .walk import width_of

if TYPE_CHECKING:
    from .c import C


def indented(lines: Sequence[str], columns: int) -> str:
    """Lines as text, so many columns to the right."""
    return "\n".join(" " * columns + line for line in lines)


def old_states(code: KernelCode, place: str) -> list[str]:
    """Definitions of the states' words as they are before the step."""
    return [
        line
        for k in range(len(code.states))
        for line in (f"const state_t old_{k} = {place.format(k)};", f"(void)old_{k};")
    ]


def input_type(code: KernelCode) -> str:
    """The type of a kernel's input."""
    return f"int{width_of(code.input.lo, code.input.hi)}_t"


def input_lines(c: C, code: KernelCode, limited: str) -> list[str]:
    """Statements that make a block's input in `buffer`; a kept one is there.

    Parameters
    ----------
    c : C
    code : KernelCode
    limited : str
        What to do with how many were limited: ``"limited +="``.

    Returns
    -------
    list of str
    """
    kind, width = input_type(code), width_of(code.input.lo, code.input.hi)
    lo, hi = (c.constant(end, 64).text for end in (code.input.lo, code.input.hi))
    return [
        f"{kind} *restrict input = buffer;",
        "if (keeps)",
        f"    input = ({kind} *)(context->held + in->kept + KEPT_HEAD) + base;",
        "const accumulator_t *sums = context->accumulator + in->source + base;",
        "if (kept)",
        "    ;",
        "else if (in->input_fits)",
        f"    shift_64_to_{width}(sums, input, n, in->input_shift);",
        "else",
        f"    {limited} fit_64_to_{width}(sums, input, n, in->input_shift, {lo}, {hi});",
    ]


def saved_arrays(rare: Rare) -> list[str]:
    """Definitions of what the loop over a block saves for the rare part."""
    return [f"int{s.width}_t saved_{name}[BLOCK + HIT_SPARE];" for name, s in rare.saved.items()]


def rare_loop(
    rare: Rare, arrays: Sequence[str] = (), more: Sequence[str] = (), scatter: Sequence[str] = ()
) -> list[str]:
    """The loop over the neurons where the rare part's condition holds.

    So many are done at a time that no loop's end is hard to predict.

    Parameters
    ----------
    rare : Rare
    arrays : sequence of str
        More arrays of a chunk's numbers.
    more : sequence of str
        Statements that fill these, for element ``e``.
    scatter : sequence of str
        Statements that put what is there into the place of neuron ``base + i``.

    Returns
    -------
    list of str
    """
    slots = rare.states
    return [
        "fill_chunk(at_rare, rare_hits);",
        "for (int64_t first = 0; first < rare_hits; first += CHUNK) {",
        "    const int32_t *restrict at = at_rare + first;",
        *(f"    state_t next_{slot}[CHUNK];" for slot in slots),
        *(f"    {line}" for line in arrays),
        "    INDEPENDENT",
        "    for (int32_t e = 0; e < CHUNK; e++) {",
        "        const int32_t k = at[e], i = k;",
        *(f"        {line}" for line in rare.body),
        *(f"        next_{slot}[e] = {text};" for slot, text in slots.items()),
        *(f"        {line}" for line in more),
        "    }",
        "    for (int e = 0; e < CHUNK; e++) {",
        "        const int64_t i = at[e];",
        *(f"        state_{slot}[base + i] = next_{slot}[e];" for slot in slots),
        *(f"        {line}" for line in scatter),
        "    }",
        "}",
    ]

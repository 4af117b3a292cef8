"""Lines that all parts of a kernel's function in C have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ....compiler.kernels.code import KernelCode
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


@dataclass
class Frame:
    """Statements around the loops over the blocks of a population.

    Attributes
    ----------
    prologue, knows : list of str
        In front of all: parameters and states, and what is known of the input.
    counters : list of str
        Definitions, without their type.
    arrays, input : list of str
        In front of each block, with what makes its input.
    finish : list of str
        Behind all.
    """

    prologue: list[str]
    knows: list[str] = field(default_factory=list)
    counters: list[str] = field(default_factory=list)
    arrays: list[str] = field(default_factory=list)
    input: list[str] = field(default_factory=list)
    finish: list[str] = field(default_factory=list)


def hit_arrays(name: str) -> list[str]:
    """Arrays for the neurons of the block where something holds."""
    return [f"int32_t hit_{name}[BLOCK + HIT_SPARE];", f"int32_t at_{name}[BLOCK + HIT_SPARE];"]


def input_type(code: KernelCode) -> str:
    """The type of a kernel's input."""
    return f"int{width_of(code.input.lo, code.input.hi)}_t"


def input_place(code: KernelCode) -> list[str]:
    """Statements that say where a block's input is: kept, or in `buffer`."""
    kind = input_type(code)
    return [
        f"{kind} *restrict input = buffer;",
        "if (keeps)",
        f"    input = ({kind} *)(context->held + in->kept + KEPT_HEAD) + base;",
    ]


def input_lines(c: C, code: KernelCode, limited: str) -> list[str]:
    """Statements that make a block's input in its place; a kept one is there.

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
    width = width_of(code.input.lo, code.input.hi)
    lo, hi = (c.constant(end, 64).text for end in (code.input.lo, code.input.hi))
    return [
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


def rare_loops(rare: Rare, stores: Sequence[str] = ()) -> list[str]:
    """The loops over the neurons where the rare part's condition holds.

    What follows from tables is done one by one, and so are the stores: gathers and scatters take
    longer.

    Parameters
    ----------
    rare : Rare
    stores : sequence of str
        What is to be done besides for neuron ``base + i``.

    Returns
    -------
    list of str
    """
    width = "[BLOCK + HIT_SPARE]"
    vectors = [
        *(f"    int{n.width}_t carried_{name}{width};" for name, n in rare.carried.items()),
        "    const int64_t filled = fill_vectors(at_rare, rare_hits);",
        "    INDEPENDENT",
        "    for (int64_t e = 0; e < filled; e++) {",
        "        const int32_t k = at_rare[e], i = k;",
        *(f"        {line}" for line in rare.body),
        *(f"        carried_{name}[e] = {n.text};" for name, n in rare.carried.items()),
        "    }",
    ]
    return [
        "{",
        *(vectors if rare.carried else []),
        "    for (int64_t e = 0; e < rare_hits; e++) {",
        "        ONE_BY_ONE;",
        "        const int64_t k = at_rare[e], i = k;",
        *(f"        {line}" for line in rare.after),
        *(f"        state_{slot}[base + i] = {text};" for slot, text in rare.states.items()),
        *(f"        {line}" for line in stores),
        "    }",
        "}",
    ]

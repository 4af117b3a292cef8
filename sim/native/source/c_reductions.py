"""Kernels in C: the first pass over a population, of kernels with reductions over all neurons.

What it made is still there in the second pass, unless the population has several blocks; then it is
made again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ....compiler.kernels.code import KernelCode
from .c_lines import indented, input_lines, input_place, input_type, old_states
from .target import Reduce
from .walk import width_of

if TYPE_CHECKING:
    from .c import C

_FIRST = """\
{input}
INDEPENDENT
for (int64_t i = 0; i < n; i++) {{
{old}
{body}
}}"""
"""What is reduced of a block."""

_REDUCE = """\
    /* The first pass: what is reduced over the population. Nothing is counted or written. */
    {type} buffer[BLOCK];
    int64_t first_limited = 0;
{arrays}
{before}
    for (int64_t base = 0; base < in->length; base += BLOCK) {{
        const int64_t n = least(BLOCK, in->length - base);
{place}
{first}
{combine}
    }}
{after}
"""

_SECOND = """\
{place}
if (in->length > BLOCK) {{
{first}
}}
limited += first_limited;"""

_COMBINE = {
    "any_of": ["for (int64_t i = 0; i < n; i++) best_{0} |= reduced_in_{1}[i] != 0;"],
    "sum_of": ["for (int64_t i = 0; i < n; i++) best_{0} += reduced_in_{1}[i];"],
    "max_of": ["if (most_{1} > best_{0}) best_{0} = most_{1};"],
    "winner": [
        "if (most_{1} > best_{0}) {{",
        "    best_{0} = most_{1};",
        "    if (most_{1} >= {2}) {{",
        "        for (at_{0} = 0; reduced_in_{1}[at_{0}] != most_{1};) at_{0}++;",
        "        at_{0} += base;",
        "    }}",
        "}}",
    ],
}
"""How the numbers of a block are reduced: those of reduction {0} are in array {1}. Which of them is
the largest matters to nobody if that is less than {2}."""

_MOST = [
    "int{1}_t most_{0} = reduced_in_{0}[0];",
    "for (int64_t i = 1; i < n; i++)",
    "    most_{0} = most_{0} < reduced_in_{0}[i] ? reduced_in_{0}[i] : most_{0};",
]
"""The largest number of a block; which one it was is looked up later, so that vectors find it."""


def first_pass(c: C, code: KernelCode, reduce: Reduce) -> tuple[str, list[str]]:
    """The first pass, and how the second finds the input of a block and what was reduced.

    Parameters
    ----------
    c : C
    code : KernelCode
    reduce : Reduce

    Returns
    -------
    (str, list of str)
    """
    before: list[str] = []
    arrays: list[str] = []
    body: list[str] = [*reduce.body]
    combine: list[str] = []
    after: list[str] = []
    searched = set()
    for number, operand in reduce.operands.items():
        op = code.ops[number]
        array = reduce.arrays[number]
        extreme = op.kind in ("max_of", "winner")
        before.append(f"int64_t best_{number} = {'INT64_MIN' if extreme else 0};")
        result = f"best_{number}"
        if op.kind == "winner":
            before.append(f"int64_t at_{number} = -1;")
            result = f"at_{number}"
        width = 64 if op.kind == "winner" else width_of(op.lo, op.hi)
        if array == number:
            arrays.append(f"int{operand.width}_t reduced_in_{number}[BLOCK];")
            body.append(f"reduced_in_{number}[i] = {operand.text};")
        if extreme and array not in searched:
            searched.add(array)
            combine += [line.format(array, operand.width) for line in _MOST]
        least = c.constant(least_winner(code, number), operand.width).text
        combine += [line.format(number, array, least) for line in _COMBINE[op.kind]]
        after.append(f"const int{width}_t reduced_{number} = (int{width}_t){result};")
    first = _FIRST.format(
        input="\n".join(input_lines(c, code, "first_limited =")),
        old=indented(old_states(code, "state_{0}[base + i]"), 4),
        body=indented(body, 4),
    ).splitlines()
    whole = _REDUCE.format(
        type=input_type(code),
        arrays=indented(arrays, 4),
        before=indented(before, 4),
        place=indented(input_place(code), 8),
        first=indented(first, 8),
        combine=indented(combine, 8),
        after=indented(after, 4),
    )
    place = "\n".join(input_place(code))
    return whole, _SECOND.format(place=place, first=indented(first, 4)).splitlines()


def least_winner(code: KernelCode, number: int) -> int:
    """The least number for which it matters to somebody who the winner is.

    Often that is asked only together with whether the largest number is above some limit.

    Parameters
    ----------
    code : KernelCode
    number : int
        Of a reduction.

    Returns
    -------
    int
        Within the range of what is reduced.
    """
    operand = code.ops[number].operands[0]
    lowest = code.ops[operand].lo
    limits = []
    for op in code.ops:
        if number in op.operands:
            other = [r for r in op.operands if r != number]
            limits.append(_limit(code, operand, other[0]) if op.kind == "and" and other else lowest)
    asked = number not in code.outputs and limits
    return max(lowest, min(limits)) if asked else lowest


def _limit(code: KernelCode, operand: int, condition: int) -> int:
    """The least maximum with which a condition may hold."""
    op = code.ops[condition]
    lowest, highest = code.ops[operand].lo, code.ops[operand].hi
    if op.kind not in ("gt", "ge"):
        return lowest
    most, other = (code.ops[r] for r in op.operands)
    if most.kind != "max_of" or most.operands[0] != operand or other.kind != "const":
        return lowest
    return min(other.lo + (op.kind == "gt"), highest)

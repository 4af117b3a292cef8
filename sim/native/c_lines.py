"""Lines that all parts of a kernel's function in C have."""

from __future__ import annotations

from collections.abc import Sequence

from ...compiler.kernels.code import KernelCode


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

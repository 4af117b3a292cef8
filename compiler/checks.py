"""Checks of single numbers, texts, arrays and operations of a Program, each with a clear error."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .errors import ProgramError
from .kernels.code import KINDS, OPERANDS, Op

_TRAILING_ARGS = {
    **dict.fromkeys("input state synapse pre post".split(), 1),
    **dict.fromkeys("param const shl round floor divide table scale".split(), 1),
    "sat": 2,
}
LARGEST_BITS = 63


def integer(what: str, value: Any, lo: int, hi: int) -> int:
    """Return an integer within lo..hi."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise ProgramError(f"{what} must be an integer, not {value!r}")
    if not lo <= value <= hi:
        raise ProgramError(f"{what} is {value}, outside {lo}..{hi}")
    return int(value)


def text(what: str, value: Any) -> None:
    """Check that something is a text."""
    if not isinstance(value, str):
        raise ProgramError(f"{what} must be a text, not {value!r}")


def positive(what: str, value: Any) -> None:
    """Check that something is a positive number."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not (number and math.isfinite(value) and value > 0):
        raise ProgramError(f"{what} must be a positive number, not {value!r}")


def unit(what: str, value: Any) -> None:
    """Check that something is a number other than 0."""
    # Negative where a filter of negative gain was folded into what enters it.
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not (number and math.isfinite(value) and value != 0):
        raise ProgramError(f"{what} must be a number other than 0, not {value!r}")


def array(what: str, content: Any, dtype: type, ndim: int, bits: int) -> None:
    """Check type, axes and width of a memory."""
    if not isinstance(content, np.ndarray) or content.dtype != dtype or content.ndim != ndim:
        found = (
            f"{content.dtype} {content.shape}" if isinstance(content, np.ndarray) else type(content)
        )
        raise ProgramError(f"{what} must be {np.dtype(dtype)} with {ndim} axes, not {found}")
    limit = 1 << (bits - 1)
    if content.size and not (-limit <= content.min() and content.max() < limit):
        raise ProgramError(f"{what} holds numbers wider than {bits} bits")


def span(what: str, base: int, length: int, size: int) -> None:
    """Check that so many addresses lie inside a memory."""
    integer(f"{what}: first address", base, 0, size)
    if base + length > size:
        raise ProgramError(f"{what}: addresses {base}..{base + length - 1} of {size} words")


def operation(what: str, number: int, op: Op, names: dict[str, set[str]]) -> None:
    """Check one operation; `names` holds the legal names of each kind that has one."""
    if op.kind not in KINDS:
        raise ProgramError(f"{what}: unknown; this Program needs a newer Spikeloom")
    integer(f"{what}: lower end", op.lo, -(1 << LARGEST_BITS), 1 << LARGEST_BITS)
    integer(f"{what}: upper end", op.hi, op.lo, 1 << LARGEST_BITS)
    if op.bits > 64:
        raise ProgramError(f"{what}: {op.bits} bits wide, more than 64")
    results = OPERANDS[op.kind]
    trailing = _TRAILING_ARGS.get(op.kind, 0)
    if len(op.args) != results + trailing:
        raise ProgramError(f"{what}: {len(op.args)} arguments, must be {results + trailing}")
    for argument in op.args[:results]:
        integer(f"{what}: argument", argument, 0, number - 1)
    if op.kind in names:
        if op.args[-1] not in names[op.kind]:
            raise ProgramError(f"{what}: no such name {op.args[-1]!r}")
    elif op.kind in ("shl", "floor", "divide"):
        integer(f"{what}: bits", op.args[-1], 0, LARGEST_BITS)
    elif op.kind == "round":
        integer(f"{what}: bits", op.args[-1], 1, LARGEST_BITS)
    elif op.kind in ("const", "sat"):
        for constant in op.args[results:]:
            integer(f"{what}: constant", constant, -(1 << LARGEST_BITS), 1 << LARGEST_BITS)

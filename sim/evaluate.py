"""The meaning of kernel code: one kernel over vectors of neurons, operation by operation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..compiler.errors import KernelError
from ..compiler.kernels.code import KernelCode, Op


class Evaluation(NamedTuple):
    """What one evaluation of a kernel gives.

    Attributes
    ----------
    next_state : list of (n,) int64 ndarray
        One per state of the kernel, not yet limited to the machine's state words.
    output : (n,) int64 ndarray
    saturations : int
        How often a ``sat`` operation limited something.
    results : list of (n,) int64 ndarray
        The result of each operation, for finding where two engines part.
    """

    next_state: list[np.ndarray]
    output: np.ndarray
    saturations: int
    results: list[np.ndarray]


def rounded(a: np.ndarray, n: int) -> np.ndarray:
    """``a * 2**-n`` with the machine's rounding: add half, then shift (n >= 1)."""
    return (a + (1 << (n - 1))) >> n


def fit(a: np.ndarray, shift: int, lo: int, hi: int) -> tuple[np.ndarray, int]:
    """``a * 2**-shift`` limited to `lo`..`hi`, and how many elements were limited.

    Parameters
    ----------
    a : int64 ndarray
    shift : int
        Positive: to the right, rounded. Negative: to the left, exact.
    lo, hi : int
    """
    if shift > 0:
        scaled = rounded(a, shift)
    else:
        # Limited loosely first, so that the shift to the left cannot overflow 64 bits: what lies
        # beyond the loose limits lies beyond lo..hi after the shift too.
        scaled = np.clip(a, (lo >> -shift) - 1, (hi >> -shift) + 1) << -shift
    limited = np.clip(scaled, lo, hi)
    return limited, int(np.count_nonzero(limited != scaled))


def divide(a: np.ndarray, b: np.ndarray, n: int) -> np.ndarray:
    """The fraction ``a / b`` with `n` bits, rounded, limited to 0..1."""
    proper = (a > 0) & (b > a)
    quotient = (np.where(proper, a, 0) << (n + 1)) // np.where(proper, b, 1)
    return np.where(proper, (quotient + 1) >> 1, np.where(a > 0, 1 << n, 0))


def evaluate(
    code: KernelCode,
    value: np.ndarray,
    states: Sequence[np.ndarray],
    parameters: Mapping[str, Any],
    tables: Mapping[str, np.ndarray],
) -> Evaluation:
    """Evaluate `code` for n neurons.

    Parameters
    ----------
    code : KernelCode
    value : (n,) int64 ndarray
        The kernel's input, within its range.
    states : sequence of (n,) int64 ndarray
        One per state of the kernel, within their ranges.
    parameters : mapping
        Name -> integer, or (mantissa, shift) for a scaled one.
    tables : mapping of name -> (entries,) int64 ndarray

    Returns
    -------
    Evaluation
    """
    state_of = {port.name: state for port, state in zip(code.states, states, strict=True)}
    first_of = {table.name: table.first for table in code.tables}
    results: list[np.ndarray] = []
    saturations = 0

    def result(op: Op) -> np.ndarray:
        # Positions of earlier results come before written-in integers and names.
        x: Any = [
            results[r] if isinstance(r, int) and 0 <= r < len(results) else None for r in op.args
        ]
        match op.kind:
            case "input":
                return value
            case "state":
                return state_of[str(op.args[0])]
            case "param":
                return np.full_like(value, parameters[str(op.args[0])])
            case "const":
                return np.full_like(value, op.args[0])
            case "add":
                return x[0] + x[1]
            case "sub":
                return x[0] - x[1]
            case "neg":
                return -x[0]
            case "abs":
                return np.abs(x[0])
            case "mul":
                return x[0] * x[1]
            case "shl":
                return x[0] << op.args[1]
            case "round":
                return rounded(x[0], int(op.args[1]))
            case "floor":
                return x[0] >> op.args[1]
            case "scale":
                mantissa, shift = parameters[str(op.args[1])]
                return rounded(x[0] * mantissa, shift)
            case "min":
                return np.minimum(x[0], x[1])
            case "max":
                return np.maximum(x[0], x[1])
            case "gt":
                return (x[0] > x[1]).astype(np.int64)
            case "ge":
                return (x[0] >= x[1]).astype(np.int64)
            case "eq":
                return (x[0] == x[1]).astype(np.int64)
            case "and":
                return x[0] & x[1]
            case "or":
                return x[0] | x[1]
            case "not":
                return 1 - x[0]
            case "select":
                return np.where(x[0] == 1, x[1], x[2])
            case "sat":
                return np.clip(x[0], op.args[1], op.args[2])
            case "table":
                name = str(op.args[1])
                return tables[name][x[0] - first_of[name]]
            case "divide":
                return divide(x[0], x[1], int(op.args[2]))
        raise KernelError(f"kernel {code.name!r}: unknown operation {op.kind!r}")

    for op in code.ops:
        results.append(result(op))
        if op.kind == "sat":
            saturations += int(np.count_nonzero(results[-1] != results[int(op.args[0])]))
    return Evaluation(
        [results[r] for r in code.next_state], results[code.emit], saturations, results
    )

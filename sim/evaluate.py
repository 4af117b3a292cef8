"""The meaning of kernel and rule code: operation by operation, on whole vectors or matrices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..compiler.errors import KernelError
from ..compiler.kernels.code import REDUCTIONS, KernelCode, Op
from ..compiler.kernels.rule_code import RuleCode


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


def reduce(kind: str, a: np.ndarray) -> np.ndarray:
    """A reduction of `a` over the population, (n,) int64 or one number for all neurons."""
    match kind:
        case "any_of":
            return np.asarray(np.any(a != 0), np.int64)
        case "sum_of":
            return np.asarray(np.sum(a))
        case "max_of":
            return np.asarray(np.max(a))
    return (np.arange(len(a)) == np.argmax(a)).astype(np.int64)  # the first of equals


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
    sources = {("input", code.input.name): value}
    for port, state in zip(code.states, states, strict=True):
        sources["state", port.name] = state
    found, limited = operations(code, sources, parameters, tables)
    results = [np.broadcast_to(r, value.shape) for r in found]
    return Evaluation(
        [results[r] for r in code.next_state],
        results[code.emit],
        sum(int(np.count_nonzero(np.broadcast_to(f, value.shape))) for f in limited),
        results,
    )


def operations(
    code: KernelCode | RuleCode,
    sources: Mapping[tuple[str, str], np.ndarray],
    parameters: Mapping[str, Any],
    tables: Mapping[str, np.ndarray],
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Results of all operations of a kernel or rule.

    Parameters
    ----------
    code : KernelCode or RuleCode
    sources : mapping of (kind, name) -> int64 ndarray
        What ``input``, ``state``, ``weight``, ``synapse``, ``pre`` and ``post`` are, of shapes that
        broadcast; the weight has the name ``""``.
    parameters, tables :
        As for `evaluate`.

    Returns
    -------
    results : list of int64 ndarray
        One per operation.
    limited : list of bool ndarray
        For each ``sat`` operation, where it limited something.
    """
    first_of = {table.name: table.first for table in code.tables}
    shape = np.broadcast_shapes(*(np.shape(source) for source in sources.values()))
    results: list[np.ndarray] = []
    limited: list[np.ndarray] = []

    def result(op: Op) -> np.ndarray:
        # Positions of earlier results come before written-in integers and names.
        x: Any = [
            results[r] if isinstance(r, int) and 0 <= r < len(results) else None for r in op.args
        ]
        match op.kind:
            case "input" | "state" | "weight" | "synapse" | "pre" | "post":
                return sources[op.kind, str(op.args[0]) if op.args else ""]
            case "param":
                return np.asarray(parameters[str(op.args[0])], np.int64)
            case "const":
                return np.asarray(op.args[0], np.int64)
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
            case kind if kind in REDUCTIONS:
                return reduce(kind, np.broadcast_to(x[0], shape))
        raise KernelError(f"kernel {code.name!r}: unknown operation {op.kind!r}")

    for op in code.ops:
        results.append(result(op))
        if op.kind == "sat":
            limited.append(results[-1] != results[int(op.args[0])])
    return results, limited

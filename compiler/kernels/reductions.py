"""Reductions over a population: what makes lateral inhibition expressible.

A kernel sees one neuron; these functions see a number of all neurons of its population. They work
on NumPy arrays in float, where the last axis is the population, and on traced values. A kernel that
uses one runs in two passes: reduce, then map. So what is reduced must not depend on a reduction
itself.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import KernelError
from .code import REDUCTIONS
from .expression import Expression
from .parameters import ParameterExpression


def any_of(x: Any) -> Any:
    """Whether `x` holds (is not 0) for any neuron of the population; the same for all of them."""
    if isinstance(x, Expression):
        return _reduction("any_of", x, 0, 1, 0)
    x = _array("any_of", x)
    return np.broadcast_to(np.any(x, axis=-1, keepdims=True), x.shape)


def sum_of(x: Any) -> Any:
    """The sum of `x` over all neurons of the population; the same for all of them."""
    if isinstance(x, Expression):
        bits = x.tracer.index_bits or 0
        lo, hi = min(x.lo, x.lo << bits), max(x.hi, x.hi << bits)
        return _reduction("sum_of", x, lo, hi, x.fraction)
    x = _array("sum_of", x)
    return np.broadcast_to(np.sum(x, axis=-1, keepdims=True), x.shape)


def max_of(x: Any) -> Any:
    """The largest `x` of all neurons of the population; the same for all of them."""
    if isinstance(x, Expression):
        return _reduction("max_of", x, x.lo, x.hi, x.fraction)
    x = _array("max_of", x)
    return np.broadcast_to(np.max(x, axis=-1, keepdims=True), x.shape)


def winner(x: Any) -> Any:
    """True for exactly one neuron: the one with the largest `x`, of equals the first."""
    if isinstance(x, Expression):
        return _reduction("winner", x, 0, 1, 0)
    x = _array("winner", x)
    return np.arange(x.shape[-1]) == np.argmax(x, axis=-1, keepdims=True)


def _array(name: str, x: Any) -> np.ndarray:
    if isinstance(x, ParameterExpression) or np.ndim(x) == 0:
        raise KernelError(
            f"{name}({x!r}): this is the same for all neurons; reduce something that differs, such "
            "as a state, the input or a result"
        )
    return np.asarray(x)


def _reduction(kind: str, x: Expression, lo: int, hi: int, fraction: int) -> Expression:
    tracer = x.tracer
    if tracer.index_bits is None:
        raise KernelError(
            f"rule {tracer.kernel}: {kind}() is for kernels of neurons, a rule sees one synapse; "
            "compute it as a state of the neurons"
        )
    inner = _reductions_behind(x)
    if inner:
        raise KernelError(
            f"kernel {tracer.kernel}: {kind}() of something that depends on {inner[0]}() itself; a "
            "population is reduced once in a step: keep the first result in a state and reduce "
            "that in the next step, or reduce values from before the first reduction"
        )
    return tracer.op(kind, (x.number,), lo, hi, fraction)


def _reductions_behind(x: Expression) -> list[str]:
    ops = x.tracer.ops
    used = {x.number}
    for number in reversed(range(x.number + 1)):
        if number in used:
            used.update(ops[number].operands)
    return [ops[n].kind for n in sorted(used) if ops[n].kind in REDUCTIONS]

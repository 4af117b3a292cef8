"""Quantise: a power-of-two scale for every vector and every table.

All formats follow from the limits (`limits`) and the machine's word widths:

- a value (input, filter output, relayed sum, rate) gets as many fraction bits as its limit leaves;
- an accumulator gets the largest scale at which every matrix that enters it fits the weights, and
  the sum of all products, each at its largest, provably fits the accumulator;
- a homogeneous kernel's states get as many fraction bits as their limit leaves.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from ..errors import CapacityError
from ..graph import Graph, Input, Matrix, Population, Vector
from ..kernels.code import KernelCode, signed_bits
from ..kernels.neurons import Relay
from ..machine import Machine
from .learned import has_fixed_weights, largest, row_sums
from .limits import Limit, limits

LARGEST_LEFT_SHIFT = 20
"""A ``MAP`` shifts its input left by at most this much (60 bits in all)."""

SPARE_BITS = 30
"""An accumulator keeps at most this many fraction bits more than its kernel reads."""

MOST_OF_LARGEST = 16
"""Times that the largest constant stands in the value memory for biases of narrow weights."""


@dataclass
class NodeFormat:
    """Formats of one node; fraction bits may be negative.

    Attributes
    ----------
    limit : Limit
    value : int or None
        Fraction bits of the output as a value or payload; None if nothing reads it.
    accumulator : int or None
        Fraction bits of the sum; None for inputs.
    input : int or None
        Fraction bits of the kernel's input.
    states : tuple of int
        Fraction bits of each state.
    emit : int
        Fraction bits of the kernel's output before it becomes a value.
    clipped : int
        Weights that had to be limited to the largest weight.
    """

    limit: Limit
    value: int | None
    accumulator: int | None = None
    input: int | None = None
    states: tuple[int, ...] = ()
    emit: int = 0
    clipped: int = 0


def fraction_for(limit: float, bits: int) -> int:
    """Most fraction bits at which `limit` still fits a signed word of `bits` bits."""
    if limit <= 0:
        return bits - 1
    fraction = bits - 1 - math.frexp(limit)[1] + 1
    while round(math.ldexp(limit, fraction)) > (1 << (bits - 1)) - 1:
        fraction -= 1
    return fraction


def node_code(graph: Graph, name: str, machine: Machine) -> KernelCode | None:
    """Kernel code that a node runs: its own, the relay for a vector that is read, or none."""
    node = graph[name]
    if isinstance(node, Population):
        return node.kernel.code(machine)  # type: ignore[no-any-return]
    if isinstance(node, Vector) and graph.edges_from(name):
        return Relay.code(machine)
    return None


def quantise(graph: Graph, machine: Machine) -> dict[str, NodeFormat]:
    """Formats of all nodes of a folded, routed Graph."""
    found: dict[str, NodeFormat] = {}
    bounds = limits(graph)
    for node in graph.nodes():
        found[node.name] = _outputs(graph, node.name, bounds[node.name], machine)
    for node in graph.nodes():
        if not isinstance(node, Input):
            _accumulator(graph, node.name, found, machine)
    return found


def _outputs(graph: Graph, name: str, limit: Limit, machine: Machine) -> NodeFormat:
    node = graph[name]
    if isinstance(node, Input):
        return NodeFormat(limit, fraction_for(limit.output, machine.value_bits))
    code = node_code(graph, name, machine)
    if code is None:
        return NodeFormat(limit, None)
    if code.emits == "events":
        value = code.emit_fraction
    else:
        value = fraction_for(limit.output, machine.value_bits)
    if not code.homogeneous:
        assert code.input.fraction is not None and code.emit_fraction is not None
        return NodeFormat(
            limit,
            value,
            input=code.input.fraction,
            states=tuple(s.fraction or 0 for s in code.states),
            emit=code.emit_fraction,
        )
    common = fraction_for(max(limit.state, limit.output), machine.state_bits)
    return NodeFormat(
        limit, value, input=common, states=state_fractions(code, common, machine), emit=common
    )


def state_fractions(code: KernelCode, common: int, machine: Machine) -> tuple[int, ...]:
    """Fraction bits of a homogeneous kernel's states; narrow ones keep the upper bits."""
    return tuple(common - machine.state_bits + signed_bits(s.lo, s.hi) for s in code.states)


def _accumulator(graph: Graph, name: str, found: dict[str, NodeFormat], machine: Machine) -> None:
    node, form = graph[name], found[name]
    assert isinstance(node, (Vector, Population))
    fraction = 60
    total = np.zeros(node.size)  # largest sum of products in units of 2**-fraction, as floats
    fixed = None
    for source, _, edge in graph.edges_into(name):
        value = found[source].value
        assert value is not None
        entry = largest(edge)
        if entry > 0:
            fraction = min(fraction, value + fraction_for(entry, machine.weight_bits))
        if has_fixed_weights(edge):
            assert edge.plasticity is not None
            code = edge.plasticity.rule.code(machine)
            fixed = value + code.weight.fraction - machine.residual_bits
        total = total + row_sums(edge) * _reach(graph, source, found, machine)
    bias = float(np.abs(node.bias).max(initial=0.0))
    if bias > 0:
        fraction = min(fraction, fraction_for(bias, bias_bits(machine)))
    total = total + np.abs(node.bias)
    reach = float(total.max(initial=0.0))
    if reach > 0:  # half a count of rounding for each weight is less than the last factor
        fraction = min(fraction, fraction_for(reach * 1.001, machine.accumulator_bits - 1))
    if fixed is not None:
        if fixed > fraction:
            raise CapacityError(
                f"{node.origin or name!r}: the sum over all learned weights needs "
                f"{fixed - fraction} bits more than an accumulator of {machine.accumulator_bits} "
                "has; connect fewer neurons, or use a machine with wider accumulators"
            )
        fraction = fixed
    if form.input is not None:
        code = node_code(graph, name, machine)
        assert code is not None
        if fixed is None:
            fraction = min(fraction, form.input + SPARE_BITS)
        if form.input - fraction > LARGEST_LEFT_SHIFT:
            if code.homogeneous:
                lower = fraction + LARGEST_LEFT_SHIFT
                form.states = state_fractions(code, lower, machine)
                form.input = form.emit = lower
            else:  # weights so large that a single one saturates the kernel's input
                fraction = form.input - LARGEST_LEFT_SHIFT
    form.accumulator = fraction


def _reach(graph: Graph, source: str, found: dict[str, NodeFormat], machine: Machine) -> float:
    """Largest magnitude that the stored value of `source` can have, whatever happens."""
    form = found[source]
    assert form.value is not None
    reach = math.ldexp(1.0, machine.value_bits - 1 - form.value)
    node = graph[source]
    if isinstance(node, Population) and node.kernel.emits == "events":
        return min(node.kernel.output_limit(math.inf, graph.dt), reach)  # type: ignore[no-any-return]
    return reach


def bias_constants(machine: Machine) -> list[int]:
    """The numbers that biases are multiplied with, in the value memory; the last is 1.

    The first is the largest power of two that a value can be. What its weight leaves of a bias, the
    weights of the next ones hold: all of it with 1, or, where weights are narrower than values,
    with as many powers between as that takes. For narrow weights the first one stands there several
    times, for biases that are larger than any product.
    """
    top, digit = machine.value_bits - 2, machine.weight_bits - 1
    if digit >= top:
        return [1 << top, 1]
    between = range(top - digit, 0, -digit) if digit else ()
    return [1 << top] * MOST_OF_LARGEST + [1 << power for power in between] + [1]


def bias_bits(machine: Machine) -> int:
    """Bits of a bias, sign included, that `bias_rows` can surely split."""
    constants = bias_constants(machine)
    weight = (1 << (machine.weight_bits - 1)) - 1
    largest = weight * constants[0] * constants.count(constants[0]) - constants[0] // 2
    return largest.bit_length()


def bias_rows(bias: np.ndarray, machine: Machine) -> np.ndarray:
    """Split integer biases into rows of weights for the last of `bias_constants`.

    Parameters
    ----------
    bias : (n,) int64
        Within `bias_bits`.

    Returns
    -------
    (rows, n) int64
        One row, for the constant 1, if all fit a weight.
    """
    weight = (1 << (machine.weight_bits - 1)) - 1
    if np.abs(bias).max(initial=0) <= weight:
        return bias.reshape(1, -1)
    constants = bias_constants(machine)
    first, left = constants[0], bias
    times = (bias + first // 2) // first
    rows: list[np.ndarray] = []
    while not rows or times.any():
        rows.append(np.clip(times, -weight, weight))
        times = times - rows[-1]
        left = left - rows[-1] * first
    for constant in constants[constants.count(first) :]:
        rows.append((left + constant // 2) // constant)
        left = left - rows[-1] * constant
    return np.vstack(rows)


def integers(matrix: Matrix, fraction: int, machine: Machine) -> tuple[Matrix, int]:
    """Weights as integers of `fraction` fraction bits, and how many had to be limited.

    Returns
    -------
    int64 ndarray, or csr_array where `matrix` is sparse
    int
    """
    if sp.issparse(matrix):
        entries = sp.csr_array(matrix)
        data, clipped = integers(entries.data, fraction, machine)
        parts = (data, entries.indices, entries.indptr)
        return sp.csr_array(parts, shape=entries.shape), clipped
    limit = (1 << (machine.weight_bits - 1)) - 1
    rounded = np.rint(np.ldexp(np.asarray(matrix), fraction))
    clipped = int(np.count_nonzero(np.abs(rounded) > limit))
    return np.clip(rounded, -limit, limit).astype(np.int64), clipped

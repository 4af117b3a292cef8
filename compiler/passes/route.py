"""Route: decide which sums are computed as such, and which are multiplied out.

A `Vector` that nobody observes may be kept (its sum is computed once and handed on: the factored
form, as decode-then-encode) or removed by multiplying the matrices before and after it (the full
form). The cheaper of the two in clock cycles and weight words is taken. A synapse in front of a
small target may likewise be moved behind the matrix that follows it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import scipy.sparse as sp

from ..graph import Graph, Input, Matrix, Population, Vector
from ..machine import Machine
from .fold import dense, merge_edges
from .learned import has_fixed_weights, scalar, touched_by_rules

EXPECTED_RATE = 100.0
"""Hz: mean firing rate that is assumed when two forms are compared."""

INSTRUCTION_CYCLES = 10
"""Cycles that an instruction costs beside its loop, roughly; only for comparing forms."""

MAP_CYCLES = 40
"""Likewise, of running a kernel over a population."""

WORDS_PER_CYCLE = 16
"""Weight words that count as much as one cycle per step."""


def route(graph: Graph, machine: Machine) -> Graph:
    """Remove every vector that is cheaper without; returns a new Graph."""
    graph = graph.copy()
    inputs = [node for node in graph.nodes() if isinstance(node, Input)]
    observed = {o.node for o in graph.observations.values()}
    for node in list(graph.nodes()):
        if (
            isinstance(node, Vector)
            and node.name not in observed
            and _consider(graph, node, machine)
        ):
            graph.nx.remove_node(node.name)
            for entry in inputs:
                entry.requires = entry.requires - {node.name}
    _move_filters(graph, machine)
    merge_edges(graph)
    return graph


def _consider(graph: Graph, vector: Vector, machine: Machine) -> bool:
    """Lead the edges past a vector, if that is cheaper; whether it is to be removed."""
    before, after = graph.edges_into(vector.name), graph.edges_from(vector.name)
    if any(edge.plasticity for _, _, edge in before + after):
        return _pass_on_learned(graph, vector)
    products = [
        (u, v, multiply(out.matrix, into.matrix), f"{into.origin} {out.origin}".strip())
        for u, _, into in before
        for v, _, out in after
    ]
    keep = float(MAP_CYCLES + vector.size if after else 0)
    keep += sum(cost(graph, u, e.matrix, machine) for u, _, e in before)
    keep += sum(cost(graph, vector.name, e.matrix, machine) for _, _, e in after)
    remove: float = sum(cost(graph, u, m, machine) for u, _, m, _ in products)
    if remove > keep:
        return False
    for v, _, out in after:
        target = graph[v]
        assert isinstance(target, (Vector, Population))
        target.bias = target.bias + out.matrix @ vector.bias
    for u, v, matrix, origin in products:
        graph.connect(u, v, matrix, origin)
    return True


def _pass_on_learned(graph: Graph, vector: Vector) -> bool:
    """Let a learned matrix lead straight to the one reader of its sum, if that only scales it."""
    before, after = graph.edges_into(vector.name), graph.edges_from(vector.name)
    if len(after) != 1 or after[0][2].plasticity or vector.name in touched_by_rules(graph):
        return False
    target, _, out = after[0]
    factor = scalar(out.matrix)
    node = graph[target]
    if factor is None or any(has_fixed_weights(edge) for _, _, edge in before):
        return False
    assert isinstance(node, (Vector, Population))
    node.bias = node.bias + factor * vector.bias
    for source, _, edge in before:
        learned = edge.plasticity
        if learned is not None:
            learned = replace(learned, unit=learned.unit * factor)
        graph.connect(source, target, edge.matrix * factor, edge.origin, learned)
    return True


def _move_filters(graph: Graph, machine: Machine) -> None:
    """Move a linear filter behind the one matrix that reads it, where that is cheaper."""
    for node in list(graph.nodes()):
        if (
            not isinstance(node, Population)
            or not (node.kernel.delayed and node.kernel.homogeneous)
            or graph.observed(node.name)
            or any(np.any(v) for v in node.initial.values())
        ):
            continue
        after = graph.edges_from(node.name)
        if len(after) != 1 or after[0][0] == node.name:
            continue
        target, key, out = after[0]
        before = graph.edges_into(node.name)
        if graph[target].size >= node.size or any(u == node.name for u, _, _ in before):
            continue
        if out.plasticity or any(e.plasticity for _, _, e in before):
            continue
        products = [(u, k, e, multiply(out.matrix, e.matrix)) for u, k, e in before]
        now: float = cost(graph, node.name, out.matrix, machine) + node.size
        now += sum(cost(graph, u, e.matrix, machine) for u, _, e in before)
        size = graph[target].size
        moved: float = cost(graph, node.name, sp.eye_array(size).tocsr(), machine) + size
        moved += sum(cost(graph, u, m, machine) for u, _, _, m in products)
        if moved >= now:
            continue
        for u, k, e, matrix in products:
            graph.nx.remove_edge(u, node.name, k)
            graph.connect(u, node.name, matrix, f"{e.origin} {out.origin}".strip())
        graph.nx.remove_edge(node.name, target, key)
        graph.connect(node.name, target, sp.csr_array(sp.eye_array(size)), out.origin)
        node.bias = out.matrix @ node.bias
        node.size = size
        node.initial = {n: np.zeros(size) for n in node.initial}


def multiply(a: Matrix, b: Matrix) -> Matrix:
    """Matrix product; sparse factors stay sparse where the result is."""
    if sp.issparse(a) or sp.issparse(b):
        product = sp.csr_array(sp.csr_array(a) @ sp.csr_array(b))
        return product if product.nnz * 4 < np.prod(product.shape) else product.toarray()
    return dense(a) @ dense(b)


def cost(graph: Graph, source: str, matrix: Matrix, machine: Machine) -> float:
    """Cycles per step (and words, weighed) of multiplying with `matrix`; an estimate."""
    node = graph[source]
    rows, columns = support(matrix)
    if len(rows) == 0:
        return 0.0
    words = rows[-1] // machine.lanes - rows[0] // machine.lanes + 1
    span = columns[-1] - columns[0] + 1
    if isinstance(node, Population) and node.kernel.emits == "events":
        active = min(1.0, EXPECTED_RATE * graph.dt) * node.size
        return INSTRUCTION_CYCLES + words * active + words * node.size / WORDS_PER_CYCLE
    if sp.issparse(matrix) and words > 1:  # split by words of the target when scheduled
        dense_cycles = words * span
        by_word = matrix.nnz + words * INSTRUCTION_CYCLES
        return INSTRUCTION_CYCLES + min(dense_cycles, by_word) * (1 + 1 / WORDS_PER_CYCLE)
    return INSTRUCTION_CYCLES + words * span * (1 + 1 / WORDS_PER_CYCLE)


def support(matrix: Matrix) -> tuple[np.ndarray, np.ndarray]:
    """Sorted rows and columns that are not all zero."""
    if sp.issparse(matrix):
        coo = matrix.tocoo()
        used = coo.data != 0
        return np.unique(coo.coords[0][used]), np.unique(coo.coords[1][used])
    nonzero = matrix != 0
    return np.flatnonzero(nonzero.any(axis=1)), np.flatnonzero(nonzero.any(axis=0))

"""Learned edges: what the passes have to know of them.

A learned matrix stays as it is: it is neither multiplied with others nor split. Where its rule
gives weights of a fixed format, not even a factor can be folded in: such an edge leads into a sum
of its own, and factors go behind that.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from ..graph import Edge, Graph, Matrix, Plasticity, Vector

EXPECTED_SHARE = 8.0
"""Learned weights are expected to add up to such a part of what they can at most."""


def has_fixed_weights(edge: Edge) -> bool:
    """Whether an edge is learned, by a rule that gives its weights a range."""
    return edge.plasticity is not None and edge.plasticity.rule.weight.range is not None


def isolate(graph: Graph) -> Graph:
    """Give every edge with weights of a fixed format a sum of its own; returns a new Graph."""
    graph = graph.copy()
    for u, v, key, data in list(graph.nx.edges(keys=True, data=True)):
        edge = data["edge"]
        if not has_fixed_weights(edge):
            continue
        size = graph[v].size
        name = f"{edge.plasticity.name}.sum"
        graph.add(Vector(name, size, edge.plasticity.origin, bias=np.zeros(size)))
        graph.nx.remove_edge(u, v, key)
        graph.connect(u, name, edge.matrix, edge.origin, edge.plasticity)
        graph.connect(name, v, sp.csr_array(sp.eye_array(size)), edge.origin)
    return graph


def learned_edges(graph: Graph) -> list[tuple[str, str, Edge, Plasticity]]:
    """``(source, target, edge, plasticity)`` of all learned edges."""
    return [
        (u, v, d["edge"], d["edge"].plasticity)
        for u, v, d in graph.nx.edges(data=True)
        if d["edge"].plasticity is not None
    ]


def touched_by_rules(graph: Graph) -> set[str]:
    """Names of the nodes that rules look at."""
    return {
        node for _, _, _, learned in learned_edges(graph) for node, _ in learned.variables.values()
    }


def touched_by_learning(graph: Graph) -> set[str]:
    """Names of nodes that learned edges join, or that rules look at."""
    joined = {name for u, v, _, _ in learned_edges(graph) for name in (u, v)}
    return joined | touched_by_rules(graph)


def row_sums(edge: Edge, expected: bool = False) -> np.ndarray:
    """Sum of the magnitudes of each row, float64 (targets,); of a learned one, the largest.

    Parameters
    ----------
    edge : Edge
    expected : bool
        Of a learned one what is expected: weights of a free format will hardly all be at their
        limit at once.
    """
    rows, columns = edge.matrix.shape
    if edge.plasticity is not None:
        share = 1 / EXPECTED_SHARE if expected and not has_fixed_weights(edge) else 1.0
        return np.full(rows, columns * largest(edge) * share)
    return np.asarray(abs(edge.matrix).sum(axis=1), dtype=float).ravel()


def largest(edge: Edge) -> float:
    """Largest magnitude of an element, now or by learning."""
    if edge.plasticity is not None:
        limit = edge.plasticity.limit
        declared = edge.plasticity.rule.weight.range
        if declared is not None:
            limit = max(map(abs, declared))
        return limit * abs(edge.plasticity.unit)
    values = edge.matrix.data if sp.issparse(edge.matrix) else edge.matrix
    return float(np.abs(values).max(initial=0.0))


def scalar(matrix: Matrix) -> float | None:
    """The factor if a matrix is a multiple of the identity, else None."""
    rows, columns = matrix.shape
    if rows != columns or rows == 0:
        return None
    diagonal = matrix.diagonal()
    rest = sp.coo_array(matrix)
    off = rest.data[rest.coords[0] != rest.coords[1]]
    if np.any(off) or np.any(diagonal != diagonal[0]) or diagonal[0] == 0:
        return None
    return float(diagonal[0])

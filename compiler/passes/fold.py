"""Fold: gains into the matrices around a population, so that kernels see plain counts.

- A spike's worth (amplitude/dt) goes into every matrix that reads the population.
- A filter's gain goes into every matrix that feeds it, and into its bias.
- What a spike is worth to learned weights of a fixed format goes behind their sum (`isolate`).
- Edges between the same two nodes are added up; constant inputs become biases.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import scipy.sparse as sp

from ..graph import Edge, Graph, Input, Matrix, Population, Vector
from .learned import has_fixed_weights


def fold(graph: Graph) -> Graph:
    """Fold gains and units; returns a new Graph."""
    graph = graph.copy()
    for node in list(graph.nodes()):
        if not isinstance(node, Population) or node.folded:
            continue
        gain = node.kernel.input_gain(graph.dt)
        if node.output_unit != 1.0:
            plain = []
            for target, key, edge in graph.edges_from(node.name):
                if has_fixed_weights(edge):  # behind their sum, which nothing else enters
                    plain += graph.edges_from(target)
                else:
                    plain.append((target, key, edge))
            _scale(plain, node.output_unit)
        if gain != 1.0:
            _scale([(u, k, e) for u, k, e in graph.edges_into(node.name)], gain)
            node.bias = node.bias * gain
        node.folded = True
    merge_edges(graph)
    return graph


def _scale(edges: list[tuple[str, int, Edge]], factor: float) -> None:
    for _, _, edge in edges:
        edge.matrix = edge.matrix * factor
        if edge.plasticity is not None:
            learned = edge.plasticity
            edge.plasticity = replace(learned, unit=learned.unit * factor)


def merge_edges(graph: Graph) -> None:
    """Add up parallel edges and drop those that are all zero, in place."""
    for u, v in sorted(set(graph.nx.edges())):
        keys = [k for k, d in graph.nx[u][v].items() if d["edge"].plasticity is None]
        if not keys:
            continue
        edges = [graph.nx[u][v][k]["edge"] for k in keys]
        total: Matrix = edges[0].matrix
        for edge in edges[1:]:
            total = add(total, edge.matrix)
        origins = list(dict.fromkeys(e.origin for e in edges if e.origin))
        graph.nx.remove_edges_from([(u, v, k) for k in keys])
        values = total.data if sp.issparse(total) else total
        if np.any(values):
            graph.connect(u, v, total, "; ".join(origins))


def add(a: Matrix, b: Matrix) -> Matrix:
    """Sum of two matrices, sparse if both are."""
    if sp.issparse(a) and sp.issparse(b):
        return sp.csr_array(a + b)
    return dense(a) + dense(b)


def dense(matrix: Matrix) -> np.ndarray:
    """The matrix as a plain array."""
    return matrix.toarray() if sp.issparse(matrix) else np.asarray(matrix)


def fold_constants(graph: Graph, constants: dict[str, np.ndarray]) -> Graph:
    """Turn inputs that never change into biases of what reads them.

    Parameters
    ----------
    constants : dict of input name -> (size,) ndarray
    """
    graph = graph.copy()
    for name, value in constants.items():
        if not isinstance(graph[name], Input):
            continue
        for target, _, edge in graph.edges_from(name):
            node = graph[target]
            if isinstance(node, (Vector, Population)):
                updated = replace(node, bias=node.bias + edge.matrix @ value)
                graph.nx.nodes[target]["node"] = updated
        graph.nx.remove_node(name)
    return graph

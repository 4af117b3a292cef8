"""Steep: make the weights of extremely steep neurons small enough to share a scale with others.

A neuron whose intercept lies at the very end of its range can have a gain of millions; its weights
would leave no bits for those of its neighbours, which have the same scale. All that such a neuron
tells is on which side of its threshold its input lies. So its current is flattened around the
threshold, as far as the current still leaves the kernel's input range many times over.
"""

from __future__ import annotations

import numpy as np

from ..graph import Graph, Population
from ..kernels.kernel import Input as Entry
from .limits import limits

HEADROOM = 16.0
"""A current is left alone up to this many times the kernel's input range."""


def flatten_steep(graph: Graph) -> Graph:
    """Flatten currents ``J`` to ``threshold + factor * (J - threshold)`` where they are extreme.

    Parameters
    ----------
    graph : Graph
        Folded.

    Returns
    -------
    Graph
        A new one.
    """
    graph = graph.copy()
    bounds = limits(graph)
    for node in graph.nodes():
        if not isinstance(node, Population) or node.kernel.threshold is None:
            continue
        if any(edge.plasticity for _, _, edge in graph.edges_into(node.name)):
            continue
        (entry,) = node.kernel.declared(Entry).values()
        largest = HEADROOM * max(map(abs, entry.range))
        reach = np.abs(node.bias)
        for source, _, edge in graph.edges_into(node.name):
            sums = np.asarray(abs(edge.matrix).sum(axis=1), dtype=float).ravel()
            reach = reach + sums * bounds[source].output
        if not np.any(reach > largest):
            continue
        factor = np.minimum(1.0, largest / np.maximum(reach, largest))
        threshold = node.kernel.threshold
        node.bias = threshold + factor * (node.bias - threshold)
        for _, _, edge in graph.edges_into(node.name):
            edge.matrix = edge.matrix * factor[:, None]
    return graph

"""The rules that every Graph must keep, checked between passes."""

from __future__ import annotations

import networkx as nx
import numpy as np
import scipy.sparse as sp

from ..errors import GraphError
from ..graph import Graph, Input, Population, Vector
from ..kernels.kernel import State


def verify(graph: Graph, after: str) -> None:
    """Raise GraphError, naming the node and the pass `after`, if a rule is broken.

    Rules: matrices are finite and fit the nodes they join; inputs have no incoming edges; biases
    and initial states have the node's size; observations name what exists; within a step nothing
    depends on itself.
    """

    def fail(what: str) -> None:
        raise GraphError(f"after pass '{after}': {what}")

    for node in graph.nodes():
        if isinstance(node, Input) and graph.edges_into(node.name):
            fail(f"the input {node.name!r} has incoming edges")
        if isinstance(node, Input):
            for required in sorted(node.requires):
                if required not in graph.nx:
                    fail(f"the input {node.name!r} requires the unknown node {required!r}")
        if isinstance(node, (Vector, Population)) and not _finite(node.bias, node.size):
            fail(f"the bias of {node.name!r} is not {node.size} finite numbers")
        if isinstance(node, Population):
            states = set(node.kernel.declared(State))
            if set(node.initial) != states:
                fail(f"{node.name!r} has initial states {sorted(node.initial)}, not {states}")
            for name, value in node.initial.items():
                if not _finite(value, node.size):
                    fail(f"the initial {name} of {node.name!r} is not {node.size} finite numbers")
    for u, v, data in graph.nx.edges(data=True):
        matrix = data["edge"].matrix
        if matrix.shape != (graph[v].size, graph[u].size):
            fail(f"the matrix {u!r} -> {v!r} has shape {matrix.shape}")
        values = matrix.data if sp.issparse(matrix) else matrix
        if not np.all(np.isfinite(values)):
            fail(f"the matrix {u!r} -> {v!r} is not finite")
    for observation in graph.observations.values():
        if observation.node not in graph.nx:
            fail(f"the observation {observation.name!r} is of unknown node {observation.node!r}")
        node = graph[observation.node]
        known = {"output"} if isinstance(node, Input) else {"output", "input"}
        if isinstance(node, Population):
            known |= set(node.kernel.declared(State))
        if observation.what not in known:
            fail(f"{observation.name!r} asks for {observation.what!r} of {observation.node!r}")
    same_step = same_step_graph(graph)
    if not nx.is_directed_acyclic_graph(same_step):
        loop = " -> ".join(repr(u) for u, _ in nx.find_cycle(same_step))
        fail(f"within a step {loop} depends on itself")


def _finite(value: np.ndarray, size: int) -> bool:
    return np.shape(value) == (size,) and bool(np.all(np.isfinite(value)))


def is_delayed(graph: Graph, name: str) -> bool:
    """True if readers of the node see its output of the step before."""
    node = graph[name]
    return isinstance(node, Population) and bool(node.kernel.delayed)


def same_step_graph(graph: Graph) -> nx.DiGraph:
    """The edges along which values flow within one step."""
    found = nx.DiGraph()
    found.add_nodes_from(graph.nx)
    found.add_edges_from((u, v) for u, v in graph.nx.edges() if not is_delayed(graph, u))
    return found

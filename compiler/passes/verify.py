"""The rules that every Graph must keep, checked between passes."""

from __future__ import annotations

from collections.abc import Callable

import networkx as nx
import numpy as np
import scipy.sparse as sp

from ..errors import GraphError
from ..graph import Edge, Graph, Input, Population, Vector
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
        if data["edge"].plasticity is not None:
            _verify_learned(graph, u, v, data["edge"], fail)
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


def _verify_learned(
    graph: Graph, source: str, target: str, edge: Edge, fail: Callable[[str], None]
) -> None:
    """Check that a rule finds all its variables, in populations of the right size."""
    learned = edge.plasticity
    assert learned is not None
    if sp.issparse(edge.matrix):
        fail(f"the learned matrix {learned.name!r} is sparse")
    declared = learned.rule.seen()
    if set(learned.variables) != set(declared):
        fail(f"{learned.name!r} has the variables {sorted(learned.variables)}, not {set(declared)}")
    pre = {node for n, (node, _) in learned.variables.items() if declared[n].side == "pre"}
    if len(pre) > 1:
        fail(f"the pre variables of {learned.name!r} are of several populations: {sorted(pre)}")
    for name, (node_name, state) in learned.variables.items():
        node = graph[node_name] if node_name in graph.nx else None
        if not isinstance(node, Population) or state not in node.kernel.declared(State):
            fail(f"{learned.name!r} sees {state!r} of {node_name!r}, which has no such state")
        size = graph[source if declared[name].side == "pre" else target].size
        if node is not None and node.size != size:
            fail(f"{learned.name!r} sees {node_name!r} of size {node.size}, not {size}")


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

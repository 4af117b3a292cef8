"""Schedule: the order of all sums and kernels within a step, and the phases between host and chip.

Each node becomes up to two tasks: ``sum`` (fill its accumulators) and ``map`` (run its kernel).
A sum comes after the maps of what it reads in the same step, and before the maps of delayed nodes
(synapses) that it reads, because those show their value of the step before. An input that the host
can only compute after seeing something of the same step begins a new phase.
"""

from __future__ import annotations

from dataclasses import dataclass

import networkx as nx

from ..errors import GraphError
from ..graph import Graph, Input, Population, Vector
from .verify import is_delayed


@dataclass(frozen=True)
class Task:
    """``sum`` or ``map`` of a node."""

    kind: str
    node: str


@dataclass
class Schedule:
    """Tasks in order, phase by phase, and the phase at whose start each input is written."""

    phases: list[list[Task]]
    input_phase: dict[str, int]

    def phase_of(self, task: Task) -> int:
        """Phase in which a task runs."""
        return next(p for p, tasks in enumerate(self.phases) if task in tasks)


def has_map(graph: Graph, name: str) -> bool:
    """True if a kernel runs over the node (a vector that nothing reads has none)."""
    node = graph[name]
    return isinstance(node, Population) or (
        isinstance(node, Vector) and bool(graph.edges_from(name))
    )


def schedule(graph: Graph) -> Schedule:
    """Order the tasks of a step.

    Raises
    ------
    GraphError
        If the order contradicts itself.
    """
    order = nx.DiGraph()
    for node in graph.nodes():
        if isinstance(node, Input):
            order.add_node(Task("input", node.name))
            continue
        order.add_node(Task("sum", node.name))
        if has_map(graph, node.name):
            order.add_edge(Task("sum", node.name), Task("map", node.name), weight=0)
    for u, v in graph.nx.edges():
        reader = Task("sum", v)
        if isinstance(graph[u], Input):
            order.add_edge(Task("input", u), reader, weight=0)
        elif is_delayed(graph, u):
            order.add_edge(reader, Task("map", u), weight=0)
        else:
            order.add_edge(Task("map", u), reader, weight=0)
    for node in graph.nodes():
        if isinstance(node, Input):
            for required in sorted(node.requires):
                order.add_edge(_last_task(graph, required), Task("input", node.name), weight=1)
    try:
        sequence = list(nx.topological_sort(order))
    except nx.NetworkXUnfeasible:
        loop = " -> ".join(f"{u.kind} {u.node!r}" for u, _ in nx.find_cycle(order))
        raise GraphError(f"no order within a step satisfies all readers: {loop}") from None
    phase: dict[Task, int] = {}
    for task in sequence:
        phase[task] = max(
            (phase[u] + order[u][task]["weight"] for u in order.predecessors(task)), default=0
        )
    position = {name: i for i, name in enumerate(graph.nx)}
    # a kernel runs as soon as its sum is there, so that accumulators are soon free again
    ordered = nx.lexicographical_topological_sort(
        order, key=lambda t: (phase[t], t.kind != "map", position[t.node])
    )
    count = max((p + 1 for t, p in phase.items() if t.kind != "input"), default=1)
    phases: list[list[Task]] = [[] for _ in range(count)]
    input_phase = {}
    for task in ordered:
        if task.kind == "input":
            input_phase[task.node] = min(phase[task], count - 1)
        else:
            phases[phase[task]].append(task)
    return Schedule(phases, input_phase)


def _last_task(graph: Graph, name: str) -> Task:
    if isinstance(graph[name], Input):
        return Task("input", name)
    return Task("map" if has_map(graph, name) else "sum", name)

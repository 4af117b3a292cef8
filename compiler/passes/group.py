"""Group: run a kernel once over many small populations instead of once for each.

An array of ensembles is many populations with the same kernel and parameters. Each ``MAP`` costs
its pipeline's length beside its neurons, and each decoder of one dimension fills one lane of
sixteen. Populations are joined where that makes nothing worse:

- nothing of the same step leads from one to another, so that one ``MAP`` can serve all;
- no kernel reduces over its population;
- neurons that emit events write into the same accumulator words of the same targets, so that the
  events of all can be multiplied with one row of weights each, as before;
- filters have similar limits, neurons similar weights, so that one scale suits all.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import replace
from typing import Any

import networkx as nx
import numpy as np
import scipy.sparse as sp

from ..graph import Graph, Input, Matrix, Member, Population
from ..kernels.kernel import State
from ..machine import Machine
from .fold import merge_edges
from .learned import touched_by_learning
from .limits import limits
from .route import support
from .verify import is_delayed

SIMILAR = 8.0
"""Largest ratio of limits, or of weights, that share a scale: three bits of eighteen."""


def group(graph: Graph, machine: Machine) -> Graph:
    """Join populations; returns a new Graph whose observations point into the joint ones."""
    graph = graph.copy()
    candidates: dict[Any, list[str]] = defaultdict(list)
    depth = _depths(graph)
    bounds = limits(graph)
    learning = touched_by_learning(graph)
    for node in graph.nodes():
        if not isinstance(node, Population) or node.name in learning:
            continue
        kernel = node.kernel
        if kernel.code(machine).reductions:
            continue  # it would be reduced over all of them
        key: tuple[Any, ...] = (
            kernel.parameter_key(),
            node.output_unit,
            depth[node.name],
        )
        if kernel.emits == "events":
            key += (_targets(graph, node.name, machine),)
        candidates[key].append(node.name)
    for names in candidates.values():
        for members in _similar(graph, names, bounds):
            # Whole words first: then the positions of an image behind them begin with a word.
            members.sort(key=lambda name: graph[name].size % machine.lanes != 0)
            room = 1 << machine.index_bits
            for part in _parts(graph, members, room):
                if len(part) > 1:
                    _join(graph, part)
    merge_edges(graph)
    return graph


def _depths(graph: Graph) -> dict[str, int]:
    """Longest way within a step to each node; nodes of one depth do not lead to each other."""
    flow = nx.DiGraph()
    flow.add_nodes_from(graph.nx)
    flow.add_edges_from((u, v) for u, v in graph.nx.edges() if not is_delayed(graph, u))
    for node in graph.nodes():
        if isinstance(node, Input):
            flow.add_edges_from((required, node.name) for required in node.requires)
    depth: dict[str, int] = {}
    for name in nx.topological_sort(flow):
        depth[name] = max((depth[u] + 1 for u in flow.predecessors(name)), default=0)
    return depth


def _targets(graph: Graph, name: str, machine: Machine) -> tuple[tuple[str, int, int], ...]:
    """The accumulator words that a population's events are added to."""
    found = []
    for target, _, edge in graph.edges_from(name):
        rows, _ = support(edge.matrix)
        if len(rows):
            found.append((target, rows[0] // machine.lanes, rows[-1] // machine.lanes))
    return tuple(sorted(found))


def _similar(graph: Graph, names: list[str], bounds: dict[str, Any]) -> list[list[str]]:
    """Split candidates, in their order of size, wherever the largest is SIMILAR times the least."""

    def size(name: str) -> float:
        node = graph[name]
        assert isinstance(node, Population)
        if node.kernel.homogeneous:
            return float(max(bounds[name].state, bounds[name].output))
        if node.kernel.emits == "value":  # what it sums up may be of any size
            return max(
                (_largest(e.matrix) * _output(s, bounds) for s, _, e in graph.edges_into(name)),
                default=0.0,
            )
        return max((_largest(e.matrix) for _, _, e in graph.edges_into(name)), default=0.0)

    sizes = {name: size(name) for name in names}
    groups: list[list[str]] = []
    for name in sorted(names, key=lambda n: (sizes[n], n)):
        if groups and sizes[name] <= SIMILAR * sizes[groups[-1][0]]:
            groups[-1].append(name)
        else:
            groups.append([name])
    order = {name: i for i, name in enumerate(graph.nx)}
    return [sorted(members, key=order.__getitem__) for members in groups]


def _output(name: str, bounds: dict[str, Any]) -> float:
    """The largest output of a node, 1 if it is not known."""
    output = float(bounds[name].output) if name in bounds else 1.0
    return output if math.isfinite(output) else 1.0


def _parts(graph: Graph, names: list[str], room: int) -> list[list[str]]:
    """Cut a group into pieces of at most `room` elements."""
    parts: list[list[str]] = [[]]
    used = 0
    for name in names:
        if used + graph[name].size > room and parts[-1]:
            parts.append([])
            used = 0
        parts[-1].append(name)
        used += graph[name].size
    return parts


def _join(graph: Graph, names: list[str]) -> None:
    members = []
    start = 0
    nodes: list[Population] = []
    for name in names:
        node = graph[name]
        assert isinstance(node, Population)
        nodes.append(node)
        members.append(Member(name, start, node.size))
        start += node.size
    total = start
    first = nodes[0]
    joint = f"{names[0]} .. {names[-1]} ({len(names)} populations)"
    known = [n.limit for n in nodes if n.limit is not None]
    graph.add(
        replace(
            first,
            name=joint,
            size=total,
            origin=f"{first.origin or first.name} and {len(names) - 1} more",
            bias=np.concatenate([n.bias for n in nodes]),
            initial={
                s: np.concatenate([n.initial[s] for n in nodes])
                for s in first.kernel.declared(State)
            },
            limit=max(known) if known else None,
            members=members,
        )
    )
    for member in members:
        for source, _, edge in graph.edges_into(member.name):
            if source not in graph.nx or source in names:
                continue
            graph.connect(source, joint, _rows(edge.matrix, member.start, total), edge.origin)
        for target, _, edge in graph.edges_from(member.name):
            columns = _columns(edge.matrix, member.start, total)
            if target in names:
                other = next(m for m in members if m.name == target)
                graph.connect(joint, joint, _rows(columns, other.start, total), edge.origin)
            else:
                graph.connect(joint, target, columns, edge.origin)
    place = {m.name: m for m in members}
    for key, o in list(graph.observations.items()):
        if o.node in place:
            member = place[o.node]
            graph.observations[key] = replace(
                o, node=joint, start=member.start, size=graph[o.node].size
            )
    for node in graph.nodes():
        if isinstance(node, Input) and node.requires & set(place):
            node.requires = (node.requires - set(place)) | {joint}
    graph.nx.remove_nodes_from(names)


def _rows(matrix: Matrix, start: int, total: int) -> Matrix:
    """The matrix as rows start.. of a taller one."""
    coo = sp.coo_array(matrix)
    return sp.csr_array(
        (coo.data, (coo.coords[0] + start, coo.coords[1])), shape=(total, matrix.shape[1])
    )


def _columns(matrix: Matrix, start: int, total: int) -> Matrix:
    """The matrix as columns start.. of a wider one."""
    coo = sp.coo_array(matrix)
    return sp.csr_array(
        (coo.data, (coo.coords[0], coo.coords[1] + start)), shape=(matrix.shape[0], total)
    )


def _largest(matrix: Matrix) -> float:
    values: Any = matrix.data if sp.issparse(matrix) else matrix
    largest = float(np.abs(values).max(initial=0.0))
    return largest if math.isfinite(largest) else 0.0

"""What the passes left, as text for people and as notes for the report."""

from __future__ import annotations

from typing import Any

import scipy.sparse as sp

from ..graph import Graph, Input, Population
from .quantise import NodeFormat
from .schedule import Schedule


def describe_graph(graph: Graph) -> str:
    """All nodes with their incoming edges, and the observations."""
    lines = [f"graph {graph.name!r}, dt {graph.dt:g} s"]
    for node in graph.nodes():
        what = repr(node.kernel) if isinstance(node, Population) else type(node).__name__.lower()
        lines.append(f"{node.name} [{node.size}] {what}  {node.origin}".rstrip())
        if isinstance(node, Input) and node.requires:
            lines.append(f"    after the host has seen {', '.join(sorted(node.requires))}")
        for source, _, edge in graph.edges_into(node.name):
            rows, columns = edge.matrix.shape
            count = edge.matrix.nnz if sp.issparse(edge.matrix) else rows * columns
            lines.append(f"    += {rows}x{columns} ({count} weights) @ {source}  {edge.origin}")
    for o in graph.observations.values():
        lines.append(f"read {o.name}: {o.what} of {o.node}  {o.origin}".rstrip())
    return "\n".join(lines)


def describe_formats(graph: Graph, formats: dict[str, NodeFormat]) -> str:
    """A line per node: limits and fraction bits."""
    lines = [f"{'node':40} {'limit':>10} {'from':>8} {'value':>6} {'sum':>5} {'input':>6} states"]
    for name, form in formats.items():
        states = " ".join(str(s) for s in form.states)
        lines.append(
            f"{name:40} {form.limit.output:10.4g} {form.limit.source:>8} "
            f"{_number(form.value):>6} {_number(form.accumulator):>5} "
            f"{_number(form.input):>6} {states}".rstrip()
        )
    return "\n".join(lines)


def describe_schedule(schedule: Schedule) -> str:
    """The tasks of a step, phase by phase."""
    lines = []
    for number, tasks in enumerate(schedule.phases):
        lines.append(f"phase {number}")
        lines += [f"    write {name}" for name, p in schedule.input_phase.items() if p == number]
        lines += [f"    {task.kind} {task.node}" for task in tasks]
    return "\n".join(lines)


def format_notes(graph: Graph, formats: dict[str, NodeFormat]) -> list[dict[str, Any]]:
    """The formats as JSON data: one object per node."""
    return [
        {
            "node": name,
            "origin": graph[name].origin,
            "kernel": type(getattr(graph[name], "kernel", None)).__name__
            if isinstance(graph[name], Population)
            else type(graph[name]).__name__,
            "size": graph[name].size,
            "limit": form.limit.output,
            "input_limit": form.limit.input,
            "limit_from": form.limit.source,
            "value_fraction": form.value,
            "accumulator_fraction": form.accumulator,
            "input_fraction": form.input,
            "state_fractions": list(form.states),
            "clipped_weights": form.clipped,
        }
        for name, form in formats.items()
    ]


def _number(value: int | None) -> str:
    return "-" if value is None else str(value)

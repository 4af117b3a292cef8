"""From a Graph to a Program: the passes in order, each named and printable."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from .graph import Graph
from .machine import Machine
from .passes.allocate import Allocator
from .passes.coarsen import WeightBits, coarsen
from .passes.describe import describe_formats, describe_graph, describe_schedule, format_notes
from .passes.fold import fold
from .passes.group import group
from .passes.learned import isolate, learned_edges
from .passes.quantise import NodeFormat, quantise
from .passes.route import route
from .passes.schedule import Schedule, schedule
from .passes.steep import flatten_steep
from .passes.verify import verify
from .program import Program

PASSES = ("frontend", "fold", "route", "group", "quantise", "schedule", "allocate")


@dataclass
class Compilation:
    """A Program and what each pass made on the way to it.

    Attributes
    ----------
    program : Program
    graphs : dict of pass name -> Graph
        ``frontend``, ``fold``, ``route`` and ``group``.
    formats : dict of node name -> NodeFormat
    schedule : Schedule
    """

    program: Program
    graphs: dict[str, Graph]
    formats: dict[str, NodeFormat]
    schedule: Schedule
    machine: Machine = field(default_factory=Machine)

    def show(self, name: str) -> str:
        """What pass `name` left, for people.

        Raises
        ------
        KeyError
            If there is no such pass (`PASSES`).
        """
        if name in self.graphs:
            return describe_graph(self.graphs[name])
        if name == "quantise":
            return describe_formats(self.graphs["group"], self.formats)
        if name == "schedule":
            return describe_schedule(self.schedule)
        if name == "allocate":
            from .disassembly import disassemble

            return disassemble(self.program)
        raise KeyError(f"no pass is named {name!r}; there are: {', '.join(PASSES)}")


def compile_graph(
    graph: Graph,
    machine: Machine | None = None,
    progress: Callable[[str], Any] | None = None,
    weight_bits: WeightBits | None = None,
) -> Compilation:
    """Lower a Graph to a Program for `machine`.

    Parameters
    ----------
    graph : Graph
        From a frontend.
    machine : Machine, optional
    progress : callable, optional
        Called with the name of each pass before it runs.
    weight_bits : WeightBits, optional
        Round weights to fewer bits than the machine has.
    """
    machine = machine or Machine()
    say = progress or (lambda name: None)
    verify(graph, "frontend")
    graphs = {"frontend": graph}
    say("fold")
    graphs["fold"] = flatten_steep(fold(isolate(graph)))
    verify(graphs["fold"], "fold")
    say("route")
    graphs["route"] = route(graphs["fold"], machine)
    verify(graphs["route"], "route")
    say("group")
    final = graphs["group"] = group(graphs["route"], machine)
    if weight_bits is not None:
        final = graphs["group"] = coarsen(final, machine, weight_bits)
    verify(final, "group")
    say("quantise")
    formats = quantise(final, machine)
    say("schedule")
    order = schedule(final)
    say("allocate")
    program = Allocator(final, machine, formats, order).program()
    program.notes["formats"] = format_notes(final, formats)
    return Compilation(program, graphs, formats, order, machine)


def lower(graph: Graph, machine: Machine | None = None) -> Program:
    """`compile_graph` for those who want the Program alone."""
    return compile_graph(graph, machine).program


def widened(graph: Graph, limits: dict[str, float]) -> Graph:
    """A copy of `graph` whose inputs and vectors carry the given limits.

    Parameters
    ----------
    limits : dict of node name -> float
        Largest absolute value; nodes that the Graph does not have are ignored.
    """
    copy = graph.copy()
    for name, limit in limits.items():
        if name in copy.nx and hasattr(copy[name], "limit"):
            node: Any = copy[name]
            node.limit = float(np.abs(limit))
    return copy


def with_weight_limits(graph: Graph, limits: dict[str, float]) -> Graph:
    """A copy of `graph` with other limits of learned weights.

    Parameters
    ----------
    limits : dict of projection name -> float
        Largest magnitude of a weight, in the user's unit.
    """
    copy = graph.copy()
    for _, _, edge, learned in learned_edges(copy):
        if learned.name in limits:
            edge.plasticity = replace(learned, limit=abs(limits[learned.name]))
    return copy

"""From a built Nengo model to the Graph of the chip's part and the host's plan.

The starting point are the operators that Nengo's own builder makes, not ensembles and connections:
so every feature of Nengo arrives with Nengo's own meaning and order, and what the chip cannot do
stays an operator of Nengo, run on the host.
"""

from __future__ import annotations

from dataclasses import dataclass

from nengo.builder import Model
from nengo.builder.operator import Operator
from nengo.utils.graphs import toposort
from nengo.utils.simulator import operator_dependency_graph

from ...graph import Graph
from .build import build
from .learning import LearningRefused
from .names import Names
from .placement import Placement
from .plan import Action, HostPlan, Receive, Run, Send


@dataclass
class Conversion:
    """A model, split.

    Attributes
    ----------
    graph : Graph
        What the chip computes.
    plan : HostPlan
        What the host does.
    placement : Placement
        Where each operator runs, and why.
    names : Names
        Names of the model's objects.
    order : list of Operator
        All operators in Nengo's order.
    dependencies : dict of Operator -> set of Operator
        Which operators must come after each.
    """

    graph: Graph
    plan: HostPlan
    placement: Placement
    names: Names
    order: list[Operator]
    dependencies: dict[Operator, set[Operator]]


def convert(model: Model) -> Conversion:
    """Split a built model between chip and host.

    Parameters
    ----------
    model : nengo.builder.Model
        As `Model.build` leaves it; its operators may have been merged by Nengo's optimizer.

    Raises
    ------
    nengo.exceptions.BuildError
        The model has a circle of connections without synapses.
    """
    dependencies = operator_dependency_graph(model.operators)
    order = toposort(dependencies)
    label = str(model.label or "model")
    if model.toplevel is not None and model.toplevel.label:
        label = model.toplevel.label
    refused: dict[Operator, str] = {}
    while True:
        placement = Placement(model, order, refused)
        try:
            graph, plan = build(placement, dependencies, Names, label)
            break
        except LearningRefused as e:
            refused[e.op] = str(e)
    return Conversion(graph, plan, placement, Names(model), order, dependencies)


__all__ = ["Action", "Conversion", "HostPlan", "Receive", "Run", "Send", "convert"]

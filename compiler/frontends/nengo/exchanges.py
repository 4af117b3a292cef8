"""What the host does in a step: its operators, and its exchanges with the chip, in order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import networkx as nx
import numpy as np
from nengo.builder.operator import Operator
from nengo.builder.signal import Signal

from ...graph import Input, Observation
from .linear import elements
from .plan import Action, Receive, Run, Send

if TYPE_CHECKING:
    from .build import Builder, Dependencies


def plan_exchanges(builder: Builder, dependencies: Dependencies) -> nx.DiGraph:
    """Fill in the plan of a `Builder` whose Graph is complete; returns the order of its actions.

    Parameters
    ----------
    builder : Builder
    dependencies : dict of Operator -> set of Operator
        Which operators must come after each.
    """
    return _Exchanges(builder).plan(dependencies)


class _Exchanges:
    def __init__(self, builder: Builder) -> None:
        self.builder = builder
        self.placement, self.graph, self.names = builder.placement, builder.graph, builder.names
        self.observed: dict[tuple[str, str], str] = {}

    def plan(self, dependencies: Dependencies) -> nx.DiGraph:
        """Fill in the plan; the order of its actions."""
        placement, plan = self.placement, self.builder.plan
        runs = {op: Run(op) for op in placement.operators if op in placement.host}
        sends, plan.actions = plan.sends, []
        receives = list(self._receives())
        exchanges: list[Send | Receive] = [*sends, *receives]
        actions: list[Action] = [*runs.values(), *exchanges]
        before: dict[Action, list[Action]] = {a: [] for a in actions}
        for op, followers in dependencies.items():
            if op in runs:
                for follower in followers:
                    if follower in runs:
                        before[runs[follower]].append(runs[op])
        for action in exchanges:
            if isinstance(action, Receive) and action.at_end:
                continue
            for op in placement.writers[action.signal]:
                if op in runs and _overlap(op, op.sets + op.incs, action):
                    before[action].append(runs[op])
            if isinstance(action, Send):
                for op in placement.updaters[action.signal]:
                    if op in runs and _overlap(op, op.updates, action):
                        before[runs[op]].append(action)
            else:
                for op in placement.readers[action.signal]:
                    if op in runs and _overlap(op, op.reads, action):
                        before[runs[op]].append(action)
        order = nx.DiGraph()
        order.add_nodes_from(before)
        order.add_edges_from((a, b) for b, earlier in before.items() for a in earlier)
        rank = {action: i for i, action in enumerate(actions)}
        if nx.is_directed_acyclic_graph(order):
            plan.actions = list(nx.lexicographical_topological_sort(order, key=rank.__getitem__))
            plan.actions.sort(key=lambda a: isinstance(a, Receive) and a.at_end)
        plan.before = before
        for send in sends:
            node = self.graph[send.name]
            assert isinstance(node, Input)
            node.requires = {
                self.graph.observations[name].node
                for a in nx.ancestors(order, send)
                if isinstance(a, Receive)
                for name in a.names
            }
        return order

    def _receives(self) -> Iterator[Receive]:
        """What the host must read from the chip, for its operators and for the probes."""
        placement, builder = self.placement, self.builder
        for base in dict.fromkeys([*builder.states, *builder.targets, *builder.outputs]):
            wanted = np.zeros(base.size, dtype=bool)
            in_step = False
            if base not in builder.states and placement.known(base):
                continue
            for op in placement.readers[base]:
                if op in placement.host:
                    for signal in op.reads:
                        if signal.base is base:
                            wanted[elements(signal).ravel()] = True
                    in_step = True
            for probe in placement.model.probes:
                signal = placement.model.sig[probe]["in"]
                if signal.base is base:
                    wanted[elements(signal).ravel()] = True
            if not wanted.any():
                continue
            if base in builder.states:
                node, state = builder.states[base]
                yield self._receive(base, [(node, state)], np.arange(base.size), not in_step)
            elif base in builder.outputs:
                kernels = [builder.population(name).kernel for name in builder.outputs[base]]
                nodes = [
                    (name, kernel.output_state or "output")
                    for name, kernel in zip(builder.outputs[base], kernels, strict=True)
                ]
                delayed = kernels[0].delayed
                everything = np.arange(base.size)
                yield self._receive(base, nodes, everything, delayed or not in_step)
            elif base in builder.currents and base not in builder.sources:
                nodes = [(builder.targets[base][0][0], "input")]
                yield self._receive(base, nodes, np.arange(base.size), not in_step)
            else:
                own, foreign = builder.written(base, True), builder.written(base, False)
                adds = bool(foreign.any() and not builder.read_on_chip(base).any())
                for node, piece in builder.targets[base]:
                    if adds and not own[piece].any():
                        continue
                    if wanted[piece].any():
                        yield self._receive(base, [(node, "output")], piece, not in_step, adds)

    def _receive(
        self,
        base: Signal,
        nodes: list[tuple[str, str]],
        numbers: np.ndarray,
        at_end: bool,
        adds: bool = False,
    ) -> Receive:
        names = []
        for node, what in nodes:
            if (node, what) not in self.observed:
                name = node if what == "output" else self.names.unique(f"{node}.{what}")
                self.observed[node, what] = name
                self.graph.observe(Observation(name, node, what, self.names.of_signal(base)))
            names.append(self.observed[node, what])
        return Receive(tuple(names), base, numbers, adds, at_end)


def _overlap(op: Operator, signals: list[Signal], action: Send | Receive) -> bool:
    return any(
        signal.base is action.signal
        and np.isin(elements(signal).ravel(), action.elements, assume_unique=True).any()
        for signal in signals
    )

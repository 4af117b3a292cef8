"""A Graph evaluated in float64, with phases of its own: what the frontend means, unquantised."""

import copy

import networkx as nx
import numpy as np

from spikeloom.compiler.graph import Input, Population, Vector
from spikeloom.compiler.kernels.observed import activity_unit
from spikeloom.compiler.passes.learned import learned_edges
from spikeloom.runtime.simulator import Simulator


class FloatChip:
    """`spikeloom.runtime.chip.Chip` that interprets a Graph; nothing of it is lowered."""

    def __init__(self, graph):
        self.graph = graph
        order = nx.DiGraph()
        order.add_nodes_from(graph.nx)
        order.add_edges_from((u, v) for u, v in graph.nx.edges() if not self._delayed(u))
        for node in graph.nodes():
            if isinstance(node, Input):
                order.add_edges_from((name, node.name) for name in node.requires)
        assert nx.is_directed_acyclic_graph(order)
        self.phase = {}
        for name in nx.topological_sort(order):
            node = graph[name]
            before = [self.phase[u] for u in order.predecessors(name)]
            later = 1 if isinstance(node, Input) else 0
            self.phase[name] = max((p + later for p in before), default=0)
        self.order = list(nx.topological_sort(order))
        self.phases = 1 + max(self.phase.values())
        self.reset()

    def _delayed(self, name):
        node = self.graph[name]
        return isinstance(node, Population) and node.kernel.delayed

    def input_phase(self, name):
        return self.phase[name]

    def output_phase(self, name):
        node = self.graph.observations[name].node
        return self.phases - 1 if self._delayed(node) else self.phase[node]

    def write(self, name, values):
        self.written[name] = np.array(values, dtype=float)

    def reset(self):
        self.written = {n.name: np.zeros(n.size) for n in self.graph.nodes()}
        self.outputs = {n.name: np.zeros(n.size) for n in self.graph.nodes()}
        self.inputs = {}
        self.states = {
            n.name: {k: np.array(v) for k, v in n.initial.items()}
            for n in self.graph.nodes()
            if isinstance(n, Population)
        }
        self.matrices, self.synapses = {}, {}
        for _, _, edge, plasticity in learned_edges(self.graph):
            self.matrices[plasticity.name] = edge.matrix.copy()
            self.synapses[plasticity.name] = copy.deepcopy(plasticity.initial)

    def learned(self, projection, state=""):
        if state:
            return self.synapses[projection][state].copy()
        unit = next(p.unit for *_, p in learned_edges(self.graph) if p.name == projection)
        return self.matrices[projection] / unit

    def learning(self, on):
        self.learns = on

    def _learn(self, edge, plasticity):
        """One step of a rule, in the user's units."""
        seen = plasticity.rule.seen()
        now = {"weight": self.matrices[plasticity.name] / plasticity.unit}
        now.update(self.synapses[plasticity.name])
        for name, (node, state) in plasticity.variables.items():
            values = self.states[node][state]
            if name in plasticity.units:
                values = values * plasticity.units[name]
                if seen[name].of == "activity":
                    values = values / activity_unit(self.graph[node].kernel)
            now[name] = values[None, :] if seen[name].side == "pre" else values[:, None]
        new = plasticity.rule.step_float(now, self.graph.dt)
        self.matrices[plasticity.name] = new.pop("weight") * plasticity.unit
        self.synapses[plasticity.name].update(new)

    def step(self, phase):
        for name in self.order:
            if self.phase[name] != phase:
                continue
            node = self.graph[name]
            if isinstance(node, Input):
                self.outputs[name] = self.written[name]
            elif isinstance(node, Vector):
                self.outputs[name] = self._sum(node)
            elif not node.kernel.delayed:
                self._run_kernel(node)
        if phase == self.phases - 1:
            delayed = [n for n in self.graph.nodes() if self._delayed(n.name)]
            sums = [self._sum(node) for node in delayed]
            for node, total in zip(delayed, sums, strict=True):
                self._run_kernel(node, total)
            for _, _, edge, plasticity in learned_edges(self.graph):
                self._learn(edge, plasticity)

    def _sum(self, node):
        total = node.bias.astype(float)
        for source, _, edge in self.graph.edges_into(node.name):
            matrix = edge.matrix
            if edge.plasticity is not None:
                matrix = self.matrices[edge.plasticity.name]
            total = total + matrix @ self.outputs[source]
        return total

    def _run_kernel(self, node, total=None):
        total = self._sum(node) if total is None else total
        self.inputs[node.name] = total
        dt = self.graph.dt
        with np.errstate(all="ignore"):
            output, states = node.kernel.step_float(
                self.states[node.name], total * node.kernel.input_gain(dt), dt
            )
        self.outputs[node.name] = np.array(output) * node.output_unit
        self.states[node.name] = {k: np.array(v) for k, v in states.items()}

    def read(self, name):
        observation = self.graph.observations[name]
        if observation.what == "output":
            return self.outputs[observation.node].copy()
        if observation.what == "input":
            return self.inputs[observation.node].copy()
        return self.states[observation.node][observation.what].copy()

    def run(self, steps, inputs, record):
        record = list(record)
        found = {n: np.empty((steps, len(self.read_size(n)))) for n in record}
        inputs = {name: held.dense for name, held in inputs.items()}
        for i in range(steps):
            for phase in range(self.phases):
                for name, values in inputs.items():
                    if self.phase[name] == phase:
                        self.write(name, values[i])
                self.step(phase)
            for name in record:
                found[name][i] = self.read(name)
        return found

    def read_size(self, name):
        return np.zeros(self.graph[self.graph.observations[name].node].size)

    def snapshot(self):
        return copy.deepcopy((self.outputs, self.states, self.matrices, self.synapses))

    def restore(self, snapshot):
        self.outputs, self.states, self.matrices, self.synapses = copy.deepcopy(snapshot)

    def saturations(self):
        return {}


class FloatSimulator(Simulator):
    """`spikeloom.Simulator` on a `FloatChip`."""

    def _make_chip(self):
        return FloatChip(self._conversion.graph)

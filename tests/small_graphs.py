"""Small graphs for the tests of the passes."""

import numpy as np

from spikeloom.compiler.graph import Graph, Input, Observation, Population, Vector
from spikeloom.compiler.kernels.filters import Lowpass
from spikeloom.compiler.kernels.neurons import LIF


def lowpass(tau, dt=0.001):
    pole = float(np.exp(-dt / tau)) if tau > 0 else 0.0
    return Lowpass(pole=pole, gain=1 - pole)


def lif(name, n, seed=0, **kwargs):
    rng = np.random.default_rng(seed)
    return Population(
        name,
        n,
        kernel=LIF(tau_rc=0.02, tau_ref=0.002),
        bias=rng.uniform(-2, 8, n),
        initial={"voltage": rng.uniform(0, 1, n), "refractory_time": np.zeros(n)},
        output_unit=1000.0,
        **kwargs,
    )


def synapse(name, size, tau=0.005):
    return Population(
        name,
        size,
        kernel=lowpass(tau),
        bias=np.zeros(size),
        initial={"y": np.zeros(size)},
    )


def recurrent(n=40, dimensions=2, seed=0):
    """Input -> synapse -> sum -> LIF -> decoder -> synapse -> the same sum."""
    rng = np.random.default_rng(seed)
    graph = Graph("recurrent", 0.001)
    graph.add(Input("u", dimensions, limit=1.0))
    graph.add(synapse("u.filtered", dimensions))
    graph.add(Vector("x", dimensions, bias=np.zeros(dimensions)))
    graph.add(lif("a", n, seed))
    graph.add(synapse("y", dimensions, 0.1))
    graph.connect("u", "u.filtered", np.eye(dimensions))
    graph.connect("u.filtered", "x", np.eye(dimensions))
    graph.connect("y", "x", np.eye(dimensions))
    graph.connect("x", "a", rng.normal(size=(n, dimensions)) * 3)
    graph.connect("a", "y", rng.normal(size=(dimensions, n)) / n / 50)
    graph.observe(Observation("spikes", "a", "output"))
    graph.observe(Observation("y", "y", "output"))
    return graph


def run_float(graph, steps, inputs):
    """The Graph in float64: outputs of all nodes, per step."""
    import networkx as nx

    from spikeloom.compiler.passes.verify import is_delayed, same_step_graph

    order = list(nx.topological_sort(same_step_graph(graph)))
    output = {n.name: np.zeros(n.size) for n in graph.nodes()}
    state = {n.name: n.initial for n in graph.nodes() if isinstance(n, Population)}
    gains = {}
    for node in graph.nodes():
        if isinstance(node, Population):
            gains[node.name] = 1.0 if node.folded else node.kernel.input_gain(graph.dt)
    history = {name: [] for name in order}
    for step in range(steps):
        later = {}
        for name in order:
            node = graph[name]
            if isinstance(node, Input):
                output[name] = inputs[name][step]
                continue
            total = node.bias + sum(
                (e.matrix @ output[u] for u, _, e in graph.edges_into(name)),
                start=np.zeros(node.size),
            )
            if isinstance(node, Vector):
                output[name] = total
                continue
            emitted, state[name] = node.kernel.step_float(
                state[name], total * gains[name], graph.dt
            )
            emitted = emitted * (1.0 if node.folded else node.output_unit)
            if is_delayed(graph, name):
                later[name] = emitted
            else:
                output[name] = emitted
        # a delayed node's sum may come late in the order, so update only now
        output.update(later)
        for name in order:
            history[name].append(output[name].copy())
    return {name: np.array(values) for name, values in history.items()}

"""Random NIR graphs, and a plain interpreter of NIR to check importers against.

The interpreter knows each node's equations and the rule for cycles, and nothing of Nengo.
"""

import nir
import numpy as np
import scipy.signal

DT = 1e-3


def array(rng, low, high, shape):
    """Parameters: one for all, or one for each element."""
    if rng.random() < 0.5:
        return np.full(shape, rng.uniform(low, high))
    return rng.uniform(low, high, shape)


def random_neurons(rng, shape):
    r, tau = array(rng, 6, 15, shape), array(rng, 4e-3, 0.03, shape)
    threshold, reset = array(rng, 0.8, 1.2, shape), array(rng, -0.3, 0.0, shape)
    leak = array(rng, -0.2, 0.2, shape)
    kind = rng.choice(["LIF", "LIF", "CubaLIF", "IF", "Threshold"])
    if kind == "LIF":
        return nir.LIF(tau, r, leak, threshold, reset)
    if kind == "CubaLIF":
        synapse, weight = array(rng, 2e-3, 0.01, shape), array(rng, 0.5, 1.5, shape)
        return nir.CubaLIF(synapse, tau, r, leak, threshold, reset, weight)
    if kind == "IF":
        return nir.IF(30 * r, threshold, reset)
    return nir.Threshold(array(rng, 0.0, 0.6, shape))


def random_values(rng, shape):
    """A node whose outputs are numbers, with the shape of these."""
    kind = rng.choice(["LI", "I", "CubaLI", "Scale", "Delay"])
    r, tau, leak = (array(rng, *ends, shape) for ends in ((0.5, 2), (4e-3, 0.03), (-0.2, 0.2)))
    if kind == "LI":
        return nir.LI(tau, r, leak)
    if kind == "I":
        return nir.I(20 * r)
    if kind == "CubaLI":
        return nir.CubaLI(tau, tau[::-1].copy(), r, leak)
    if kind == "Scale":
        return nir.Scale(r)
    return nir.Delay(rng.integers(0, 4, shape) * DT)


def random_layer(rng, shape):
    """A layer that takes values of this shape, and the shape that it gives."""
    if len(shape) == 1:
        n = int(rng.integers(3, 9))
        weight, bias = rng.normal(size=(n, shape[0])) * 1.5, rng.normal(size=n) * 0.3
        return (nir.Linear(weight) if rng.random() < 0.5 else nir.Affine(weight, bias)), (n,)
    if rng.random() < 0.3:
        return nir.Flatten({"input": np.array(shape)}, start_dim=0), (int(np.prod(shape)),)
    if rng.random() < 0.3 and min(shape[1:]) > 2:
        kind = nir.SumPool2d if rng.random() < 0.5 else nir.AvgPool2d
        padding = int(rng.integers(0, 2))
        node = kind(np.array([2, 2]), np.array([2, 2]), np.array([padding, padding]))
        return node, (shape[0], *((n + 2 * padding - 2) // 2 + 1 for n in shape[1:]))
    groups = 2 if shape[0] % 2 == 0 and rng.random() < 0.3 else 1
    channels = 2 * int(rng.integers(1, 4))
    kernel, stride, padding = rng.integers(1, 4, 2), rng.integers(1, 3, 2), rng.integers(0, 3, 2)
    kernel = np.minimum(kernel, np.add(shape[1:], 2 * padding))
    weight = rng.normal(size=(channels, shape[0] // groups, *kernel)) * 0.6
    pairs = (tuple(map(int, p)) for p in (stride, padding))
    bias = rng.normal(size=channels) * 0.2
    node = nir.Conv2d(None, weight, *pairs, (1, 1), groups, bias)
    spatial = (np.add(shape[1:], 2 * padding) - kernel) // stride + 1
    return node, (channels, *(int(n) for n in spatial))


def random_graph(seed):
    """A graph with layers, neurons, skips and feedback; and the shape of its input."""
    rng = np.random.default_rng(seed)
    start = (int(rng.integers(3, 9)),)
    if rng.random() < 0.6:
        start = tuple(int(n) for n in (rng.integers(1, 4), *rng.integers(3, 7, 2)))
    nodes, edges = {"in": nir.Input({"input": np.array(start)})}, []
    shapes, last = {"in": start}, "in"

    def add(node, shape, *sources):
        name = f"n{len(nodes)}"
        nodes[name], shapes[name] = node, shape
        edges.extend((source, name) for source in sources)
        return name

    for _ in range(int(rng.integers(2, 5))):
        node, shape = random_layer(rng, shapes[last])
        last = add(node, shape, last)
        if rng.random() < 0.3:
            last = add(random_values(rng, shape), shape, last)
        before = [n for n, s in shapes.items() if s == shape and n != last]
        sources = [last, *before[: int(rng.random() < 0.4)]]
        last = add(random_neurons(rng, shape), shape, *sources)
        if rng.random() < 0.4 and len(shape) == 1:
            weight, bias = rng.normal(size=(shape[0],) * 2), rng.normal(size=shape) * 0.1
            back = add(nir.Affine(weight, bias), shape, last)
            if rng.random() < 0.3:
                back = add(nir.Delay(rng.integers(1, 4, shape) * DT), shape, back)
            edges.append((back, last))
    seen = [n for n, node in nodes.items() if hasattr(node, "v_threshold") or n == last]
    for name in dict.fromkeys([*seen, *list(nodes)[1:][: int(rng.integers(0, 2))]]):
        nodes[f"out_{name}"] = nir.Output({"output": np.array(shapes[name])})
        edges.append((name, f"out_{name}"))
    return nir.NIRGraph(nodes, edges, type_check=False), start


class Interpreter:
    """Steps a NIR graph by forward Euler, one node after the other."""

    def __init__(self, made):
        self.nodes, self.edges = made.nodes, made.edges
        self.state = {name: self.begin(node) for name, node in self.nodes.items()}
        self.values = {}

    @staticmethod
    def begin(node):
        if isinstance(node, nir.Delay):
            steps = np.rint(node.delay / DT).astype(int)
            return [np.zeros(node.delay.shape)] * (steps.max() + 1)
        shape = getattr(node, "threshold", getattr(node, "r", np.zeros(()))).shape
        return np.array(getattr(node, "v_leak", np.zeros(shape)), float), np.zeros(shape)

    def step(self, given):
        """Outputs for the input of one step."""
        now = {}

        def value(name):
            if name not in now:
                node = self.nodes[name]
                if isinstance(node, nir.Delay) and np.rint(node.delay / DT).min() >= 1:
                    now[name] = self.delayed(name, None)
                else:
                    now[name] = None  # what is asked for while it is computed is late
                    entering = [
                        self.late(a) if now.get(a, 0) is None else value(a)
                        for a, b in self.edges
                        if b == name
                    ]
                    now[name] = self.output(name, sum(entering) if entering else given)
            return now[name]

        for name in self.nodes:
            value(name)
        for name, node in self.nodes.items():
            if isinstance(node, nir.Delay) and np.rint(node.delay / DT).min() >= 1:
                self.state[name].append(sum(now[a] for a, b in self.edges if b == name))
        self.values = now
        return {n: now[n] for n, node in self.nodes.items() if isinstance(node, nir.Output)}

    def late(self, name):
        """What a node gave in the step before: neurons begin with silence."""
        if name in self.values:
            return self.values[name]
        return np.zeros(self.state[name][0].shape)

    def delayed(self, name, entering):
        steps = np.rint(self.nodes[name].delay / DT).astype(int)
        past = self.state[name]
        if entering is not None:
            past.append(entering)
            steps = steps + 1
        stacked = np.array(past[-(steps.max() if steps.max() else 1) :])
        return np.take_along_axis(stacked, (len(stacked) - steps)[None], 0)[0]

    def output(self, name, x):
        node = self.nodes[name]
        if isinstance(node, (nir.Input, nir.Output)):
            return x
        if isinstance(node, (nir.Linear, nir.Affine)):
            return node.weight @ x + getattr(node, "bias", 0)
        if isinstance(node, nir.Flatten):
            return x.ravel()
        if isinstance(node, nir.Scale):
            return node.scale * x
        if isinstance(node, nir.Threshold):
            return (x > node.threshold).astype(float)
        if isinstance(node, nir.Delay):
            return self.delayed(name, x)
        if isinstance(node, (nir.Conv2d, nir.SumPool2d, nir.AvgPool2d)):
            return windows(node, x)
        return self.neurons(name, node, x)

    def neurons(self, name, node, x):
        v, i = self.state[name]
        if isinstance(node, (nir.CubaLIF, nir.CubaLI)):
            x = i = i + DT / node.tau_syn * (node.w_in * x - i)
        if isinstance(node, (nir.IF, nir.I)):
            v = v + DT * node.r * x
        else:
            tau = node.tau_mem if hasattr(node, "tau_mem") else node.tau
            v = v + DT / tau * (node.v_leak - v + node.r * x)
        if not hasattr(node, "v_threshold"):
            self.state[name] = v, i
            return v
        z = v > node.v_threshold
        self.state[name] = np.where(z, node.v_reset, v), i
        return z.astype(float)


def windows(node, x):
    """A convolution or pooling layer, by SciPy's correlation."""
    if isinstance(node, nir.Conv2d):
        weight, bias, groups = node.weight, node.bias, node.groups
    else:
        area = 1.0 if isinstance(node, nir.SumPool2d) else float(np.prod(node.kernel_size))
        weight, bias = np.full((len(x), 1, *node.kernel_size), 1 / area), np.zeros(len(x))
        groups = len(x)
    x = np.pad(x, ((0, 0), *((p, p) for p in node.padding)))
    found = []
    for o, kernels in enumerate(weight):
        first = o // (len(weight) // groups) * len(kernels)
        planes = [scipy.signal.correlate2d(x[first + i], k, "valid") for i, k in enumerate(kernels)]
        found.append(np.sum(planes, axis=0)[:: node.stride[0], :: node.stride[1]] + bias[o])
    return np.array(found)


def interpret(made, given):
    """Outputs of a graph, {name: (steps, size)}."""
    machine = Interpreter(made)
    rows = [machine.step(x) for x in given]
    return {name: np.array([row[name].ravel() for row in rows]) for name in rows[0]}

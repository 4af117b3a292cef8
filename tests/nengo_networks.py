"""Small Nengo networks that between them use what the frontend must understand."""

import nengo
import numpy as np


def sine(t):
    return np.sin(6 * t)


def base_network():
    return nengo.Network(seed=3, label="net")


def channel():
    with base_network() as net:
        u = nengo.Node(sine, label="u")
        a = nengo.Ensemble(30, 1, label="a")
        b = nengo.Ensemble(30, 1, label="b", radius=2)
        nengo.Connection(u, a)
        nengo.Connection(a, b, function=np.square, synapse=0.02)
        nengo.Probe(b, synapse=0.03)
        nengo.Probe(a, synapse=nengo.Alpha(0.01))
        for attr in ("output", "input", "voltage", "refractory_time"):
            nengo.Probe(a.neurons, attr)
        nengo.Probe(b, "input")
        nengo.Probe(u)
    return net


def slices():
    with base_network() as net:
        u = nengo.Node(lambda t: [np.sin(t * 9), np.cos(t * 9), t], label="u")
        a = nengo.Ensemble(40, 3, label="a")
        b = nengo.Ensemble(40, 3, label="b")
        nengo.Connection(u[[2, 0]], a[:2])
        nengo.Connection(u[::-1], b, synapse=None)
        nengo.Connection(a[[1, 1, 0]], b[[0, 2, 1]], synapse=0.01)
        nengo.Connection(a[2], b[1], transform=-0.5)
        nengo.Connection(b.neurons[::3], a.neurons[[1, 5, 3]], transform=np.ones((3, 14)) * 1e-3)
        nengo.Probe(b, synapse=0.01)
        nengo.Probe(a[[2, 0]], synapse=0.01)
        nengo.Probe(a.neurons[[3, 1]])
        nengo.Probe(a.neurons[2:8:2], "voltage")
    return net


def recurrent():
    with base_network() as net:
        u = nengo.Node(nengo.processes.WhiteSignal(1.0, high=5, seed=1), label="u")
        a = nengo.Ensemble(50, 2, label="a", neuron_type=nengo.LIF(amplitude=0.5, min_voltage=-1))
        nengo.Connection(u, a[0], synapse=0.1, transform=0.1)
        nengo.Connection(a, a, synapse=0.1, transform=[[1, 0.1], [-0.1, 1]])
        nengo.Probe(a, synapse=0.01, sample_every=0.005)
        nengo.Probe(a.neurons, synapse=0.01)
    return net


def neuron_types():
    with base_network() as net:
        u = nengo.Node([0.6, -0.2], label="u")
        kinds = [
            nengo.LIF(),
            nengo.SpikingRectifiedLinear(amplitude=0.3),
            nengo.RectifiedLinear(amplitude=2),
            nengo.LIFRate(),
            nengo.AdaptiveLIF(),
            nengo.Sigmoid(),
            nengo.PoissonSpiking(nengo.RectifiedLinear()),
        ]
        previous = u
        for i, kind in enumerate(kinds):
            a = nengo.Ensemble(20, 2, label=f"a{i}", neuron_type=kind)
            nengo.Connection(previous, a, synapse=0.005)
            nengo.Probe(a, synapse=0.01)
            previous = a
    return net


def host_in_the_middle():
    with base_network() as net:
        u = nengo.Node(sine, label="u")
        a = nengo.Ensemble(30, 1, label="a")
        f = nengo.Node(lambda t, x: x**2 + t, size_in=1, label="f")
        b = nengo.Ensemble(30, 1, label="b")
        nengo.Connection(u, a, synapse=None)
        nengo.Connection(a, f, synapse=None, transform=1e-2)
        nengo.Connection(f, b, synapse=None)
        nengo.Connection(b, a, synapse=0.01, transform=0.3)
        nengo.Probe(f)
        nengo.Probe(b, synapse=0.01)
    return net


def direct_mode():
    with base_network() as net:
        u = nengo.Node(sine, label="u")
        a = nengo.Ensemble(30, 1, label="a")
        d = nengo.Ensemble(1, 2, label="d", neuron_type=nengo.Direct())
        b = nengo.Ensemble(30, 1, label="b")
        nengo.Connection(u, a)
        nengo.Connection(a, d[0])
        nengo.Connection(u, d[1])
        nengo.Connection(d, b, function=lambda x: x[0] * x[1])
        nengo.Probe(d)
        nengo.Probe(b, synapse=0.02)
    return net


def synapses():
    with base_network() as net:
        u = nengo.Node(sine, label="u")
        a = nengo.Ensemble(30, 1, label="a")
        nengo.Connection(u, a)
        for i, synapse in enumerate(
            [
                None,
                0,
                nengo.Lowpass(0.02),
                nengo.Alpha(0.02),
                nengo.Alpha(0.02).combine(nengo.Lowpass(0.005)),
                nengo.LinearFilter([1], [0.001, 0.02, 1]),
                nengo.LinearFilter([1, 30], [1, 40, 900], method="zoh"),
                nengo.LinearFilter([0.5, 0.2], [1, -0.3], analog=False),
                nengo.synapses.Triangle(0.02),
            ]
        ):
            b = nengo.Ensemble(10, 1, label=f"b{i}")
            nengo.Connection(a, b, synapse=synapse)
            nengo.Probe(a, synapse=synapse)
            nengo.Probe(b, "input")
    return net


def passthroughs():
    with base_network() as net:
        u = nengo.Node(sine, label="u")
        array = nengo.networks.EnsembleArray(20, 3, label="array", seed=4)
        mix = nengo.Node(size_in=3, label="mix")
        nengo.Connection(u, mix[1], synapse=None)
        nengo.Connection(mix, array.input, synapse=None)
        nengo.Connection(array.output, mix, synapse=0.05, transform=0.4)
        # through the same node, one slice depending on another within the step
        chain = nengo.Node(size_in=3, label="chain")
        last = nengo.Ensemble(20, 1, label="last")
        nengo.Connection(array.output[0], chain[0], synapse=None)
        nengo.Connection(chain[0], chain[1], synapse=None, transform=0.5)
        nengo.Connection(u, chain[1], synapse=None)
        nengo.Connection(chain[1], last, synapse=None)
        nengo.Connection(last, chain[2], synapse=None)
        nengo.Probe(chain)
        nengo.Probe(mix)
        nengo.Probe(array.output, synapse=0.01)
    return net


def chained_host_slices():
    with base_network() as net:
        u = nengo.Node(sine, label="u")
        relay = nengo.Node(size_in=4, label="relay")
        a = nengo.Ensemble(20, 1, label="a")
        b = nengo.Ensemble(20, 1, label="b")
        g = nengo.Node(lambda t, x: 0.5 * x + 0.1, size_in=1, label="g")
        nengo.Connection(u, relay[0], synapse=None)
        nengo.Connection(relay[0], a, synapse=None)
        nengo.Connection(a, relay[1], synapse=None)
        nengo.Connection(relay[1], g, synapse=None, transform=1e-2)
        nengo.Connection(g, relay[2], synapse=None)
        nengo.Connection(relay[2], b, synapse=None)
        nengo.Connection(b, relay[3], synapse=None)
        nengo.Probe(relay)
    return net


def weights():
    with base_network() as net:
        u = nengo.Node(sine, label="u")
        a = nengo.Ensemble(20, 1, label="a")
        b = nengo.Ensemble(25, 1, label="b")
        nengo.Connection(u, a)
        nengo.Connection(a, b, solver=nengo.solvers.LstsqL2(weights=True))
        conn = nengo.Connection(
            a.neurons, b.neurons, transform=nengo.Dense((25, 20), init=np.full((25, 20), 0.01))
        )
        sparse = nengo.Sparse((25, 20), indices=[[0, 1], [3, 2], [24, 19]], init=[0.1, -0.2, 0.3])
        nengo.Connection(a.neurons, b.neurons, transform=sparse)
        nengo.Probe(conn, "weights", sample_every=0.01)
        nengo.Probe(conn)
        nengo.Probe(b, synapse=0.01)
    return net


def convolution(channels_last=True, transpose=False, dims=2, groups=1):
    with base_network() as net:
        if transpose:
            shape = (3, 4, 2) if channels_last else (2, 3, 4)
            conv = nengo.ConvolutionTranspose(
                3,
                shape,
                kernel_size=(2, 3),
                strides=(2, 1),
                padding="same",
                channels_last=channels_last,
            )
        elif dims == 1:
            shape = (9, 2) if channels_last else (2, 9)
            conv = nengo.Convolution(
                3, shape, kernel_size=(3,), strides=(2,), channels_last=channels_last
            )
        else:
            shape = (5, 6, 2) if channels_last else (2, 5, 6)
            conv = nengo.Convolution(
                4,
                shape,
                padding="same",
                channels_last=channels_last,
                groups=groups,
            )
        u = nengo.Node(np.linspace(-1, 1, conv.size_in), label="u")
        a = nengo.Ensemble(conv.size_in, 1, label="a")
        b = nengo.Ensemble(conv.size_out, 1, label="b", neuron_type=nengo.SpikingRectifiedLinear())
        nengo.Connection(u, a.neurons, synapse=None)
        nengo.Connection(a.neurons, b.neurons, transform=conv, synapse=0.01)
        nengo.Probe(b.neurons, "input")
        nengo.Probe(b.neurons)
    return net


def learning(rule):
    with base_network() as net:
        u = nengo.Node(sine, label="u")
        a = nengo.Ensemble(20, 1, label="a")
        b = nengo.Ensemble(20, 1, label="b")
        nengo.Connection(u, a)
        if rule == "pes":
            error = nengo.Ensemble(30, 1, label="error")
            conn = nengo.Connection(a, b, function=lambda x: 0, learning_rule_type=nengo.PES(1e-3))
            nengo.Connection(b, error)
            nengo.Connection(u, error, transform=-1)
            nengo.Connection(error, conn.learning_rule)
        elif rule == "voja":
            conn = nengo.Connection(a, b, learning_rule_type=nengo.Voja(learning_rate=1e-2))
            nengo.Connection(a, conn.learning_rule, transform=0.2)
        else:
            kinds = {"bcm": nengo.BCM(1e-9), "oja": nengo.Oja(1e-5)}
            conn = nengo.Connection(
                a, b, solver=nengo.solvers.LstsqL2(weights=True), learning_rule_type=kinds[rule]
            )
        if rule == "voja":
            nengo.Probe(conn.learning_rule, "scaled_encoders", sample_every=0.01)
        else:
            nengo.Probe(conn, "weights", sample_every=0.01)
        nengo.Probe(b, synapse=0.01)
        nengo.Probe(b.neurons, "input")
    return net


def noise():
    with base_network() as net:
        u = nengo.Node(sine, label="u")
        process = nengo.processes.WhiteNoise(nengo.dists.Gaussian(0, 0.1), scale=False, seed=5)
        a = nengo.Ensemble(20, 1, label="a", noise=process)
        nengo.Connection(u, a)
        nengo.Connection(a, a, synapse=0.05)
        nengo.Probe(a.neurons, "input")
        nengo.Probe(a, synapse=0.01)
    return net


def library(name):
    with base_network() as net:
        u = nengo.Node(lambda t: [np.sin(t * 20), 0.4, -0.6, np.cos(t * 7)], label="u")
        if name == "product":
            part = nengo.networks.Product(20, 2)
            nengo.Connection(u[:2], part.input_a)
            nengo.Connection(u[2:], part.input_b)
        elif name == "circular convolution":
            part = nengo.networks.CircularConvolution(10, 4)
            nengo.Connection(u, part.input_a)
            nengo.Connection(u, part.input_b)
        elif name == "gated memory":
            part = nengo.networks.InputGatedMemory(20, 2, difference_gain=2.0)
            nengo.Connection(u[:2], part.input, synapse=0.1)
        elif name == "basal ganglia":
            part = nengo.networks.BasalGanglia(4, 20)
            nengo.Connection(u, part.input)
        else:
            part = nengo.networks.AssociativeMemory([[1, 0], [0, 1]], n_neurons=20)
            part.add_threshold_to_outputs()
            nengo.Connection(u[:2], part.input)
        nengo.Probe(part.output, synapse=0.01)
    return net


NETWORKS = {
    "channel": channel,
    "slices": slices,
    "recurrent": recurrent,
    "neuron types": neuron_types,
    "host in the middle": host_in_the_middle,
    "direct mode": direct_mode,
    "synapses": synapses,
    "passthroughs": passthroughs,
    "chained host slices": chained_host_slices,
    "weights": weights,
    "noise": noise,
    **{
        f"conv {last} {transpose} {dims} {groups}": (
            lambda last=last, transpose=transpose, dims=dims, groups=groups: convolution(
                last, transpose, dims, groups
            )
        )
        for last, transpose, dims, groups in [
            (True, False, 2, 1),
            (False, False, 2, 1),
            (True, False, 2, 2),
            (True, True, 2, 1),
            (False, True, 2, 1),
            (True, False, 1, 1),
            (False, False, 1, 1),
        ]
    },
    **{f"learning {r}": (lambda r=r: learning(r)) for r in ("pes", "voja", "bcm", "oja")},
    **{
        f"library {n}": (lambda n=n: library(n))
        for n in (
            "product",
            "circular convolution",
            "gated memory",
            "basal ganglia",
            "associative memory",
        )
    },
}

"""The networks that speed and accuracy are measured on, each with its ideal.

A network is made by a function of the neuron type: with ``nengo.Direct()`` the same network, with
the same synapses, computes the ideal signal without neurons.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import nengo
import numpy as np

import spikeloom


@dataclass(frozen=True)
class Benchmark:
    """A network to be measured.

    Attributes
    ----------
    name : str
    seconds : float
        Simulated time.
    make : callable
        ``make(neuron_type) -> (network, probe)``.
    """

    name: str
    seconds: float
    make: Callable[[object], tuple[nengo.Network, nengo.Probe]]


def _signal(seconds: float, rows: list[np.ndarray], dt: float = 0.001) -> nengo.Process:
    # Precomputed, so that no Python function of the user is part of what is timed.
    assert all(len(row) == round(seconds / dt) for row in rows)
    return nengo.processes.PresentInput(np.array(rows).T, presentation_time=dt)


def _time(seconds: float, dt: float = 0.001) -> np.ndarray:
    return np.arange(1, round(seconds / dt) + 1) * dt


def channel(neuron_type: object) -> tuple[nengo.Network, nengo.Probe]:
    """100 neurons that pass on a sine."""
    t = _time(4.0)
    with _network(neuron_type, 11) as net:
        stimulus = nengo.Node(_signal(4.0, [np.sin(2 * np.pi * t)]))
        ensemble = nengo.Ensemble(100, 1)
        nengo.Connection(stimulus, ensemble)
        probe = nengo.Probe(ensemble, synapse=0.03)
    return net, probe


def integrator(neuron_type: object) -> tuple[nengo.Network, nengo.Probe]:
    """200 neurons that integrate in two dimensions for 10 s."""
    t = _time(10.0)
    omega = 2 * np.pi / 5
    with _network(neuron_type, 12) as net:
        stimulus = nengo.Node(_signal(10.0, [omega * np.cos(omega * t), omega * np.sin(omega * t)]))
        ensemble = nengo.Ensemble(200, 2, radius=2.0)
        nengo.Connection(stimulus, ensemble, transform=0.1, synapse=0.1)
        nengo.Connection(ensemble, ensemble, synapse=0.1)
        probe = nengo.Probe(ensemble, synapse=0.03)
    return net, probe


def product(neuron_type: object) -> tuple[nengo.Network, nengo.Probe]:
    """Nengo's product network of 2 x 100 neurons."""
    t = _time(4.0)
    with _network(neuron_type, 13) as net:
        stimulus = nengo.Node(_signal(4.0, [np.sin(2 * np.pi * t), np.cos(np.pi * t)]))
        network = nengo.networks.Product(200, 1)
        nengo.Connection(stimulus[0], network.input_a)
        nengo.Connection(stimulus[1], network.input_b)
        probe = nengo.Probe(network.output, synapse=0.03)
    return net, probe


def convolution(neuron_type: object) -> tuple[nengo.Network, nengo.Probe]:
    """Nengo's circular convolution of two vectors of 16 dimensions."""
    t = _time(2.0)
    rng = np.random.default_rng(14)
    a, b = (v / np.linalg.norm(v) for v in rng.normal(size=(2, 16)))
    rows = [*np.outer(a, np.sin(2 * np.pi * t)), *np.outer(b, np.cos(np.pi * t))]
    with _network(neuron_type, 14) as net:
        stimulus = nengo.Node(_signal(2.0, rows))
        network = nengo.networks.CircularConvolution(100, 16)
        nengo.Connection(stimulus[:16], network.input_a)
        nengo.Connection(stimulus[16:], network.input_b)
        probe = nengo.Probe(network.output, synapse=0.03)
    return net, probe


def _network(neuron_type: object, seed: int) -> nengo.Network:
    net = nengo.Network(seed=seed)
    net.config[nengo.Ensemble].neuron_type = neuron_type
    return net


def error_driven(seconds: float = 4.0) -> nengo.Network:
    """PES learns x -> x^2 with 100 neurons, from the difference to the square."""
    x = np.sin(2 * np.pi * _time(seconds))
    with _network(nengo.LIF(), 15) as net:
        stimulus = nengo.Node(_signal(seconds, [x]))
        ideal = nengo.Node(_signal(seconds, [x**2]))
        pre, post, error = nengo.Ensemble(100, 1), nengo.Ensemble(100, 1), nengo.Ensemble(100, 1)
        nengo.Connection(stimulus, pre)
        learned = nengo.Connection(
            pre, post, function=lambda x: [0], learning_rule_type=nengo.PES(3e-4)
        )
        nengo.Connection(post, error)
        nengo.Connection(ideal, error, transform=-1)
        nengo.Connection(error, learned.learning_rule)
        nengo.Probe(post, synapse=0.03)
    return net


def digits_from_voltages(images: int = 10) -> nengo.Network:
    """The model of ``examples/vdsp.py``, 784 x 20, on random images as sparse as its own."""
    path = Path(spikeloom.__file__).parent / "examples" / "vdsp.py"
    spec = importlib.util.spec_from_file_location("vdsp_example", path)
    assert spec is not None and spec.loader is not None
    vdsp = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(vdsp)
    rng = np.random.RandomState(16)
    shown = (rng.uniform(size=(images, 784)) < 0.19) * rng.uniform(size=(images, 784))
    net: nengo.Network = vdsp.network(shown, rng.uniform(size=(20, 784)), vdsp.options([]))
    return net


LOWEST_RATE, HIGHEST_RATE = 5.0, 400.0


def lif_rates(seconds: float = 4.0, neurons: int = 400) -> tuple[nengo.Network, nengo.Probe]:
    """Neurons that fire at 5 to 400 Hz, each at its own constant current."""
    neuron_type = nengo.LIF()
    rates = np.linspace(LOWEST_RATE, HIGHEST_RATE, neurons)
    # The current at which the neuron fires at a rate, from its own equation.
    current = 1 / -np.expm1((neuron_type.tau_ref - 1 / rates) / neuron_type.tau_rc)
    with nengo.Network(seed=15) as net:
        ensemble = nengo.Ensemble(
            neurons,
            1,
            gain=np.ones(neurons),
            bias=current,
            encoders=np.ones((neurons, 1)),
            neuron_type=neuron_type,
        )
        probe = nengo.Probe(ensemble.neurons)
    return net, probe


BENCHMARKS = (
    Benchmark("communication channel, 100 neurons", 4.0, channel),
    Benchmark("integrator, 200 neurons, 2-D", 10.0, integrator),
    Benchmark("product, 2 x 100 neurons", 4.0, product),
    Benchmark("circular convolution, 16-D", 2.0, convolution),
)

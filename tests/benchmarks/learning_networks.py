"""Standard tasks of learning rules, for ``make accuracy``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import nengo
import numpy as np

import spikeloom

TAIL = 0.25
"""The last part of a run, in which what was learned is judged."""


@dataclass(frozen=True)
class Task:
    """A network that learns.

    Attributes
    ----------
    name : str
    make : callable
        Gives the network, the probe that is judged, and what it should show: a probe of the ideal
        signal, or None where the weights themselves are compared with float's.
    seconds : float
    """

    name: str
    make: Callable[[], tuple[nengo.Network, Any, Any]]
    seconds: float


def _error_task(
    function: Callable[[Any], Any], dimensions: int, size: int, rule: Any = None
) -> Any:
    """PES (or another rule) learns a function of a slow signal, from the difference to it."""
    with nengo.Network(seed=4) as network:
        source = nengo.Node(
            nengo.processes.WhiteSignal(8.0, high=3, rms=0.4, seed=2), size_out=dimensions
        )
        ideal = nengo.Node(lambda t, x: function(x), size_in=dimensions)
        pre = nengo.Ensemble(size, dimensions, radius=1.0 if dimensions == 1 else 1.3)
        post, error = nengo.Ensemble(100, 1), nengo.Ensemble(100, 1)
        nengo.Connection(source, pre)
        nengo.Connection(source, ideal, synapse=None)
        learned = nengo.Connection(
            pre, post, function=lambda x: [0], learning_rule_type=rule or nengo.PES(3e-4)
        )
        nengo.Connection(post, error)
        nengo.Connection(ideal, error, transform=-1)
        nengo.Connection(error, learned.learning_rule)
        shown = nengo.Probe(post, synapse=0.03)
        wanted = nengo.Probe(ideal, synapse=0.03)
    return network, shown, wanted


def square() -> Any:
    """``x -> x**2``."""
    return _error_task(lambda x: x**2, 1, 100)


def product() -> Any:
    """``(x, y) -> x * y``."""
    return _error_task(lambda x: x[0] * x[1], 2, 200)


def memristors() -> Any:
    """``x -> x**2`` by pairs of memristors that differ from one to the next."""
    return _error_task(lambda x: x**2, 1, 100, spikeloom.VariedMPES(gain=3e-3))


def association() -> Any:
    """Voja and PES learn pairs of a key and a value (Voelker, Crawford and Eliasmith 2014)."""
    rng = np.random.RandomState(1)
    keys = nengo.dists.UniformHypersphere(surface=True).sample(4, 8, rng=rng)
    values = rng.uniform(-0.8, 0.8, (4, 2))
    period = 0.4

    def which(t: float) -> int:
        return int(t / period) % len(keys)

    with nengo.Network(seed=7) as network:
        key = nengo.Node(lambda t: keys[which(t)])
        value = nengo.Node(lambda t: values[which(t)])
        learning = nengo.Node(lambda t: -int(t >= 3.2))
        memory = nengo.Ensemble(200, 8, intercepts=nengo.dists.Uniform(0.2, 0.5))
        recall = nengo.Node(size_in=2)
        voja = nengo.Connection(key, memory, synapse=None, learning_rule_type=nengo.Voja(5e-2))
        nengo.Connection(learning, voja.learning_rule, synapse=None)
        learned = nengo.Connection(
            memory, recall, function=lambda x: [0, 0], learning_rule_type=nengo.PES(1e-3)
        )
        error = nengo.Ensemble(200, 2)
        nengo.Connection(value, error, transform=-1, synapse=None)
        nengo.Connection(recall, error, synapse=None)
        nengo.Connection(error, learned.learning_rule)
        nengo.Connection(learning, error.neurons, transform=[[4.0]] * 200, synapse=None)
        shown = nengo.Probe(recall, synapse=0.02)
        wanted = nengo.Probe(value, synapse=0.02)
    return network, shown, wanted


def _unsupervised(rule: Any) -> Any:
    with nengo.Network(seed=3) as network:
        source = nengo.Node(lambda t: np.sin(6 * t))
        a, b = nengo.Ensemble(50, 1), nengo.Ensemble(50, 1)
        nengo.Connection(source, a)
        connection = nengo.Connection(
            a, b, solver=nengo.solvers.LstsqL2(weights=True), learning_rule_type=rule
        )
        shown = nengo.Probe(connection, "weights", sample_every=0.05)
    return network, shown, None


def oja() -> Any:
    """Weights under Oja's rule."""
    return _unsupervised(nengo.Oja(learning_rate=1e-7, beta=2.0))


def bcm() -> Any:
    """Weights under the rule of Bienenstock, Cooper and Munro."""
    return _unsupervised(nengo.BCM(learning_rate=1e-10))


TASKS = [
    Task("PES x -> x^2", square, 8.0),
    Task("PES product, 2-D", product, 8.0),
    Task("mPES x -> x^2", memristors, 8.0),
    Task("Voja + PES association", association, 4.8),
    Task("Oja weights", oja, 1.0),
    Task("BCM weights", bcm, 1.0),
]

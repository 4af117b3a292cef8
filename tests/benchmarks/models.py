"""The networks of ``make bench``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import nengo
import networks
import numpy as np
from classifier import CLASSES, HIDDEN, PIXELS, STEPS, classifier, sparse_images


@dataclass(frozen=True)
class Model:
    """A network whose speed is measured.

    Attributes
    ----------
    key, name : str
    make : callable
        Gives the network.
    steps : int
        After so many steps its inputs begin again.
    least : dict of int -> float
        How many times as fast as ``nengo.Simulator`` it is to be, on one core each and per model
        and step, with so many copies.
    rate : str
        The parameter of its learning rules that differs from copy to copy; empty if nothing learns.
    """

    key: str
    name: str
    make: Callable[[], nengo.Network]
    steps: int
    least: dict[int, float]
    rate: str = ""


def circular_convolution() -> nengo.Network:
    """Nengo's circular convolution of two vectors of 64 dimensions, each shown for 0.1 s."""
    vectors = np.random.default_rng(17).normal(size=(10, 128)) / 8
    with nengo.Network(seed=17) as net:
        shown = nengo.Node(nengo.processes.PresentInput(vectors, 0.1), label="vectors")
        network = nengo.networks.CircularConvolution(100, 64)
        nengo.Connection(shown[:64], network.input_a)
        nengo.Connection(shown[64:], network.input_b)
        nengo.Probe(network.output, synapse=0.03)
    return net


LEARNING, REST = {1: 300.0, 100: 600.0}, {1: 40.0, 100: 80.0}

MODELS = (
    Model("vdsp", "VDSP, 784 x 20, learning", networks.digits_from_voltages, 3500, LEARNING, "lr"),
    Model(
        "pes",
        "PES, x -> x^2, 100 neurons",
        networks.error_driven,
        4000,
        REST,
        "learning_rate",
    ),
    Model("channel", "channel, 100 neurons", lambda: networks.channel(nengo.LIF())[0], 4000, REST),
    Model(
        "integrator",
        "integrator, 200 neurons, 2-D",
        lambda: networks.integrator(nengo.LIF())[0],
        10_000,
        REST,
    ),
    Model("convolution", "circular convolution, 64-D", circular_convolution, 1000, REST),
    Model(
        "classifier",
        f"classifier, {PIXELS}-{HIDDEN}-{CLASSES}",
        lambda: classifier(sparse_images(30))[0],
        30 * STEPS,
        REST,
    ),
)

"""Convolutional Nengo networks for tests: random ones, and one as large as a small board takes."""

from __future__ import annotations

import nengo
import numpy as np


def layer(size: int, label: str, neurons, rng, bias: float = 0.8) -> nengo.Ensemble:
    """Neurons of one gain, whose currents are sums of weights."""
    return nengo.Ensemble(
        size,
        1,
        neuron_type=neurons,
        gain=np.ones(size),
        bias=np.full(size, bias),
        encoders=np.ones((size, 1)),
        label=label,
    )


def convolutional(
    images: np.ndarray,
    presentation: float,
    shape: tuple[int, int, int] = (28, 28, 1),
    filters: tuple[int, int] = (8, 16),
    outputs: int = 10,
    seed: int = 0,
) -> nengo.Network:
    """Two strided 3x3 convolutions and a dense layer; attributes ``first second out``: probes."""
    rng = np.random.default_rng(seed)
    with nengo.Network(label="convolutional", seed=seed) as network:
        present = nengo.processes.PresentInput(images, presentation)
        image = nengo.Node(present, label="image")
        source, before, synapse = image, shape, None
        network.layers = []
        for number, count in enumerate(filters):
            transform = nengo.Convolution(
                count,
                before,
                strides=(2, 2),
                kernel_size=(3, 3),
                init=rng.normal(size=(3, 3, before[2], count)) * 0.4,
            )
            after = transform.output_shape
            neurons = nengo.LIF(amplitude=0.01)
            ensemble = layer(after.size, f"conv{number + 1}", neurons, rng)
            nengo.Connection(source, ensemble.neurons, transform=transform, synapse=synapse)
            network.layers.append(nengo.Probe(ensemble.neurons))
            source, before, synapse = ensemble.neurons, after.shape, 0.005
        out = nengo.Node(size_in=outputs, label="out")
        weights = rng.normal(size=(outputs, before[0] * before[1] * before[2])) * 0.1
        nengo.Connection(source, out, transform=weights, synapse=0.005)
        network.out = nengo.Probe(out)
    return network


def sparse_images(count: int, size: int, seed: int = 1) -> np.ndarray:
    """Images in which one pixel in four is not black."""
    rng = np.random.default_rng(seed)
    return rng.random((count, size)) * (rng.random((count, size)) < 0.25)


def _random_transform(rng: np.random.Generator, number: int):
    """A convolution of any kind that Nengo has, of at least some hundred weights unrolled."""
    kind = ("plain", "depthwise", "pooling", "line", "groups", "first")[number % 6]
    channels = int(rng.choice([4, 8, 16]))
    strides, kernel = int(rng.integers(1, 3)), int(rng.integers(2, 5))
    padding = str(rng.choice(["valid", "same"]))
    if kind == "line":
        shape = (int(rng.integers(30, 50)), channels)
        init = rng.normal(size=(kernel, channels, 16)) * 0.1
        return nengo.Convolution(
            16, shape, strides=(strides,), kernel_size=(kernel,), padding=padding, init=init
        )
    side = int(rng.integers(8, 12))
    shape = (side, side + 1, channels)
    groups, filters = {"depthwise": (channels, channels), "pooling": (channels, channels)}.get(
        kind, (2, 16) if kind == "groups" else (1, int(rng.choice([8, 16])))
    )
    size = (kernel, kernel)
    init = rng.normal(size=(*size, channels // groups, filters)) * 0.1
    if kind == "pooling":
        size, strides, padding = (2, 2), 2, "valid"
        init = np.full((2, 2, 1, channels), 0.25)
    first = kind == "first"
    if first:
        shape = (channels, side, side + 1)
    return nengo.Convolution(
        filters,
        shape,
        strides=(strides, strides),
        kernel_size=size,
        padding=padding,
        groups=groups,
        channels_last=not first,
        init=init,
    )


def random_convolutional(number: int) -> nengo.Network:
    """Random spikes -> neurons -> a random convolution -> neurons."""
    rng = np.random.default_rng([41, number])
    transform = _random_transform(rng, number)
    size = transform.input_shape.size
    with nengo.Network(seed=number) as network:
        drive = nengo.Node(nengo.processes.WhiteSignal(1.0, 50, seed=number))
        neurons = nengo.SpikingRectifiedLinear() if number % 3 == 0 else nengo.LIF()
        first = layer(size, "first", neurons, rng)
        spread = rng.normal(size=(size, 1)) * 2
        nengo.Connection(drive, first.neurons, transform=spread, synapse=None)
        second = layer(transform.output_shape.size, "second", nengo.LIF(), rng)
        nengo.Connection(first.neurons, second.neurons, transform=transform, synapse=0.01)
        network.probes_of = [nengo.Probe(first.neurons), nengo.Probe(second.neurons)]
        network.probes_of.append(nengo.Probe(second.neurons, "voltage"))
    network.transform = transform
    return network

"""The largest of several rates, exactly: max(a, b) = a + max(b - a, 0), pair by pair."""

from __future__ import annotations

import nengo
import numpy as np
from nengo.transforms import Dense

from .model import KerasLayer
from .transforms import pool_windows
from .values import Value


def max_pool(layer: KerasLayer, value: Value, label: str) -> Value:
    """A max pooling layer on values that are no spikes, as a tree of rectified differences.

    Parameters
    ----------
    layer : KerasLayer
    value : Value
        Its values are complete in each step.
    label : str
        In front of the labels of what is made.

    Returns
    -------
    Value
        A node with the largest value of each window, in the same step.
    """
    windows, shape = pool_windows(layer, value.shape)
    # A window that reaches over the border looks at one of its other elements twice.
    inside = windows >= 0
    windows = np.where(inside, windows, windows.max(axis=1, keepdims=True))
    size, width = windows.shape
    sources = [(value.obj, windows[:, i]) for i in range(width)]
    level = 0
    while len(sources) > 1:
        level += 1
        sources = [
            _larger(sources[i], sources[i + 1], f"{label}.{level}.{i // 2}")
            if i + 1 < len(sources)
            else sources[i]
            for i in range(0, len(sources), 2)
        ]
    obj, places = sources[0]
    if width == 1:
        node = nengo.Node(size_in=size, label=label)
        nengo.Connection(obj[places.tolist()], node, synapse=None)
        obj = node
    return Value(obj, shape)


def _larger(
    one: tuple[object, np.ndarray], other: tuple[object, np.ndarray], label: str
) -> tuple[nengo.Node, np.ndarray]:
    size = len(one[1])
    difference = nengo.Ensemble(
        size,
        1,
        neuron_type=nengo.RectifiedLinear(),
        encoders=np.ones((size, 1)),
        normalize_encoders=False,
        gain=np.ones(size),
        bias=np.zeros(size),
        label=f"{label}.difference",
    ).neurons
    larger = nengo.Node(size_in=size, label=label)
    minus = Dense((size, size), init=-1.0)
    nengo.Connection(_part(other), difference, synapse=None)
    nengo.Connection(_part(one), difference, synapse=None, transform=minus)
    nengo.Connection(_part(one), larger, synapse=None)
    nengo.Connection(difference, larger, synapse=None)
    return larger, np.arange(size)


def _part(source: tuple[object, np.ndarray]) -> object:
    obj, places = source
    size = obj.size_out  # type: ignore[attr-defined]
    if len(places) == size and np.array_equal(places, np.arange(size)):
        return obj
    return obj[places.tolist()]  # type: ignore[index]

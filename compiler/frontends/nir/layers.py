"""NIR's layers without state as transforms of Nengo, channels last.

NIR has channels first. Convolutions are stored once, and reach a few words a spike, where the
channels of a place lie side by side: so values with channels are kept that way.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import nengo
import numpy as np

from .graph import Item
from .neurons import flat
from .shapes import Geometry

LAYERS = ("Affine", "AvgPool2d", "Conv1d", "Conv2d", "Linear", "Scale", "SumPool2d")


def channels_last(shape: tuple[int, ...]) -> np.ndarray | None:
    """Where values of a shape with channels first lie in it, taken channels last; None if alike."""
    if len(shape) < 2:
        return None
    places = np.moveaxis(np.arange(math.prod(shape)).reshape(shape), 0, -1).ravel()
    return None if (np.diff(places) == 1).all() else places


@dataclass(frozen=True)
class Layer:
    """What a layer does with the flattened values that enter it.

    Attributes
    ----------
    transform : object
        As `nengo.Connection` takes it.
    bias : (size,) float64 ndarray or None
        Added to the result.
    padded : (int, int64 ndarray) or None
        Values go to these elements of a vector of that size, zero elsewhere, first.
    """

    transform: Any
    bias: np.ndarray | None = None
    padded: tuple[int, np.ndarray] | None = None


def layer(item: Item) -> Layer:
    """The layer that a node is.

    Raises
    ------
    ModelError
        If its parameters are incomplete or of the wrong shape.
    """
    if item.kind == "Scale":
        return Layer(flat(item, "scale", math.prod(item.source)))
    if item.kind in ("Linear", "Affine"):
        weight = item.array("weight")
        if item.order is not None:
            weight = weight[:, item.order]
        if item.kind == "Linear":
            return Layer(weight)
        return Layer(weight, np.broadcast_to(item.array("bias"), (len(weight),)).copy())
    geometry = Geometry(item, item.source)
    bias = None
    if item.kind.endswith("Pool2d"):
        worth = 1.0 if item.kind == "SumPool2d" else 1.0 / math.prod(geometry.kernel)
        kernel = np.full((*geometry.kernel, 1, geometry.channels), worth)
    else:
        kernel = np.moveaxis(item.array("weight"), (0, 1), (-1, -2))
        kernel = _dilated(kernel, geometry.dilation)
        if item.values.get("bias") is not None:
            given = item.array("bias").ravel()
            if given.size not in (1, geometry.channels):
                raise item.error(
                    f"bias has {given.size} elements, must have {geometry.channels}: one a channel"
                )
            per_channel = np.broadcast_to(given, (geometry.channels,))
            bias = np.tile(per_channel, math.prod(geometry.output))
    source, padded, padding = (*item.source[1:], item.source[0]), None, "valid"
    if any(sum(p) for p in geometry.padding):
        if _is_same(geometry, kernel.shape, item.source):
            padding = "same"
        else:
            padded, source = _padded(source, geometry)
    transform = nengo.Convolution(
        n_filters=geometry.channels,
        input_shape=source,
        kernel_size=kernel.shape[: len(geometry.kernel)],
        strides=geometry.stride,
        padding=padding,
        channels_last=True,
        init=kernel,
        groups=geometry.groups,
    )
    return Layer(transform, bias if bias is not None and bias.any() else None, padded)


def _dilated(kernel: np.ndarray, dilation: tuple[int, ...]) -> np.ndarray:
    """The kernel with zeros between its elements."""
    shape = [d * (k - 1) + 1 for d, k in zip(dilation, kernel.shape, strict=False)]
    wide = np.zeros((*shape, *kernel.shape[len(dilation) :]))
    wide[tuple(slice(None, None, d) for d in dilation)] = kernel
    return wide


def _is_same(geometry: Geometry, kernel: tuple[int, ...], source: tuple[int, ...]) -> bool:
    """Whether Nengo's "same" pads as this layer: by as much, and by no more in front."""
    for size, k, stride, padding, out in zip(
        source[1:], kernel, geometry.stride, geometry.padding, geometry.output, strict=False
    ):
        total = max((-(-size // stride) - 1) * stride + k - size, 0)
        if out != -(-size // stride) or total // 2 != padding[0]:
            return False
    return True


def _padded(
    source: tuple[int, ...], geometry: Geometry
) -> tuple[tuple[int, np.ndarray], tuple[int, ...]]:
    shape = (*(n + sum(p) for n, p in zip(source, geometry.padding, strict=False)), source[-1])
    inner = tuple(slice(p[0], p[0] + n) for n, p in zip(source, geometry.padding, strict=False))
    places = np.arange(math.prod(shape)).reshape(shape)[inner]
    return (math.prod(shape), places.ravel()), shape

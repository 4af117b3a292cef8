"""Keras layers that only move values: which input element each output element is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...errors import ModelError
from .model import KerasLayer

Shape = tuple[int, ...]


def moved(layer: KerasLayer, shape: Shape) -> np.ndarray:
    """Where each output element of `layer` comes from.

    Parameters
    ----------
    layer : KerasLayer
        Of a class in `MOVES`.
    shape : tuple of int
        Of its input.

    Returns
    -------
    int64 ndarray in the shape of the output
        Flat element numbers of the input; -1 where the output is zero.

    Raises
    ------
    ModelError
        If the layer does not suit the shape.
    """
    numbers = np.arange(int(np.prod(shape)), dtype=np.int64).reshape(shape)
    try:
        return MOVES[layer.layer_class](layer, numbers)
    except (ValueError, IndexError) as e:
        raise ModelError(f"{layer}: does not suit inputs of shape {shape} ({e})") from e


def channels_last(layer: KerasLayer) -> bool:
    """Whether channels are the last axis of a layer's shapes."""
    return layer.config.get("data_format") in (None, "channels_last")


def _flatten(layer: KerasLayer, numbers: np.ndarray) -> np.ndarray:
    if not channels_last(layer) and numbers.ndim > 1:
        numbers = np.moveaxis(numbers, 0, -1)
    return numbers.reshape(-1)


def _reshape(layer: KerasLayer, numbers: np.ndarray) -> np.ndarray:
    return numbers.reshape(tuple(layer.config["target_shape"]))


def _permute(layer: KerasLayer, numbers: np.ndarray) -> np.ndarray:
    return numbers.transpose([axis - 1 for axis in layer.config["dims"]])


def _repeat(layer: KerasLayer, numbers: np.ndarray) -> np.ndarray:
    return np.repeat(numbers[np.newaxis], layer.config["n"], axis=0)


def _pad(layer: KerasLayer, numbers: np.ndarray) -> np.ndarray:
    widths = _pairs(layer.config["padding"], numbers.ndim - 1)
    return np.pad(numbers, _around(layer, widths), constant_values=-1)


def _crop(layer: KerasLayer, numbers: np.ndarray) -> np.ndarray:
    widths = _around(layer, _pairs(layer.config["cropping"], numbers.ndim - 1))
    return numbers[tuple(slice(a, n - b) for (a, b), n in zip(widths, numbers.shape, strict=True))]


def _upsample(layer: KerasLayer, numbers: np.ndarray) -> np.ndarray:
    if layer.config.get("interpolation", "nearest") != "nearest":
        raise ModelError(f"{layer}: only nearest interpolation moves values; use 'nearest'")
    size = layer.config["size"]
    sizes = [size] * (numbers.ndim - 1) if isinstance(size, int) else list(size)
    first = 0 if channels_last(layer) else 1
    for axis, factor in enumerate(sizes):
        numbers = np.repeat(numbers, factor, axis=axis + first)
    return numbers


def _pairs(widths: Any, axes: int) -> list[tuple[int, int]]:
    """A width for all sides, one for each axis, or one for each side of each axis."""
    if isinstance(widths, int):
        return [(widths, widths)] * axes
    if axes == 1 and all(isinstance(w, int) for w in widths):
        return [(widths[0], widths[-1])]
    return [(w, w) if isinstance(w, int) else (int(w[0]), int(w[1])) for w in widths]


def _around(layer: KerasLayer, widths: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    return [*widths, (0, 0)] if channels_last(layer) else [(0, 0), *widths]


MOVES: dict[str, Callable[[KerasLayer, np.ndarray], np.ndarray]] = {
    "Flatten": _flatten,
    "Reshape": _reshape,
    "Permute": _permute,
    "RepeatVector": _repeat,
    "ZeroPadding1D": _pad,
    "ZeroPadding2D": _pad,
    "Cropping1D": _crop,
    "Cropping2D": _crop,
    "UpSampling1D": _upsample,
    "UpSampling2D": _upsample,
}
"""Classes of layers that only move values."""

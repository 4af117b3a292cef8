"""The linear layers of Keras as transforms of Nengo, with their biases."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from nengo.transforms import Convolution, Dense, Sparse, Transform

from ...errors import ModelError
from .model import KerasLayer
from .shapes import Shape, channels_last


@dataclass
class Affine:
    """``y = transforms[-1] ... transforms[0] x + bias``.

    Attributes
    ----------
    transforms : list of nengo.transforms.Transform
        One, or two for a separable convolution.
    bias : (channels,) ndarray, optional
        Of each channel.
    shape : tuple of int
        Of the output.
    channel_axis : int
        Axis of `shape` that `bias` belongs to.
    """

    transforms: list[Transform]
    bias: np.ndarray | None
    shape: Shape
    channel_axis: int = -1

    def full_bias(self) -> np.ndarray | None:
        """(size,) bias of every output element."""
        if self.bias is None:
            return None
        across = [1] * len(self.shape)
        across[self.channel_axis] = -1
        return np.broadcast_to(self.bias.reshape(across), self.shape).ravel().copy()


def affine(layer: KerasLayer, shape: Shape) -> Affine:
    """What a layer of a class in `AFFINE` does to inputs of the given shape.

    Raises
    ------
    ModelError
        If its weights or its configuration do not suit the shape.
    """
    makers = {"Dense": _dense, "SeparableConv1D": _separable, "SeparableConv2D": _separable}
    return makers.get(layer.layer_class, _convolution)(layer, shape)


AFFINE = (
    "Dense",
    "Conv1D",
    "Conv2D",
    "DepthwiseConv1D",
    "DepthwiseConv2D",
    "SeparableConv1D",
    "SeparableConv2D",
)
"""Classes of layers with a kernel."""


def kernels(layer: KerasLayer) -> tuple[list[np.ndarray], np.ndarray | None]:
    """The kernels and the bias of a layer, as it stores them.

    Raises
    ------
    ModelError
        If there are not as many arrays as its class has.
    """
    count = 2 if layer.layer_class.startswith("Separable") else 1
    has_bias = bool(layer.config.get("use_bias", True))
    if len(layer.weights) != count + has_bias:
        raise ModelError(
            f"{layer}: has {len(layer.weights)} arrays of weights, needs {count + has_bias}; save "
            "the model after it was built"
        )
    arrays = [np.asarray(w, dtype=float) for w in layer.weights]
    return arrays[:count], arrays[count] if has_bias else None


def output_channels(layer: KerasLayer) -> int:
    """How many channels a layer with a kernel makes."""
    arrays, _ = kernels(layer)
    if layer.layer_class.startswith("Depthwise"):
        return int(np.prod(arrays[0].shape[-2:]))
    return int(arrays[-1].shape[-1])


def _dense(layer: KerasLayer, shape: Shape) -> Affine:
    (kernel,), bias = kernels(layer)
    if shape[-1] != kernel.shape[0]:
        raise ModelError(f"{layer}: kernel {kernel.shape} does not suit inputs of shape {shape}")
    units, rows = kernel.shape[1], int(np.prod(shape[:-1]))
    if rows == 1:
        transform: Transform = Dense((units, kernel.shape[0]), init=kernel.T)
    else:
        # The same kernel for each row: a convolution of width one.
        transform = Convolution(
            units, (rows, shape[-1]), kernel_size=(1,), strides=(1,), init=kernel[np.newaxis]
        )
    return Affine([transform], bias, (*shape[:-1], units))


def _convolution(layer: KerasLayer, shape: Shape) -> Affine:
    (kernel,), bias = kernels(layer)
    groups = int(layer.config.get("groups") or 1)
    if layer.layer_class.startswith("Depthwise"):
        groups = kernel.shape[-2]
        kernel = kernel.reshape((*kernel.shape[:-2], 1, -1))
    transform, out = _one(layer, shape, kernel, groups)
    return Affine([transform], bias, out, -1 if channels_last(layer) else 0)


def _separable(layer: KerasLayer, shape: Shape) -> Affine:
    (depthwise, pointwise), bias = kernels(layer)
    groups = depthwise.shape[-2]
    first, between = _one(layer, shape, depthwise.reshape((*depthwise.shape[:-2], 1, -1)), groups)
    ones = (1,) * (len(shape) - 1)
    second = Convolution(
        pointwise.shape[-1],
        between,
        kernel_size=ones,
        strides=ones,
        channels_last=channels_last(layer),
        init=pointwise,
    )
    out = tuple(second.output_shape.shape)
    return Affine([first, second], bias, out, -1 if channels_last(layer) else 0)


def _one(
    layer: KerasLayer, shape: Shape, kernel: np.ndarray, groups: int
) -> tuple[Transform, Shape]:
    """One convolution and the shape of its output."""
    window = kernel.shape[:-2]
    last = channels_last(layer)
    channels = shape[-1 if last else 0]
    if len(shape) != len(window) + 1 or channels != kernel.shape[-2] * groups:
        raise ModelError(f"{layer}: kernel {kernel.shape} does not suit inputs of shape {shape}")
    strides = _sizes(layer.config.get("strides", 1), len(window))
    dilation = _sizes(layer.config.get("dilation_rate", 1), len(window))
    padding = layer.config.get("padding", "valid")
    if padding not in ("valid", "same") or any(d != 1 for d in dilation):
        transform = _unrolled(layer, shape, kernel, groups, strides, dilation, padding)
        return transform
    convolution = Convolution(
        kernel.shape[-1],
        shape,
        kernel_size=window,
        strides=strides,
        padding=padding,
        channels_last=last,
        init=kernel,
        groups=groups,
    )
    return convolution, tuple(convolution.output_shape.shape)


def _unrolled(
    layer: KerasLayer,
    shape: Shape,
    kernel: np.ndarray,
    groups: int,
    strides: Shape,
    dilation: Shape,
    padding: str,
) -> tuple[Transform, Shape]:
    """A convolution that Nengo's class cannot say (dilated, causal), as a sparse matrix."""
    if padding not in ("valid", "same", "causal"):
        raise ModelError(f"{layer}: padding {padding!r} is not known; use 'valid' or 'same'")
    last = channels_last(layer)
    numbers = np.arange(int(np.prod(shape)), dtype=np.int64).reshape(shape)
    if not last:
        numbers = np.moveaxis(numbers, 0, -1)
    span = tuple((k - 1) * d + 1 for k, d in zip(kernel.shape[:-2], dilation, strict=True))
    if padding == "causal":
        numbers = np.pad(numbers, [(span[0] - 1, 0), (0, 0)], constant_values=-1)
        padding = "valid"
    windows, spatial = _windows(numbers, span, strides, padding)
    windows = windows[
        (slice(None), *(slice(None, None, d) for d in dilation), slice(None))
    ].reshape(len(windows), -1, shape[-1 if last else 0])
    per_in, filters = kernel.shape[-2:]
    flat = kernel.reshape(-1, per_in, filters)
    rows, cols, values = [], [], []
    out = np.arange(len(windows) * filters).reshape(*spatial, filters)
    if not last:
        out = np.moveaxis(np.arange(out.size).reshape(filters, *spatial), 0, -1)
    out = out.reshape(-1, filters)
    for f in range(filters):
        start = f // (filters // groups) * per_in
        taken = windows[:, :, start : start + per_in]
        inside = taken >= 0
        rows.append(np.broadcast_to(out[:, f, None, None], taken.shape)[inside])
        cols.append(taken[inside])
        values.append(np.broadcast_to(flat[None, :, :, f], taken.shape)[inside])
    out_shape = (*spatial, filters) if last else (filters, *spatial)
    indices = np.stack([np.concatenate(rows), np.concatenate(cols)], axis=-1)
    size = (int(np.prod(out_shape)), int(np.prod(shape)))
    return Sparse(size, indices=indices, init=np.concatenate(values)), out_shape


def pool_windows(layer: KerasLayer, shape: Shape) -> tuple[np.ndarray, Shape]:
    """Which elements each output of a pooling layer looks at.

    Returns
    -------
    windows : (outputs, elements) int64 ndarray
        Element numbers of the input, -1 beyond its border.
    shape : tuple of int
        Of the output.
    """
    last = channels_last(layer)
    numbers = np.arange(int(np.prod(shape)), dtype=np.int64).reshape(shape)
    if not last:
        numbers = np.moveaxis(numbers, 0, -1)
    channels = numbers.shape[-1]
    if layer.layer_class.startswith("Global"):
        window = numbers.shape[:-1]
        windows, spatial = numbers.reshape(1, -1, channels), (1,) * len(window)
    else:
        window = _sizes(layer.config.get("pool_size", 2), numbers.ndim - 1)
        strides = _sizes(layer.config.get("strides") or window, numbers.ndim - 1)
        padding = layer.config.get("padding", "valid")
        windows, spatial = _windows(numbers, window, strides, padding)
        windows = windows.reshape(len(windows), -1, channels)
    out_shape = (*spatial, channels) if last else (channels, *spatial)
    if layer.layer_class.startswith("Global") and not layer.config.get("keepdims"):
        out_shape = (channels,)
    order = np.moveaxis(windows, -1, 1 if last else 0).reshape(-1, windows.shape[1])
    return order, out_shape


def average_pool(layer: KerasLayer, shape: Shape) -> tuple[Transform, Shape]:
    """An average pooling layer; a convolution where its windows never leave the input."""
    windows, out = pool_windows(layer, shape)
    last = channels_last(layer)
    channels = shape[-1 if last else 0]
    inside = windows >= 0
    if inside.all() and not layer.layer_class.startswith("Global"):
        window = _sizes(layer.config.get("pool_size", 2), len(shape) - 1)
        convolution = Convolution(
            channels,
            shape,
            kernel_size=window,
            strides=_sizes(layer.config.get("strides") or window, len(shape) - 1),
            padding="valid",
            channels_last=last,
            init=np.full((*window, 1, channels), 1.0 / np.prod(window)),
            groups=channels,
        )
        if tuple(convolution.output_shape.shape) == out:
            return convolution, out
    count = inside.sum(axis=1, keepdims=True)
    rows = np.broadcast_to(np.arange(len(windows))[:, None], windows.shape)[inside]
    values = np.broadcast_to(1.0 / count, windows.shape)[inside]
    size = (len(windows), int(np.prod(shape)))
    return Sparse(size, indices=np.stack([rows, windows[inside]], axis=-1), init=values), out


def _windows(numbers: np.ndarray, window: Shape, strides: Shape, padding: str) -> tuple[Any, Shape]:
    """(outputs, *window, channels) of what each output looks at, and the outputs' sizes."""
    pads, spatial = [], []
    for size, width, stride in zip(numbers.shape[:-1], window, strides, strict=True):
        if padding == "same":
            count = -(-size // stride)
            total = max((count - 1) * stride + width - size, 0)
            pads.append((total // 2, total - total // 2))
        else:
            count = (size - width) // stride + 1
            pads.append((0, 0))
        spatial.append(count)
    numbers = np.pad(numbers, [*pads, (0, 0)], constant_values=-1)
    axes = tuple(range(len(window)))
    view = np.lib.stride_tricks.sliding_window_view(numbers, window, axes)
    view = view[tuple(slice(None, n * s, s) for n, s in zip(spatial, strides, strict=True))]
    # Channels come before the window; they belong behind it.
    view = np.moveaxis(view, len(window), -1)
    return view.reshape(-1, *window, numbers.shape[-1]), tuple(spatial)


def _sizes(value: Any, axes: int) -> Shape:
    return (int(value),) * axes if isinstance(value, (int, float)) else tuple(map(int, value))

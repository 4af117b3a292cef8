"""Shapes of what enters and leaves NIR's nodes, and checks of the parameters that decide them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from .graph import Item, Shape

NEURONS = {
    "CubaLI": ("tau_syn", "tau_mem", "r", "v_leak"),
    "CubaLIF": ("tau_syn", "tau_mem", "r", "v_leak", "v_threshold"),
    "I": ("r",),
    "IF": ("r", "v_threshold"),
    "LI": ("tau", "r", "v_leak"),
    "LIF": ("tau", "r", "v_leak", "v_threshold"),
    "Threshold": ("threshold",),
}
"""Neurons, with the parameters that must be there."""

ELEMENTWISE = {**NEURONS, "Scale": ("scale",), "Delay": ("delay",)}


def output_shape(item: Item, source: Shape | None) -> tuple[Shape, Shape]:
    """Shapes of what enters and leaves a node.

    Parameters
    ----------
    item : Item
    source : tuple of int or None
        What leads to it gives; None if that is not known.

    Raises
    ------
    ModelError
        If the shape is not what the node's parameters say, or cannot be found.
    """
    if item.kind in ("Input", "Output", "Identity"):
        declared = _declared(item)
        if source is not None and declared is not None and source != declared:
            raise item.error(f"declares the shape {declared}, but gets {source}")
        shape = declared if source is None else source
        if shape is None:
            raise item.error("its shape is not known; state it when exporting")
        return shape, shape
    if item.kind in ELEMENTWISE:
        return _elementwise(item, source)
    if item.kind in ("Linear", "Affine"):
        return _linear(item, source)
    if source is None:
        if item.kind not in ("Conv1d", "Conv2d") or item.values.get("input_shape") is None:
            raise item.error("nothing leads to it, so its shape is not known; add an Input node")
        inner = tuple(int(n) for n in np.ravel(item.values["input_shape"]))
        source = (item.array("weight").shape[1] * _groups(item), *inner)
    if item.kind == "Flatten":
        return source, _flattened(item, source)
    dimensions = 1 if item.kind == "Conv1d" else 2
    if len(source) != dimensions + 1:
        raise item.error(
            f"needs values of {dimensions + 1} dimensions (channels first), gets the shape {source}"
        )
    geometry = Geometry(item, source)
    return source, (geometry.channels, *geometry.output)


class Geometry:
    """Kernel size, strides, padding and dilation of a convolution or pooling layer.

    Attributes
    ----------
    channels : int
        Of the output.
    kernel, stride, dilation : tuple of int
    padding : tuple of (int, int)
        Zeros before and behind, per dimension.
    groups : int
    output : tuple of int
        Spatial shape of the output.
    """

    def __init__(self, item: Item, source: Shape) -> None:
        n = len(source) - 1
        self.groups = 1
        self.dilation: Shape = (1,) * n
        if item.kind.endswith("Pool2d"):
            self.channels, self.groups = source[0], source[0]
            self.kernel = _numbers(item, "kernel_size", n, 1)
        else:
            weight = item.array("weight")
            self.groups = _groups(item)
            self.channels = weight.shape[0]
            if weight.ndim != n + 2:
                raise item.error(f"weight has {weight.ndim} dimensions, must have {n + 2}")
            if source[0] != weight.shape[1] * self.groups or self.channels % self.groups:
                raise item.error(
                    f"weight of shape {weight.shape} in {self.groups} groups does not fit "
                    f"{source[0]} channels"
                )
            self.kernel = weight.shape[2:]
            self.dilation = _numbers(item, "dilation", n, 1)
        self.stride = _numbers(item, "stride", n, 1)
        reach = tuple(d * (k - 1) + 1 for d, k in zip(self.dilation, self.kernel, strict=True))
        self.padding = _padding(item, n, reach, self.stride)
        self.output = tuple(
            (size + sum(p) - r) // s + 1
            for size, p, r, s in zip(source[1:], self.padding, reach, self.stride, strict=True)
        )
        if min(self.output) < 1:
            raise item.error(f"its kernel of {self.kernel} is larger than the input {source}")


def _padding(item: Item, n: int, reach: Shape, stride: Shape) -> tuple[tuple[int, int], ...]:
    padding = item.values.get("padding", 0)
    if isinstance(padding, bytes):
        padding = padding.decode()
    if isinstance(padding, str):
        if padding not in ("same", "valid"):
            raise item.error(f"padding {padding!r}; must be 'same', 'valid' or numbers")
        if padding == "valid":
            return ((0, 0),) * n
        if max(stride) > 1:
            raise item.error("padding 'same' with a stride above 1; give the padding in numbers")
        return tuple(((r - 1) // 2, r - 1 - (r - 1) // 2) for r in reach)
    return tuple((p, p) for p in _numbers(item, "padding", n, 0))


def _numbers(item: Item, name: str, n: int, least: int) -> Shape:
    value = item.array(name) if name in item.values else np.asarray(1.0)
    if value.shape not in ((), (1,), (n,)) or np.any(value != np.floor(value)):
        raise item.error(f"{name} {value.tolist()}; must be a whole number, or {n} of them")
    if value.min() < least:
        raise item.error(f"{name} {value.tolist()}; must be at least {least}")
    return tuple(int(v) for v in np.broadcast_to(value.ravel() if value.ndim else value, (n,)))


def _groups(item: Item) -> int:
    return _numbers(item, "groups", 1, 1)[0] if item.values.get("groups") is not None else 1


def _declared(item: Item) -> Shape | None:
    shape: Any = item.values.get("shape")
    for kind in ("input", "output"):
        types = item.values.get(f"{kind}_type")
        if shape is None and isinstance(types, dict):
            shape = types.get(kind)
    return None if shape is None else tuple(int(n) for n in np.ravel(shape))


def _elementwise(item: Item, source: Shape | None) -> tuple[Shape, Shape]:
    names = ELEMENTWISE[item.kind]
    shapes = {name: item.array(name).shape for name in names}
    for name in ("v_reset", "w_in"):
        if item.values.get(name) is not None:
            shapes[name] = item.array(name).shape
    if source is None:
        source = max(shapes.values(), key=math.prod)
    for name, shape in shapes.items():
        if shape not in (source, (), (1,)):
            raise item.error(
                f"{name} has the shape {shape}, but it gets values of shape {source}; they must "
                "be equal" + ("; flatten what leads to it" if len(source) > len(shape) else "")
            )
    return source, source


def _linear(item: Item, source: Shape | None) -> tuple[Shape, Shape]:
    weight = item.array("weight")
    if weight.ndim != 2:
        raise item.error(f"weight has the shape {weight.shape}, must have 2 dimensions")
    if item.kind == "Affine" and item.array("bias").shape not in ((weight.shape[0],), ()):
        raise item.error(
            f"bias has the shape {item.array('bias').shape}, must have {weight.shape[0]} elements"
        )
    if source is not None and source != (weight.shape[1],):
        flatten = "; put a Flatten before it" if math.prod(source) == weight.shape[1] else ""
        raise item.error(
            f"weight of shape {weight.shape} does not fit values of shape {source}{flatten}"
        )
    return (weight.shape[1],), (weight.shape[0],)


def _flattened(item: Item, source: Shape) -> Shape:
    first = int(item.array("start_dim")) if "start_dim" in item.values else 0
    last = int(item.array("end_dim")) if "end_dim" in item.values else -1
    n = len(source)
    first, last = first + n * (first < 0), last + n * (last < 0)
    if not 0 <= first <= last < n:
        raise item.error(f"start_dim and end_dim do not lie in the shape {source}")
    return (*source[:first], math.prod(source[first : last + 1]), *source[last + 1 :])

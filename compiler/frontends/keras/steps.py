"""Rewrites of a Keras model before it becomes a network: what is removed, folded or joined.

Layers that only matter in training go; a normalisation goes into the kernel before it; an
activation that is a layer of its own goes to the layer before it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from .model import (
    KerasLayer,
    KerasModel,
    Key,
    activation_name,
    check_relu,
)
from .transforms import AFFINE, kernels, output_channels

REMOVED = (
    "Dropout",
    "SpatialDropout1D",
    "SpatialDropout2D",
    "AlphaDropout",
    "GaussianDropout",
    "GaussianNoise",
    "ActivityRegularization",
    "Identity",
)
"""Classes of layers that do nothing but in training."""

ACTIVATIONS = {"Activation": "", "ReLU": "relu", "Softmax": "softmax"}
"""Classes of layers that are an activation, and which (empty: their configuration says it)."""

SUMS = ("Add", "Average", "Subtract", "Concatenate")
"""Classes of layers that join several inputs."""

POOLS = (
    "AveragePooling1D",
    "AveragePooling2D",
    "GlobalAveragePooling1D",
    "GlobalAveragePooling2D",
)
"""Classes of layers that average."""


@dataclass
class Step:
    """A layer, with what became part of it.

    Attributes
    ----------
    layer : KerasLayer
        Its weights may differ from those of the model: a normalisation may be folded into them.
    activation : str
        ``linear`` for none.
    joined : list of KerasLayer
        Layers that became part of this one.
    remarks : list of str
    """

    layer: KerasLayer
    activation: str = "linear"
    joined: list[KerasLayer] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


def steps(model: KerasModel) -> tuple[dict[Key, Step], list[Key], list[KerasLayer]]:
    """The steps that a model consists of once it is simplified.

    Returns
    -------
    steps : dict of Key -> Step
        In order; inputs are keys of other steps.
    outputs : list of Key
        The steps that the model's outputs are.
    removed : list of KerasLayer
        Layers that are gone.
    """
    found: dict[Key, Step] = {}
    place: dict[Key, Key] = {}
    removed = []
    for key, layer in model.layers.items():
        inputs = [place[k] for k in layer.inputs]
        if layer.layer_class in REMOVED:
            removed.append(layer)
            place[key] = inputs[0]
            continue
        before = found[inputs[0]] if len(inputs) == 1 else None
        alone = before is not None and _uses(model, found, place, inputs[0]) == 1
        if before is not None and alone and _joined(before, layer):
            place[key] = inputs[0]
            continue
        found[key] = Step(replace(layer, inputs=inputs), _own_activation(layer))
        place[key] = key
    return found, [place[key] for key in model.outputs], removed


def _own_activation(layer: KerasLayer) -> str:
    if layer.layer_class in ACTIVATIONS:
        return _activation(layer)
    if layer.layer_class in AFFINE:
        return activation_name(layer, layer.config.get("activation"))
    return "linear"


def _uses(model: KerasModel, found: dict[Key, Step], place: dict[Key, Key], key: Key) -> int:
    """How many layers, and outputs of the model, take what the step `key` gives."""
    same = {k for k, v in place.items() if v == key}
    uses = sum(k in same for layer in model.layers.values() for k in layer.inputs)
    # Inside one step, each layer that was joined, or removed behind it, took the one before.
    return uses - (len(same) - 1) + sum(k in same for k in model.outputs)


def _joined(before: Step, layer: KerasLayer) -> bool:
    """Make `layer` part of the step before it, if it can be."""
    if before.activation != "linear":
        return False
    kind = before.layer.layer_class
    if layer.layer_class in ACTIVATIONS:
        if kind not in (*AFFINE, *POOLS, *SUMS, "BatchNormalization"):
            return False
        before.activation = _activation(layer)
    elif layer.layer_class == "BatchNormalization":
        if kind not in AFFINE or scale_and_shift(layer)[2] != output_channels(before.layer):
            return False
        before.layer = _normalised(before.layer, layer)
        before.remarks.append(f"{layer.name} folded into W and b")
    else:
        return False
    before.joined.append(layer)
    return True


def _activation(layer: KerasLayer) -> str:
    if layer.layer_class == "ReLU":
        check_relu(layer, layer.config)
    name = ACTIVATIONS.get(layer.layer_class)
    return name or activation_name(layer, layer.config.get("activation"))


def scale_and_shift(layer: KerasLayer) -> tuple[np.ndarray, np.ndarray, int]:
    """``(scale, shift, channels)`` of a trained batch normalisation: ``y = scale x + shift``."""
    arrays = [np.asarray(w, dtype=float) for w in layer.weights]
    gamma = arrays.pop(0) if layer.config.get("scale", True) else None
    beta = arrays.pop(0) if layer.config.get("center", True) else None
    mean, variance = arrays
    scale = 1.0 / np.sqrt(variance + float(layer.config.get("epsilon", 1e-3)))
    if gamma is not None:
        scale = scale * gamma
    shift = -mean * scale
    if beta is not None:
        shift = shift + beta
    return scale, shift, len(scale)


def _normalised(layer: KerasLayer, norm: KerasLayer) -> KerasLayer:
    """A layer with a kernel, with the normalisation behind it in its weights."""
    scale, shift, _ = scale_and_shift(norm)
    arrays, bias = kernels(layer)
    last = arrays[-1]
    depthwise = layer.layer_class.startswith("Depthwise")
    factors = scale.reshape(last.shape[-2:]) if depthwise else scale
    bias = shift if bias is None else bias * scale + shift
    weights = [*arrays[:-1], last * factors, bias]
    return replace(layer, weights=weights, config={**layer.config, "use_bias": True})

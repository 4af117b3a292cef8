"""A Keras model as data: layers, their weights, and which feeds which. No TensorFlow needed.

Both ways in (a stored file, a live model) give the configuration that Keras itself writes; the
forms of Keras 2 and of Keras 3 are read here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...errors import ModelError

Key = tuple[str, int]
"""A use of a layer: its name, and how many uses of it came before."""

Json = dict[str, Any]
Weights = Callable[[tuple[str, ...], str, Json], list[np.ndarray]]
"""Path of enclosing models and layer name, class, configuration -> the layer's weights."""

MODELS = ("Functional", "Model", "Sequential")
"""Classes of models that are made of layers."""


@dataclass
class KerasLayer:
    """One use of one layer.

    Attributes
    ----------
    name : str
        With the names of the models it lies in: ``encoder/dense``.
    layer_class : str
        ``Dense``, ``Conv2D``, ...
    config : dict
        As Keras writes it.
    weights : list of ndarray
        In the order of Keras.
    inputs : list of Key
        Whose outputs it takes.
    position : int
        Its place in the model, from 1.
    model : KerasModel, optional
        What it consists of, if it is a model itself.
    """

    name: str
    layer_class: str
    config: Json
    weights: list[np.ndarray]
    inputs: list[Key]
    position: int
    model: KerasModel | None = None

    def __str__(self) -> str:
        return f"layer {self.position}, {self.name!r} ({self.layer_class})"


@dataclass
class KerasModel:
    """Layers in an order in which each comes after those that feed it.

    Attributes
    ----------
    name : str
    layers : dict of Key -> KerasLayer
    inputs, outputs : list of Key
    """

    name: str
    layers: dict[Key, KerasLayer] = field(default_factory=dict)
    inputs: list[Key] = field(default_factory=list)
    outputs: list[Key] = field(default_factory=list)


def parse_model(
    layer_class: str, config: Any, weights: Weights, path: tuple[str, ...] = ()
) -> KerasModel:
    """A model out of the configuration that Keras writes.

    Parameters
    ----------
    layer_class : str
        ``Sequential``, ``Functional`` or ``Model``.
    config : dict (or list: Sequential models of old)
    weights : callable
        Gives the weights of a layer.
    path : tuple of str
        Names of the models around this one.

    Raises
    ------
    ModelError
        If it is of another class, or its configuration is not one of Keras.
    """
    if layer_class not in MODELS:
        raise ModelError(
            f"the model is a {layer_class}, whose layers are known to its Python class alone; "
            "build it as a Sequential or functional model"
        )
    try:
        if layer_class == "Sequential":
            return _sequential(config, weights, path)
        return _functional(config, weights, path)
    except (KeyError, TypeError, IndexError, AttributeError, ValueError) as e:
        reason = " ".join(f"{type(e).__name__}: {e}".split())
        raise ModelError(
            f"the configuration of the model is not one that Keras 2 or 3 writes ({reason}); save "
            "it again with model.save"
        ) from e


def _layer(
    item: Json,
    weights: Weights,
    path: tuple[str, ...],
    inputs: list[Key],
    position: int,
) -> KerasLayer:
    config, kind = item["config"], item["class_name"].split(">")[-1]
    name = layer_name(item)
    full = "/".join((*path, name))
    if kind in MODELS:
        model = parse_model(kind, config, weights, (*path, name))
        return KerasLayer(full, kind, config, [], inputs, position, model)
    return KerasLayer(full, kind, config, weights(path, name, item), inputs, position)


def _sequential(config: Any, weights: Weights, path: tuple[str, ...]) -> KerasModel:
    items = config if isinstance(config, list) else config["layers"]
    named = {} if isinstance(config, list) else config
    model = KerasModel(named.get("name", "sequential"))
    if not items:
        raise ModelError(f"model {model.name!r} has no layers")
    if items[0]["class_name"] != "InputLayer":
        shape = batch_shape(items[0]["config"]) or named.get("build_input_shape")
        if shape is None and items[0]["class_name"] in MODELS:
            shape = _model_shape(items[0])
        if shape is None and not path:
            raise ModelError(
                f"model {model.name!r} does not say the shape of its input; begin it with "
                "keras.Input(shape)"
            )
        items = [
            {"class_name": "InputLayer", "config": {"name": "input", "batch_shape": shape}},
            *items,
        ]
    previous: list[Key] = []
    for i, item in enumerate(items):
        layer = _layer(item, weights, path, previous, i + 1)
        key = (layer.name, 0)
        model.layers[key] = layer
        previous = [key]
    model.inputs, model.outputs = [next(iter(model.layers))], previous
    return model


def _model_shape(item: Json) -> Sequence[int | None] | None:
    config = item["config"]
    inner = config if isinstance(config, list) else config["layers"]
    for layer in inner:
        shape = batch_shape(layer["config"])
        if shape is not None:
            return shape
    return None


def _functional(config: Json, weights: Weights, path: tuple[str, ...]) -> KerasModel:
    model = KerasModel(config.get("name", "model"))
    inputs, outputs = _ends(config["input_layers"]), _ends(config["output_layers"])
    uses = [[_inbound(node) for node in item["inbound_nodes"]] or [[]] for item in config["layers"]]
    counts = {layer_name(item): len(use) for item, use in zip(config["layers"], uses, strict=True)}
    # A model inside a model also counts the use that it was made with, which is not part of this
    # one: its numbers begin later.
    shift = dict.fromkeys(counts, 0)
    for name, number in [*inputs, *outputs, *(k for use in uses for keys in use for k in keys)]:
        if name not in counts:
            raise ModelError(f"model {model.name!r}: {name!r} feeds a layer, but is not part of it")
        shift[name] = max(shift[name], number - counts[name] + 1)

    def key(reference: Key) -> Key:
        name, number = reference
        return "/".join((*path, name)), number - shift[name]

    waiting: list[tuple[Key, KerasLayer]] = []
    for i, (item, use) in enumerate(zip(config["layers"], uses, strict=True)):
        for number, keys in enumerate(use):
            layer = _layer(item, weights, path, [key(k) for k in keys], i + 1)
            waiting.append(((layer.name, number), layer))
    while waiting:
        ready = [(k, v) for k, v in waiting if all(k in model.layers for k in v.inputs)]
        if not ready:
            raise ModelError(f"{waiting[0][1]}: it depends on itself; recurrence is not supported")
        model.layers.update(ready)
        waiting = [pair for pair in waiting if pair[0] not in model.layers]
    model.inputs, model.outputs = [key(k) for k in inputs], [key(k) for k in outputs]
    # Layers that lead to no output do nothing.
    needed: set[Key] = set(model.outputs)
    for used in reversed(model.layers):
        if used in needed:
            needed.update(model.layers[used].inputs)
    model.layers = {k: v for k, v in model.layers.items() if k in needed or k in model.inputs}
    return model


def layer_name(item: Json) -> str:
    """The name of a layer in a configuration."""
    config = item["config"]
    name = config.get("name") if isinstance(config, dict) else None
    return name or item.get("name") or item["class_name"].split(">")[-1].lower()


def _inbound(node: Any) -> list[Key]:
    """The inputs of one use of a layer, as Keras 3 (a dict) or Keras 2 (a list) writes them."""
    found: list[Key] = []
    if isinstance(node, dict):
        _tensors(node["args"], found)
        _tensors(node.get("kwargs", {}), found)
        return found
    if len(node) >= 3 and isinstance(node[0], str):
        node = [node]
    for entry in node:
        found.append((entry[0], int(entry[1])))
        # Further tensors given by keyword.
        for extra in (entry[3] if len(entry) > 3 else {}).values():
            if isinstance(extra, list) and len(extra) == 3 and isinstance(extra[0], str):
                found.append((extra[0], int(extra[1])))
    return found


def _tensors(value: Any, found: list[Key]) -> None:
    if isinstance(value, dict):
        if value.get("class_name") == "__keras_tensor__":
            name, number, _ = value["config"]["keras_history"]
            found.append((name, int(number)))
            return
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        for item in value:
            _tensors(item, found)


def _ends(ends: Any) -> list[Key]:
    if isinstance(ends, dict):
        ends = list(ends.values())
    if ends and isinstance(ends[0], str):
        ends = [ends]
    return [(end[0], int(end[1])) for end in ends]


def batch_shape(config: Json) -> Sequence[int | None] | None:
    """The shape, with the batch first, that a layer's configuration says it was built for."""
    for key in ("batch_shape", "batch_input_shape"):
        if config.get(key) is not None:
            return config[key]
    return None


def static_shape(layer: KerasLayer, shape: Sequence[int | None] | None) -> tuple[int, ...]:
    """A shape without its batch.

    Raises
    ------
    ModelError
        If it is unknown or not fixed.
    """
    if shape is None:
        raise ModelError(f"{layer}: its shape is not stored; begin the model with keras.Input")
    sizes = [n for n in shape[1:] if n is not None]
    if len(sizes) != len(shape) - 1:
        raise ModelError(
            f"{layer}: its shape {tuple(shape[1:])} is not fixed; give every size in keras.Input"
        )
    return tuple(int(n) for n in sizes)


def activation_name(layer: KerasLayer, value: Any) -> str:
    """The name of an activation, in whichever form a configuration gives it.

    Raises
    ------
    ModelError
        If it is a function of the user's own.
    """
    if value is None:
        return "linear"
    if isinstance(value, dict):
        inner = value.get("config")
        if isinstance(inner, str):
            value = inner
        elif isinstance(inner, dict) and not value.get("registered_name", "").count(">"):
            value = {"ReLU": "relu", "Softmax": "softmax"}.get(value.get("class_name", ""), "")
            if value == "relu":
                check_relu(layer, inner)
        else:
            value = ""
    if not isinstance(value, str) or not value or "<lambda>" in value or ">" in value:
        raise ModelError(
            f"{layer}: its activation is a function of its own; use relu, sigmoid, tanh or linear"
        )
    return value.rsplit(".", 1)[-1]


def check_relu(layer: KerasLayer, config: Json) -> None:
    """Refuse a ReLU that is not max(x, 0)."""
    slope = config.get("negative_slope") or config.get("alpha") or 0.0
    if config.get("max_value") is not None or slope or config.get("threshold"):
        raise ModelError(
            f"{layer}: only max(x, 0) is known, not a ReLU with a largest value, slope or "
            "threshold; use ReLU()"
        )

"""Networks out of NengoDL: trained parameters frozen, TensorNodes replaced by what they compute.

The only module that needs NengoDL and TensorFlow, and only in the environment that trained.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import nengo
import numpy as np

from ...errors import ModelError
from ..frozen.file import FrozenModel
from ..frozen.freeze import (
    Built,
    Part,
    build,
    freeze,
)
from ..frozen.network_map import network_records
from ..frozen.parameter_map import LayerRecord
from ..keras.layers import Conversion, Options, convert_model
from ..keras.model import (
    MODELS,
    Json,
    KerasLayer,
    KerasModel,
    Weights,
    parse_model,
)
from ..keras.values import Value
from .tensorflow import import_nengo_dl


def from_simulator(sim: Any) -> FrozenModel:
    """What a live `nengo_dl.Simulator` has built and trained.

    Parameters
    ----------
    sim : nengo_dl.Simulator
        Not closed yet.

    Raises
    ------
    ModelError
        If it is closed, or its network has something that cannot be frozen.
    """
    if sim.closed:
        raise ModelError(
            "the nengo_dl.Simulator is closed, and its trained numbers are gone; export inside its "
            "with block"
        )
    network = sim.model.toplevel
    nodes = _TensorNodes(network)

    def ensemble(ens: nengo.Ensemble) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        built = sim.model.params[ens]
        scaled, bias = sim.data.get_params((ens, "scaled_encoders"), (ens, "bias"))
        scaled, bias = _single(scaled, built.scaled_encoders), _single(bias, built.bias)
        # Encoders are trained with gain and radius in them; the gain is what connections to
        # neurons still use, as it was built.
        gain = np.asarray(built.gain, dtype=float)
        return scaled * ens.radius / gain[:, np.newaxis], gain, bias

    def weights(conn: nengo.Connection) -> Any:
        built = sim.model.params[conn].weights
        if built is None:
            return None
        (live,) = sim.data.get_params((conn, "weights"))
        return live if not isinstance(built, np.ndarray) else _single(live, built)

    frozen = freeze(network, Built(sim.model, ensemble, weights, nodes.make))
    records = network_records(frozen, nodes.records, nodes.inside)
    return FrozenModel(frozen, records, [], "nengo_dl.Simulator")


def _single(live: Any, built: Any) -> np.ndarray:
    """Numbers without the axis of a minibatch, which all share them."""
    live = np.asarray(live, dtype=float)
    return live[0] if live.ndim > np.ndim(built) else live


class _TensorNodes:
    """Makes the objects that stand for TensorNodes, and their records."""

    def __init__(self, network: nengo.Network) -> None:
        self.records: dict[Any, list[LayerRecord]] = {}
        self.inside: set[Any] = set()
        tensor_nodes = [n for n in network.all_nodes if hasattr(n, "tensor_func")]
        self._read = {conn.pre_obj for conn in network.all_connections}
        self._place = {node: i + 1 for i, node in enumerate(tensor_nodes)}

    def make(self, node: nengo.Node) -> Part | None:
        if node not in self._place:
            return None
        function = node.tensor_func
        place = self._place[node]
        name = node.label or getattr(function, "name", None) or f"TensorNode {place}"
        activation = _activation(function)
        if activation is None and not hasattr(function, "get_config"):
            raise ModelError(
                f"TensorNode {place}, {name!r}: it computes a Python function, which cannot be put "
                "on the chip; use a layer of Keras in nengo_dl.Layer"
            )
        if node.pass_time or node.shape_in is None:
            raise ModelError(
                f"TensorNode {place}, {name!r}: it looks at the time, which cannot be put on the "
                "chip; give the time as an input (a Node) and set pass_time=False"
            )
        shape = tuple(int(n) for n in node.shape_in)
        if activation is None:
            model = layer_model(function, shape, name, place)
        else:
            config = {"activation": activation}
            model = _one_layer(name, "Activation", config, [], shape, place)
        before = set(nengo.Network.context[-1].all_objects)
        entry = nengo.Node(size_in=int(node.size_in), label=f"{name}.in")
        prefix = "" if next(reversed(model.layers.values())).model is None else f"{name}/"
        conversion = Conversion(Options(), prefix)
        (out,) = conversion.convert(model, [Value(entry, shape)], node not in self._read)
        self.records[entry] = conversion.records
        self.inside |= set(nengo.Network.context[-1].all_objects) - before
        return entry, out.obj


def layer_model(layer: Any, shape: tuple[int, ...], name: str, position: int = 1) -> KerasModel:
    """A live layer (or model) of Keras, for inputs of the given shape.

    Parameters
    ----------
    layer : keras Layer
    shape : tuple of int
        Without the batch.
    name : str
        What to call it.
    position : int
        Its place, for errors.
    """
    kind = type(layer).__name__
    config = layer.get_config()
    known = type(layer).__module__.split(".")[0] in ("keras", "tf_keras", "tensorflow")
    inner = parse_model(kind, config, live_weights(layer)) if kind in MODELS else None
    arrays = [] if inner is not None else _arrays(layer)
    return _one_layer(
        name, kind if known else f"own {kind}", config, arrays, shape, position, inner
    )


def _one_layer(
    name: str,
    kind: str,
    config: Json,
    weights: list[np.ndarray],
    shape: tuple[int, ...],
    position: int,
    inner: KerasModel | None = None,
) -> KerasModel:
    source, key = ("input", 0), (name, 0)
    entry = KerasLayer("input", "InputLayer", {"batch_shape": (None, *shape)}, [], [], 0)
    made = KerasLayer(name, kind, config, weights, [source], position, inner)
    return KerasModel(name, {source: entry, key: made}, [source], [key])


def _activation(function: Any) -> str | None:
    """The name of one of Keras's own activation functions; None for anything else."""
    module = getattr(function, "__module__", None) or ""
    ours = module.startswith(("tf_keras.", "keras.")) and module.endswith("activations")
    return function.__name__ if ours and not hasattr(function, "get_config") else None


def live_weights(model: Any) -> Weights:
    """Looks weights up in a live model of Keras."""

    def weights(path: tuple[str, ...], name: str, item: Json) -> list[np.ndarray]:
        within = model
        for step in path:
            within = within.get_layer(step)
        try:
            return _arrays(within.get_layer(name))
        except ValueError:
            return []  # an input layer that a Sequential model does not count among its layers

    return weights


def _arrays(layer: Any) -> list[np.ndarray]:
    variables = list(layer.weights)
    if not variables:
        return []
    if type(layer).__module__.split(".")[0] == "keras" and hasattr(variables[0], "numpy"):
        return [np.asarray(v.numpy(), dtype=float) for v in variables]
    import tensorflow

    # NengoDL keeps variables in a graph of its own, from which only the backend reads.
    found = tensorflow.keras.backend.batch_get_value(variables)
    return [np.asarray(v, dtype=float) for v in found]


def from_keras(model: Any, options: Options, seed: int = 0) -> FrozenModel:
    """A live Keras model (Keras 2 or 3).

    Raises
    ------
    ModelError
        If it has layers that cannot be converted.
    """
    kind = type(model).__name__
    parsed = parse_model(kind, model.get_config(), live_weights(model))
    network, records = convert_model(parsed, options, seed)
    return FrozenModel(freeze(network), records, [], "Keras model")


def from_converter(converter: Any) -> FrozenModel:
    """A `nengo_dl.Converter`, with the weights that its Keras model has."""
    network = converter.net
    remarks = [unseeded(network, "built now")] if network.seed is None else []
    if any(hasattr(node, "tensor_func") for node in network.all_nodes):
        nengo_dl = import_nengo_dl()
        with _quiet(), nengo_dl.Simulator(network, progress_bar=False) as sim:
            model = from_simulator(sim)
    else:
        frozen = freeze(network, build(network))
        model = FrozenModel(frozen, network_records(frozen))
    model.source, model.remarks = "nengo_dl.Converter", remarks
    return model


def from_parameters(network: nengo.Network, path: str | Path) -> FrozenModel:
    """A network and the parameters that `nengo_dl.Simulator.save_params` wrote.

    Raises
    ------
    ModelError
        If the file is missing, or is that of another network.
    """
    path = Path(path)
    file = path if path.suffix == ".npz" else Path(f"{path}.npz")
    if not file.is_file():
        raise ModelError(f"{file}: no such file; give the one that nengo_dl's save_params wrote")
    nengo_dl = import_nengo_dl()
    with _quiet(), nengo_dl.Simulator(network, progress_bar=False) as sim:
        try:
            sim.load_params(str(file.with_suffix("")))
        except Exception as e:  # NumPy, TensorFlow and NengoDL each have their own
            reason = " ".join(f"{type(e).__name__}: {e}".split())
            raise ModelError(
                f"{file}: not the parameters of this network ({reason}); give the network that "
                "they were saved from"
            ) from e
        model = from_simulator(sim)
    if network.seed is None:
        model.remarks.append(unseeded(network, f"built now, not those trained with {file.name}"))
    model.source = f"network and {file.name}"
    return model


def unseeded(network: nengo.Network, which: str) -> str:
    """What to tell about a network without a seed."""
    name = f"network {network.label!r}" if network.label else "the network"
    return (
        f"{name} has no seed: its initial voltages, and what else was drawn, are those {which}; "
        "set nengo.Network(seed=...) before training"
    )


class _quiet(warnings.catch_warnings):
    """NengoDL says that it found no GPU; nobody needs one to freeze."""

    def __enter__(self) -> Any:
        entered = super().__enter__()
        warnings.filterwarnings("ignore", message="No GPU support detected")
        return entered


__all__ = [
    "from_converter",
    "from_keras",
    "from_parameters",
    "from_simulator",
    "layer_model",
    "live_weights",
    "unseeded",
]

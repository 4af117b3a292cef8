"""Neuron types, synapses and transforms of Nengo as plain JSON and arrays, and back.

Nothing is pickled: each type is known by its name, and only types that are known can be read.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import nengo
import numpy as np
import scipy.sparse as sp
from nengo import neurons, synapses, transforms

from ...errors import ModelError
from ...kernels.kernel import Parameter
from ..nengo.kernels import NEURONS
from ..nengo.neuron_type import KernelNeurons

Json = dict[str, Any]

NENGO_NEURONS: dict[str, type] = {
    cls.__name__: cls
    for cls in (
        neurons.Direct,
        neurons.RectifiedLinear,
        neurons.SpikingRectifiedLinear,
        neurons.Sigmoid,
        neurons.Tanh,
        neurons.LIFRate,
        neurons.LIF,
        neurons.AdaptiveLIFRate,
        neurons.AdaptiveLIF,
        neurons.Izhikevich,
        neurons.RegularSpiking,
        neurons.StochasticSpiking,
        neurons.PoissonSpiking,
    )
}
"""Nengo's own neuron types, by name."""

INSTEAD = {
    "SoftLIFRate": "LIF or LIFRate, which NengoDL smooths itself while it trains",
    "LeakyReLU": "RectifiedLinear",
    "SpikingLeakyReLU": "SpikingRectifiedLinear",
}
"""Neuron types of NengoDL -> what to use instead."""

SYNAPSES: dict[str, tuple[type, tuple[str, ...]]] = {
    "Lowpass": (synapses.Lowpass, ("tau",)),
    "Alpha": (synapses.Alpha, ("tau",)),
    "LinearFilter": (synapses.LinearFilter, ("num", "den", "analog", "method")),
    "Triangle": (synapses.Triangle, ("t",)),
}
"""Synapses by name, with the arguments that make them again."""

CONVOLUTIONS: dict[str, type] = {
    "Convolution": transforms.Convolution,
    "ConvolutionTranspose": transforms.ConvolutionTranspose,
}


class Arrays:
    """The arrays of a file, known in its JSON as ``{"array": KEY}``.

    Parameters
    ----------
    content : mapping of str -> ndarray, optional
        Those of a file that is read.
    """

    def __init__(self, content: Mapping[str, np.ndarray] | None = None) -> None:
        self.content = dict(content or {})

    def put(self, array: Any) -> Json:
        """Keep an array; its reference is returned."""
        array = np.asarray(array)
        if array.dtype.kind not in "fiub":
            raise ModelError(f"arrays of {array.dtype} cannot be stored; give numbers")
        key = f"a{len(self.content)}"
        self.content[key] = array
        return {"array": key}

    def get(self, reference: Any) -> np.ndarray:
        """The array of a reference."""
        return self.content[reference["array"]]


def neurons_to_json(neuron_type: neurons.NeuronType, arrays: Arrays, owner: str) -> Json:
    """A neuron type with its parameters and initial states.

    Parameters
    ----------
    neuron_type : nengo.neurons.NeuronType
    arrays : Arrays
        Takes the states.
    owner : str
        Names the ensemble in errors.

    Raises
    ------
    ModelError
        If the type is neither Nengo's nor made of a kernel, or a state is still a distribution.
    """
    cls = type(neuron_type)
    if NENGO_NEURONS.get(cls.__name__) is cls:
        data: Json = {"type": cls.__name__}
        names = set(inspect.signature(cls).parameters) - {"initial_state", "base_type"}
    elif issubclass(cls, KernelNeurons) and cls in NEURONS:
        data = {"kernel": cls.__name__}
        names = {*cls.kernel_class.declared(Parameter), "amplitude"}
    else:
        raise ModelError(
            f"{owner}: {cls.__name__} is no neuron type of Nengo; use "
            + INSTEAD.get(cls.__name__, f"one of {', '.join(sorted(NENGO_NEURONS))}")
            + ", or write it as a kernel (spikeloom.neuron_type)"
        )
    data["parameters"] = {name: plain(getattr(neuron_type, name)) for name in sorted(names)}
    base = getattr(neuron_type, "base_type", None)
    if base is not None:
        data["base"] = neurons_to_json(base, arrays, owner)
    states = neuron_type.initial_state or {}
    for name, value in states.items():
        if isinstance(value, nengo.dists.Distribution):
            raise ModelError(f"{owner}: its {name} is not frozen but drawn by {value}; freeze it")
    data["states"] = {name: arrays.put(value) for name, value in states.items()}
    return data


def neurons_from_json(data: Json, arrays: Arrays, owner: str) -> neurons.NeuronType:
    """The inverse of `neurons_to_json`.

    Raises
    ------
    ModelError
        If the type is not known here.
    """
    if "kernel" in data:
        cls = _kernel_type(data["kernel"], owner)
    elif data["type"] in NENGO_NEURONS:
        cls = NENGO_NEURONS[data["type"]]
    else:
        raise ModelError(f"{owner}: neuron type {data['type']!r} is not known; update Spikeloom")
    arguments = dict(data["parameters"])
    if "base" in data:
        arguments["base_type"] = neurons_from_json(data["base"], arrays, owner)
    states = {name: arrays.get(value) for name, value in data["states"].items()}
    return cls(**arguments, initial_state=states or None)


def _kernel_type(name: str, owner: str) -> type:

    found = [c for c in NEURONS if issubclass(c, KernelNeurons) and c.__name__ == name]
    if not found:
        raise ModelError(
            f"{owner}: its neuron type {name} was made of a kernel; import the file that makes it "
            "before this one is read"
        )
    return found[-1]


def synapse_to_json(synapse: synapses.Synapse | None, arrays: Arrays, owner: str) -> Json | None:
    """A synapse with its parameters; None for none.

    Raises
    ------
    ModelError
        If it is none of `SYNAPSES`.
    """
    if synapse is None:
        return None
    name = type(synapse).__name__
    if name not in SYNAPSES or SYNAPSES[name][0] is not type(synapse):
        raise ModelError(f"{owner}: synapse {name} cannot be stored; use {', '.join(SYNAPSES)}")
    data: Json = {"type": name}
    for argument in SYNAPSES[name][1]:
        value = getattr(synapse, argument)
        data[argument] = arrays.put(value) if isinstance(value, np.ndarray) else plain(value)
    return data


def synapse_from_json(data: Json | None, arrays: Arrays, owner: str) -> synapses.Synapse | None:
    """The inverse of `synapse_to_json`."""
    if data is None:
        return None
    if data["type"] not in SYNAPSES:
        raise ModelError(f"{owner}: synapse {data['type']!r} is not known; update Spikeloom")
    cls, names = SYNAPSES[data["type"]]
    values = {
        name: arrays.get(data[name]) if isinstance(data[name], dict) else data[name]
        for name in names
    }
    return cls(**values)


def transform_to_json(transform: transforms.Transform, arrays: Arrays, owner: str) -> Json:
    """A transform with its weights.

    Raises
    ------
    ModelError
        If it is of an unknown class, or its weights are still to be drawn.
    """
    cls = type(transform)
    data: Json = {"type": cls.__name__}
    if cls is transforms.NoTransform:
        return {**data, "size": int(transform.size_in)}
    init = transform.init
    if cls is transforms.Sparse:
        matrix = sparse_matrix(init)
        if isinstance(matrix.data, nengo.dists.Distribution):
            raise ModelError(f"{owner}: its sparse weights are not frozen but drawn; freeze them")
        return {
            **data,
            "shape": [int(n) for n in matrix.shape],
            "indices": arrays.put(matrix.indices),
            "values": arrays.put(matrix.data),
        }
    if isinstance(init, nengo.dists.Distribution):
        raise ModelError(f"{owner}: its weights are not frozen but drawn by {init}; freeze them")
    if cls is transforms.Dense:
        return {**data, "shape": [int(n) for n in transform.shape], "values": arrays.put(init)}
    if CONVOLUTIONS.get(cls.__name__) is cls:
        return {
            **data,
            "filters": int(transform.n_filters),
            "input_shape": [int(n) for n in transform.input_shape.shape],
            "kernel_size": [int(n) for n in transform.kernel_size],
            "strides": [int(n) for n in transform.strides],
            "padding": transform.padding,
            "channels_last": bool(transform.channels_last),
            "groups": int(transform.groups),
            "output_shape": [int(n) for n in transform.output_shape.shape],
            "values": arrays.put(init),
        }
    raise ModelError(
        f"{owner}: transform {cls.__name__} cannot be stored; use Dense, Sparse or Convolution"
    )


def transform_from_json(data: Json, arrays: Arrays, owner: str) -> transforms.Transform:
    """The inverse of `transform_to_json`."""
    if data["type"] == "NoTransform":
        return transforms.NoTransform(data["size"])
    if data["type"] == "Dense":
        return transforms.Dense(tuple(data["shape"]), init=arrays.get(data["values"]))
    if data["type"] == "Sparse":
        indices, values = arrays.get(data["indices"]), arrays.get(data["values"])
        return transforms.Sparse(tuple(data["shape"]), indices=indices, init=values)
    if data["type"] not in CONVOLUTIONS:
        raise ModelError(f"{owner}: transform {data['type']!r} is not known; update Spikeloom")
    arguments: Json = {
        "n_filters": data["filters"],
        "input_shape": tuple(data["input_shape"]),
        "kernel_size": tuple(data["kernel_size"]),
        "strides": tuple(data["strides"]),
        "padding": data["padding"],
        "channels_last": data["channels_last"],
        "init": arrays.get(data["values"]),
    }
    if data["type"] == "Convolution":
        return transforms.Convolution(**arguments, groups=data["groups"])
    return transforms.ConvolutionTranspose(**arguments, output_shape=tuple(data["output_shape"]))


def sparse_matrix(init: Any) -> transforms.SparseMatrix:
    """The entries of a sparse transform as Nengo's own class, whatever it was made from."""
    if isinstance(init, transforms.SparseMatrix):
        return init
    entries = sp.coo_array(init)
    return transforms.SparseMatrix(np.stack(entries.coords, axis=-1), entries.data, entries.shape)


def plain(value: Any) -> Any:
    """A number, text or truth value as JSON knows them; NumPy's scalars become Python's."""
    if isinstance(value, np.generic):
        return value.item()
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise ModelError(f"{value!r} of {type(value).__name__} cannot be stored; give a number")

"""Keras layers as objects of Nengo.

Each layer with a kernel becomes a connection; each activation a population of neurons; values that
only move are connections between slices. A neuron's current is ``J = gain * (W x + b) + bias``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import nengo
import numpy as np
from nengo.transforms import Dense, Transform

from ...errors import ModelError
from ..frozen.freeze import changed
from ..frozen.parameter_map import LayerRecord
from .model import (
    MODELS,
    KerasLayer,
    KerasModel,
    Key,
    batch_shape,
    static_shape,
)
from .pooling import max_pool
from .shapes import MOVES, Shape, moved
from .steps import (
    ACTIVATIONS,
    POOLS,
    SUMS,
    Step,
    scale_and_shift,
    steps,
)
from .transforms import (
    AFFINE,
    Affine,
    affine,
    average_pool,
)
from .values import Value

NEURONS: dict[str, Callable[[], nengo.neurons.NeuronType]] = {
    "relu": nengo.RectifiedLinear,
    "sigmoid": lambda: nengo.Sigmoid(tau_ref=1),
    "tanh": lambda: nengo.Tanh(tau_ref=1),
}
"""Activations of Keras -> neurons with that very curve, as `nengo_dl.Converter` chooses them."""

INSTEAD = {
    "Lambda": "layers of Keras (Dense, Add, Reshape, ...) that say the same",
    "LSTM": "nengo_dl.Layer of spiking neurons, or a recurrent Nengo network",
    "GRU": "nengo_dl.Layer of spiking neurons, or a recurrent Nengo network",
    "SimpleRNN": "nengo_dl.Layer of spiking neurons, or a recurrent Nengo network",
    "LayerNormalization": "BatchNormalization, which folds into the weights",
    "GroupNormalization": "BatchNormalization, which folds into the weights",
    "LeakyReLU": "ReLU",
    "PReLU": "ReLU",
    "ELU": "ReLU",
    "ThresholdedReLU": "ReLU",
    "GlobalMaxPooling1D": "GlobalAveragePooling1D",
    "GlobalMaxPooling2D": "GlobalAveragePooling2D",
    "Conv1DTranspose": "UpSampling1D and Conv1D",
    "Conv2DTranspose": "UpSampling2D and Conv2D",
    "Conv3D": "Conv2D with the planes as channels",
    "Multiply": "Add or Concatenate: products of two signals need neurons of their own",
    "Dot": "Dense",
    "Maximum": "Add or Average",
    "Embedding": "Dense on one-hot inputs",
    "TimeDistributed": "the layer inside it; time is the simulation's own",
    "Rescaling": "Dense or BatchNormalization, or scale the data",
}
"""Classes that are not known -> what to use instead."""


@dataclass
class Options:
    """How activations become neurons, as in `nengo_dl.Converter`.

    Attributes
    ----------
    swap_activations : mapping of str -> NeuronType
        Neurons for an activation, by its name: ``{"relu": nengo.LIF()}``.
    scale_firing_rates : float or mapping of layer name -> float
        Neurons get their input times this, and give their output divided by it.
    synapse : float or nengo Synapse, optional
        Filter behind all neurons.
    max_to_avg_pool : bool
        Average where the model takes the largest.
    """

    swap_activations: Mapping[str, nengo.neurons.NeuronType] = field(default_factory=dict)
    scale_firing_rates: float | Mapping[str, float] | None = None
    synapse: Any = None
    max_to_avg_pool: bool = False


class Conversion:
    """Makes objects of Nengo in the current network.

    Parameters
    ----------
    options : Options
    prefix : str
        In front of all labels.

    Attributes
    ----------
    records : list of LayerRecord
        The parameter map of what was made so far.
    """

    def __init__(self, options: Options, prefix: str = "") -> None:
        self.options = options
        self.prefix = prefix
        self.records: list[LayerRecord] = []

    def convert(self, model: KerasModel, inputs: list[Value], final: bool = True) -> list[Value]:
        """The outputs of a model with the given inputs.

        Parameters
        ----------
        model : KerasModel
        inputs : list of Value
        final : bool
            Whether its outputs are those of the whole network: nothing comes behind them.

        Raises
        ------
        ModelError
            If a layer is unknown, of a shape that is not fixed, or not to be had exactly.
        """
        order, outputs, removed = steps(model)
        values: dict[Key, Value] = dict(zip(model.inputs, inputs, strict=True))
        last = set(outputs) if final else set()
        for key, step in order.items():
            if key in values:
                continue
            layer = step.layer
            taken = [values[k] for k in layer.inputs]
            try:
                values[key] = self._step(step, taken, key in last)
            except (ValueError, KeyError, IndexError, TypeError) as e:
                reason = " ".join(f"{type(e).__name__}: {e}".split())
                raise ModelError(
                    f"{layer}: cannot be converted for inputs of shape {taken[0].shape} "
                    f"({reason}); save the model again after it was built"
                ) from e
        for layer in removed:
            self.records.append(
                LayerRecord(
                    layer.name, "removed", layer.layer_class, (), (), remark="training only"
                )
            )
        return [values[key] for key in outputs]

    # -- one step ----------------------------------------------------------------------------

    def _step(self, step: Step, inputs: list[Value], last: bool) -> Value:
        layer = step.layer
        kind = layer.layer_class
        if kind in MODELS:
            assert layer.model is not None
            outputs = self.convert(layer.model, inputs, last)
            if len(outputs) > 1:
                raise ModelError(f"{layer}: a model inside a model may have one output only")
            return outputs[0]
        if kind in AFFINE:
            return self._affine(step, inputs[0], last)
        if kind in MOVES:
            return self._moved(layer, inputs[0])
        if kind in POOLS:
            return self._averaged(step, inputs[0], last)
        if kind in ("MaxPooling1D", "MaxPooling2D"):
            return self._largest(step, inputs[0], last)
        if kind in SUMS:
            return self._sum(step, inputs, last)
        if kind == "BatchNormalization":
            return self._normalised(step, inputs[0], last)
        if kind in ACTIVATIONS:
            target = self._target(step, inputs[0].shape, inputs, last)
            self.connect(inputs[0], target.obj)
            self._record(step, "neurons", inputs[0].shape, target)
            return target
        instead = INSTEAD.get(kind)
        raise ModelError(
            f"{layer}: layers of class {kind} cannot be put on the chip; "
            + (f"use {instead} instead" if instead else "express it with Dense, Conv or pooling")
        )

    def _affine(self, step: Step, value: Value, last: bool) -> Value:
        made = affine(step.layer, value.shape)
        for norm in step.joined:
            _check_axis(norm, made)
        target = self._target(step, made.shape, [value], last, made.full_bias())
        source = value
        for i, transform in enumerate(made.transforms[:-1]):
            between = nengo.Node(
                size_in=transform.size_out, label=self._label(step, f"part{i + 1}")
            )
            self.connect(source, between, transform)
            source = Value(between, (transform.size_out,))
        self.connect(source, target.obj, made.transforms[-1], self._label(step, "W"))
        kind = "weights" if step.activation == "linear" else "weights and neurons"
        self._record(step, kind, value.shape, target)
        return target

    def _moved(self, layer: KerasLayer, value: Value) -> Value:
        places = moved(layer, value.shape)
        flat = places.ravel()
        same = flat.size == int(np.prod(value.shape)) and np.array_equal(flat, np.arange(flat.size))
        objects: tuple[str, ...] = ()
        obj = value.obj
        if not same:
            label = self.prefix + layer.name
            obj = nengo.Node(size_in=flat.size, label=label)
            kept = np.flatnonzero(flat >= 0)
            self.connect(value, obj[kept.tolist()], part=flat[kept].tolist())
            objects = (label,)
        self.records.append(
            LayerRecord(
                self.prefix + layer.name,
                "reshaping",
                layer.layer_class,
                value.shape,
                places.shape,
                objects=objects,
                remark="same values, same order" if same else "values moved",
            )
        )
        return Value(obj, places.shape, value.rates if same else self._momentary(value))

    def _averaged(self, step: Step, value: Value, last: bool) -> Value:
        transform, shape = average_pool(step.layer, value.shape)
        target = self._target(step, shape, [value], last)
        self.connect(value, target.obj, transform, self._label(step, "mean"))
        self._record(step, "pooling", value.shape, target)
        return target

    def _largest(self, step: Step, value: Value, last: bool) -> Value:
        if self.options.max_to_avg_pool:
            step.remarks.append("average instead of the largest: train again if accuracy suffers")
            return self._averaged(step, value, last)
        if not self._momentary(value):
            raise ModelError(
                f"{step.layer}: the largest of spikes is not that of the rates; use "
                "AveragePooling in the model, or give --max-to-avg-pool"
            )
        target = max_pool(step.layer, value, self.prefix + step.layer.name)
        self._record(step, "pooling", value.shape, target)
        return target

    def _sum(self, step: Step, inputs: list[Value], last: bool) -> Value:
        kind = step.layer.layer_class
        if kind == "Concatenate":
            return self._joined(step, inputs, last)
        shapes = {value.shape for value in inputs}
        if len(shapes) > 1:
            raise ModelError(f"{step.layer}: its inputs differ in shape {sorted(shapes)}; reshape")
        target = self._target(step, inputs[0].shape, inputs, last)
        size = target.obj.size_in
        for i, value in enumerate(inputs):
            factor = {"Average": 1.0 / len(inputs), "Subtract": 1.0 - 2.0 * i}.get(kind, 1.0)
            self.connect(value, target.obj, Dense((size, size), init=factor))
        self._record(step, "sum", inputs[0].shape, target)
        return target

    def _joined(self, step: Step, inputs: list[Value], last: bool) -> Value:
        axis = int(step.layer.config.get("axis", -1))
        axis = axis - 1 if axis > 0 else axis
        offsets = np.cumsum([0] + [int(np.prod(v.shape)) for v in inputs])
        numbers = np.concatenate(
            [
                np.arange(int(np.prod(v.shape))).reshape(v.shape) + offset
                for v, offset in zip(inputs, offsets, strict=False)
            ],
            axis=axis,
        )
        target = self._target(step, numbers.shape, inputs, last)
        place = np.argsort(numbers.ravel())
        for value, start, end in zip(inputs, offsets, offsets[1:], strict=False):
            self.connect(value, target.obj[place[start:end].tolist()])
        self._record(step, "sum", inputs[0].shape, target)
        return target

    def _normalised(self, step: Step, value: Value, last: bool) -> Value:
        scale, shift, size = scale_and_shift(step.layer)
        axis = step.layer.config.get("axis", -1)
        axis = int(axis[0] if isinstance(axis, (list, tuple)) else axis)
        axis = axis - 1 if axis > 0 else axis
        if value.shape[axis] != size:
            raise ModelError(f"{step.layer}: {size} channels do not suit inputs of {value.shape}")
        across = [1] * len(value.shape)
        across[axis] = -1
        full = np.broadcast_to(scale.reshape(across), value.shape).ravel()
        bias = np.broadcast_to(shift.reshape(across), value.shape).ravel()
        target = self._target(step, value.shape, [value], last, bias.copy())
        self.connect(value, target.obj, Dense((full.size, full.size), init=full.copy()))
        step.remarks.append(
            "a factor and a shift for each channel; no kernel before it to fold into"
        )
        self._record(step, "weights", value.shape, target)
        return target

    # -- objects -----------------------------------------------------------------------------

    def connect(
        self,
        value: Value,
        target: Any,
        transform: Transform | None = None,
        label: str | None = None,
        part: list[int] | None = None,
    ) -> None:
        """Connect what a layer gives, or a `part` of its elements; behind neurons the synapse."""
        nengo.Connection(
            value.obj if part is None else value.obj[part],
            target,
            synapse=self.options.synapse if value.neural else None,
            transform=transform,
            label=label,
        )

    def _target(
        self,
        step: Step,
        shape: Shape,
        inputs: list[Value],
        last: bool,
        bias: np.ndarray | None = None,
    ) -> Value:
        """Neurons for the step's activation, or a node where it has none."""
        layer, label, size = step.layer, self.prefix + step.layer.name, int(np.prod(shape))
        activation = step.activation
        if activation == "softmax":
            if not last:
                raise ModelError(f"{layer}: softmax is known at the output only; use relu")
            step.remarks.append("softmax left out: the largest output stays the largest")
            activation = "linear"
        neuron_type = self._neurons(layer, activation)
        if neuron_type is None:
            node = nengo.Node(size_in=size, label=label)
            if bias is not None:
                constant = nengo.Node(bias, label=f"{label}.bias")
                nengo.Connection(constant, node, synapse=None)
            return Value(node, shape, all(self._momentary(v) for v in inputs))
        gain = self._scale(layer)
        amplitude = float(getattr(neuron_type, "amplitude", 1.0))
        if gain != 1.0:
            if not hasattr(neuron_type, "amplitude"):
                raise ModelError(
                    f"{layer}: {type(neuron_type).__name__} neurons have no amplitude to undo the "
                    "scaled firing rates with; leave out --scale-firing-rates"
                )
            neuron_type = changed(neuron_type, {"amplitude": amplitude / gain})
        ens = nengo.Ensemble(
            size,
            1,
            neuron_type=neuron_type,
            encoders=np.ones((size, 1)),
            normalize_encoders=False,
            gain=np.full(size, gain),
            bias=np.zeros(size) if bias is None else gain * bias,
            label=label,
        )
        return Value(ens.neurons, shape, not neuron_type.spiking)

    def _momentary(self, value: Value) -> bool:
        """Whether the next layer gets the layer's output in each step, not spikes or an average."""
        return value.rates and not (value.neural and self.options.synapse is not None)

    def _neurons(self, layer: KerasLayer, activation: str) -> nengo.neurons.NeuronType | None:
        if activation in self.options.swap_activations:
            return self.options.swap_activations[activation]
        if activation == "linear":
            return None
        if activation not in NEURONS:
            raise ModelError(
                f"{layer}: activation {activation!r} has no neurons; use one of linear, "
                f"{', '.join(NEURONS)} in the model"
            )
        return NEURONS[activation]()

    def _scale(self, layer: KerasLayer) -> float:
        scale = self.options.scale_firing_rates
        if isinstance(scale, Mapping):
            scale = scale.get(layer.name, 1.0)
        return 1.0 if scale is None else float(scale)

    def _label(self, step: Step, what: str) -> str:
        return f"{self.prefix}{step.layer.name}.{what}"

    def _record(self, step: Step, kind: str, shape: Shape, target: Value) -> None:
        layer = step.layer
        names = [layer.layer_class, *(j.layer_class for j in step.joined)]
        kernel = layer.weights[0].shape if layer.layer_class in AFFINE else None
        bias = None
        if layer.layer_class in AFFINE and layer.config.get("use_bias", True):
            bias = layer.weights[-1].shape
        neurons = gain = own = synapse = None
        if isinstance(target.obj, nengo.ensemble.Neurons):
            ens = target.obj.ensemble
            neurons, own = str(ens.neuron_type), (0.0, 0.0)
            gain = (float(np.min(ens.gain)), float(np.max(ens.gain)))
            synapse = None if self.options.synapse is None else str(self.options.synapse)
        self.records.append(
            LayerRecord(
                self.prefix + layer.name,
                kind,
                " + ".join(names),
                shape,
                target.shape,
                kernel,
                bias,
                own,
                gain,
                neurons,
                synapse,
                (self.prefix + layer.name,),
                "; ".join(step.remarks),
            )
        )


def _check_axis(norm: KerasLayer, made: Affine) -> None:
    """Refuse a normalisation along another axis than the channels that it was folded into."""
    if norm.layer_class != "BatchNormalization":
        return
    axis = norm.config.get("axis", -1)
    axis = int(axis[0] if isinstance(axis, (list, tuple)) else axis)
    rank = len(made.shape)
    if (axis if axis < 0 else axis - 1 - rank) != (made.channel_axis % rank) - rank:
        raise ModelError(f"{norm}: normalises along axis {axis}, not the channels; use axis=-1")


def convert_model(
    model: KerasModel, options: Options, seed: int = 0
) -> tuple[nengo.Network, list[LayerRecord]]:
    """A Keras model as a network of Nengo with input nodes and probes of its outputs.

    Parameters
    ----------
    model : KerasModel
    options : Options
    seed : int
        Of the network: initial voltages come from it, for Keras knows none.

    Returns
    -------
    network : nengo.Network
        Input nodes are labelled as the input layers, probes as the layers that they look at.
    records : list of LayerRecord
        The parameter map.

    Raises
    ------
    ModelError
        See `Conversion.convert`.
    """
    conversion = Conversion(options)
    inputs = []
    with nengo.Network(add_to_container=False), nengo.Network(model.name, seed) as network:
        for key in model.inputs:
            layer = model.layers[key]
            shape = static_shape(layer, batch_shape(layer.config))
            node = nengo.Node(np.zeros(int(np.prod(shape))), label=layer.name)
            inputs.append(Value(node, shape))
            conversion.records.append(
                LayerRecord(
                    layer.name, "input", layer.layer_class, shape, shape, objects=(layer.name,)
                )
            )
        for key, value in zip(model.outputs, conversion.convert(model, inputs), strict=True):
            synapse = options.synapse if value.neural else None
            nengo.Probe(value.obj, synapse=synapse, label=key[0])
    return network, conversion.records

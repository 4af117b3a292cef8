"""`spikeloom.export`: from whatever trained a network to a file that needs none of it."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nengo

from ...errors import InputError
from ..keras.layers import NEURONS, Options
from .file import FrozenModel, save_frozen
from .freeze import freeze
from .network_map import network_records


def export(
    source: Any,
    path: str | Path,
    *,
    swap_activations: Mapping[Any, Any] | None = None,
    scale_firing_rates: float | Mapping[str, float] | None = None,
    synapse: Any = None,
    max_to_avg_pool: bool = False,
    seed: int = 0,
) -> FrozenModel:
    """Write a trained network to a ``.slm`` file, which every command takes as its model.

    What was *built* is frozen: decoders, gains, biases and initial voltages. The file needs neither
    TensorFlow nor NengoDL to be compiled or run.

    Parameters
    ----------
    source : nengo_dl.Simulator, nengo_dl.Converter, Keras model, nengo.Network or (network, path)
        A pair of a network and the file that NengoDL's ``save_params`` wrote is allowed, too.
    path : str or Path
        Place of the file; ``.slm`` by custom.
    swap_activations, scale_firing_rates, synapse, max_to_avg_pool
        How a Keras model's activations become neurons, as in `nengo_dl.Converter`; activations by
        their names, or as there by functions and neuron types: ``{"relu": nengo.LIF()}``.
    seed : int
        Of the initial voltages of a Keras model's neurons.

    Returns
    -------
    FrozenModel
        What was written; `map_rows` makes a table of its layers.

    Raises
    ------
    SpikeloomError
        If something in it cannot be frozen; the line names it and what to do.

    Warns
    -----
    UserWarning
        If the network has no seed and what is drawn is therefore not what was trained.
    """
    swapped = {_activation(key): neurons for key, neurons in (swap_activations or {}).items()}
    scale = scale_firing_rates
    if isinstance(scale, Mapping):
        scale = {getattr(layer, "name", layer): factor for layer, factor in scale.items()}
    options = Options(swapped, scale, synapse, max_to_avg_pool)
    model = _frozen(source, options, seed)
    for remark in model.remarks:
        warnings.warn(remark, stacklevel=2)
    save_frozen(model, path)
    return model


def _activation(key: Any) -> str:
    """The name of an activation that is given as a function, as neurons, or by its name."""
    if isinstance(key, nengo.neurons.NeuronType):
        names = [name for name, make in NEURONS.items() if make() == key]
        if not names:
            raise InputError(f"swap_activations: no activation of Keras becomes {key}; name one")
        return names[0]
    return getattr(key, "__name__", key)


def _frozen(source: Any, options: Options, seed: int) -> FrozenModel:
    module, kind = type(source).__module__.split(".")[0], type(source).__name__
    if isinstance(source, nengo.Network):
        from ..nengo_dl.networks import unseeded

        frozen = freeze(source)
        remarks = [unseeded(source, "built now")] if source.seed is None else []
        return FrozenModel(frozen, network_records(frozen), remarks, "nengo.Network")
    if isinstance(source, tuple) and len(source) == 2 and isinstance(source[0], nengo.Network):
        from ..nengo_dl.networks import from_parameters

        return from_parameters(*source)
    if module == "nengo_dl" and kind == "Simulator":
        from ..nengo_dl.networks import from_simulator

        return from_simulator(source)
    if module == "nengo_dl" and kind == "Converter":
        from ..nengo_dl.networks import from_converter

        return from_converter(source)
    if hasattr(source, "get_config") and hasattr(source, "layers"):
        from ..nengo_dl.networks import from_keras

        return from_keras(source, options, seed)
    raise InputError(
        f"a {kind} cannot be exported; give a nengo_dl.Simulator or Converter, a Keras model, a "
        "nengo.Network, or (network, parameters.npz)"
    )

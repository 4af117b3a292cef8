"""Trained networks out of files: ``MODEL.slm``, and Keras's ``MODEL.keras`` and ``MODEL.h5``.

Behind a colon may stand how the activations of a Keras model become neurons:
``MODEL.keras:neuron=spiking-relu,scale=100,synapse=0.005``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..compiler.errors import InputError, ModelError

if TYPE_CHECKING:
    from ..compiler.frontends.frozen.file import FrozenModel
    from ..compiler.frontends.keras.layers import Options

NEURONS = {
    "relu": "RectifiedLinear",
    "spiking-relu": "SpikingRectifiedLinear",
    "lif": "LIF",
    "lif-rate": "LIFRate",
    "adaptive-lif": "AdaptiveLIF",
}
"""Names of neurons -> Nengo's neuron types; they stand for a Keras model's relu."""

CHOICES = ("neuron", "amplitude", "scale", "synapse", "pooling")
"""What may be chosen behind the colon."""

_KERAS = re.compile(r"^(?P<path>.*\.(keras|h5|hdf5))(:(?P<choices>.*))?$")


def is_trained(reference: str) -> bool:
    """Whether a reference is to a file of this module."""
    return reference.endswith(".slm") or is_keras(reference)


def is_keras(reference: str) -> bool:
    """Whether a reference is to a Keras model."""
    return _KERAS.match(reference) is not None


def load_trained(reference: str) -> FrozenModel:
    """The network of a ``.slm``, ``.keras`` or ``.h5`` file, with its parameter map.

    Parameters
    ----------
    reference : str
        The file, for a Keras model with choices behind a colon.

    Raises
    ------
    ModelError
        If the file cannot be read, or has layers that cannot be converted.
    InputError
        If a choice is not understood.
    """
    found = _KERAS.match(reference)
    if found is None:
        from ..compiler.frontends.frozen.file import load_frozen

        return load_frozen(reference)
    from ..compiler.frontends.frozen.file import FrozenModel
    from ..compiler.frontends.keras.file import read_keras
    from ..compiler.frontends.keras.layers import convert_model

    path = found["path"]
    options = keras_options(reference, _choices(reference, found["choices"] or ""))
    model = read_keras(path)
    try:
        network, records = convert_model(model, options)
    except ModelError as e:
        raise ModelError(f"{path}: {e}") from e
    network.label = network.label or Path(path).stem
    return FrozenModel(network, records, [], "Keras model")


def with_choices(reference: str, **choices: Any) -> str:
    """The reference to a Keras model with further choices (those that are not None).

    Raises
    ------
    InputError
        If there are choices, but the reference is to another kind of file.
    """
    given = {name: value for name, value in choices.items() if value is not None}
    if not given:
        return reference
    if not is_keras(reference):
        raise InputError(
            f"--neuron, --amplitude, --scale-firing-rates, --synapse and --pooling are for Keras "
            f"models (.keras, .h5); {reference} says itself what its neurons are"
        )
    text = ",".join(f"{name}={value}" for name, value in given.items())
    return f"{reference}{',' if _KERAS.match(reference)['choices'] else ':'}{text}"  # type: ignore[index]


def _choices(reference: str, text: str) -> dict[str, str]:
    choices = {}
    for part in filter(None, text.split(",")):
        name, _, value = part.partition("=")
        if name not in CHOICES or not value:
            raise InputError(
                f"{reference}: {part!r} is not understood; choose by {', '.join(CHOICES)}, as in "
                "MODEL.keras:neuron=spiking-relu,scale=100"
            )
        choices[name] = value
    return choices


def keras_options(reference: str, choices: Mapping[str, str]) -> Options:
    """How activations become neurons.

    Parameters
    ----------
    reference : str
        Names the model in errors.
    choices : mapping of str -> str
        Of `CHOICES`.

    Raises
    ------
    InputError
        If a choice cannot be.
    """
    import nengo

    from ..compiler.frontends.keras.layers import Options

    options = Options()
    amplitude = _number(reference, choices, "amplitude")
    if "neuron" in choices:
        name = choices["neuron"]
        if name not in NEURONS:
            raise InputError(f"{reference}: no neuron {name!r}; choose one of {', '.join(NEURONS)}")
        options.swap_activations = {"relu": getattr(nengo, NEURONS[name])(amplitude=amplitude or 1)}
    elif amplitude is not None:
        raise InputError(f"{reference}: an amplitude needs neurons; choose neuron=... too")
    options.scale_firing_rates = _number(reference, choices, "scale")
    options.synapse = _number(reference, choices, "synapse", least=0.0)
    pooling = choices.get("pooling", "largest")
    if pooling not in ("largest", "average"):
        raise InputError(f"{reference}: pooling {pooling!r}: choose largest or average")
    options.max_to_avg_pool = pooling == "average"
    return options


def _number(
    reference: str, choices: Mapping[str, str], name: str, least: float | None = None
) -> float | None:
    if name not in choices:
        return None
    try:
        value = float(choices[name])
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or (value <= 0 if least is None else value < least):
        raise InputError(f"{reference}: {name}={choices[name]}: must be a positive number")
    return value

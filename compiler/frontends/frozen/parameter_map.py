"""Which trained number went where: one record a layer, for `spikeloom explain` and the manual."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class LayerRecord:
    """What became of one layer of the trained model.

    The neurons of a layer get the current ``J = gain * (W x + b) + bias``: `W` is the kernel, `b`
    the layer's own (Keras) bias, and `bias` what the neurons have of their own, which NengoDL
    trains apart from `b`.

    Attributes
    ----------
    name : str
        As the trained model calls it.
    kind : str
        What it became: ``input``, ``constant``, ``weights``, ``neurons``, ``weights and neurons``,
        ``reshaping``, ``pooling``, ``sum``, ``removed``.
    layer_class : str
        Class in the trained model: ``Dense``, ``Conv2D``, ``Ensemble``, ...
    shape_in, shape_out : tuple of int
        Without the batch.
    kernel_shape, bias_shape : tuple of int, optional
        Of W (as the trained model stores it) and of b; None if there is none.
    neuron_bias : tuple of float, optional
        Smallest and largest of the neurons' own bias.
    gain : tuple of float, optional
        Smallest and largest gain of the neurons.
    neuron_type : str, optional
        With its parameters.
    synapse : str, optional
        Filter between this layer and the next; None: no filter.
    objects : tuple of str
        Labels of the Nengo objects that it became.
    remark : str
        What else a person has to know: what was folded, removed or changed.
    """

    name: str
    kind: str
    layer_class: str
    shape_in: tuple[int, ...]
    shape_out: tuple[int, ...]
    kernel_shape: tuple[int, ...] | None = None
    bias_shape: tuple[int, ...] | None = None
    neuron_bias: tuple[float, float] | None = None
    gain: tuple[float, float] | None = None
    neuron_type: str | None = None
    synapse: str | None = None
    objects: tuple[str, ...] = ()
    remark: str = ""

    def to_json(self) -> dict[str, Any]:
        """Plain JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> LayerRecord:
        """The inverse of `to_json`."""
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in data.items()
        }
        return cls(**values)


HEADER = ("layer", "class", "shape", "kernel W", "bias b", "gain", "own bias", "neurons", "remark")
"""Columns of `map_rows`."""

FORMULA = "J = gain * (W x + b) + own bias"
"""How the columns of `map_rows` make a neuron's current."""


def map_rows(records: Sequence[LayerRecord]) -> list[list[str]]:
    """The parameter map as rows of text under `HEADER`."""
    return [
        [
            r.name,
            r.layer_class,
            f"{_shape(r.shape_in)} -> {_shape(r.shape_out)}",
            _shape(r.kernel_shape),
            _shape(r.bias_shape),
            _range(r.gain),
            _range(r.neuron_bias),
            r.neuron_type or "",
            r.remark,
        ]
        for r in records
    ]


def _shape(shape: tuple[int, ...] | None) -> str:
    return "" if shape is None else "x".join(str(n) for n in shape)


def _range(ends: tuple[float, float] | None) -> str:
    if ends is None:
        return ""
    low, high = ends
    return f"{low:.4g}" if low == high else f"{low:.4g} to {high:.4g}"

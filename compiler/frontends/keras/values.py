"""What a layer gives to the next while a Keras model becomes a network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nengo.base import ObjView
from nengo.ensemble import Neurons

from .shapes import Shape


@dataclass(frozen=True)
class Value:
    """An object of Nengo, and the shape of its values.

    Attributes
    ----------
    obj : nengo.Node or Neurons
    shape : tuple of int
    rates : bool
        Whether the values of each single step are the layer's output: neither spikes nor filtered.
    """

    obj: Any
    shape: Shape
    rates: bool = True

    @property
    def neural(self) -> bool:
        """Whether neurons give it, so that the synapse comes behind it."""
        obj = self.obj.obj if isinstance(self.obj, ObjView) else self.obj
        return isinstance(obj, Neurons)

"""Neuron types of Nengo with parameters that Nengo's own do not have."""

from __future__ import annotations

from ...kernels import neurons
from .neuron_type import neuron_type

LIF = neuron_type(neurons.LIF)

"""Which kernel stands for a neuron type or a synapse of Nengo, or why none does."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from functools import lru_cache

import nengo
import numpy as np
from nengo.builder.neurons import SimNeurons
from nengo.builder.processes import SimProcess
from nengo.synapses import LinearFilter

from ...errors import SpikeloomError
from ...kernels.adaptive import AdaptiveLIF
from ...kernels.filters import filter_sections
from ...kernels.izhikevich import Izhikevich
from ...kernels.kernel import Kernel
from ...kernels.neurons import LIF, RectifiedLinear, SpikingRectifiedLinear
from ...kernels.rates import AdaptiveLIFRate, LIFRate, Sigmoid, Tanh

NEURONS: dict[type, Callable[[nengo.neurons.NeuronType], Kernel]] = {
    nengo.LIF: lambda n: LIF(tau_rc=n.tau_rc, tau_ref=n.tau_ref, min_voltage=n.min_voltage),
    nengo.SpikingRectifiedLinear: lambda n: SpikingRectifiedLinear(),
    nengo.RectifiedLinear: lambda n: RectifiedLinear(),
    nengo.AdaptiveLIF: lambda n: AdaptiveLIF(
        tau_rc=n.tau_rc,
        tau_ref=n.tau_ref,
        min_voltage=n.min_voltage,
        tau_n=n.tau_n,
        inc_n=n.inc_n * n.amplitude,
    ),
    nengo.Izhikevich: lambda n: Izhikevich(
        tau_recovery=n.tau_recovery,
        coupling=n.coupling,
        reset_voltage=n.reset_voltage,
        reset_recovery=n.reset_recovery,
    ),
    nengo.LIFRate: lambda n: LIFRate(tau_rc=n.tau_rc, tau_ref=n.tau_ref),
    nengo.AdaptiveLIFRate: lambda n: AdaptiveLIFRate(
        tau_rc=n.tau_rc,
        tau_ref=n.tau_ref,
        tau_n=n.tau_n,
        inc_n=n.inc_n * n.amplitude / n.tau_ref,
    ),
    nengo.Sigmoid: lambda n: Sigmoid(),
    nengo.Tanh: lambda n: Tanh(),
}
"""Neuron types that run on the chip. Exact types: a subclass may step differently."""

RELATIVE = (nengo.LIFRate, nengo.AdaptiveLIFRate, nengo.Sigmoid, nengo.Tanh)
"""Types whose kernel's output is relative to 1 / tau_ref."""


def neuron_kernel(op: SimNeurons, dt: float) -> Kernel | str:
    """The kernel of a neuron operator, or the reason why it stays on the host."""
    make = NEURONS.get(type(op.neurons))
    if make is None:
        return f"{type(op.neurons).__name__} neurons have no kernel"
    try:
        return make(op.neurons)
    except SpikeloomError as e:
        return str(e)


def output_unit(op: SimNeurons, dt: float) -> float:
    """What one unit of the kernel's output is worth: amplitude/dt for a spike."""
    amplitude = float(getattr(op.neurons, "amplitude", 1.0))
    if type(op.neurons) in RELATIVE:
        return amplitude / float(op.neurons.tau_ref)
    return amplitude / dt if op.neurons.spiking else amplitude


@lru_cache(maxsize=256)
def _sections(process: LinearFilter, dt: float) -> tuple[Kernel, ...]:
    # Frozen objects are equal where their parameters are: a network has many of few kinds.
    return tuple(filter_sections(*process._get_ss(dt)) or ())


def synapse_kernels(op: SimProcess, dt: float) -> list[Kernel] | str:
    """The parallel sections of a synapse operator, or the reason why it stays on the host."""
    process = op.process
    name = type(process).__name__
    if not isinstance(process, LinearFilter):
        kind = "synapse" if isinstance(process, nengo.synapses.Synapse) else "process"
        return f"{kind} {name} is not a linear filter"
    if type(process).make_step is not LinearFilter.make_step:
        return f"synapse {name} steps in a way of its own"
    if op.mode != "update":
        return f"filter {name} without delay (of a learning rule)"
    if any(np.any(signal.initial_value) for signal in op.state.values()):
        return f"synapse {name} does not start at zero"
    try:
        sections = list(map(copy, _sections(process, dt)))
    except (SpikeloomError, np.linalg.LinAlgError) as e:
        return f"synapse {name}: {e}"
    if not sections:
        return f"synapse {name} has no well-conditioned sections"
    return sections

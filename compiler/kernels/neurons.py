"""Neuron models written in the kernel language."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .expression import clip, constant, divide, floor, maximum, scale, scaled, select, table
from .kernel import Input, Kernel, Parameter, State

REFRACTORY_FLOOR = -(2**13)
"""Steps since the end of the last refractory period are counted no further than this."""


class LIF(Kernel):
    """Leaky integrate-and-fire neuron with the spike's instant corrected inside the step.

    The equations are those of ``nengo.LIF`` (Nengo 4.1): the voltage is integrated exactly over
    the part of the step outside the refractory period, a spike's time is found from the overshoot,
    and the refractory period starts there. `reset` (0 in Nengo) may be chosen freely.

    The refractory time is kept to 1/256 of a step, the voltage to 2**-22 of the threshold (on a
    machine with narrower states, to as much as they hold): with fewer bits a current just above
    the threshold would never reach it.
    """

    emits = "events"
    payload_bits = 1
    threshold = 1.0
    tau_rc = Parameter(low=1e-9, unit="s")
    tau_ref = Parameter(low=0, unit="s")
    min_voltage = Parameter(high=0, default=0.0)
    reset = Parameter(low=-512, high=1, default=0.0)
    current = Input(range=(-4096, 4096), fraction=18)
    voltage = State(range=(-512, 512), fraction=22)
    refractory_time = State(range=(REFRACTORY_FLOOR, 2**13), fraction=8, unit="step")

    def step(self, state: Any, current: Any, dt: Any) -> tuple[Any, dict[str, Any]]:
        """One step; the refractory time counts in steps here."""
        refractory_time = maximum(state.refractory_time - 1, REFRACTORY_FLOOR)
        active = clip(1 - refractory_time, 0, 1)
        rise = table(
            lambda d: -np.expm1(-d * dt / self.tau_rc), active, range=(0, 1 - 2**-17), fraction=17
        )
        voltage = state.voltage + (current - state.voltage) * rise
        spike = voltage > 1

        full_rise = -np.expm1(-dt / self.tau_rc)
        overshoot = divide(voltage - 1, (current - 1) * scaled(full_rise, bound=1), bits=8)
        spike_time = table(
            lambda q: 1 + self.tau_rc / dt * np.log1p(-q * full_rise),
            overshoot,
            range=(0, 1),
            fraction=8,
        )
        tau_ref = constant(self.tau_ref / dt, range=(0, 2**12), fraction=8, like=current)
        lowest = constant(self.min_voltage, range=(-512, 0), fraction=22, like=current)
        reset = constant(self.reset, range=(-512, 1), fraction=22, like=current)
        return spike, {
            "voltage": select(spike, reset, maximum(voltage, lowest)),
            "refractory_time": select(spike, spike_time + tau_ref, refractory_time),
        }

    def event_interval(self, dt: float) -> int:
        """A neuron fires at most once per refractory period."""
        return max(1, math.floor(self.tau_ref / dt + 1e-9))

    def saturation_matters(self) -> bool:
        """Not where voltages are clipped anyway.

        At 4096 times the threshold a neuron fires within 5 us of a 20 ms time constant, and at
        minus that it falls to its lowest voltage: a larger current does the same.
        """
        return self.min_voltage < -1024  # type: ignore[no-any-return]


class SpikingRectifiedLinear(Kernel):
    """Integrate-and-fire neuron; several spikes in one step are one event with their number.

    The equations are those of ``nengo.SpikingRectifiedLinear`` (Nengo 4.1).
    """

    emits = "events"
    current = Input(range=(-(2**17), 2**17), fraction=12)
    voltage = State(range=(-1, 1), fraction=24)

    def step(self, state: Any, current: Any, dt: Any) -> tuple[Any, dict[str, Any]]:
        """One step; the voltage is what is left of the spike in the making."""
        voltage = state.voltage + scale(maximum(current, 0), scaled(dt, bound=1), fraction=24)
        spikes = floor(voltage)
        return spikes, {"voltage": voltage - spikes}

    def output_limit(self, input_limit: float, dt: float) -> float:
        """Spikes of one step at the largest current, with one left over from before."""
        return math.floor(input_limit * dt) + 1 if math.isfinite(input_limit) else math.inf


class RectifiedLinear(Kernel):
    """Rate neuron ``max(J, 0)``, as ``nengo.RectifiedLinear`` (Nengo 4.1)."""

    homogeneous = True
    current = Input()

    def step(self, state: Any, current: Any, dt: Any) -> tuple[Any, dict[str, Any]]:
        """One step; it has no state."""
        return maximum(current, 0), {}

    def output_limit(self, input_limit: float, dt: float) -> float:
        """The input's own bound."""
        return input_limit


class Relay(Kernel):
    """Hands its input on in the same step: a sum that others multiply with."""

    homogeneous = True
    sum = Input()

    def step(self, state: Any, sum: Any, dt: Any) -> tuple[Any, dict[str, Any]]:
        """One step; it has no state."""
        return sum, {}

    def output_limit(self, input_limit: float, dt: float) -> float:
        """The input's own bound."""
        return input_limit

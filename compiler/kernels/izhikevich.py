"""The neuron model of Izhikevich (2003): one quadratic and one linear equation, many behaviours."""

from __future__ import annotations

from typing import Any

from .expression import constant, maximum, scaled, select
from .kernel import Input, Kernel, Parameter, State


class Izhikevich(Kernel):
    """Izhikevich's neuron; voltages in millivolts.

    The equations, and the order of the updates in a step, are those of ``nengo.Izhikevich``
    (Nengo 4.1). Voltages below -256 are beyond what the equations can reach from currents of -30
    and more, to which Nengo limits them.
    """

    emits = "events"
    payload_bits = 1
    tau_recovery = Parameter(low=0, high=1, default=0.02)
    coupling = Parameter(low=0, high=8, default=0.2)
    reset_voltage = Parameter(low=-256, high=30, default=-65.0, unit="mV")
    reset_recovery = Parameter(low=-256, high=256, default=8.0)
    current = Input(range=(-1024, 1024), fraction=14)
    voltage = State(range=(-256, 256), fraction=18, initial=(0, 1))
    recovery = State(range=(-2048, 2048), fraction=18)

    def step(self, state: Any, current: Any, dt: Any) -> tuple[Any, dict[str, Any]]:
        """One step."""
        milliseconds = scaled(1000 * dt, bound=8)
        slope = (0.04 * state.voltage + 5) * state.voltage
        change = slope + 140 - state.recovery + maximum(current, -30)
        voltage = state.voltage + change * milliseconds
        spike = voltage >= 30
        reset = constant(self.reset_voltage, range=(-256, 30), fraction=18, like=current)
        voltage = select(spike, reset, voltage)

        towards = voltage * scaled(self.coupling, bound=8) - state.recovery
        recovery = state.recovery + towards * scaled(self.tau_recovery * 1000 * dt, bound=8)
        added = constant(self.reset_recovery, range=(-256, 256), fraction=18, like=current)
        return spike, {"voltage": voltage, "recovery": recovery + select(spike, added, 0)}

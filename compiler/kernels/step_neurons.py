"""Neurons that are stepped once per time step, as most spiking networks for training are.

Voltages are relative: a spike leaves 0, and 1 is the threshold. The current is what one time step
adds, so that time constants enter only as the share that leaks away in a step. There is no
refractory time, and a spike belongs to its whole step. NIR's neurons are brought to this form by
their importer.

Each neuron comes with four ways of resetting it, and (``Varied...``) with constants of its own for
each, kept in states that never change.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..errors import KernelError, RangeError
from .expression import scaled, select
from .kernel import Input, Kernel, Parameter, State

CURRENT = (-256, 256)
VOLTAGE = (-1024, 1024)
"""Ranges, in thresholds."""

LONGEST_SUM = 10.0
"""Seconds for which a neuron without leak holds its largest current; calibrate for longer."""

LEAK_BITS = 22
"""Bits behind the point of a neuron's own leak."""


class Stepped(Kernel):
    """A neuron whose constants hold for one time step only, in seconds; it refuses others."""

    time_step = Parameter(low=1e-12, unit="s")

    def input_gain(self, dt: float) -> float:
        """The input counts as it is; raises `RangeError` at another time step."""
        if abs(dt - self.time_step) > 1e-6 * self.time_step:
            raise RangeError(
                f"{type(self).__name__} neurons were made for a time step of {self.time_step:g} s, "
                f"not {dt:g} s: run them with dt={self.time_step:g}, or make the network again "
                f"for {dt:g} s"
            )
        return 1.0


class SteppedNeuron(Stepped):
    """Integrates its current; above 1 it fires and goes to 0. What the neurons below share."""

    emits = "events"
    payload_bits = 1
    current = Input(range=CURRENT, fraction=23)
    voltage = State(range=VOLTAGE, fraction=21)

    def step(self, state: Any, current: Any, dt: Any) -> tuple[Any, dict[str, Any]]:
        """One step."""
        current, kept = self.drive(state, current)
        voltage = state.voltage + current - state.voltage * self.voltage_leak(state)
        spike, voltage = self.fire(state.voltage, voltage)
        return spike, {"voltage": voltage, **kept}

    def drive(self, state: Any, current: Any) -> tuple[Any, dict[str, Any]]:
        """What is added to the voltage, and the other states of the neuron."""
        return current, {}

    def voltage_leak(self, state: Any) -> Any:
        """The share of the voltage that leaks away in a step."""
        raise KernelError(f"{type(self).__name__} does not say where its leak comes from")

    def fire(self, before: Any, voltage: Any) -> tuple[Any, Any]:
        """Whether it fires, and the voltage that is left; `before` is that of the last step."""
        spike = voltage > 1
        return spike, select(spike, 0, voltage)


class Subtracting(SteppedNeuron):
    """A spike takes 1 away from the voltage."""

    def fire(self, before: Any, voltage: Any) -> tuple[Any, Any]:
        """Whether it fires, and the voltage that is left."""
        spike = voltage > 1
        return spike, select(spike, voltage - 1, voltage)


class LateSubtracting(SteppedNeuron):
    """A spike takes 1 away in the step after it, when the voltage has already leaked."""

    def fire(self, before: Any, voltage: Any) -> tuple[Any, Any]:
        """Whether it fires, and the voltage, which is above 1 until the step after a spike."""
        voltage = select(before > 1, voltage - 1, voltage)
        return voltage > 1, voltage


class LateResetting(SteppedNeuron):
    """The voltage is 0 in the whole step after a spike: what enters in it is lost."""

    def fire(self, before: Any, voltage: Any) -> tuple[Any, Any]:
        """Whether it fires, and the voltage, which is above 1 until the step after a spike."""
        voltage = select(before > 1, 0, voltage)
        return voltage > 1, voltage


class StepLIF(SteppedNeuron):
    """Leaky integrate-and-fire: ``v += J - leak * v``; above 1 it fires, and v becomes 0."""

    leak = Parameter(low=0, high=1)

    def voltage_leak(self, state: Any) -> Any:
        """The share of the voltage that leaks away in a step."""
        return scaled(self.leak, bound=1)

    def rates(self, current: Any) -> Any:
        """Spikes per second at a constant current, for an array of currents."""
        return step_rates(current, self.leak, self.time_step)


class StepLIFSubtract(Subtracting, StepLIF):
    """`StepLIF` from whose voltage a spike takes 1 away."""


class StepLIFLateSubtract(LateSubtracting, StepLIF):
    """`StepLIF` from whose voltage 1 is taken in the step after a spike."""


class StepLIFLateReset(LateResetting, StepLIF):
    """`StepLIF` whose voltage is 0 in the whole step after a spike."""


class StepCubaLIF(StepLIF):
    """`StepLIF` with a synapse: ``i += J - synaptic_leak * i``, and i is what the voltage gets."""

    synaptic_leak = Parameter(low=0, high=1)
    synaptic_current = State(range=CURRENT, fraction=23)

    def drive(self, state: Any, current: Any) -> tuple[Any, dict[str, Any]]:
        """What is added to the voltage, and the other states of the neuron."""
        loss = state.synaptic_current * scaled(self.synaptic_leak, bound=1)
        current = state.synaptic_current + current - loss
        return current, {"synaptic_current": current}

    def rates(self, current: Any) -> Any:
        """Spikes per second at a constant current, for an array of currents."""
        return super().rates(current / max(self.synaptic_leak, 1e-12))


class StepCubaLIFSubtract(Subtracting, StepCubaLIF):
    """`StepCubaLIF` from whose voltage a spike takes 1 away."""


class StepCubaLIFLateSubtract(LateSubtracting, StepCubaLIF):
    """`StepCubaLIF` from whose voltage 1 is taken in the step after a spike."""


class StepCubaLIFLateReset(LateResetting, StepCubaLIF):
    """`StepCubaLIF` whose voltage is 0 in the whole step after a spike."""


class VariedStepLIF(SteppedNeuron):
    """`StepLIF` in which each neuron has a leak of its own."""

    own_leak = State(range=(0, 1), fraction=LEAK_BITS)

    def drive(self, state: Any, current: Any) -> tuple[Any, dict[str, Any]]:
        """What is added to the voltage, and the other states of the neuron."""
        return current, {"own_leak": state.own_leak}

    def voltage_leak(self, state: Any) -> Any:
        """The share of the voltage that leaks away in a step."""
        return state.own_leak

    def rates(self, current: Any) -> Any:
        """Spikes per second without leak: the equations do not know the leaks of all neurons."""
        return step_rates(current, 0.0, self.time_step)


class VariedStepLIFSubtract(Subtracting, VariedStepLIF):
    """`VariedStepLIF` from whose voltage a spike takes 1 away."""


class VariedStepLIFLateSubtract(LateSubtracting, VariedStepLIF):
    """`VariedStepLIF` from whose voltage 1 is taken in the step after a spike."""


class VariedStepLIFLateReset(LateResetting, VariedStepLIF):
    """`VariedStepLIF` whose voltage is 0 in the whole step after a spike."""


class VariedStepCubaLIF(VariedStepLIF):
    """`StepCubaLIF` in which each neuron has leaks of its own."""

    own_synaptic_leak = State(range=(0, 1), fraction=LEAK_BITS)
    synaptic_current = State(range=CURRENT, fraction=23)

    def drive(self, state: Any, current: Any) -> tuple[Any, dict[str, Any]]:
        """What is added to the voltage, and the other states of the neuron."""
        loss = state.synaptic_current * state.own_synaptic_leak
        current = state.synaptic_current + current - loss
        own = {"own_leak": state.own_leak, "own_synaptic_leak": state.own_synaptic_leak}
        return current, {"synaptic_current": current, **own}


class VariedStepCubaLIFSubtract(Subtracting, VariedStepCubaLIF):
    """`VariedStepCubaLIF` from whose voltage a spike takes 1 away."""


class VariedStepCubaLIFLateSubtract(LateSubtracting, VariedStepCubaLIF):
    """`VariedStepCubaLIF` from whose voltage 1 is taken in the step after a spike."""


class VariedStepCubaLIFLateReset(LateResetting, VariedStepCubaLIF):
    """`VariedStepCubaLIF` whose voltage is 0 in the whole step after a spike."""


class StepLI(Stepped):
    """Leaky integrator: ``v += J - leak * v``, and v is its output."""

    homogeneous = True
    leak = Parameter(low=0, high=1)
    current = Input()
    voltage = State()

    def step(self, state: Any, current: Any, dt: Any) -> tuple[Any, dict[str, Any]]:
        """One step."""
        voltage = state.voltage + current - state.voltage * scaled(self.leak, bound=1)
        return voltage, {"voltage": voltage}

    def output_limit(self, input_limit: float, dt: float) -> float:
        """What the largest current leads to in `LONGEST_SUM` at most; with a leak, however long."""
        return input_limit / max(self.leak, dt / LONGEST_SUM)

    def rates(self, current: Any) -> Any:
        """The output after a long time at constant currents (after one step without leak)."""
        return current / (self.leak or 1.0)


class Heaviside(Stepped):
    """Fires in every step in which its current is above 0; it has no state."""

    emits = "events"
    payload_bits = 1
    current = Input(range=(-1, 1), fraction=24)

    def step(self, state: Any, current: Any, dt: Any) -> tuple[Any, dict[str, Any]]:
        """One step."""
        return current > 0, {}

    def saturation_matters(self) -> bool:
        """Only the sign of the current counts."""
        return False

    def rates(self, current: Any) -> Any:
        """Spikes per second at constant currents."""
        return (current > 0) / self.time_step


def step_rates(current: Any, leak: float, time_step: float) -> Any:
    """Spikes per second of ``v += J - leak * v`` with a reset to 0, in whole steps."""
    current = np.asarray(current, dtype=float)
    with np.errstate(divide="ignore", invalid="ignore"):
        if leak <= 0:
            steps = 1 / current
        elif leak >= 1:
            steps = np.where(current > 1, 1.0, np.inf)
        else:
            steps = np.log1p(-leak / current) / math.log1p(-leak)
        steps = np.where(current > leak, np.floor(steps) + 1, np.inf)
    return 1 / (steps * time_step)

"""NIR's neurons as neuron types that are stepped, with what their constants become in a step.

NIR gives differential equations. They are integrated in steps of dt, by one of two methods:

``euler``
    Forward Euler, ``v += dt/tau * (v_leak - v + R I)``, as snnTorch and Norse do.
``exponential``
    Each equation is solved exactly for an input that is constant during the step:
    ``v += (1 - exp(-dt/tau)) * (v_leak - v + R I)``, as Sinabs does.

With both, a neuron with a synapse first gets its new current, and then its voltage from that one;
it fires in the step in which its voltage ends above the threshold, and other neurons have the spike
in the same step.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..nengo import step_neurons
from .graph import Item

EULER, EXPONENTIAL = "euler", "exponential"
METHODS = (EULER, EXPONENTIAL)

RESETS = {
    "nir": "",
    "subtract": "Subtract",
    "late-subtract": "LateSubtract",
    "late-reset": "LateReset",
}
"""Ways of resetting a neuron, with the ending of the neuron type's name."""

ROUNDING = 1e-5
"""Share by which a time constant of one step may be too short: files hold 32-bit floats."""


@dataclass(frozen=True)
class Discretisation:
    """How equations in continuous time become steps.

    Attributes
    ----------
    dt : float
        Seconds.
    method : str
        One of `METHODS`.
    reset : str
        One of `RESETS`.
    """

    dt: float
    method: str = EULER
    reset: str = "nir"

    def share(self, item: Item, name: str, size: int) -> np.ndarray:
        """(size,) share of the way to its goal that a variable with a time constant goes a step.

        Raises
        ------
        ModelError
            If a time constant is not positive, or too short for the method.
        """
        tau = flat(item, name, size)
        if (tau <= 0).any():
            raise item.error(f"{name} is {tau.min():g}; a time constant must be above 0 seconds")
        if self.method == EXPONENTIAL:
            return -np.expm1(-self.dt / tau)
        if (tau < self.dt * (1 - ROUNDING)).any():
            raise item.error(
                f"{name} is {tau.min():g} s, shorter than the time step of {self.dt:g} s: choose a "
                "smaller dt, or method=exponential"
            )
        return np.minimum(self.dt / tau, 1.0)


@dataclass(frozen=True)
class Population:
    """Neurons of one type.

    Attributes
    ----------
    members : int64 ndarray
        Which of the node's elements they are.
    neuron_type : nengo.neurons.NeuronType
    gain, bias : float64 ndarray
        ``J = gain * x + bias`` for the node's input x.
    """

    members: np.ndarray
    neuron_type: Any
    gain: np.ndarray
    bias: np.ndarray


@dataclass(frozen=True)
class Stage:
    """Populations side by side that make up all elements of a node."""

    populations: list[Population] = field(default_factory=list)


def flat(item: Item, name: str, size: int, default: float | None = None) -> np.ndarray:
    """A parameter for each of `size` elements, (size,) float64, in the order of `item`."""
    if default is not None and item.values.get(name) is None:
        return np.full(size, default)
    array = item.array(name).ravel()
    if array.size == 1:
        return np.full(size, array[0])
    return array if item.order is None else array[item.order]


def stages(item: Item, size: int, steps: Discretisation) -> list[Stage]:
    """The populations of a neuron node, in stages that follow one another within a step.

    Raises
    ------
    ModelError
        If parameters break the node's contract.
    """
    if item.kind == "Threshold":
        threshold = flat(item, "threshold", size)
        made = step_neurons.Heaviside(time_step=steps.dt, amplitude=steps.dt)
        return [Stage([Population(np.arange(size), made, np.ones(size), -threshold)])]
    if item.kind in ("I", "LI"):
        return [_integrators(item, size, steps, "tau" if item.kind == "LI" else None)]
    if item.kind == "CubaLI":
        share = steps.share(item, "tau_syn", size)
        gain = share * flat(item, "w_in", size, 1.0)
        synapse = _by_leak(share, gain, np.zeros(size), np.zeros(size), steps.dt)
        return [synapse, _integrators(item, size, steps, "tau_mem")]
    return [Stage([_firing(item, size, steps)])]


def _integrators(item: Item, size: int, steps: Discretisation, tau: str | None) -> Stage:
    r = flat(item, "r", size)
    if tau is None:
        nothing = np.zeros(size)
        return _by_leak(nothing, steps.dt * r, nothing, nothing, steps.dt)
    share, rest = steps.share(item, tau, size), flat(item, "v_leak", size)
    return _by_leak(share, share * r, share * rest, rest, steps.dt)


def _by_leak(
    leak: np.ndarray, gain: np.ndarray, bias: np.ndarray, start: np.ndarray, dt: float
) -> Stage:
    """Linear integrators: one population for each leak that occurs."""
    populations = []
    for value in np.unique(leak):
        members = np.flatnonzero(leak == value)
        made = step_neurons.StepLI(
            time_step=dt, leak=float(value), initial_state=_states(voltage=start[members])
        )
        populations.append(Population(members, made, gain[members], bias[members]))
    return Stage(populations)


def _firing(item: Item, size: int, steps: Discretisation) -> Population:
    threshold, reset = flat(item, "v_threshold", size), flat(item, "v_reset", size, 0.0)
    if (threshold <= reset).any():
        i = int(np.argmax(threshold <= reset))
        raise item.error(
            f"v_threshold {threshold[i]:g} is not above v_reset {reset[i]:g} (element {i}); it "
            "would fire for ever: export it with a lower v_reset"
        )
    unit, r = threshold - reset, flat(item, "r", size)
    synapse = item.kind == "CubaLIF"
    if item.kind == "IF":
        leak, drive, rest = np.zeros(size), steps.dt * r / unit, -reset / unit
        bias = np.zeros(size)
    else:
        leak = steps.share(item, "tau_mem" if synapse else "tau", size)
        drive, rest = leak * r / unit, (flat(item, "v_leak", size) - reset) / unit
        bias = leak * rest
    states = {"voltage": rest}
    values: dict[str, float] = {}
    constants = {"leak": leak}
    if synapse:
        # The current that holds the voltage at rest comes through the synapse, too.
        constants["synaptic_leak"] = share = steps.share(item, "tau_syn", size)
        states["synaptic_current"] = bias
        drive, bias = drive * share * flat(item, "w_in", size, 1.0), bias * share
    prefix = ""
    if all(np.ptp(array) == 0 for array in constants.values()):
        values = {name: float(array[0]) for name, array in constants.items()}
    else:
        prefix = "Varied"
        states |= {f"own_{name}": array for name, array in constants.items()}
    name = f"{prefix}Step{'Cuba' if synapse else ''}LIF{RESETS[steps.reset]}"
    made = getattr(step_neurons, name)(
        time_step=steps.dt, amplitude=steps.dt, initial_state=_states(**states), **values
    )
    return Population(np.arange(size), made, drive, bias)


def _states(**arrays: np.ndarray) -> Mapping[str, Any]:
    return dict(arrays)

"""Populations of the Graph as nodes of NIR, where NIR has a word for them."""

from __future__ import annotations

from typing import Any

import nir
import numpy as np

from ...graph import Population
from ...kernels.neurons import LIF
from ...kernels.step_neurons import (
    Heaviside,
    StepCubaLIF,
    StepLI,
    StepLIF,
    SteppedNeuron,
    VariedStepCubaLIF,
    VariedStepLIF,
)
from .neurons import EXPONENTIAL

FARTHEST = 1e-9
"""Difference of an initial state from that at rest which counts as none."""

PLAIN = (StepLIF, VariedStepLIF)
CUBA = (StepCubaLIF, VariedStepCubaLIF)


class NotSaid(Exception):
    """NIR has no word for something; the message says for what, and what to do."""


def is_delay(kernel: Any) -> bool:
    """Whether a kernel hands on the value of the step before, and does no more."""
    return bool(kernel.delayed) and type(kernel).__name__ == "Lowpass" and kernel.pole == 0


def unit_of(node: Any) -> float:
    """What 1 at the output of a node is worth in the network."""
    return node.output_unit if isinstance(node, Population) else 1.0


def neuron_node(node: Population, method: str, dt: float) -> tuple[Any, np.ndarray]:
    """The node of neurons, and the part of their bias that must come with their input.

    Its input is the population's: what is added to the voltage in a step. NIR's neurons begin at
    `v_leak`: so the initial voltage becomes that, and the bias loses what this adds.

    Raises
    ------
    NotSaid
        If NIR has no such neurons, or no such initial states.
    """
    kernel, n = node.kernel, node.size
    nothing, one = np.zeros(n), np.ones(n)
    if isinstance(kernel, Heaviside):
        return nir.Threshold(-node.bias), nothing
    if type(kernel) is LIF:
        return _lif_of_nengo(node)
    known = (StepLI, *PLAIN, *CUBA)
    if isinstance(kernel, SteppedNeuron) and type(kernel) not in known:
        name = type(kernel).__name__
        raise NotSaid(f"{name} neurons reset in a way of their own; NIR's go to v_reset")
    if type(kernel) not in known:
        name = type(kernel).__name__
        raise NotSaid(f"NIR has no {name} neurons; it has LIF, CubaLIF, IF, LI, I and Threshold")
    start, leak = node.initial["voltage"], _constant(node, "leak")
    if not leak.any() and type(kernel) not in CUBA:
        if isinstance(kernel, StepLI):
            _start(start, nothing, "voltage")
            return nir.I(r=one / dt), node.bias
        return nir.IF(r=one / dt, v_threshold=one - start, v_reset=-start), node.bias
    if (leak <= 0).any():
        raise NotSaid("some of the neurons have no leak; split them from the others")
    tau, left = _tau(leak, method, dt), node.bias - leak * start
    if isinstance(kernel, StepLI):
        return nir.LI(tau=tau, r=1 / leak, v_leak=start), left
    if type(kernel) in PLAIN:
        made = nir.LIF(tau=tau, r=1 / leak, v_leak=start, v_threshold=one, v_reset=nothing)
        return made, left
    share = _constant(node, "synaptic_leak")
    if (share <= 0).any():
        raise NotSaid("some of the synapses have no leak; split their neurons from the others")
    _start(node.initial["synaptic_current"], leak * start, "synaptic_current")
    made = nir.CubaLIF(
        tau_syn=_tau(share, method, dt),
        tau_mem=tau,
        r=1 / leak,
        v_leak=start,
        v_threshold=one,
        v_reset=nothing,
        w_in=1 / share,
    )
    return made, node.bias - share * leak * start


def _lif_of_nengo(node: Population) -> tuple[Any, np.ndarray]:
    kernel, one = node.kernel, np.ones(node.size)
    if kernel.tau_ref > 0:
        raise NotSaid("NIR has no refractory time; set tau_ref=0")
    if kernel.min_voltage > -512:
        raise NotSaid("NIR's voltages have no lower limit; set min_voltage=-np.inf")
    _start(node.initial["refractory_time"], 0 * one, "refractory_time")
    start = node.initial["voltage"]
    reset = one * kernel.reset
    made = nir.LIF(tau=one * kernel.tau_rc, r=one, v_leak=start, v_threshold=one, v_reset=reset)
    return made, node.bias - start


def synapse_node(node: Population, method: str, dt: float) -> tuple[Any, np.ndarray]:
    """The node of a filter whose value is read a step later, and the bias that is left.

    Raises
    ------
    NotSaid
        If the filter has more than one pole.
    """
    kernel = node.kernel
    if type(kernel).__name__ != "Lowpass" or not 0 < kernel.pole < 1:
        raise NotSaid("NIR's synapses are of first order; use nengo.Lowpass or None")
    leak = np.full(node.size, 1 - kernel.pole)
    start = node.initial["y"]
    made = nir.LI(tau=_tau(leak, method, dt), r=1 / leak, v_leak=start)
    return made, node.bias - leak * start


def _start(found: np.ndarray, wanted: np.ndarray, state: str) -> None:
    if np.abs(found - wanted).max(initial=0.0) > FARTHEST:
        raise NotSaid(f"NIR has no place for its initial {state}; begin at rest")


def _constant(node: Population, name: str) -> np.ndarray:
    own = node.initial.get(f"own_{name}")
    return np.full(node.size, getattr(node.kernel, name)) if own is None else own


def _tau(leak: np.ndarray, method: str, dt: float) -> np.ndarray:
    if method != EXPONENTIAL:
        return dt / leak
    if (leak >= 1).any():
        raise NotSaid("a leak of 1 has no time constant; pass method='euler'")
    return -dt / np.log1p(-leak)

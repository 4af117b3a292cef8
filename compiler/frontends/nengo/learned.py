"""Learned edges of the Graph: kernels of what rules look at, units and ranges."""

from __future__ import annotations

import numpy as np
from nengo.builder.neurons import SimNeurons

from ...graph import Plasticity
from ...kernels.kernel import Kernel
from ...kernels.observed import (
    Capture,
    FilteredCapture,
    Sight,
    activity_unit,
    fixed_capture,
    observed,
)
from .kernels import output_unit
from .learning import Captured, Fused, Learned, LearningRefused, weight_limit
from .placement import Placement


class LearningBuilder:
    """Makes what the edges with learned weights need.

    Parameters
    ----------
    placement : Placement
    """

    def __init__(self, placement: Placement) -> None:
        self.placement = placement
        self._states: dict[Fused, str] = {}
        self._constants: dict[Sight, np.ndarray] = {}
        self._sights: dict[SimNeurons, list[Sight]] = {}
        for learned in placement.learned.values():
            for name, place in learned.sources.items():
                if isinstance(place, Fused):
                    self._sights.setdefault(place.neurons, []).append(place.sight)
                    if name in learned.watched.constants:
                        self._constants[place.sight] = learned.watched.constants[name]

    def observed(self, op: SimNeurons) -> tuple[Kernel, dict[str, np.ndarray]]:
        """A neuron's kernel with what rules see of it, and how these further states begin."""
        kernel = self.placement.neurons[op]
        if op not in self._sights:
            return kernel, {}
        made, states = observed(kernel, self._sights[op])
        plain = kernel.state_units(self.placement.model.dt)
        initial = {n: np.zeros(op.output.size) for n in made.state_units(1.0) if n not in plain}
        for sight, state in states.items():
            self._states[Fused(op, sight)] = state
            if sight in self._constants:
                values = self._constants[sight]
                initial[state] = values / largest_constant(values)
        return made, initial

    def state(self, place: Fused) -> str:
        """The state in which a variable is found."""
        return self._states[place]

    def capture(self, learned: Learned, variable: str, captured: Captured) -> Kernel:
        """The kernel that captures a signal for a variable."""
        seen = learned.rule.seen()[variable]
        if seen.range is not None:
            if captured.tau is not None:
                raise LearningRefused(learned.op, f"{variable} is filtered and has a range")
            return fixed_capture(seen.range, seen.fraction or 0)()
        if captured.tau is None:
            return Capture()
        return FilteredCapture(tau=captured.tau)

    def plasticity(
        self, learned: Learned, name: str, places: dict[str, tuple[str, str]]
    ) -> Plasticity:
        """The learning of an edge; `places` are the nodes and states of the rule's variables."""
        units = {}
        for variable, place in learned.sources.items():
            if not isinstance(place, Fused):
                continue
            if place.sight.of == "activity":
                kernel = self.placement.neurons[place.neurons]
                worth = output_unit(place.neurons, self.placement.model.dt)
                units[variable] = activity_unit(kernel) * worth
            elif place.sight.of == "constant":
                units[variable] = largest_constant(learned.watched.constants[variable])
        return Plasticity(
            name=name,
            rule=learned.rule,
            variables=places,
            units=units,
            initial={
                state: np.asarray(signal.initial_value, float)
                for state, signal in learned.watched.states.items()
            },
            limit=weight_limit(learned, self.placement.model),
            origin=name,
        )


def largest_constant(values: np.ndarray) -> float:
    """What 1 of the normal form of constants is worth."""
    return float(np.max(np.abs(values), initial=0.0)) or 1.0

"""The operator of Nengo that steps a learning rule written in the language of rules, in float."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from nengo.builder.operator import Operator
from nengo.builder.signal import Signal

from ...kernels.observed import Sight
from ...kernels.rule import Rule
from ...machine import Machine


class SimRule(Operator):
    """Computes the change of a weight matrix by a `Rule`.

    Parameters
    ----------
    rule : Rule
    weights : Signal
        (post, pre); read.
    delta : Signal
        As large; its change is added by another operator in the next step. Updated.
    variables : mapping of str -> Signal
        What the rule sees; spikes and outputs as Nengo has them. Read.
    states : mapping of str -> Signal
        The synapses' own states, (post, pre). Updated.
    constants : mapping of str -> ndarray
        Variables that never change, one number for each neuron.
    sights : mapping of str -> Sight
        What of its neurons a variable is, where it is their spike or state.

    Notes
    -----
    1. sets ``[]``
    2. incs ``[]``
    3. reads ``[weights, *variables]``
    4. updates ``[delta, *states]``
    """

    def __init__(
        self,
        rule: Rule,
        weights: Signal,
        delta: Signal,
        variables: Mapping[str, Signal],
        states: Mapping[str, Signal],
        constants: Mapping[str, np.ndarray],
        sights: Mapping[str, Sight],
        tag: str | None = None,
    ) -> None:
        super().__init__(tag=tag)
        self.rule = rule
        unique = [weights, *dict.fromkeys(variables.values())]
        # Places in `reads`, whose signals Nengo's optimizer may exchange for others.
        self._places = {name: unique.index(signal) for name, signal in variables.items()}
        self.state_names = tuple(states)
        self.constants = dict(constants)
        self.sights = dict(sights)
        self.sets: list[Signal] = []
        self.incs: list[Signal] = []
        self.reads = unique
        self.updates = [delta, *states.values()]

    @property
    def weights(self) -> Signal:
        """The matrix that is learned."""
        return self.reads[0]

    @property
    def variables(self) -> dict[str, Signal]:
        """What the rule sees, by name."""
        return {name: self.reads[place] for name, place in self._places.items()}

    @property
    def delta(self) -> Signal:
        """Its change."""
        return self.updates[0]

    @property
    def states(self) -> dict[str, Signal]:
        """The synapses' own states by name."""
        return dict(zip(self.state_names, self.updates[1:], strict=True))

    def _gates(self, signals: Any) -> list[np.ndarray]:
        """Spikes without which nothing changes; none if something may change in any step."""
        gate = type(self.rule).code(Machine()).gate
        sides = {"pre": ("pre",), "post": ("post",), "either": ("pre", "post")}.get(gate, ())
        return [
            signals[self.variables[name]]
            for name, s in self.rule.seen().items()
            if s.of == "spike" and s.side in sides
        ]

    def make_step(self, signals: Any, dt: float, rng: Any) -> Any:
        """A function that steps all synapses once."""
        rule = self.rule
        weights, delta = signals[self.weights], signals[self.delta]
        states = {name: signals[signal] for name, signal in self.states.items()}
        seen = rule.seen()
        spikes = {name for name, s in seen.items() if s.of == "spike"}
        gates = self._gates(signals)

        def column(name: str, values: np.ndarray) -> np.ndarray:
            if values.shape == (1,):
                return values[:, None]
            return values[None, :] if seen[name].side == "pre" else values[:, None]

        fixed = {name: column(name, values) for name, values in self.constants.items()}
        live = {name: column(name, signals[signal]) for name, signal in self.variables.items()}

        def step() -> None:
            if gates and not any(np.any(gate) for gate in gates):
                delta[...] = 0  # proved for the rule: nothing changes without these spikes
                return
            now = {"weight": weights, **states, **fixed, **live}
            for name in spikes:
                now[name] = live[name] > 0
            new = rule.step_float(now, dt)
            change = new.pop("weight") - weights
            for name, values in new.items():
                states[name][...] = values
            delta[...] = change

        return step

"""Prescribed error sensitivity."""

from __future__ import annotations

from typing import Any

from ..expression import scaled
from ..parametrised import Parameter
from ..rule import Error, Pre, Rule


class PES(Rule):
    """Moves decoders against an error: ``dW = -learning_rate * dt / neurons * error * activity``.

    As ``nengo.PES`` (Nengo 4.1; MacNeil and Eliasmith 2011): `activity` is the pre neuron's,
    filtered by `pre_synapse`; `error` belongs to the row of weights.
    """

    modifies = "decoders"
    learning_rate = Parameter(default=1e-4)
    neurons = Parameter(low=1, default=1)
    activity = Pre("activity")
    error = Error()

    def step(self, now: Any, dt: Any) -> dict[str, Any]:
        """One step of one weight."""
        rate = scaled(self.learning_rate * dt / self.neurons)
        return {"weight": now.weight - now.error * now.activity * rate}

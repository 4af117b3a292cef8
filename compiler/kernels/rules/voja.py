"""Vector Oja."""

from __future__ import annotations

from typing import Any

from ..expression import as_weight, rounded, scaled
from ..parametrised import Parameter
from ..rule import Error, Post, Pre, Rule


class Voja(Rule):
    """Moves the encoders of active neurons to the input.

    ``dE = rate dt learning (gain post input - post E)``, as ``nengo.Voja`` (Nengo 4.1; Voelker,
    Crawford and Eliasmith 2014). `gain` is the neuron's gain divided by the radius, `learning` is 1
    plus the learning signal.
    """

    modifies = "encoders"
    learning_rate = Parameter(default=1e-2)
    input = Pre("input")
    post_activity = Post("activity")
    gain = Post("gain")
    learning = Error(scalar=True)

    def step(self, now: Any, dt: Any) -> dict[str, Any]:
        """One step of one encoder; `post * learning` belongs to the neuron alone.

        Weights and targets are seen with all bits that two multipliers take.
        """
        drive = rounded(now.post_activity * now.learning, 17)
        apart = rounded(now.weight, 30) - as_weight(now.gain * now.input, 30)
        change = rounded(apart * drive, 30)
        return {"weight": now.weight - change * scaled(self.learning_rate * dt)}

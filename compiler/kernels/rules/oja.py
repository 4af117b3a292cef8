"""Oja's rule."""

from __future__ import annotations

from typing import Any

from ..expression import rounded, scaled
from ..parametrised import Parameter
from ..rule import Post, Pre, Rule


class Oja(Rule):
    """Hebbian learning that keeps weights bounded: ``dW = rate dt (post pre - beta post^2 W)``.

    As ``nengo.Oja`` (Nengo 4.1; Oja 1982), with filtered activities.
    """

    learning_rate = Parameter(default=1e-6)
    beta = Parameter(low=0, default=1.0)
    pre_activity = Pre("activity")
    post_activity = Post("activity")

    def step(self, now: Any, dt: Any) -> dict[str, Any]:
        """One step of one weight; the decay needs no more of the weight than its upper bits."""
        post = now.post_activity
        growth = post * now.pre_activity * scaled(self.learning_rate * dt)
        drive = rounded(post * rounded(now.weight, 17), 17)
        decay = post * drive * scaled(self.learning_rate * self.beta * dt)
        return {"weight": now.weight + growth - decay}

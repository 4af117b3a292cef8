"""The rule of Bienenstock, Cooper and Munro."""

from __future__ import annotations

from typing import Any

from ..expression import rounded, scaled
from ..parametrised import Parameter
from ..rule import Post, Pre, Rule


class BCM(Rule):
    """Hebbian learning with a sliding threshold: ``dW = rate dt post (post - theta) pre``.

    As ``nengo.BCM`` (Nengo 4.1; Bienenstock, Cooper and Munro 1982); `theta` is the post neuron's
    activity behind a slower filter.
    """

    learning_rate = Parameter(default=1e-9)
    pre_activity = Pre("activity")
    post_activity = Post("activity")
    theta = Post("activity")

    def step(self, now: Any, dt: Any) -> dict[str, Any]:
        """One step of one weight."""
        post = now.post_activity
        drive = rounded(post * (post - now.theta), 17)
        return {"weight": now.weight + drive * now.pre_activity * scaled(self.learning_rate * dt)}

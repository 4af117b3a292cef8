"""Voltage-dependent synaptic plasticity."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..expression import clip, rounded, scaled, select, table
from ..parametrised import Parameter
from ..rule import Post, Pre, Rule, Weight


class VDSP(Rule):
    """At each post spike, the pre neuron's voltage says how long ago it fired.

    ``dw = lr exp(-alpha w) (1 - w) (exp(-v) - 1)`` where the pre voltage v < 0 (it fired lately and
    recovers from its reset), else ``-lr exp(alpha (w - 1)) w (exp(v) - 1)`` (Garg et al. 2022).
    Weights keep to 0..1, voltages to -1..1.

    One is the other with 1 - w in the place of w, so that both need one table of w alone; what
    depends on the voltage is computed once for each pre neuron.
    """

    learning_rate = Parameter(low=0, high=1, default=1e-3)
    alpha = Parameter(low=0, high=8, default=2.0)
    weight = Weight(range=(0, 1))
    post_spike = Post("spike")
    pre_voltage = Pre("voltage", range=(-1, 1), fraction=16)

    def step(self, now: Any, dt: Any) -> dict[str, Any]:
        """One step of one weight."""
        v = rounded(now.pre_voltage, 8)
        push = table(
            lambda v: np.sign(-v) * np.expm1(np.abs(v)), v, range=(-1.72, 1.72), fraction=16
        )
        w = rounded(now.weight, 9)
        room = table(
            lambda x: np.exp(-self.alpha * x) * (1 - x),
            select(v < 0, w, 1 - w),
            range=(0, 1 - 2**-17),
            fraction=17,
        )
        change = rounded(room * push, 16) * scaled(self.learning_rate)
        return {"weight": select(now.post_spike, clip(now.weight + change, 0, 1), now.weight)}

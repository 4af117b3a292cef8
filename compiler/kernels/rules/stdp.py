"""Spike-timing-dependent plasticity of pairs of spikes."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..expression import clip, scaled, select
from ..parametrised import Parameter
from ..rule import Post, Pre, Rule, Weight


class STDP(Rule):
    """Pair-based STDP with weights between 0 and 1.

    A post spike adds `a_plus` times the trace of the pre neuron, a pre spike subtracts `a_minus`
    times the trace of the post neuron (Song, Miller and Abbott 2000). A trace jumps by 1 at a
    spike and decays with `tau_plus` or `tau_minus`; spikes of the same step are a pair of both
    kinds.
    """

    a_plus = Parameter(low=0, high=1, default=5e-3)
    a_minus = Parameter(low=0, high=1, default=5.25e-3)
    tau_plus = Parameter(low=1e-4, default=0.02, unit="s")
    tau_minus = Parameter(low=1e-4, default=0.02, unit="s")
    weight = Weight(range=(0, 1))
    pre_spike = Pre("spike")
    post_spike = Post("spike")
    pre_activity = Pre("activity", tau="tau_plus")
    post_activity = Post("activity", tau="tau_minus")

    def step(self, now: Any, dt: Any) -> dict[str, Any]:
        """One step of one weight; a spike adds (1 - exp(-dt/tau)) / dt to a filtered activity."""
        to_plus_trace = -dt / np.expm1(-dt / self.tau_plus)
        to_minus_trace = -dt / np.expm1(-dt / self.tau_minus)
        up = select(now.post_spike, now.pre_activity * scaled(self.a_plus * to_plus_trace), 0)
        down = select(now.pre_spike, now.post_activity * scaled(self.a_minus * to_minus_trace), 0)
        return {"weight": clip(now.weight + up - down, 0, 1)}

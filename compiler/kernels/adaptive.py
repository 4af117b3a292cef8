"""Neurons that adapt: each spike leaves a current behind that slows the next ones down."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from .expression import constant, scaled, select
from .kernel import Parameter, State
from .neurons import LIF


class AdaptiveLIF(LIF):
    """`LIF` with an adaptation that is subtracted from the current.

    The equations are those of ``nengo.AdaptiveLIF`` (Nengo 4.1): ``tau_n dn/dt = -n``, and each
    spike adds `inc_n` / `tau_n`.
    """

    tau_n = Parameter(low=1e-3, default=1.0, unit="s")
    inc_n = Parameter(low=0, default=0.01)
    adaptation = State(range=(0, 512), fraction=22)

    def step(self, state: Any, current: Any, dt: Any) -> tuple[Any, dict[str, Any]]:
        """One step."""
        inner = SimpleNamespace(voltage=state.voltage, refractory_time=state.refractory_time)
        spike, new = super().step(inner, current - state.adaptation, dt)
        increment = constant(self.inc_n / self.tau_n, range=(0, 512), fraction=22, like=current)
        kept = state.adaptation - state.adaptation * scaled(dt / self.tau_n, bound=1)
        return spike, {**new, "adaptation": kept + select(spike, increment, 0)}

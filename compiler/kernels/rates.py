"""Rate neurons: a current's nonlinear function, by tables with straight lines between the entries.

Their outputs are relative to the largest rate, 1 / tau_ref: a unit that each population has for
itself, so that equal functions share their tables.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .curves import curve
from .expression import clip, maximum, scale, scaled
from .kernel import Input, Kernel, Parameter, State

OUTPUT_BITS = 17
"""Fraction bits of the outputs."""

POINTS = 1024
"""Entries of the curves, at most."""

ALMOST_ONE = 1 - 2.0**-OUTPUT_BITS


class Sigmoid(Kernel):
    """``1 / (1 + exp(-J))``, as ``nengo.Sigmoid`` (Nengo 4.1) relative to its largest rate."""

    current = Input(range=(-4096, 4096), fraction=18)

    def step(self, state: Any, current: Any, dt: Any) -> tuple[Any, dict[str, Any]]:
        """One step; it has no state."""
        inside = clip(current, -16, 16 - 2.0**-10)
        output = curve(lambda x: 1 / (1 + np.exp(-x)), inside, (0, ALMOST_ONE), OUTPUT_BITS, POINTS)
        return output, {}

    def output_limit(self, input_limit: float, dt: float) -> float:
        """One."""
        return 1.0

    def saturation_matters(self) -> bool:
        """Not where the function is flat."""
        return False


class Tanh(Kernel):
    """``tanh(J)``, as ``nengo.Tanh`` (Nengo 4.1) relative to its largest rate."""

    current = Input(range=(-4096, 4096), fraction=18)

    def step(self, state: Any, current: Any, dt: Any) -> tuple[Any, dict[str, Any]]:
        """One step; it has no state."""
        inside = clip(current, -8, 8 - 2.0**-10)
        return curve(np.tanh, inside, (-ALMOST_ONE, ALMOST_ONE), OUTPUT_BITS, POINTS), {}

    def output_limit(self, input_limit: float, dt: float) -> float:
        """At most one, and no more than the current."""
        return min(1.0, input_limit)

    def saturation_matters(self) -> bool:
        """Not where the function is flat."""
        return False


class LIFRate(Kernel):
    """The rate of a LIF neuron, as ``nengo.LIFRate`` (Nengo 4.1) relative to 1 / tau_ref.

    Just above the threshold the rate rises infinitely steeply, so the points of its curve lie the
    closer the smaller the current above the threshold is.
    """

    tau_rc = Parameter(low=1e-9, unit="s")
    tau_ref = Parameter(low=1e-6, unit="s")
    current = Input(range=(-4096, 4096), fraction=18)

    def rate(self, current: Any, fraction: int = OUTPUT_BITS) -> Any:
        """The rate at a current, to `fraction` bits."""
        ratio = self.tau_rc / self.tau_ref
        return curve(
            lambda x: 1 / (1 + np.log1p(1 / x) * ratio),
            maximum(current - 1, 0),
            (0, ALMOST_ONE),
            fraction,
            geometric=True,
        )

    def step(self, state: Any, current: Any, dt: Any) -> tuple[Any, dict[str, Any]]:
        """One step; it has no state."""
        return self.rate(current), {}

    def output_limit(self, input_limit: float, dt: float) -> float:
        """The rate at the largest current."""
        above = input_limit - 1
        if above <= 0:
            return 2.0**-OUTPUT_BITS
        if math.isinf(above):
            return 1.0
        return 1 / (1 + self.tau_rc / self.tau_ref * math.log1p(1 / above))

    def saturation_matters(self) -> bool:
        """Not where the function is flat."""
        return False


class AdaptiveLIFRate(LIFRate):
    """`LIFRate` with an adaptation that is subtracted from the current.

    As ``nengo.AdaptiveLIFRate`` (Nengo 4.1). `inc_n` is what a second at the rate 1 / tau_ref would
    add, were it not for the decay.
    """

    tau_n = Parameter(low=1e-3, default=1.0, unit="s")
    inc_n = Parameter(low=0, default=5.0)
    adaptation = State(range=(0, 512), fraction=22)
    output_rate = State(range=(0, 1), fraction=24)

    def step(self, state: Any, current: Any, dt: Any) -> tuple[Any, dict[str, Any]]:
        """One step."""
        output = self.rate(current - state.adaptation, fraction=24)
        added = scale(output, scaled(dt / self.tau_n * self.inc_n, bound=512), fraction=22)
        kept = state.adaptation - state.adaptation * scaled(dt / self.tau_n, bound=1)
        return output, {"adaptation": kept + added, "output_rate": output}

"""Float against fixed point, probe by probe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

SPIKES, VALUES = "spikes", "values"


@dataclass(frozen=True)
class Comparison:
    """The data of one probe from both simulators.

    Attributes
    ----------
    name : str
        Of the probe.
    what : str
        What is probed, in the names of the user's model.
    kind : str
        ``"spikes"`` or ``"values"``.
    times : (samples,) float64 ndarray
        Seconds.
    floating, fixed : (samples, size) float64 ndarray
    """

    name: str
    what: str
    kind: str
    times: np.ndarray
    floating: np.ndarray
    fixed: np.ndarray

    @property
    def rmse(self) -> float:
        """Root of the mean squared difference over all samples and elements."""
        difference = self.fixed - self.floating
        return float(np.sqrt(np.mean(difference**2))) if difference.size else 0.0

    @property
    def rms(self) -> float:
        """Root of the mean square of the float data: what `rmse` is to be seen against."""
        return float(np.sqrt(np.mean(self.floating**2))) if self.floating.size else 0.0

    def summary(self) -> dict[str, Any]:
        """The comparison as a JSON object.

        For spikes, which one more or less of shifts for good, the rates tell more than the RMSE
        over single steps: ``rate_rms_error_hz`` is over the neurons, ``identical_spikes`` the
        share of float's spikes that fixed point has in the same step.
        """
        summary: dict[str, Any] = {
            "probe": self.name,
            "what": self.what,
            "kind": self.kind,
            "samples": len(self.times),
            "size": int(self.fixed.shape[1]),
        }
        if self.kind == VALUES:
            relative = self.rmse / self.rms if self.rms else None
            largest = float(np.abs(self.fixed - self.floating).max(initial=0.0))
            summary |= {"rmse": self.rmse, "rms_of_float": self.rms, "relative_rmse": relative}
            return summary | {"largest_difference": largest}
        seconds = float(self.times[-1]) if len(self.times) else 0.0
        floating, fixed = self.floating > 0, self.fixed > 0
        count = int(floating.sum())
        rates = (fixed.sum(axis=0) - floating.sum(axis=0)) / seconds if seconds else np.zeros(1)
        return summary | {
            "spikes_float": count,
            "spikes_fixed": int(fixed.sum()),
            "identical_spikes": int((floating & fixed).sum()) / count if count else None,
            "rate_rms_error_hz": float(np.sqrt(np.mean(rates**2))) if rates.size else 0.0,
        }

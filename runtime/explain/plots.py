"""A picture of a neuron's first steps in float Nengo and in integers."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from ..report.plots import FIXED_COLOUR, FLOAT_COLOUR


def plot_neuron(neuron: dict[str, Any]) -> bytes:
    """Current, voltage and spikes over the steps, as a PNG file.

    Parameters
    ----------
    neuron : dict
        As `spikeloom.runtime.explain.neuron.explain_neuron` gives it.
    """
    steps = neuron["steps"]
    numbers = np.array([entry["step"] for entry in steps])
    signals = [name for name in ("current", "voltage", "output") if name in steps[0]]
    rows = len(signals) + ("spikes" in steps[0])
    figure = Figure(figsize=(8, 0.8 + 1.7 * rows), layout="constrained")
    all_axes = list(figure.subplots(rows, 1, sharex=True, squeeze=False)[:, 0])
    for axes, name in zip(all_axes, signals, strict=False):
        floats = [entry[name]["float"] for entry in steps]
        decoded = [entry[name]["decoded"] for entry in steps]
        axes.plot(numbers, floats, color=FLOAT_COLOUR, linewidth=4, label="float (Nengo)")
        axes.plot(numbers, decoded, color=FIXED_COLOUR, linewidth=1.2, marker=".", markersize=3,
                  label="fixed point")  # fmt: skip
        axes.set_ylabel(name)
    if "voltage" in signals and neuron["threshold"]:
        all_axes[signals.index("voltage")].axhline(
            neuron["threshold"]["float"], color="#c2410c", linewidth=0.8, linestyle="--"
        )
    if rows > len(signals):
        axes = all_axes[-1]
        for kind, colour, width in (("float", FLOAT_COLOUR, 5), ("fixed", FIXED_COLOUR, 1.5)):
            fired = [n for n, entry in zip(numbers, steps, strict=True) if entry["spikes"][kind]]
            axes.vlines(fired, 0, 1, color=colour, linewidth=width)
            if kind == "fixed":
                for n in fired:
                    axes.annotate(
                        str(n), (n, 1), xytext=(0, 2), textcoords="offset points", ha="center",
                        fontsize=7,
                    )  # fmt: skip
        axes.set_ylim(0, 1.3)
        axes.set_yticks([])
        axes.set_ylabel("spikes")
    for axes in all_axes:
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
    all_axes[0].legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, frameon=False, fontsize=8)
    all_axes[0].set_title(neuron["neuron"], loc="left", fontsize=10)
    all_axes[-1].set_xlabel("step")
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=110)
    return content.getvalue()

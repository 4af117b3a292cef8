"""The pictures of the report, as SVG texts that a page can hold."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..comparison import Comparison

FLOAT_COLOUR, FIXED_COLOUR, ERROR_COLOUR = "#9aa3ad", "#0b6e99", "#c2410c"
_COLOURS = ("#0b6e99", "#c2410c", "#4d7c0f", "#7e22ce")
_MOST_POINTS = 1500
_MOST_DIMENSIONS = 4
_MOST_NEURONS = 100


def plot_values(comparison: Comparison) -> str:
    """Float and fixed point over time, and their difference below, on its own scale."""
    figure, (above, below) = new_figure(3.1, 2, (3, 1))
    shown = min(comparison.fixed.shape[1], _MOST_DIMENSIONS)
    times, floating, fixed = (
        _thin(a) for a in (comparison.times, comparison.floating, comparison.fixed)
    )
    for d in range(shown):
        colour = _COLOURS[d % len(_COLOURS)]
        above.plot(times, floating[:, d], color=FLOAT_COLOUR, linewidth=2.6)
        above.plot(times, fixed[:, d], color=colour, linewidth=0.9)
        below.plot(times, fixed[:, d] - floating[:, d], color=colour, linewidth=0.7)
    above.plot([], [], color=FLOAT_COLOUR, linewidth=2.6, label="float (Nengo)")
    above.plot([], [], color=FIXED_COLOUR, linewidth=0.9, label="fixed point")
    _legend(above)
    below.axhline(0, color="#d5d9de", linewidth=0.6, zorder=0)
    below.set_ylabel("difference", fontsize=7)
    below.set_xlabel("s", fontsize=7)
    return to_svg(figure)


def plot_spikes(comparison: Comparison) -> str:
    """A raster: a dot for each spike of the fixed-point network, float's below it in grey."""
    neurons = min(comparison.fixed.shape[1], _MOST_NEURONS)
    figure, (axes,) = new_figure(1.2 + 0.02 * neurons, 1)
    for data, colour, size, label in (
        (comparison.floating, FLOAT_COLOUR, 5.0, "float (Nengo)"),
        (comparison.fixed, FIXED_COLOUR, 1.2, "fixed point"),
    ):
        step, neuron = np.nonzero(data[:, :neurons])
        axes.scatter(
            comparison.times[step], neuron, s=size, c=colour, linewidths=0, rasterized=True,
            label=label,
        )  # fmt: skip
    axes.set_ylabel("neuron", fontsize=7)
    axes.set_xlabel("s", fontsize=7)
    axes.set_ylim(-1, neurons)
    _legend(axes)
    return to_svg(figure)


def plot_cycles(cycles: np.ndarray, idle: int, dt: float) -> str:
    """Clock cycles of each step, over the floor that a step without spikes takes."""
    figure, (axes,) = new_figure(1.7, 1)
    times = _thin(np.arange(1, len(cycles) + 1) * dt)
    axes.fill_between(times, idle, _thin(cycles), color=FIXED_COLOUR, alpha=0.25, linewidth=0)
    axes.plot(times, _thin(cycles), color=FIXED_COLOUR, linewidth=0.7)
    axes.axhline(idle, color=ERROR_COLOUR, linewidth=0.8)
    axes.annotate(
        "without spikes", (times[-1], idle), xytext=(-2, 3), textcoords="offset points",
        ha="right", fontsize=7, color=ERROR_COLOUR,
    )  # fmt: skip
    axes.margins(y=0.15)  # spikes matter little beside the floor: the axis does not begin at 0
    axes.set_ylabel("cycles per step", fontsize=7)
    axes.set_xlabel("s", fontsize=7)
    return to_svg(figure)


def plot_memories(bits: Mapping[str, int]) -> str:
    """A bar for each memory, in kilobits."""
    names = [name for name, count in bits.items() if count]
    figure, (axes,) = new_figure(0.45 + 0.2 * len(names), 1)
    sizes = [bits[name] / 1024 for name in names]
    axes.barh(range(len(names)), sizes, color=FIXED_COLOUR, height=0.62)
    axes.set_yticks(range(len(names)), names, fontsize=7)
    axes.invert_yaxis()
    for row, size in enumerate(sizes):
        axes.annotate(
            f" {size:,.1f}", (size, row), va="center", fontsize=7, color="#3b4249"
        )  # fmt: skip
    axes.set_xlabel("kbit", fontsize=7)
    axes.margins(x=0.1)
    return to_svg(figure)


def new_figure(height: float, rows: int, ratios: tuple[int, ...] | None = None) -> tuple:
    """A figure of the report's width, and its axes, one below the other."""
    figure = Figure(figsize=(7.4, height), layout="constrained")
    grid = figure.subplots(
        rows, 1, sharex=True, squeeze=False, gridspec_kw={"height_ratios": ratios or (1,) * rows}
    )
    axes = list(grid[:, 0])
    for a in axes:
        a.tick_params(labelsize=7, colors="#3b4249", length=2)
        for side in ("top", "right"):
            a.spines[side].set_visible(False)
        for side in ("left", "bottom"):
            a.spines[side].set_color("#c3c9d0")
        a.margins(x=0.01)
    return figure, axes


def _legend(axes: Axes) -> None:
    axes.legend(
        loc="lower right", bbox_to_anchor=(1, 1), fontsize=7, ncols=2, frameon=False, markerscale=3
    )


def _thin(values: np.ndarray) -> np.ndarray:
    return values[:: max(1, -(-len(values) // _MOST_POINTS))]


def to_svg(figure: Figure) -> str:
    """The figure as an SVG element."""
    text = io.StringIO()
    # No date and a fixed salt: the same run gives the same page. Text stays text.
    settings: dict[Any, Any] = {
        "svg.hashsalt": "spikeloom",
        "svg.fonttype": "none",
        "font.family": "sans-serif",
    }
    with matplotlib.rc_context(settings):
        figure.savefig(text, format="svg", dpi=160, metadata={"Date": None})
    svg = text.getvalue()
    return svg[svg.index("<svg") :]

"""The pictures beside the advice, as SVG texts; None where there is nothing to show."""

from __future__ import annotations

import numpy as np

from .advice import FEW_SPIKES, LARGEST_ERROR
from .measured import Measured
from .plots import (
    ERROR_COLOUR,
    FIXED_COLOUR,
    new_figure,
    to_svg,
)

MOST_LAYERS = 12
"""Layers and parts that are drawn; of more, the largest."""

LEAST_ERROR = 1e-7
"""Errors below are drawn as this: the axis is logarithmic."""


def plot_rates(m: Measured) -> str | None:
    """Firing rates of each layer, sorted; red: a few spikes a presentation, and 1/tau_ref."""
    layers = sorted(m.layers, key=lambda layer: -len(layer.rates))[:MOST_LAYERS]
    if not layers:
        return None
    figure, (axes,) = new_figure(2.4, 1)
    for layer in layers:
        rates = np.sort(layer.rates)[::-1]
        places = np.linspace(0, 100, len(rates)) if len(rates) > 1 else np.array([50.0])
        mark = "o" if len(rates) == 1 else ""
        axes.plot(places, rates, linewidth=1.2, marker=mark, markersize=3, label=layer.name)
    span = m.seconds if m.presentation is None else min(m.presentation, m.seconds)
    lines = {FEW_SPIKES / span: f"{FEW_SPIKES:.0f} spikes in {span:g} s"} if span else {}
    limits = {1 / layer.tau_ref for layer in layers if layer.tau_ref}
    top = max(float(layer.rates.max(initial=0.0)) for layer in layers)
    lines |= {limit: "1/tau_ref" for limit in limits if limit < 2 * top}
    for level, text in lines.items():
        axes.axhline(level, color=ERROR_COLOUR, linewidth=0.8)
        axes.annotate(
            text, (100, level), xytext=(0, 2), textcoords="offset points", ha="right", fontsize=7,
            color=ERROR_COLOUR,
        )  # fmt: skip
    axes.set_ylabel("Hz", fontsize=7)
    axes.set_xlabel("% of the neurons", fontsize=7)
    axes.legend(fontsize=7, frameon=False, loc="upper right", ncols=2)
    return to_svg(figure)


def plot_errors(m: Measured) -> str | None:
    """Rounding errors of weights, relative to them: of each table's worst target; red: too much."""
    some = (t for t in m.tables if len(t.errors))
    tables = sorted(some, key=lambda t: -float(t.errors.max()))[:MOST_LAYERS]
    if not tables:
        return None
    figure, (axes,) = new_figure(0.6 + 0.2 * len(tables), 1)
    errors = [max(float(table.errors.max()), LEAST_ERROR) for table in tables]
    axes.barh(range(len(tables)), errors, color=FIXED_COLOUR, height=0.62)
    axes.set_yticks(range(len(tables)), [f"{t.source} → {t.target}" for t in tables], fontsize=7)
    axes.set_xscale("log")
    axes.set_xlim(LEAST_ERROR / 2, 1)
    axes.axvline(LARGEST_ERROR, color=ERROR_COLOUR, linewidth=0.8)
    axes.invert_yaxis()
    return to_svg(figure)


def plot_parts(m: Measured) -> str | None:
    """Clock cycles of a step by what is computed in them, on average."""
    parts = sorted(m.cycles.items(), key=lambda item: -item[1])[:MOST_LAYERS]
    if not parts:
        return None
    figure, (axes,) = new_figure(0.6 + 0.2 * len(parts), 1)
    axes.barh(range(len(parts)), [n for _, n in parts], color=FIXED_COLOUR, height=0.62)
    axes.set_yticks(range(len(parts)), [name for name, _ in parts], fontsize=7)
    for row, (_, count) in enumerate(parts):
        axes.annotate(f" {count:,.0f}", (count, row), va="center", fontsize=7, color="#3b4249")
    axes.invert_yaxis()
    axes.margins(x=0.1)
    axes.set_xlabel("cycles", fontsize=7)
    return to_svg(figure)

"""The picture of a sweep: metrics against parameters, with the spread over seeds."""

from __future__ import annotations

import io
from collections.abc import Sequence
from math import prod
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .settings import Value
from .table import Table, mean_and_spread
from .tasks import Outcome

COLOURS = ("#0b6e99", "#c2410c", "#4d7c0f", "#7e22ce", "#b45309", "#0f766e", "#be185d", "#475569")
MOST_METRICS = 4
MOST_LINES = len(COLOURS)
"""Values of a second parameter that get a line each; where there are more, all are one line."""

MOST_TICKS = 6
"""Values that an axis names one by one."""

LOGARITHMIC = 20.0
"""Largest over smallest value from which an axis is logarithmic."""


def plot(table: Table) -> Figure:
    """Draw a table: a row of axes for each metric, a column for each parameter with several values.

    Each point is the mean over all runs with this value; bands and bars are their standard
    deviation. Where another parameter has a few values, each of them has a line.
    """
    names = [n for n in table.names if len(_values(table.outcomes, n)) > 1] or table.names[:1]
    metrics = table.metrics[:MOST_METRICS]
    columns, rows = max(len(names), 1), max(len(metrics), 1)
    figure = Figure(figsize=(1 + 3.4 * columns, 0.5 + 2.6 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False, sharey="row")
    good = [o for o in table.outcomes if not o.error]
    joined = _is_grid(good, names)
    for row, metric in zip(grid, metrics, strict=False):
        for axes, name in zip(row, names, strict=False):
            second = _second(good, names, name) if joined else None
            _draw(axes, good, metric, name, second, joined)
        row[0].set_ylabel(metric)
    for axes, name in zip(grid[-1], names, strict=False):
        axes.set_xlabel(name)
    if not good:
        grid[0][0].set_title("no run gave a result", fontsize=9)
    for axes in grid.ravel():
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
    return figure


def to_png(figure: Figure) -> bytes:
    """The figure as a PNG file."""
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=110, metadata={"Software": None})
    return content.getvalue()


def _draw(
    axes: Axes,
    good: Sequence[Outcome],
    metric: str,
    name: str,
    second: str | None,
    joined: bool,
) -> None:
    found = [o for o in good if metric in o.metrics and name in o.run.setting]
    values = _values(found, name)
    numbers = all(_is_number(v) for v in values)
    lines: list[tuple[str, list[Outcome]]] = [("", found)]
    if second is not None:
        lines = [
            (f"{second} = {_shown(v)}", [o for o in found if o.run.setting.get(second) == v])
            for v in _values(found, second)
        ]
    for colour, (label, outcomes) in zip(COLOURS, lines, strict=False):
        here = _values(outcomes, name)
        x: list[Any] = list(here) if numbers else [values.index(v) for v in here]
        stats = [
            mean_and_spread([o.metrics[metric] for o in outcomes if o.run.setting[name] == v])
            for v in here
        ]
        mean = [m for m, _ in stats]
        width = 1.2 if joined else 0.0
        axes.plot(x, mean, color=colour, marker="o", markersize=3, linewidth=width, label=label)
        if numbers and joined:
            low, high = [m - s for m, s in stats], [m + s for m, s in stats]
            axes.fill_between(x, low, high, color=colour, alpha=0.18, linewidth=0)
        else:
            bars = [s for _, s in stats]
            axes.errorbar(x, mean, yerr=bars, color=colour, linewidth=0, elinewidth=1)
    if not numbers:
        axes.set_xticks(range(len(values)), [str(v) for v in values], fontsize=8)
    elif values and min(values) > 0 and max(values) / min(values) >= LOGARITHMIC:  # type: ignore[type-var, operator]
        axes.set_xscale("log")
    elif len(values) <= MOST_TICKS:
        axes.set_xticks(values, [_shown(v) for v in values])  # type: ignore[arg-type]
    if second is not None:
        axes.legend(frameon=False, fontsize=7, loc="upper left", bbox_to_anchor=(1.0, 1.0))


def _is_grid(good: Sequence[Outcome], names: Sequence[str]) -> bool:
    """Whether the settings are combinations of a few values, so that lines mean something."""
    settings = {tuple(o.run.setting.get(n) for n in names) for o in good}
    return len(names) < 2 or len(settings) >= prod(len(_values(good, n)) for n in names) / 2


def _second(good: Sequence[Outcome], names: Sequence[str], name: str) -> str | None:
    """The parameter whose values get a line each: the next one that has a few."""
    at = names.index(name)
    for other in [*names[at + 1 :], *names[:at]]:
        if 1 < len(_values(good, other)) <= MOST_LINES:
            return other
    return None


def _values(outcomes: Sequence[Outcome], name: str) -> list[Value]:
    """The values that a parameter has, numbers in order, others as they come."""
    found = list(dict.fromkeys(o.run.setting[name] for o in outcomes if name in o.run.setting))
    if all(_is_number(v) for v in found):
        return sorted(found)  # type: ignore[type-var]
    return found


def _shown(value: Value) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _is_number(value: Value) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)

import numpy as np
import pytest

from spikeloom.runtime.sweep.plot import plot
from spikeloom.runtime.sweep.table import Table
from spikeloom.runtime.sweep.tasks import Outcome, Run


def table(settings, seeds=3, **metrics):
    """A table whose metrics are functions of a setting and a seed."""
    return Table(
        [
            Outcome(
                Run(f"{i} {seed}", setting, seed),
                {name: f(setting, seed) for name, f in metrics.items()},
            )
            for i, setting in enumerate(settings)
            for seed in range(seeds)
        ]
    )


def test_a_line_for_each_value_of_the_second_parameter():
    grid = [{"lr": lr, "kind": kind, "one": 1} for lr in (0.001, 0.01, 0.1) for kind in "ab"]
    figure = plot(table(grid, loss=lambda s, seed: s["lr"] + seed + (s["kind"] == "b")))
    left, right = figure.axes
    assert (left.get_xlabel(), right.get_xlabel()) == ("lr", "kind")
    assert left.get_ylabel() == "loss"
    assert left.get_xscale() == "log"
    a, b = left.lines
    assert (a.get_label(), b.get_label()) == ("kind = a", "kind = b")
    np.testing.assert_allclose(a.get_ydata(), [1.001, 1.01, 1.1])  # means over three seeds
    np.testing.assert_allclose(b.get_ydata(), [2.001, 2.01, 2.1])
    band = left.collections[0].get_paths()[0].vertices
    assert band[:, 1].min() == pytest.approx(0.001)  # one standard deviation of 0, 1, 2
    assert [t.get_text() for t in right.get_xticklabels()] == ["a", "b"]
    assert len([line for line in right.lines if line.get_label().startswith("lr")]) == 3


def test_each_metric_has_a_row_and_points_of_a_search_are_not_joined():
    rng = np.random.default_rng(1)
    settings = [{"x": float(x), "y": float(y)} for x, y in rng.uniform(size=(20, 2))]
    figure = plot(table(settings, 1, a=lambda s, _: s["x"], b=lambda s, _: s["y"]))
    assert len(figure.axes) == 4
    assert [axes.get_ylabel() for axes in figure.axes] == ["a", "", "b", ""]
    for axes in figure.axes:
        assert axes.lines[0].get_linewidth() == 0
        assert len(axes.lines[0].get_xdata()) == 20


def test_tables_with_little_in_them():
    assert "no run" in plot(Table([Outcome(Run("1", {"x": 1}, 0), error="no")])).axes[0].get_title()
    assert len(plot(table([{}], m=lambda s, seed: seed)).axes) == 1
    one = plot(table([{"x": 1}], m=lambda s, seed: seed)).axes[0]
    assert list(one.lines[0].get_ydata()) == [1.0]
    mixed = plot(table([{"x": 1}, {"x": "a"}, {"y": 2}], m=lambda s, seed: float("nan")))
    assert mixed.axes

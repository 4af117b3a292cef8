"""The table of a sweep: a row for each run, the same however often the sweep was interrupted."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from ...compiler.errors import InputError, ToolError
from ...compiler.files import write_file
from .settings import Setting
from .tasks import Outcome

CSV, PARQUET = ".csv", ".parquet"


class Table:
    """What a sweep found.

    Attributes
    ----------
    outcomes : list of Outcome
    names : list of str
        What was varied.
    metrics : list of str
        What was measured.
    columns : list of str
        Settings, seed, metrics, error, and the run's name.
    """

    def __init__(self, outcomes: Sequence[Outcome]) -> None:
        self.outcomes = list(outcomes)
        self.names = list(dict.fromkeys(n for o in self.outcomes for n in o.run.setting))
        self.metrics = list(dict.fromkeys(n for o in self.outcomes for n in o.metrics))
        self.columns = [*self.names, "seed", *self.metrics, "error", "run"]

    def __len__(self) -> int:
        return len(self.outcomes)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.rows)

    @property
    def rows(self) -> list[dict[str, Any]]:
        """A dict for each run; None where it has no such value."""
        return [
            {
                **{name: o.run.setting.get(name) for name in self.names},
                "seed": o.run.seed,
                **{name: o.metrics.get(name) for name in self.metrics},
                "error": o.error,
                "run": o.run.name,
            }
            for o in self.outcomes
        ]

    @property
    def seconds(self) -> list[float]:
        """What each run took, in the order of `rows`: apart from them, as it differs each time."""
        return [o.seconds for o in self.outcomes]

    @property
    def failed(self) -> list[Outcome]:
        """The runs that gave no result."""
        return [o for o in self.outcomes if o.error]

    def summary(self) -> list[dict[str, Any]]:
        """For each setting the metrics' means and standard deviations over its seeds.

        Returns
        -------
        list of dict
            ``setting``, ``runs``, ``failed``, ``mean`` and ``spread`` by metric; the spread of a
            single run is 0. Values that are not finite make a mean that is not.
        """
        found: dict[tuple[Any, ...], list[Outcome]] = {}
        for o in self.outcomes:
            found.setdefault(_key(o.run.setting), []).append(o)
        rows = []
        for outcomes in found.values():
            mean, spread = {}, {}
            for name in self.metrics:
                values = [o.metrics[name] for o in outcomes if name in o.metrics]
                if values:
                    mean[name], spread[name] = mean_and_spread(values)
            rows.append(
                {
                    "setting": outcomes[0].run.setting,
                    "runs": len(outcomes),
                    "failed": sum(bool(o.error) for o in outcomes),
                    "mean": mean,
                    "spread": spread,
                }
            )
        return rows

    def csv(self) -> bytes:
        """The table as CSV: floats with all their digits, empty where there is no value."""
        return _csv(self.columns, [list(row.values()) for row in self.rows])

    def times_csv(self) -> bytes:
        """Seconds of each run, by its name."""
        return _csv(["run", "seconds"], [[o.run.name, round(o.seconds, 4)] for o in self.outcomes])

    def to_csv(self, path: str | Path) -> None:
        """Write it as CSV; the file appears whole."""
        write_file(path, self.csv())

    def to_parquet(self, path: str | Path) -> None:
        """Write it as Parquet; the file appears whole.

        Raises
        ------
        ToolError
            If pyarrow is not installed.
        InputError
            If a column holds numbers and texts.
        """
        write_file(path, self.parquet())

    def parquet(self) -> bytes:
        """The table as Parquet; see `to_parquet`."""
        check_parquet()
        import pyarrow
        import pyarrow.parquet

        columns = {}
        for name in self.columns:
            values = [row[name] for row in self.rows]
            if any(isinstance(v, float) for v in values):
                values = [
                    float(v) if isinstance(v, int) and not isinstance(v, bool) else v
                    for v in values
                ]
            try:
                columns[name] = pyarrow.array(values)
            except (pyarrow.ArrowInvalid, pyarrow.ArrowTypeError) as e:
                raise InputError(
                    f"{name}: has numbers and texts, which a Parquet column cannot; write a "
                    f"{CSV} file"
                ) from e
        file = io.BytesIO()
        pyarrow.parquet.write_table(pyarrow.table(columns), file)
        return file.getvalue()

    def plot(self, path: str | Path | None = None) -> Any:
        """Draw metrics against parameters, with the spread over seeds.

        Parameters
        ----------
        path : str or Path, optional
            A PNG file to write.

        Returns
        -------
        matplotlib.figure.Figure
        """
        from .plot import plot, to_png

        figure = plot(self)
        if path is not None:
            write_file(path, to_png(figure))
        return figure

    def __repr__(self) -> str:
        return f"<Table of {len(self)} runs: {', '.join(self.columns)}>"


def check_parquet() -> None:
    """See that Parquet can be written.

    Raises
    ------
    ToolError
        If pyarrow is not installed.
    """
    try:
        import pyarrow  # noqa: F401
    except ImportError as e:
        raise ToolError(
            "Parquet needs pyarrow: pip install 'spikeloom[parquet]'; or write a .csv file"
        ) from e


def mean_and_spread(values: Sequence[float]) -> tuple[float, float]:
    """Mean and standard deviation (of a sample); the spread of one value is 0."""
    if not all(math.isfinite(v) for v in values):
        return float("nan"), float("nan")
    return fmean(values), stdev(values) if len(values) > 1 else 0.0


def _key(setting: Setting) -> tuple[Any, ...]:
    return tuple(sorted((n, type(v).__name__, v) for n, v in setting.items()))


def _csv(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(head)
    for row in rows:
        writer.writerow(["" if v is None else repr(v) if isinstance(v, float) else v for v in row])
    return text.getvalue().encode()

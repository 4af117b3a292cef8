"""What one run of a sweep is, and what came of it."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from .settings import Setting
from .source import Function

DIGITS = 16
"""Hexadecimal digits of a run's name."""

_ADDRESS = re.compile(r" (?:object )?at 0x[0-9a-fA-F]+")


@dataclass(frozen=True)
class Experiment:
    """What all runs of a sweep have in common.

    Attributes
    ----------
    build, metric : Function
    time : float or None
        Seconds that a network runs before `metric` sees it; None leaves running it to `metric`.
    dt : float
        Time step in seconds.
    engine : str
    vary : tuple of str
        Those names of a setting that are ``label.parameter``, and not parameters of `build`.
    """

    build: Function
    metric: Function
    time: float | None = None
    dt: float = 0.001
    engine: str = "native"
    vary: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """What decides about results, apart from settings and seeds."""
        return {
            "build": self.build.to_json(),
            "metric": self.metric.to_json(),
            "time": self.time,
            "dt": self.dt,
            "engine": self.engine,
        }

    def run(self, setting: Setting, seed: int) -> Run:
        """The run of one setting with one seed."""
        return Run(name_of([self.to_json(), setting, seed]), setting, seed)


def name_of(content: Any) -> str:
    """A short hash of a JSON object: the same in every process and on every machine."""
    line = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(line.encode()).hexdigest()[:DIGITS]


@dataclass(frozen=True)
class Run:
    """One setting with one seed.

    Attributes
    ----------
    name : str
        A hash of all that decides about its result.
    setting : dict of name -> value
    seed : int
    """

    name: str
    setting: Setting
    seed: int


@dataclass(frozen=True)
class Outcome:
    """What came of a run.

    Attributes
    ----------
    run : Run
    metrics : dict of name -> float
    error : str
        One line; empty if it went well.
    seconds : float
        Time that it took: its share, where several ran together.
    warnings : tuple of str
    """

    run: Run
    metrics: dict[str, float] = field(default_factory=dict)
    error: str = ""
    seconds: float = 0.0
    warnings: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As `from_json` reads it."""
        return {
            "run": self.run.name,
            "setting": self.run.setting,
            "seed": self.run.seed,
            "metrics": self.metrics,
            "error": self.error,
            "seconds": round(self.seconds, 4),
            "warnings": list(self.warnings),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Outcome:
        """Read it back; `KeyError`, `TypeError` or `ValueError` if it is something else."""
        run = Run(str(data["run"]), dict(data["setting"]), int(data["seed"]))
        metrics = {str(name): float(value) for name, value in data["metrics"].items()}
        return cls(
            run, metrics, str(data["error"]), float(data["seconds"]), tuple(data["warnings"])
        )

    def of(self, run: Run) -> Outcome:
        """The same with a run whose names stand in another order."""
        return replace(self, run=run)


def failed(run: Run, error: str) -> Outcome:
    """A run that gave no result."""
    return Outcome(run, error=one_line(error))


def one_line(message: str, longest: int = 500) -> str:
    """A message in one line, the same in every process: without addresses of objects."""
    line = " ".join(_ADDRESS.sub("", message).split())
    return line if len(line) <= longest else line[: longest - 3] + "..."


def groups_of(runs: Sequence[Run], vary: Sequence[str], size: int) -> list[list[Run]]:
    """Runs in groups of at most `size`, those that can share most beside each other.

    That is those of one seed, whose neurons and decoders are the same unless a setting changes
    them; and among them those of one network.

    Parameters
    ----------
    runs : sequence of Run
    vary : sequence of str
        Names of settings that leave the network as it was built.
    size : int

    Returns
    -------
    list of list of Run
    """
    alike: dict[int, dict[str, list[Run]]] = {}
    for run in runs:
        built = {n: v for n, v in run.setting.items() if n not in vary}
        alike.setdefault(run.seed, {}).setdefault(name_of(built), []).append(run)
    ordered = [run for seed in alike.values() for found in seed.values() for run in found]
    return [ordered[i : i + size] for i in range(0, len(ordered), size)]

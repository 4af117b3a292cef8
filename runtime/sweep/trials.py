"""Settings that a sampler of Optuna chooses, after what it has seen of those before."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from statistics import fmean
from typing import Any

from ...compiler.errors import InputError, ToolError
from .settings import Setting, check_name, named, parse_span, parse_values, plain
from .tasks import Outcome, name_of

SAMPLERS = {
    "tpe": "TPESampler",
    "random": "RandomSampler",
    "qmc": "QMCSampler",
    "cmaes": "CmaEsSampler",
    "gp": "GPSampler",
}
"""Names for the command line -> classes of Optuna."""

MARK = "spikeloom"
"""User attribute that a trial of ours has in a study."""


class Trials:
    """Settings that a sampler of Optuna chooses.

    Parameters
    ----------
    sampler : optuna.samplers.BaseSampler or optuna.Study
        One with a seed makes a sweep that was interrupted go on exactly as it would have.
    space : mapping of name -> optuna distribution, or sequence of values
        Where to search.
    count : int
        Number of settings to try; with each, all seeds are run.
    objective : str
        The metric whose mean over the seeds the sampler sees.
    maximize : bool
        Whether more is better. A study has its own direction.
    at_once : int, optional
        Settings that are chosen, and run, at a time: by default as many as keep all workers busy.

    Raises
    ------
    InputError
        If `count` is not positive, or there is nothing to choose.
    """

    def __init__(
        self,
        sampler: Any,
        space: Mapping[str, Any],
        count: int,
        *,
        objective: str = "metric",
        maximize: bool = False,
        at_once: int | None = None,
    ) -> None:
        optuna = _optuna()
        if not space:
            raise InputError("space: there is nothing to choose; give names and distributions")
        if count < 1:
            raise InputError(f"trials = {count}: must be at least 1")
        if at_once is not None and at_once < 1:
            raise InputError(f"at_once = {at_once}: must be at least 1")
        self.space: dict[str, Any] = {}
        for name, values in space.items():
            check_name(name)
            if not isinstance(values, optuna.distributions.BaseDistribution):
                choices = [plain(name, value) for value in values]
                values = optuna.distributions.CategoricalDistribution(choices)
            self.space[name] = values
        self.count, self.objective, self.at_once = count, objective, at_once
        if isinstance(sampler, optuna.Study):
            self.study = sampler
            self.maximize = sampler.direction == optuna.study.StudyDirection.MAXIMIZE
            return
        if not isinstance(sampler, optuna.samplers.BaseSampler):
            raise InputError(f"{sampler!r} is no sampler and no study of Optuna")
        self.maximize = maximize
        shown = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        try:
            self.study = optuna.create_study(
                sampler=sampler, direction="maximize" if maximize else "minimize"
            )
        finally:
            optuna.logging.set_verbosity(shown)

    def to_json(self) -> dict[str, Any]:
        """What the sweep's description says of it."""
        return {
            "sampler": type(self.study.sampler).__name__,
            "space": {name: str(distribution) for name, distribution in self.space.items()},
            "trials": self.count,
            "objective": self.objective,
            "maximize": self.maximize,
        }

    def corners(self) -> list[Setting]:
        """Settings at the ends of the space: between them they have each name's extreme values."""
        ends = {name: _ends(distribution) for name, distribution in self.space.items()}
        most = max(len(values) for values in ends.values())
        return [
            {name: values[min(i, len(values) - 1)] for name, values in ends.items()}
            for i in range(most)
        ]

    def settings(
        self,
        at_once: int,
        known: Mapping[int, Setting],
        note: Callable[[dict[int, Setting]], None],
        run: Callable[[Sequence[Setting]], Sequence[Sequence[Outcome]]],
    ) -> Iterator[Setting]:
        """Choose, run and tell, until all trials are done.

        Parameters
        ----------
        at_once : int
        known : mapping of trial number -> setting
            Those that were chosen before the sweep was interrupted.
        note : callable
            Given the trials that were chosen, before they run.
        run : callable
            Gives the outcomes of each setting, one for each seed.

        Yields
        ------
        dict
            The setting of each trial.
        """
        mark = name_of([self.to_json()["space"], self.objective])
        told = {
            t.user_attrs[MARK][1]: t
            for t in self.study.get_trials(deepcopy=False)
            if t.state.is_finished() and t.user_attrs.get(MARK, [None])[0] == mark
        }
        for first in range(0, self.count, at_once):
            numbers = range(first, min(first + at_once, self.count))
            asked = {n: self._ask() for n in numbers if n not in told}
            chosen: dict[int, Setting] = {}
            for n in numbers:
                params = told[n].params if n in told else asked[n].params
                chosen[n] = dict(known[n]) if n in known else params
            note({n: chosen[n] for n in numbers if n not in known})
            found = run([chosen[n] for n in numbers])
            for n, outcomes in zip(numbers, found, strict=True):
                if n in asked:
                    self._tell(asked[n], chosen[n], self._value(outcomes), [mark, n])
                yield chosen[n]

    def _ask(self) -> Any:
        return self.study.ask(fixed_distributions=self.space)

    def _tell(self, trial: Any, setting: Setting, value: float | None, mark: Any) -> None:
        optuna = _optuna()
        states = optuna.trial.TrialState
        if trial.params != setting:
            # The sampler has no seed, and chose otherwise before the sweep was interrupted: it
            # learns what was found then.
            self.study.tell(trial, state=states.FAIL)
            self.study.add_trial(
                optuna.trial.create_trial(
                    state=states.FAIL if value is None else states.COMPLETE,
                    params=setting,
                    distributions=self.space,
                    value=value,
                    user_attrs={MARK: mark},
                )
            )
            return
        trial.set_user_attr(MARK, mark)
        if value is None:
            self.study.tell(trial, state=states.FAIL)
        else:
            self.study.tell(trial, value)

    def _value(self, outcomes: Sequence[Outcome]) -> float | None:
        """What the sampler sees of a setting; None if one of its runs failed."""
        values = []
        for outcome in outcomes:
            if outcome.error:
                return None
            if self.objective not in outcome.metrics:
                raise InputError(
                    f"objective {self.objective!r}: metric gives "
                    f"{', '.join(outcome.metrics)}; choose one of these"
                )
            values.append(outcome.metrics[self.objective])
        value = fmean(values)
        return value if math.isfinite(value) else None


def sampler_named(name: str, seed: int = 0) -> Any:
    """A sampler by its name on the command line, ``optuna:tpe``.

    Raises
    ------
    InputError
        If there is none of that name.
    ToolError
        If Optuna, or what the sampler needs, is not installed.
    """
    library, _, kind = name.partition(":")
    if library != "optuna" or kind not in SAMPLERS:
        known = ", ".join(f"optuna:{n}" for n in SAMPLERS)
        raise InputError(f"--sampler {name}: is not known; choose one of {known}")
    optuna = _optuna()
    try:
        return getattr(optuna.samplers, SAMPLERS[kind])(seed=seed)
    except ImportError as e:
        raise ToolError(
            f"--sampler {name}: {' '.join(str(e).split())}; install it, or choose optuna:tpe"
        ) from e


def parse_space(arguments: Sequence[str]) -> dict[str, Any]:
    """``NAME=VALUES`` arguments as a space: ``a:b`` and ``a:b:log`` are ranges, others choices.

    Raises
    ------
    InputError
        If an argument is malformed.
    """
    distributions = _optuna().distributions
    space: dict[str, Any] = {}
    for name, values in named(arguments):
        span = parse_span(values)
        if span is None:
            space[name] = parse_values(name, values)
            continue
        low, high, log = span
        whole = isinstance(low, int) and isinstance(high, int)
        kind = distributions.IntDistribution if whole else distributions.FloatDistribution
        try:
            space[name] = kind(low, high, log=log)
        except ValueError as e:
            raise InputError(f"--grid {name}={values}: {' '.join(str(e).split())}") from e
    return space


def _ends(distribution: Any) -> list[Any]:
    if hasattr(distribution, "choices"):
        return list(distribution.choices)
    return [distribution.low, distribution.high]


def _optuna() -> Any:
    try:
        import optuna
    except ImportError as e:
        raise ToolError("samplers need Optuna: pip install 'spikeloom[optuna]'") from e
    return optuna

"""`sweep`: many runs of one model, stated rather than programmed."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from ... import __version__
from ...compiler.errors import InputError, SpikeloomError
from ...compiler.files import write_file
from ..engines import BOARD, engines
from ..terminal import progress_bar
from .execution import Functions, names_in_network
from .local import InProcess, LocalPool, cores
from .settings import Setting, check_complete, expand, parameters_of, seeds_of, split
from .source import function_of, is_loading
from .store import TIMES, Folder, Memory
from .table import CSV, PARQUET, Table, check_parquet
from .tasks import Experiment, Outcome, Run, groups_of
from .trials import Trials

RESULTS, PICTURE = "results.csv", "results.png"

LARGEST_GROUP = 16
"""Runs that a worker is given at a time, where nobody says: so many are lost if it is killed."""

Settings = Mapping[str, Sequence[Any]] | Iterable[Mapping[str, Any]] | Trials
Progress = bool | Callable[[int, int, int], None]


class Executor(Protocol):
    """What does the runs."""

    width: int

    def run(self, groups: Sequence[Sequence[Run]]) -> Iterable[Outcome]:
        """Do the runs and yield each outcome as it comes."""

    def close(self) -> None:
        """Stop what is being done."""


@dataclass
class Options:
    """How a sweep is done: nothing here changes a result.

    Attributes
    ----------
    out : str or Path, optional
    workers : int, optional
    scheduler : str or cluster or client, optional
    batch : int, optional
    progress : bool or callable
    retry_failed, extend : bool
    """

    out: str | Path | None = None
    workers: int | None = None
    scheduler: Any = None
    batch: int | None = None
    progress: Progress = True
    retry_failed: bool = False
    extend: bool = False

    def __post_init__(self) -> None:
        if self.batch is not None and self.batch < 1:
            raise InputError(f"batch = {self.batch}: must be at least 1")
        if self.workers is not None and self.workers < 0:
            raise InputError(f"workers = {self.workers}: must be at least 1, or 0 for this process")
        if self.out is not None and Path(self.out).suffix == PARQUET:
            check_parquet()

    @property
    def folder(self) -> Path | None:
        """Where finished runs are kept."""
        if self.out is None:
            return None
        path = Path(self.out)
        return path.with_suffix("") if path.suffix in (CSV, PARQUET) else path


@dataclass
class Report:
    """What a sweep did.

    Attributes
    ----------
    table : Table
    runs : int
        How many were done now; the others were done before.
    files : dict of str -> str
        What was written: ``"table"``, ``"figure"``, ...
    """

    table: Table
    runs: int = 0
    files: dict[str, str] = field(default_factory=dict)


def sweep(
    build: Callable[..., Any],
    settings: Settings,
    *,
    metric: Callable[..., Any],
    seeds: int | Iterable[int] = 1,
    time: float | None = None,
    dt: float = 0.001,
    engine: str = "native",
    out: str | Path | None = None,
    workers: int | None = None,
    scheduler: Any = None,
    batch: int | None = None,
    progress: Progress = True,
    retry_failed: bool = False,
    extend: bool = False,
) -> Table:
    """Run a model with many settings and seeds, and measure each run.

    Parameters
    ----------
    build : callable
        ``build(**setting)`` returns a `nengo.Network`. If it takes ``seed``, it gets it; otherwise
        it becomes the network's seed.
    settings : mapping of name -> values, list of dict, or Trials
        A grid, of which all combinations are run; settings one by one; or what a sampler of Optuna
        chooses. Names are parameters of `build`, or ``label.parameter`` of an object in its network
        (of an ensemble, a connection, its neuron type, synapse or learning rule).
    metric : callable
        ``metric(sim)`` or ``metric(sim, network)`` returns a number, or a dict of them, of a
        `spikeloom.Simulator` that has run for `time`.
    seeds : int or sequence of int
        Each setting is run with each of them; a number n stands for 0 to n - 1.
    time : float, optional
        Simulated seconds. If left out, `metric` itself runs the simulator that it is given.
    dt : float
        Time step in seconds.
    engine : str
    out : str or Path, optional
        A folder for results. Every run is kept there as soon as it is finished, and the same call
        goes on where it was stopped. ``NAME.csv`` or ``NAME.parquet`` writes the table there, and
        the rest into the folder ``NAME``.
    workers : int, optional
        Processes; by default one for each core. 0 runs all in this process.
    scheduler : str, or a cluster or client of dask.distributed, optional
        Runs on a Dask cluster instead.
    batch : int, optional
        Runs that a worker does at once.
    progress : bool or callable
        A bar with the time left, if there is a terminal; or ``progress(done, total, failed)``.
    retry_failed : bool
        Do runs again that failed before.
    extend : bool
        Go on in a folder whose sweep had other values or seeds; its runs are kept.

    Returns
    -------
    Table
        A row for each run; a run that failed has its error there.

    Raises
    ------
    InputError
        If a name or a value is wrong as far as that can be known before anything runs, or `out`
        holds another sweep.
    ModelError
        If workers cannot load `build` or `metric`.
    LinkError, ToolError
        If there is no cluster, or something to be installed is missing.

    Examples
    --------
    >>> table = spikeloom.sweep(
    ...     build, {"lr": [1e-4, 3e-4], "post.tau_rc": [0.01, 0.02]}, seeds=5, metric=error, time=2
    ... )
    """
    options = Options(out, workers, scheduler, batch, progress, retry_failed, extend)
    sent = scheduler is not None or workers != 0
    experiment = Experiment(
        function_of(build, "build", sent), function_of(metric, "metric", sent), time, dt, engine
    )
    return perform(experiment, Functions(build, metric), settings, seeds, options).table


def perform(
    experiment: Experiment,
    functions: Functions,
    settings: Settings,
    seeds: int | Iterable[int],
    options: Options,
) -> Report:
    """Do a sweep; see `sweep`.

    Parameters
    ----------
    experiment : Experiment
        Without its `vary`.
    functions : Functions
        Its functions in this process.
    settings, seeds
    options : Options
    """
    if is_loading():
        raise InputError(
            "a sweep begins where the model is defined, so that its workers would begin it again; "
            'put the call under if __name__ == "__main__":'
        )
    _check(experiment)
    numbers = seeds_of(seeds)
    trials = settings if isinstance(settings, Trials) else None
    grid = [] if isinstance(settings, Trials) else expand(settings)
    experiment = _checked(experiment, functions, trials.corners() if trials else grid, numbers[0])
    at_once = 0
    description: dict[str, Any] = {**experiment.to_json(), "seeds": numbers}
    if trials is not None:
        at_once = _at_once(trials, options, len(numbers))
        description["sampler"] = {**trials.to_json(), "at_once": at_once}
    else:
        description["settings"] = _settings_json(settings, grid)
    description["versions"] = _versions()
    with ExitStack() as stack:
        store: Folder | Memory = Memory()
        if options.folder is not None:
            store = Folder(options.folder, description, options.extend)
        stack.callback(store.close)
        if options.retry_failed:
            store.forget_failed()
        doing = _Doing(experiment, functions, store, options, stack)
        if trials is None:
            runs = [experiment.run(setting, seed) for setting in grid for seed in numbers]
            doing.do(runs, len(runs))
        else:
            runs = doing.search(trials, numbers, at_once)
        table = Table(store.outcomes(runs))
        return Report(table, doing.done, _write(table, options))


class _Doing:
    """The runs of a sweep while they are done."""

    def __init__(
        self,
        experiment: Experiment,
        functions: Functions,
        store: Folder | Memory,
        options: Options,
        stack: ExitStack,
    ) -> None:
        self.experiment, self.functions, self.store = experiment, functions, store
        self.options, self.stack = options, stack
        self.done = 0
        self._finished = self._failed = 0  # of this sweep's runs, those of before included
        self._executor: Executor | None = None
        self._show: Callable[[int, int, int], None] | None = None

    def executor(self) -> Executor:
        """What does the runs, made when the first one is due."""
        if self._executor is None:
            options = self.options
            made: Executor
            if options.scheduler is not None:
                from .cluster import Cluster

                made = Cluster(self.experiment, options.scheduler)
            elif options.workers == 0:
                made = InProcess(self.experiment, self.functions)
            else:
                made = LocalPool(self.experiment, options.workers)
            self.stack.callback(made.close)
            self._executor = made
        return self._executor

    def do(self, runs: Sequence[Run], total: int) -> None:
        """Do those that are not finished, and keep each as soon as it is."""
        todo = []
        for run in runs:
            if run.name in self.store.finished:
                self._count(self.store.finished[run.name])
            else:
                todo.append(run)
        self._progress(total)
        if not todo:
            return
        executor = self.executor()
        groups = groups_of(todo, self.experiment.vary, self._group(len(todo), executor.width))
        for outcome in executor.run(groups):
            if outcome.run.name in self.store.finished:
                continue  # of a worker that had been given up
            self.store.add([outcome])
            self.done += 1
            self._count(outcome)
            self._progress(total)

    def search(self, trials: Trials, seeds: Sequence[int], at_once: int) -> list[Run]:
        """Do the trials of a sampler; all their runs in order, each once."""
        total = trials.count * len(seeds)
        runs: dict[str, Run] = {}

        def run(settings: Sequence[Setting]) -> list[list[Outcome]]:
            rows = [[self.experiment.run(setting, s) for s in seeds] for setting in settings]
            fresh = {r.name: r for row in rows for r in row if r.name not in runs}
            runs.update(fresh)
            self.do(list(fresh.values()), total)
            return [self.store.outcomes(row) for row in rows]

        for _ in trials.settings(at_once, self.store.trials, self.store.note, run):
            pass
        return list(runs.values())

    def _group(self, runs: int, width: int) -> int:
        if self.options.batch is not None:
            return self.options.batch
        if self.experiment.time is None and self.options.scheduler is not None:
            return 1  # its results come back together: as soon as each is there
        # Several groups for each worker, so that all end at about the same time.
        return max(1, min(LARGEST_GROUP, math.ceil(runs / (4 * width))))

    def _count(self, outcome: Outcome) -> None:
        self._finished += 1
        self._failed += bool(outcome.error)

    def _progress(self, total: int) -> None:
        if self._show is None:
            if callable(self.options.progress):
                self._show = self.options.progress
            elif self.options.progress:
                bar = self.stack.enter_context(progress_bar("sweeping", total, self._finished))
                self._show = lambda done, total, failed: bar(
                    done, f"{failed} failed" if failed else ""
                )
            else:
                self._show = lambda done, total, failed: None
        self._show(self._finished, total, self._failed)


def _check(experiment: Experiment) -> None:
    known = [name for name in engines() if name != BOARD]
    if experiment.engine not in known:
        raise InputError(
            f"engine {experiment.engine!r}: a sweep runs on one of {', '.join(known)}, which all "
            "give what a board gives"
        )
    for name in ("time", "dt"):
        value = getattr(experiment, name)
        if value is not None and not (math.isfinite(value) and value > 0):
            raise InputError(f"{name} = {value}: must be a positive number of seconds")


def _checked(
    experiment: Experiment, functions: Functions, settings: Sequence[Setting], seed: int
) -> Experiment:
    """See that names and values can be right; the experiment with its `vary`."""
    names = list(dict.fromkeys(name for setting in settings for name in setting))
    try:
        parameters_of(functions.metric)
        _, others = split(names, functions.build)
    except (TypeError, ValueError) as e:
        raise InputError(f"build or metric has no signature ({e}); give functions") from e
    for setting in settings:
        check_complete(setting, functions.build)
    experiment = Experiment(
        experiment.build,
        experiment.metric,
        experiment.time,
        experiment.dt,
        experiment.engine,
        tuple(others),
    )
    if others:
        names_in_network(experiment, functions, settings, seed)
    return experiment


def _settings_json(settings: Any, grid: Sequence[Setting]) -> Any:
    """A grid by its names, or a list as it is."""
    if not isinstance(settings, Mapping):
        return list(grid)
    return {name: list(dict.fromkeys(s[name] for s in grid)) for name in settings}


def _at_once(trials: Trials, options: Options, seeds: int) -> int:
    """Trials at a time: as before if the sweep goes on, whatever this machine has."""
    if trials.at_once is not None:
        return trials.at_once
    if options.folder is not None and (before := Folder.description(options.folder)) is not None:
        found = before.get("sampler", {}).get("at_once")
        if isinstance(found, int) and found > 0:
            return found
    workers = options.workers if options.workers is not None else cores()
    return max(1, math.ceil(max(workers, 1) / seeds))


def _versions() -> dict[str, str]:
    """What results may depend on besides the model; for people, never compared."""
    import nengo
    import numpy

    return {"spikeloom": __version__, "nengo": nengo.__version__, "numpy": numpy.__version__}


def _write(table: Table, options: Options) -> dict[str, str]:
    """Write the table, its picture and the times."""
    folder = options.folder
    if folder is None or options.out is None:
        return {}
    files = {"table": str(folder / RESULTS), "figure": str(folder / PICTURE)}
    table.to_csv(folder / RESULTS)
    write_file(folder / TIMES, table.times_csv())
    table.plot(folder / PICTURE)
    out = Path(options.out)
    if out != folder:
        try:
            (table.to_parquet if out.suffix == PARQUET else table.to_csv)(out)
        except SpikeloomError as e:
            raise type(e)(f"{e}; all runs are in {folder / RESULTS}") from e
        files["table"] = str(out)
    return files

"""Runs of a sweep in this process: build, simulate, measure; several at once where possible."""

from __future__ import annotations

import random
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...compiler.errors import InputError, ModelError, SpikeloomError
from ..batch.variation import set_parameters
from ..model_file import line_in
from .settings import TAKEN, Setting, takes_seed, text, wants_network
from .tasks import Experiment, Outcome, Run, failed, one_line

MOST_WARNINGS = 5
"""Kept of one run."""

_alone = threading.Lock()
"""Runs seed the global random numbers and load files: one group at a time in a process."""


@dataclass(frozen=True)
class Functions:
    """The functions of an experiment, as this process has them."""

    build: Callable[..., Any]
    metric: Callable[..., Any]

    @classmethod
    def of(cls, experiment: Experiment) -> Functions:
        """Load them; raises `ModelError` if this process cannot."""
        return cls(experiment.build.load(), experiment.metric.load())

    def network(self, run: Run, experiment: Experiment) -> Any:
        """The network of a run, with all that its setting says.

        Raises
        ------
        InputError
            If `build` gives something else.
        """
        from nengo import Network

        # Whatever the model draws from the global generators depends on the seed alone, not on
        # what ran before in this process.
        _seed_all(run.seed)
        arguments: dict[str, Any] = {
            n: v for n, v in run.setting.items() if n not in experiment.vary
        }
        if takes_seed(self.build):
            arguments["seed"] = run.seed
        network = self.build(**arguments)
        if not isinstance(network, Network):
            raise InputError(
                f"build gave a {type(network).__name__}; let it return the nengo.Network"
            )
        if "seed" not in arguments or network.seed is None:
            network.seed = run.seed
        if experiment.vary:
            set_parameters(
                network, {n: run.setting[n] for n in experiment.vary if n in run.setting}
            )
        return network

    def measure(self, sim: Any, network: Any, run: Run) -> dict[str, float]:
        """The metrics of a run.

        Raises
        ------
        InputError
            If `metric` gives no numbers, or names that the table has already.
        """
        _seed_all(run.seed)
        found = self.metric(sim, network) if wants_network(self.metric) else self.metric(sim)
        if not isinstance(found, dict):
            found = {"metric": found}
        if not found:
            raise InputError("metric gave an empty dict; let it return numbers by name")
        for name in map(str, found):
            if name in run.setting or name in TAKEN:
                raise InputError(f"metric gave {name!r}, which is another column's name; rename it")
        return {str(name): _number(str(name), value) for name, value in found.items()}

    def blame(self, error: BaseException) -> str:
        """An error in one line, with the line of the model that raised it."""
        place = ""
        for function in (self.metric, self.build):
            code = getattr(function, "__code__", None)
            if code is not None and not place:
                file = Path(code.co_filename)
                line = line_in(file, error)
                place = f"{file.name}{line}: " if line else ""
        if isinstance(error, SpikeloomError):
            return one_line(f"{place}{error}")
        return one_line(f"{place}{type(error).__name__}: {error}")


def names_in_network(
    experiment: Experiment, functions: Functions, settings: Sequence[Setting], seed: int
) -> None:
    """Try each value of each ``label.parameter`` on a network, without running it.

    Parameters
    ----------
    experiment : Experiment
    functions : Functions
    settings : sequence of dict
        The network of the first one is built.
    seed : int

    Raises
    ------
    InputError
        If there is no such object or parameter, or it does not take a value.
    ModelError
        If the network cannot be built.
    """
    first = {n: v for n, v in settings[0].items() if n not in experiment.vary}
    try:
        network = functions.network(Run("", first, seed), experiment)
    except InputError:
        raise
    except (Exception, SystemExit) as e:
        raise ModelError(f"{functions.blame(e)}; the network of {text(first)} is needed") from e
    tried = set()
    for setting in settings:
        for name in experiment.vary:
            if name in setting and (name, repr(setting[name])) not in tried:
                tried.add((name, repr(setting[name])))
                set_parameters(network, {name: setting[name]})


def run_group(
    experiment: Experiment, runs: Sequence[Run], functions: Functions | None = None
) -> Iterator[Outcome]:
    """Do runs, at once where they can be, and yield each when it is done.

    Parameters
    ----------
    experiment : Experiment
    runs : sequence of Run
    functions : Functions, optional
        Where they are loaded already.

    Raises
    ------
    ModelError
        If the functions cannot be loaded: then there is no result, not even a failed one.
    """
    with _alone, _without_cache():
        functions = functions or Functions.of(experiment)
        if len(runs) > 1:
            yield from _together(experiment, runs, functions)
            return
        for run in runs:
            yield _one(experiment, run, functions)


def _one(experiment: Experiment, run: Run, functions: Functions) -> Outcome:
    """One run by itself."""
    from ..simulator import Simulator

    began = time.perf_counter()
    with _listening() as heard:
        try:
            network = functions.network(run, experiment)
            with Simulator(
                network, dt=experiment.dt, engine=experiment.engine, progress_bar=False
            ) as sim:
                if experiment.time is not None:
                    sim.run(experiment.time)
                outcome = Outcome(run, functions.measure(sim, network, run))
        except (Exception, SystemExit) as e:
            outcome = failed(run, functions.blame(e))
    return _finished(outcome, time.perf_counter() - began, heard)


def _together(
    experiment: Experiment, runs: Sequence[Run], functions: Functions
) -> Iterator[Outcome]:
    """Runs as a batch, whose copies share what is equal in them."""
    from ..batch.simulator import BatchSimulator

    began = time.perf_counter()
    lost: list[Outcome] = []
    built: list[tuple[Run, Any]] = []
    with _listening() as heard, ExitStack() as stack:
        for run in runs:
            try:
                built.append((run, functions.network(run, experiment)))
            except (Exception, SystemExit) as e:
                lost.append(failed(run, functions.blame(e)))
        sim = None
        try:
            if built:
                sim = BatchSimulator(
                    [network for _, network in built],
                    dt=experiment.dt,
                    engine=experiment.engine,
                    progress_bar=False,
                    threads=1,  # there is a process for each core already
                    keep_going=True,
                )
                stack.callback(sim.close)
                if experiment.time is not None and len(sim.failed) < len(sim):
                    sim.run(experiment.time)
        except (Exception, SystemExit):
            # Something is wrong with all of them at once, as with their memory. Each by itself
            # either goes well or says what is wrong with it alone.
            sim = None
        keep = stack.pop_all()
    with keep:
        share = (time.perf_counter() - began) / len(runs)
        if sim is None and built:
            for run in runs:
                yield _one(experiment, run, functions)
            return
        for outcome in lost:
            yield _finished(outcome, share, heard)
        for number, (run, network) in enumerate(built):
            assert sim is not None
            began = time.perf_counter()
            with _listening() as own:
                outcome = _measured(sim, number, run, network, functions)
            yield _finished(outcome, share + time.perf_counter() - began, [*heard, *own])


def _measured(sim: Any, number: int, run: Run, network: Any, functions: Functions) -> Outcome:
    try:
        if number in sim.failed:
            return failed(run, functions.blame(sim.failed[number]))
        return Outcome(run, functions.measure(sim.copies[number], network, run))
    except (Exception, SystemExit) as e:
        return failed(run, functions.blame(e))


@contextmanager
def _without_cache() -> Iterator[None]:
    """Have decoders solved anew, and not read from Nengo's cache on the disk.

    There they may be from another machine or number of threads, with other last bits; and processes
    wait there for each other.
    """
    from nengo import rc

    before = rc.get("decoder_cache", "enabled")
    rc.set("decoder_cache", "enabled", "False")
    try:
        yield
    finally:
        rc.set("decoder_cache", "enabled", before)


@contextmanager
def _listening() -> Iterator[list[Any]]:
    """Collect the warnings that are meant for the model's author."""
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("ignore")
        for kind in (UserWarning, RuntimeWarning):
            warnings.simplefilter("always", kind)
        yield heard


def _number(name: str, value: Any) -> float:
    array = np.asarray(value)
    if array.size == 1 and array.dtype.kind in "biuf":
        return float(array.ravel()[0])
    kind = f"an array of shape {array.shape}" if array.ndim else f"a {type(value).__name__}"
    raise InputError(f"metric gave {kind} for {name!r}; let it return one number")


def _seed_all(seed: int) -> None:
    np.random.seed(seed)
    random.seed(seed)


def _finished(outcome: Outcome, seconds: float, heard: Sequence[Any]) -> Outcome:
    texts = list(dict.fromkeys(one_line(str(w.message), 200) for w in heard))
    return Outcome(
        outcome.run, outcome.metrics, outcome.error, seconds, tuple(texts[:MOST_WARNINGS])
    )

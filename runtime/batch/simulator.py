"""`BatchSimulator`: many copies of a network, run side by side on the machine's cores."""

from __future__ import annotations

import logging
import os
import threading
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import nengo
import numpy as np
from nengo.cache import get_default_decoder_cache
from nengo.exceptions import SimulatorClosed
from nengo.utils.numpy import maxint
from nengo.utils.progress import Progress, ProgressTracker

from ...compiler.errors import InputError, SpikeloomError
from ...compiler.machine import Machine
from ...compiler.program import Program
from ...sim.engine import Engine
from ..chip import logger as chip_logger
from ..engines import BOARD, create_engine
from ..simulator import SaturationWarning
from ..workshare import WorkShare
from . import memory
from .copies import Copy, plan_copies
from .data import check_length
from .member import Build, Member
from .rebuild import Builds
from .sharing import Lowering, Solutions
from .variation import Vary

ROUND = 2000
"""Steps, at least, of each copy before the next one's turn: what one has done for others is then
still at hand."""


class BatchSimulator:
    """Copies of a network, each with states, learned weights, inputs and parameters of its own.

    Every copy gives the same integers as a `Simulator` of its network alone, on every engine. What
    is equal is shared: solved decoders, Nengo's build, the Program, the engine's tables and fixed
    weights. Copies run on threads, one for each core.

    Parameters
    ----------
    networks : nengo.Network or sequence of nengo.Network
        One network for all copies, or one for each. It is never changed.
    batch : int, optional
        Number of copies; found from what else is given if left out.
    seeds : int or sequence of int, optional
        Seed of each copy's network; an int for that of the first, the others count on from there.
        None leaves the network's own: then all copies begin alike.
    vary : mapping of ``(object, "parameter")`` or ``"label.parameter"`` -> sequence, optional
        A value for each copy. Objects are those of the (first) network.
    data : mapping of Node or name -> (batch or 1, steps or 1, size) array_like, optional
        What input nodes show, in place of their own output.
    dt : float
        Length of a time step in seconds.
    seed : int, optional
        Seed of the stochastic operators of all copies, instead of their networks' seed + 1.
    engine : str
        What runs the Programs.
    machine : Machine, optional
        Shape of the machine to compile for.
    ranges : mapping, optional
        As for `Simulator`; objects are those of the (first) network.
    progress_bar : bool or nengo ProgressBar
    optimize : bool
        Taken for the sake of `nengo.Simulator`'s signature.
    threads : int, optional
        At most so many at a time; the processor's cores by default.
    keep_going : bool
        Leave out copies that fail, instead of raising their error: see `failed`.
    **engine_options
        Passed on to the engines.

    Attributes
    ----------
    copies : list of Simulator
        The copies, each to be used as a Simulator of its own; None for one that failed.
    networks : list of nengo.Network
        The network of each copy.
    failed : dict of int -> Exception
        Copies that failed, by number, with `keep_going`.
    data : BatchData
        ``data[probe]`` are samples of all copies, (batch, samples, size).

    Raises
    ------
    InputError
        If something given names nothing of the network, or has values that it does not take; if
        the batch does not fit into memory.
    """

    def __init__(
        self,
        networks: nengo.Network | Sequence[nengo.Network],
        batch: int | None = None,
        seeds: int | Sequence[int] | None = None,
        vary: Vary | None = None,
        data: Mapping[Any, Any] | None = None,
        dt: float = 0.001,
        seed: int | None = None,
        engine: str = "native",
        machine: Machine | None = None,
        ranges: Mapping[Any, float] | None = None,
        progress_bar: Any = True,
        optimize: bool = True,
        threads: int | None = None,
        keep_going: bool = False,
        **engine_options: Any,
    ) -> None:
        self.closed = True  # if the constructor raises
        self.dt = float(dt)
        self.progress_bar = progress_bar
        self.failed: dict[int, Exception] = {}
        self.copies: list[Any] = []
        self._keep_going = keep_going
        self._told: set[str] = set()
        self._pool: ThreadPoolExecutor | None = None
        plan = plan_copies(networks, batch, seeds, vary, data, self._fail if keep_going else None)
        if engine == BOARD and len(plan.copies) > 1:
            raise InputError(
                "a board runs one copy at a time: run the batch with engine='native', "
                "which gives the same integers"
            )
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        self.threads = max(1, min(len(plan.copies), threads or cores or 1))
        self.networks = [copy.network for copy in plan.copies]
        self._data = plan.data
        self._plan = plan
        options = {"engine": engine, "machine": machine, "ranges": ranges, **engine_options}

        def make_engine(program: Program, **more: Any) -> Engine:
            return create_engine(engine, program, **{**more, **engine_options})

        lowering = Lowering(machine or Machine(), make_engine)
        self._make(plan.copies, lowering, seed, options)
        self.data = BatchData(self)
        self.closed = False

    def _make(
        self, copies: Sequence[Copy], lowering: Lowering, seed: int | None, options: dict[str, Any]
    ) -> None:
        solutions = Solutions(get_default_decoder_cache())
        builds = Builds(self.dt, solutions)
        made: dict[int, Build] = {}
        drawn = np.random.randint(maxint) if seed is None else seed
        bar = Progress("Building", "Build", len(copies))
        checked = False
        with ProgressTracker(self.progress_bar, bar) as tracker, solutions:
            for number, copy in enumerate(copies):
                tracker.total_progress.step()
                if number in self.failed:
                    self.copies.append(None)
                    continue
                try:
                    build = made.get(id(copy.network))
                    if build is None:
                        ranges = {
                            key if isinstance(key, str) else copy.own(key): limit
                            for key, limit in (options["ranges"] or {}).items()
                        }
                        build = made[id(copy.network)] = Build.of(copy.network, builds, ranges)
                    own_seed = seed
                    if own_seed is None:
                        given = copy.network.seed
                        own_seed = drawn if given is None else given + 1
                    member = Member(build, lowering, number, own_seed, copy.own, options)
                except Exception as e:
                    self._fail(number, e)
                    self.copies.append(None)
                    continue
                self.copies.append(member)
                if not checked:
                    checked = True
                    each = memory.copy_bytes(member)
                    others = len({id(c.network) for c in copies}) - 1
                    each += memory.build_bytes(member) * others // len(copies)
                    memory.check("a batch", each, len(copies))

    def _fail(self, number: int, error: Exception) -> None:
        """Note that a copy failed, or raise its error."""
        if not self._keep_going:
            if isinstance(error, SpikeloomError) and len(self._plan.copies) > 1:
                raise type(error)(f"copy {number}: {error}") from error
            error.add_note(f"in copy {number} of the batch")
            raise error
        self.failed[number] = error

    # -- what there is -----------------------------------------------------------------------

    @property
    def batch(self) -> int:
        """Number of copies."""
        return len(self.copies)

    def __len__(self) -> int:
        return len(self.copies)

    def running(self) -> list[Member]:
        """The copies that did not fail.

        Raises
        ------
        InputError
            If all did.
        """
        found = [c for i, c in enumerate(self.copies) if c is not None and i not in self.failed]
        if not found:
            raise InputError(
                f"all copies failed; the first with: {next(iter(self.failed.values()))}"
            )
        return found

    @property
    def program(self) -> Program | None:
        """What the first copy's chip runs."""
        return self.running()[0].program

    @property
    def placement(self) -> WorkShare:
        """What of the first copy runs on the chip, what on the host and why."""
        return self.running()[0].placement

    @property
    def n_steps(self) -> int:
        """Steps done so far."""
        return self.running()[0].n_steps

    @property
    def time(self) -> float:
        """Simulated time so far, in seconds."""
        return float(self.running()[0].time)

    def trange(self, sample_every: float | None = None) -> np.ndarray:
        """Times of samples; see `nengo.Simulator.trange`."""
        times: np.ndarray = self.running()[0].trange(sample_every=sample_every)
        return times

    # -- running -----------------------------------------------------------------------------

    def run(self, time_in_seconds: float, progress_bar: Any = None) -> None:
        """Run all copies for so long, rounded to whole steps."""
        if time_in_seconds < 0:
            raise InputError(f"cannot run for {time_in_seconds:g} s; give a positive time")
        steps = round(float(time_in_seconds) / self.dt)
        if steps == 0:
            warnings.warn(f"{time_in_seconds:g} s are 0 steps of {self.dt:g} s", stacklevel=2)
            return
        self.run_steps(steps, progress_bar)

    def step(self) -> None:
        """Advance all copies by one step (`dt` seconds)."""
        self.run_steps(1, progress_bar=False)

    def run_steps(self, steps: int, progress_bar: Any = None) -> None:
        """Advance all copies by a number of steps.

        Raises
        ------
        InputError
            If the data do not suffice, or the samples do not fit into memory: nothing is run then.
        Exception
            What a copy raised (the others are run to the end first), unless the batch keeps going.
        """
        self._see_open()
        members = self.running()
        check_length(self._data, members[0].n_steps, steps)
        memory.check(
            f"{steps} steps", max(memory.sample_bytes(m, steps) for m in members), len(members)
        )
        if progress_bar is None:
            progress_bar = self.progress_bar
        bar = Progress("Simulating", "Simulation", steps * len(members))
        stop = threading.Event()
        with ProgressTracker(progress_bar, bar) as tracker:
            lock = threading.Lock()

            def progress(done: int) -> None:
                with lock:
                    tracker.total_progress.step(done)
                if stop.is_set():
                    raise KeyboardInterrupt

            parts = {m.number: m.parts(steps, progress) for m in members}
            failures: dict[int, Exception] = {}

            def work(member: Member) -> bool:
                try:
                    return member.advance(parts[member.number], ROUND)
                except Exception as e:
                    failures[member.number] = e
                    return False

            todo = members
            with told_once(self._told):
                while todo:
                    more = self._side_by_side(work, todo, stop)
                    todo = [member for member, on in zip(todo, more, strict=True) if on]
        self._warn_of_saturation([m.new_saturations() for m in members if m.number not in failures])
        for number, error in sorted(failures.items()):
            self._fail(number, error)

    def _side_by_side(
        self,
        work: Callable[[Member], Any],
        members: Sequence[Member],
        stop: threading.Event | None = None,
    ) -> list[Any]:
        """Results of ``work(member)``; on threads where that is of use."""
        if self.threads == 1 or len(members) == 1:
            return [work(member) for member in members]
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self.threads, thread_name_prefix="batch")
        futures = [self._pool.submit(work, member) for member in members]
        try:
            return [future.result() for future in futures]
        except BaseException:
            for future in futures:
                future.cancel()
            if stop is not None:
                stop.set()
            for future in futures:
                if not future.cancelled():
                    future.exception()
            raise

    def _warn_of_saturation(self, counts: Iterable[Mapping[str, int]]) -> None:
        times: Counter[str] = Counter()
        copies: Counter[str] = Counter()
        for found in counts:
            times.update(found)
            copies.update(found.keys())
        if times:
            worst = times.most_common(1)[0][0]
            others = f" and {len(times) - 1} more" if len(times) > 1 else ""
            warnings.warn(
                f"{worst}{others}: limited by its fixed-point format {times[worst]} times, in "
                f"{copies[worst]} of {len(self.copies)} copies; give the ranges of its inputs with "
                "ranges={...}, or bring its input nearer to its radius",
                SaturationWarning,
                stacklevel=4,
            )

    def reset(self, seed: int | None = None) -> None:
        """Put all copies back to the start; with `seed` as that of their stochastic operators."""
        self._see_open()
        for member in self.running():
            member.reset(seed)

    def clear_probes(self) -> None:
        """Drop all samples so far."""
        for member in self.running():
            member.clear_probes()

    # -- learning ----------------------------------------------------------------------------

    @property
    def learning(self) -> bool:
        """Whether learning rules change their weights; may be set at any time between steps."""
        return self.running()[0].learning

    @learning.setter
    def learning(self, on: bool) -> None:
        for member in self.running():
            member.learning = on

    def freeze(self) -> None:
        """Stop learning: the same as ``learning = False``."""
        self.learning = False

    def learned(self, connection: nengo.Connection) -> np.ndarray:
        """What all copies have learned so far: (batch, ...), as `Simulator.learned` gives it."""
        return self._stacked(
            [m.learned(self._plan.counterpart(connection, m.number)) for m in self.running()],
            "weights",
        )

    def _stacked(self, values: Sequence[np.ndarray], what: str) -> np.ndarray:
        shapes = {np.shape(value) for value in values}
        if len(shapes) > 1:
            raise InputError(
                f"the copies' {what} have different shapes, such as {min(shapes)} and "
                f"{max(shapes)}; read them from copies[i]"
            )
        return np.stack(values)

    # -- the end -----------------------------------------------------------------------------

    def _see_open(self) -> None:
        if self.closed:
            raise SimulatorClosed("Simulator cannot run because it is closed.")

    def close(self) -> None:
        """Give up all that running takes; what was sampled can still be read."""
        self.closed = True
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None
        for member in self.copies:
            if member is not None:
                member.close()

    def __del__(self) -> None:
        if not self.closed:
            warnings.warn(
                f"a batch of {len(self.copies)} copies was deallocated while open; close it, or "
                "use it in a with statement",
                ResourceWarning,
                stacklevel=2,
            )
            self.close()

    def __enter__(self) -> BatchSimulator:
        return self

    def __exit__(self, *error: Any) -> None:
        self.close()


class BatchData(Mapping[Any, Any]):
    """Data of all copies by the objects of the user's network, or of the first."""

    def __init__(self, sim: BatchSimulator) -> None:
        self._sim = sim

    def __getitem__(self, key: Any) -> Any:
        """Samples of a probe, (batch, samples, size); for other objects a list of what was built.

        With `keep_going`, copies that failed are left out.
        """
        sim = self._sim
        found = [m.data[sim._plan.counterpart(key, m.number)] for m in sim.running()]
        return sim._stacked(found, "samples") if isinstance(key, nengo.Probe) else found

    def __iter__(self) -> Any:
        return iter(self._sim.running()[0].data)

    def __len__(self) -> int:
        return len(self._sim.running()[0].data)


@contextmanager
def told_once(told: set[str]) -> Iterator[None]:
    """Log what is said of a chip for the first of the copies alone; `told` keeps what was said."""

    def new(record: logging.LogRecord) -> bool:
        subject = str(record.args[0]) if isinstance(record.args, tuple) and record.args else ""
        said = f"{record.msg} {subject}"
        known = said in told
        told.add(said)
        return not known

    chip_logger.addFilter(new)
    try:
        yield
    finally:
        chip_logger.removeFilter(new)


def simulate_batch(
    network: nengo.Network | Sequence[nengo.Network],
    dt: float = 0.001,
    seed: int | None = None,
    model: Any = None,
    *args: Any,
    **options: Any,
) -> BatchSimulator:
    """A `BatchSimulator`, with the arguments in the order of `Simulator`'s.

    Raises
    ------
    InputError
        If a built model is given: a batch builds its own.
    """
    if network is None or model is not None:
        raise InputError("a batch is built from a network, or a list of them, not from a model")
    names = ("progress_bar", "optimize", "engine", "machine", "ranges")
    named = dict(zip(names, args, strict=False))
    return BatchSimulator(network, dt=dt, seed=seed, **named, **options)

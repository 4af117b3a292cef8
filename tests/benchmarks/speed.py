"""How long a step of a network takes: the engine alone, the Simulator, and ``nengo.Simulator``.

All run the same network with the same inputs and record the same probes. Building and compiling
are not part of what is timed. Each contender is run several times, in turn with all others, so that
a burst of other work on the computer hits none alone; the median counts.
"""

from __future__ import annotations

import os
import statistics
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

import nengo
import numpy as np
import others
from bound import bound
from models import Model
from schedule import SHIFT, Schedule, run_batch, run_engine
from startup import start_up_seconds

import spikeloom
from spikeloom.compiler.program import Program
from spikeloom.runtime.recording import RecordingSimulator
from spikeloom.runtime.standalone import quantise
from spikeloom.sim.check_learning import learned_limits
from spikeloom.sim.held import Held
from spikeloom.sim.native.batch import NativeBatch
from spikeloom.sim.native.engine import NativeEngine

CORES = len(os.sched_getaffinity(0))
CORE_COUNTS = sorted({1, CORES})
NENGO, ENGINE, SIMULATOR = "nengo.Simulator", "native engine", "spikeloom.Simulator"
DT = 0.001
FEWEST_STEPS, MOST_STEPS = 100, 20_000
"""Of a run."""

FEW_COPIES, MANY_COPIES_TAKE = 10, 3.0
"""Runs of more copies take longer, so that each does as many steps as a user would ask for."""

SLOWEST_RATE, FASTEST_RATE = 0.5, 1.0
"""Learning rates of copies lie between these times the network's own; so do the weights that the
engine's copies begin with."""

EVENT_STEPS = 700
"""Steps in which the spikes are counted for the lower bound."""


@dataclass(frozen=True)
class Settings:
    """How long to measure.

    Attributes
    ----------
    copies : tuple of int
        Beside single ones.
    repeats : int
    seconds : float
        Of each run, roughly.
    startup : bool
        Whether the start of an engine is timed, too.
    """

    copies: tuple[int, ...] = (10, 100)
    repeats: int = 3
    seconds: float = 0.12
    startup: bool = True


@dataclass
class Row:
    """One line of the table.

    Attributes
    ----------
    model : str
        Its key.
    what : str
        Who runs it.
    copies : int
    inputs : str
        ``"shared"`` or ``"own"`` of several copies, else empty. Copies of a network that learns
        differ in what they have learned, too.
    cores : int
    steps : int
        Of each run.
    times, cpu : list of float
        Microseconds per step and model of each run: of the clock, and of the processor, which
        leaves out what other programs took in between.
    missing : str
        Why it was not measured.
    """

    model: str
    what: str
    copies: int
    inputs: str = ""
    cores: int = 1
    steps: int = 0
    times: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    missing: str = ""

    @property
    def microseconds(self) -> float:
        """The median, per step and model."""
        return statistics.median(self.times) if self.times else float("nan")

    @property
    def processor_microseconds(self) -> float:
        """The same of the processor's time."""
        return statistics.median(self.cpu) if self.cpu else float("nan")

    def to_json(self) -> dict[str, Any]:
        """The row with what follows from it."""
        found = asdict(self)
        if self.times:
            us = self.microseconds
            found |= {"us_per_step_and_model": us, "model_steps_per_s": 1e6 / us}
            found["us_of_processor"] = self.processor_microseconds
            found["steps_per_s"] = 1e6 / us / self.copies
        return found


@dataclass
class Contender:
    """Something that is timed.

    Attributes
    ----------
    row : Row
    make : callable
        ``make(steps)`` prepares a run of all copies for so many steps, and gives a function that
        does it: only that is timed.
    """

    row: Row
    make: Callable[[int], Callable[[], Any]]


def measure(model: Model, settings: Settings, say: Callable[[str], None]) -> dict[str, Any]:
    """All rows of a model, its lower bound, and how long an engine takes to start."""
    say("building")
    with warnings.catch_warnings(), ExitStack() as stack:
        warnings.simplefilter("ignore")
        net = model.make()
        program, schedule = compiled(net, model.steps)
        contenders = list(_simulators(model, net, schedule, settings, stack, say))
        contenders += _engines(model, program, schedule, settings)
        say("running")
        time_all(contenders, settings)
        rows = [c.row for c in contenders]
        say("other simulators")
        rows += _others(model, settings)
    say("lower bound")
    least = bound(program, schedule, min(EVENT_STEPS, model.steps))
    return {
        "key": model.key,
        "model": model.name,
        "neurons": net.n_neurons,
        "learns": bool(program.projections),
        "rows": rows,
        "least": model.least,
        "bound": asdict(least) | {"us_per_step_and_model": least.microseconds},
        "start_up_s": start_up_seconds(program) if settings.startup else None,
    }


def compiled(net: nengo.Network, steps: int) -> tuple[Program, Schedule]:
    """The Program of a network, and what is sent to it in some steps."""
    with RecordingSimulator(net, progress_bar=False) as sim:
        sim.run_steps(steps)  # ranges that have to be widened are found here
        program, sent = sim.program, sim.sent()
    assert program is not None
    inputs = {
        name: quantise(program, program.inputs[name], values)[0] for name, values in sent.items()
    }
    return program, Schedule(inputs, steps)


def time_all(contenders: Sequence[Contender], settings: Settings) -> None:
    """Fill in the rows' times."""
    for c in contenders:
        wanted = settings.seconds * (MANY_COPIES_TAKE if c.row.copies > FEW_COPIES else 1)
        spent, steps = 0.0, FEWEST_STEPS
        while True:  # the first run is slow for reasons of its own
            run = c.make(steps)
            began = time.perf_counter()
            run()
            spent = time.perf_counter() - began
            if steps > FEWEST_STEPS or spent > wanted:
                break
            steps = min(MOST_STEPS, max(FEWEST_STEPS + 1, int(steps * wanted / spent)))
        fits = int(steps * wanted / spent)
        c.row.steps = min(MOST_STEPS, max(FEWEST_STEPS, fits))
    for _ in range(settings.repeats):
        for c in contenders:
            run = c.make(c.row.steps)
            each = 1e6 / (c.row.steps * c.row.copies)
            began, worked = time.perf_counter(), time.process_time()
            run()
            c.row.cpu.append((time.process_time() - worked) * each)
            c.row.times.append((time.perf_counter() - began) * each)


def _engines(
    model: Model, program: Program, schedule: Schedule, settings: Settings
) -> Iterator[Contender]:
    """The native engine alone."""
    record = list(program.outputs)
    engine = NativeEngine(program)
    yield Contender(
        Row(model.key, ENGINE, 1),
        lambda steps: partial(run_engine, engine, schedule.segments(steps), record),
    )
    weights = learned_weights(program, schedule) if program.projections else None
    for copies in settings.copies:
        for cores in CORE_COUNTS:
            for inputs, own in (("shared", 1), ("own", copies)):
                if weights is None and own == 1:
                    continue  # nothing differs: the batch would do the work of one copy
                # One each: inputs of their own let the states of copies differ for good.
                batch = differing_batch(program, copies, cores, weights)

                def make(steps: int, batch: NativeBatch = batch, own: int = own) -> Any:
                    return partial(run_batch, batch, schedule.segments(steps, own), record)

                yield Contender(Row(model.key, ENGINE, copies, inputs, cores), make)


def learned_weights(program: Program, schedule: Schedule) -> np.ndarray:
    """The weight memory after a run, int64."""
    engine = NativeEngine(program)
    run_engine(engine, schedule.segments(schedule.steps), ())
    return engine.memory("weight")


def differing_batch(
    program: Program, copies: int, threads: int, weights: np.ndarray | None
) -> NativeBatch:
    """A batch whose copies begin with other learned weights each: those given, but smaller."""
    batch = NativeBatch(program, copies, threads)
    if weights is not None:
        low, high = learned_limits(program, "weight")
        rng = np.random.default_rng(copies)
        for copy in range(copies):
            factors = rng.uniform(SLOWEST_RATE, FASTEST_RATE, weights.shape)
            smaller = np.clip((weights * factors).astype(np.int64), low, high)
            batch.load_memory("weight", copy, smaller)
            # A residual belongs to the weight that it was made with.
            batch.load_memory("residual", copy, np.zeros_like(program.residual))
    return batch


def _simulators(
    model: Model,
    net: nengo.Network,
    schedule: Schedule,
    settings: Settings,
    stack: ExitStack,
    say: Callable[[str], None],
) -> Iterator[Contender]:
    """What a user writes."""
    floating = stack.enter_context(nengo.Simulator(net, progress_bar=False))
    yield Contender(Row(model.key, NENGO, 1), lambda steps: _runner(floating, [floating], steps))
    single = stack.enter_context(spikeloom.Simulator(net, progress_bar=False))
    yield Contender(Row(model.key, SIMULATOR, 1), lambda steps: _runner(single, [single], steps))
    shown = shown_by_nodes(net, model.steps)
    for copies in settings.copies:
        for inputs in ("shared", "own"):
            say(f"building {copies} copies")
            data = own_data(shown, copies, schedule.is_held) if inputs == "own" else None
            several = spikeloom.Simulator(
                net, batch=copies, data=data, vary=own_rates(model, net, copies), progress_bar=False
            )
            stack.enter_context(several)
            for cores in CORE_COUNTS:

                def make(
                    steps: int, sim: Any = several, cores: int = cores, data: Any = data
                ) -> Any:
                    sim.threads = cores
                    if data and not schedule.is_held and sim.n_steps + steps > MOST_STEPS:
                        sim.reset()
                    return _runner(sim, sim.copies, steps)

                yield Contender(Row(model.key, SIMULATOR, copies, inputs, cores), make)


def _runner(sim: Any, copies: Sequence[Any], steps: int) -> Callable[[], Any]:
    for copy in copies:
        copy.clear_probes()
    return partial(sim.run_steps, steps)


def shown_by_nodes(net: nengo.Network, steps: int) -> dict[nengo.Node, np.ndarray]:
    """What the input nodes show, (steps, size) float64."""
    found = {}
    for node in net.all_nodes:
        if isinstance(node.output, nengo.Process) and node.size_in == 0:
            show = node.output.make_step((0,), (node.size_out,), DT, None, {})
            found[node] = np.array([show(n * DT) for n in range(1, steps + 1)])
    return found


def own_data(
    shown: dict[nengo.Node, np.ndarray], copies: int, held: bool
) -> dict[nengo.Node, np.ndarray]:
    """Values of input nodes that differ from copy to copy.

    One image for each, where these are held (arrays for each step would fill the memory); else the
    same signals, some steps later in each.
    """
    several = np.arange(copies)[:, None]
    if held:
        begins = {node: Held.found(values).rows for node, values in shown.items()}
        return {node: rows[several % len(rows)] for node, rows in begins.items()}
    steps = np.arange(MOST_STEPS) + SHIFT * several
    return {node: values[steps % len(values)] for node, values in shown.items()}


def own_rates(
    model: Model, net: nengo.Network, copies: int
) -> dict[tuple[nengo.Connection, str], list[float]]:
    """Learning rates that differ from copy to copy, as `spikeloom.Simulator` takes them."""
    factors = np.linspace(SLOWEST_RATE, FASTEST_RATE, copies)
    return {
        (c, model.rate): (getattr(c.learning_rule_type, model.rate) * factors).tolist()
        for c in net.all_connections
        if model.rate and c.learning_rule_type
    }


def _others(model: Model, settings: Settings) -> list[Row]:
    """Simulators of others, where they are installed and take the network."""
    found = []
    for name, build in others.SIMULATORS.items():
        for copies in (1, *settings.copies):
            row = Row(model.key, name, copies, "shared" if copies > 1 else "", CORES)
            found.append(row)
            try:
                with ExitStack() as stack:
                    time_all([Contender(row, build(model.make(), copies, stack))], settings)
            except Exception as e:  # of many kinds; the first line says enough
                row.missing = (str(e).splitlines() or [type(e).__name__])[0]
                break
    return found

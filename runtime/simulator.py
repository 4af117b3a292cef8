"""`Simulator`: a drop-in for `nengo.Simulator` whose neurons run on the chip."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Mapping
from typing import Any

import nengo
import numpy as np
from nengo.builder import Model
from nengo.builder.learning_rules import SimRLS
from nengo.builder.operator import Operator
from nengo.builder.processes import SimProcess
from nengo.builder.signal import SignalDict
from nengo.cache import get_default_decoder_cache
from nengo.exceptions import SimulatorClosed
from nengo.synapses import LinearFilter
from nengo.utils.numpy import maxint
from nengo.utils.progress import Progress, ProgressTracker

from ..compiler.compile import lower
from ..compiler.errors import InputError
from ..compiler.frontends.nengo import Conversion, convert
from ..compiler.frontends.nengo.learning import RULES
from ..compiler.frontends.nengo.linear import elements
from ..compiler.graph import Graph
from ..compiler.machine import Machine
from ..compiler.program import Program
from ..sim.held import Held
from .chip import Chip, ProgramChip
from .engines import create_engine
from .host import Host
from .probes import Samples, SimulationData
from .ranges import with_ranges
from .workshare import WorkShare, share_work

HOST_RULES = {*RULES, SimRLS}
"""Operators whose steps learn."""

BATCH_OPTIONS = ("batch", "seeds", "vary", "data", "threads")
"""Arguments that ask for several copies."""


FEWEST_SEARCHED = 8
"""Steps that are looked at together at first, in search of one in which something is sampled."""


class SaturationWarning(UserWarning):
    """A signal on the chip was limited by its fixed-point format."""


class Simulator(nengo.Simulator):
    """Simulate a Nengo network: neurons, synapses and weights on the chip, the rest on the host.

    Used like `nengo.Simulator`. What runs where, and why, is in `placement`.

    Parameters
    ----------
    network : nengo.Network or None
        None if a built `model` is given instead.
    dt : float
        Length of a time step in seconds.
    seed : int, optional
        Seed of the stochastic operators; ``network.seed + 1`` by default, else random.
    model : nengo.builder.Model, optional
        A model to build into, or one built already.
    progress_bar : bool or nengo ProgressBar
    optimize : bool
        Taken for the sake of `nengo.Simulator`'s signature. The compiler has passes of its own;
        Nengo's operators are never merged.
    engine : str
        What runs the Program: ``"native"``, ``"golden"``, ... (`spikeloom.runtime.engines`).
    machine : Machine, optional
        Shape of the machine to compile for.
    ranges : mapping of Nengo object -> float, optional
        Largest absolute values of nodes that the host gives to the chip. Without it a range is
        assumed, and the network is compiled again (states are kept) if a value leaves it.
    batch, seeds, vary, data, threads : optional
        Any of these, or a list of networks, gives a `BatchSimulator` instead: many copies, run side
        by side, that differ in what is said here. See `spikeloom.runtime.batch.simulator`.
    **engine_options
        Passed on to the engine.

    Attributes
    ----------
    program : Program or None
        What the chip runs; None if nothing of the network can run there.
    placement : WorkShare
        What runs on the chip, what on the host and why.
    signals : SignalDict
        The host's signals. Those of which only the chip knows keep their initial values.
    """

    def __new__(cls, network: Any = None, *args: Any, **options: Any) -> Any:
        """A Simulator, or a `BatchSimulator` where several copies are asked for."""
        asked = any(options.get(name) is not None for name in BATCH_OPTIONS)
        if cls is Simulator and (asked or isinstance(network, (list, tuple))):
            from .batch.simulator import simulate_batch

            return simulate_batch(network, *args, **options)
        return super().__new__(cls)

    def __init__(
        self,
        network: nengo.Network | None,
        dt: float = 0.001,
        seed: int | None = None,
        model: Model | None = None,
        progress_bar: Any = True,
        optimize: bool = True,
        engine: str = "native",
        machine: Machine | None = None,
        ranges: Mapping[Any, float] | None = None,
        **engine_options: Any,
    ) -> None:
        for name in BATCH_OPTIONS:  # None, or this would be a batch
            engine_options.pop(name, None)
        self.closed = True  # if the constructor raises
        self.progress_bar = progress_bar
        self.optimize = optimize
        self._learning = True
        self._options: dict[str, Any] = {
            "engine": engine,
            "machine": machine,
            "ranges": ranges,
            **engine_options,
        }
        if model is None:
            model = Model(
                dt=float(dt),
                label=f"{network}, dt={dt:f}",
                decoder_cache=get_default_decoder_cache(),
            )
        self.model = model
        tracker = ProgressTracker(progress_bar, Progress("Building", "Build"))
        with tracker:
            if network is not None:
                model.build(network, progress=tracker.next_stage("Building", "Build"))
            with tracker.next_stage("Building (compiling)", "Compilation"):
                self._conversion = self._convert(model)
                self.dg = self._conversion.dependencies
                self._step_order = [op for op in self._conversion.order if hasattr(op, "make_step")]
                self.chip = self._make_chip() if len(self._conversion.graph.nx) else None
        self.signals = SignalDict()
        for op in model.operators:
            op.init_signals(self.signals)
        self._sim_data = model.params
        self.data = SimulationData(self._sim_data)
        if seed is None:
            if network is not None and network.seed is not None:
                seed = network.seed + 1
            else:
                seed = np.random.randint(maxint)
        self.closed = False
        self.reset(seed=seed)

    def _convert(self, model: Model) -> Conversion:
        return convert(model)

    def _make_chip(self) -> Chip:
        options = dict(self._options)
        engine, machine = options.pop("engine"), options.pop("machine")
        graph = with_ranges(self._conversion, options.pop("ranges"))

        def compile(graph: Graph) -> Program:
            return lower(graph, machine or Machine())

        return ProgramChip(
            graph, compile, lambda program: create_engine(engine, program, **options)
        )

    # -- what runs where ---------------------------------------------------------------------

    @property
    def program(self) -> Program | None:
        """What the chip runs."""
        return getattr(self.chip, "program", None)

    @property
    def placement(self) -> WorkShare:
        """What runs on the chip, what on the host and why."""
        return share_work(self._conversion)

    # -- running -----------------------------------------------------------------------------

    def reset(self, seed: int | None = None) -> None:
        """Go back to the start; see `nengo.Simulator.reset`."""
        if self.closed:
            raise SimulatorClosed("Cannot reset closed Simulator.")
        if seed is not None:
            self.seed = seed
        for key in self.signals:
            self.signals.reset(key)
        # Steps are made of the chip's operators, too: they draw seeds in Nengo's order.
        self.rng = np.random.RandomState(self.seed)
        steps = {}
        for op in self._step_order:
            if op not in self._conversion.placement.host and _is_filter(op):
                op.process.get_rng(self.rng)  # all that making its step would draw
            else:
                steps[op] = op.make_step(self.signals, self.dt, self.rng)
        if self.chip is not None:
            self.chip.reset()
        self._warned: dict[str, int] = {}
        self._searched = (1, 0)  # between these steps nothing learned is sampled, but in the last
        self._host = Host(
            self._conversion,
            self.chip,
            self.signals,
            self._learning_steps(steps),
            self._probe,
            self._probe_block,
            self._next_look,
        )
        self._probe_places = self._find_probe_places()
        self.clear_probes()
        self._probe_step_time()

    def step(self) -> None:
        """Advance by one step (`dt` seconds)."""
        if self.closed:
            raise SimulatorClosed("Simulator cannot run because it is closed.")
        self._host.step()
        self._warn_of_saturation()

    def run_steps(self, steps: int, progress_bar: Any = None) -> None:
        """Advance by a number of steps; see `nengo.Simulator.run_steps`."""
        if self.closed:
            raise SimulatorClosed("Simulator cannot run because it is closed.")
        if progress_bar is None:
            progress_bar = self.progress_bar
        with ProgressTracker(progress_bar, Progress("Simulating", "Simulation", steps)) as tracker:
            self._host.run(steps, lambda n: tracker.total_progress.step(n))
        self._warn_of_saturation()

    def _new_saturations(self) -> dict[str, int]:
        """How often signals worth a warning were limited, where that was not yet reported."""
        counts = self.chip.saturations() if self.chip is not None else {}
        new = {n: c for n, c in counts.items() if c > self._warned.get(n, 0) and self._matters(n)}
        self._warned.update(counts)
        return new

    def _warn_of_saturation(self) -> None:
        new = self._new_saturations()
        if new:
            worst = max(new, key=lambda name: new[name])
            others = f" and {len(new) - 1} more" if len(new) > 1 else ""
            warnings.warn(
                f"{worst}{others}: limited by its fixed-point format {new[worst]} times; give the "
                "ranges of its inputs with ranges={...}, or bring its input nearer to its radius",
                SaturationWarning,
                stacklevel=_frames_to_user(),
            )

    def _matters(self, population: str) -> bool:
        """Whether a limited signal of a population is worth a warning."""
        graph = self._conversion.graph
        if self.program is not None and population in self.program.projections:
            return True
        members = self.program.populations[population].members if self.program else ()
        name = members[0][0] if members else population
        kernel = getattr(graph[name], "kernel", None) if name in graph.nx else None
        return kernel is None or kernel.saturation_matters()

    # -- learning ----------------------------------------------------------------------------

    @property
    def learning(self) -> bool:
        """Whether learning rules change their weights; may be set at any time between steps."""
        return self._learning

    @learning.setter
    def learning(self, on: bool) -> None:
        self._learning = bool(on)
        if self.chip is not None:
            self.chip.learning(self._learning)

    def freeze(self) -> None:
        """Stop learning: the same as ``learning = False``."""
        self.learning = False

    def learned(self, connection: nengo.Connection) -> np.ndarray:
        """What a connection has learned so far.

        Parameters
        ----------
        connection : nengo.Connection
            With a learning rule.

        Returns
        -------
        ndarray
            Its weights or decoders (size_out, pre neurons), or, where the rule modifies encoders,
            the scaled encoders (neurons, dimensions) of the ensemble behind it.

        Raises
        ------
        InputError
            The connection does not learn.
        """
        rules = connection.learning_rule
        if rules is None:
            raise InputError(f"{connection}: it has no learning rule")
        several = isinstance(rules, (list, dict))
        rule = rules
        if several:
            rule = next(iter(rules.values() if isinstance(rules, dict) else rules))
        if rule.modifies == "encoders":
            signal = self.model.sig[_ensemble(connection.post_obj)]["encoders"]
        else:
            signal = self.model.sig[connection]["weights"]
        place = self._conversion.plan.learned.get(signal)
        if place is None or self.chip is None:
            return np.array(self.signals[signal])
        return self.chip.learned(*place)

    def keep_learned(self, network: nengo.Network) -> None:
        """Write what was learned into the network that was simulated, in place of its own weights.

        Connections between neurons get the weights as their transform, decoded ones a solver that
        holds the decoders; where encoders were learned, the ensemble gets them. Rules stay: the
        network goes on learning from there, or not if they are removed.

        Parameters
        ----------
        network : nengo.Network
        """
        for connection in network.all_connections:
            rule = connection.learning_rule
            if rule is None:
                continue
            found = self.learned(connection)
            if getattr(rule, "modifies", None) == "encoders":
                ensemble = _ensemble(connection.post_obj)
                built = self.data[ensemble]
                ensemble.encoders = found / (built.gain / ensemble.radius)[:, None]
                ensemble.normalize_encoders = False
                ensemble.gain, ensemble.bias = built.gain, built.bias
            elif isinstance(connection.pre_obj, nengo.ensemble.Neurons):
                connection.transform = found
            else:
                full = connection.solver.weights
                connection.solver = nengo.solvers.NoSolver(found.T, weights=full)
                if not full:
                    connection.transform = None

    def learned_program(self) -> Program:
        """A copy of the Program that begins with what was learned so far.

        Raises
        ------
        InputError
            Nothing runs on the chip.
        """
        if not isinstance(self.chip, ProgramChip):
            raise InputError("nothing of the network runs on the chip: there is no Program")
        return self.chip.learned_program()

    def _learning_steps(self, steps: dict[Operator, Any]) -> dict[Operator, Any]:
        """The operators' steps, with those of rules on the host obeying `learning`."""
        found = dict(steps)
        for op, step in steps.items():
            if type(op) in HOST_RULES:
                found[op] = self._gated(step, self.signals[op.delta])
        return found

    def _gated(self, step: Any, delta: np.ndarray) -> Any:
        def learn() -> None:
            if self._learning:
                step()
            else:
                delta[...] = 0

        return learn

    def _next_look(self, step: int) -> int:
        """In how many steps from number `step` on something learned is sampled."""
        learned = self._conversion.plan.learned
        first, due = self._searched
        if not first <= step <= due:
            probes = [p for p in self.model.probes if self.model.sig[p]["in"].base in learned]
            due, several = step, FEWEST_SEARCHED
            while True:
                steps = np.arange(due, due + several)
                found = np.any([_sampled(p, steps, self.dt) for p in probes], axis=0)
                if found.any():
                    break
                due, several = due + several, 2 * several
            due += int(np.argmax(found))
            self._searched = step, due
        return due - step

    # -- probes ------------------------------------------------------------------------------

    def clear_probes(self) -> None:
        """Drop all samples so far."""
        for probe in self.model.probes:
            self._sim_data[probe] = Samples()
        self.data.reset()

    def _find_probe_places(self) -> list[tuple[Any, Any, tuple[int, ...], np.ndarray | None]]:
        """Probe, signal, shape, and elements of its base signal (None: all, in order)."""
        places = []
        for probe in self.model.probes:
            signal = self.model.sig[probe]["in"]
            numbers = None if signal.sparse else elements(signal).ravel()
            if numbers is not None and np.array_equal(numbers, np.arange(signal.base.size)):
                numbers = None
            places.append((probe, signal, signal.shape, numbers))
        return places

    def _probe_block(self, first: int, found: dict[Any, Held]) -> None:
        """Store the samples of steps from number `first` on; see `Host`."""
        self._probe_step_time()
        for probe, signal, shape, numbers in self._probe_places:
            count, taken = self._n_steps + 1 - first, None
            if probe.sample_every is not None:
                taken = np.flatnonzero(_sampled(probe, first + np.arange(count), self.dt))
                count = len(taken)
            if signal.base in found:
                held = found[signal.base]
                held = held if numbers is None else held.columns(numbers)
                block = held.dense if taken is None else held.at(taken)
                self._sim_data[probe].extend(block.reshape(count, *shape))
            else:
                value = self.signals[signal].copy()
                same = [value] * count if signal.sparse else np.broadcast_to(value, (count, *shape))
                self._sim_data[probe].extend(same)

    # -- pickling ----------------------------------------------------------------------------

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()
        state["probe_outputs"] = {p: list(s) for p, s in state["probe_outputs"].items()}
        state["options"] = self._options
        state["chip"] = None if self.chip is None else self.chip.snapshot()
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        Simulator.__init__(
            self,
            network=None,
            model=state["model"],
            dt=state["dt"],
            seed=state["seed"],
            progress_bar=state["progress_bar"],
            optimize=state["optimize"],
            **state["options"],
        )
        for key, value in state["signals"].items():
            self.signals[key] = value
        for probe, samples in state["probe_outputs"].items():
            self._sim_data[probe].extend(samples)
        if self.chip is not None:
            self.chip.restore(state["chip"])
        self._probe_step_time()
        if state["closed"]:
            self.close()


def _is_filter(op: Operator) -> bool:
    """Whether an operator is a synapse that steps as Nengo's linear filters do."""
    return (
        isinstance(op, SimProcess)
        and isinstance(op.process, LinearFilter)
        and type(op.process).make_step is LinearFilter.make_step
    )


def _sampled(probe: nengo.Probe, steps: np.ndarray, dt: float) -> np.ndarray:
    """Whether a probe takes a sample at the end of each of some steps."""
    if probe.sample_every is None:
        return np.ones(len(steps), dtype=bool)
    found: np.ndarray = steps % (probe.sample_every / dt) < 1
    return found


def _ensemble(post: Any) -> nengo.Ensemble:
    return getattr(post, "ensemble", post)


def _frames_to_user() -> int:
    """The ``stacklevel`` that makes a warning point to the code that called the Simulator."""
    frame, level = inspect.currentframe(), 0
    while (frame is not None and isinstance(frame.f_locals.get("self"), Simulator)) or level < 1:
        frame, level = frame.f_back if frame is not None else None, level + 1
    return level

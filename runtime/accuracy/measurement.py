"""How often a network is right, in float and in fixed point, by time, class and bits."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import nengo
import numpy as np
from nengo.builder.processes import SimProcess

from ...compiler.compile import compile_graph
from ...compiler.errors import InputError, KernelError, ModelError
from ...compiler.machine import Machine
from ...compiler.passes.coarsen import WeightBits
from ..calibration import calibrated
from ..deployment import DEFAULT_SEED, quiet_ranges
from ..recording import RecordingSimulator
from ..replay import replay
from ..report.advice import advise
from ..report.measured import measured
from .float_images import float_images
from .images import ImageSimulator, Sampling
from .labelled import (
    Labelled,
    input_node,
    output_probe,
    present,
)

POINTS = 10
"""At so many times the accuracy is looked at."""

FITTED = 10
"""Images over which rates are looked at, and unproved ranges widened until nothing saturates."""

FEWEST_WEIGHT_BITS, FEWEST_STATE_BITS = 4, 12
"""Where the search for the smallest formats begins."""


def refuse_filters_behind(sim: RecordingSimulator) -> None:
    """Refuse filters of the host: it sees samples of an image only, not each step.

    Raises
    ------
    ModelError
        If there is one, as where an output is filtered twice.
    """
    for action in sim._conversion.plan.runs:
        op = action.operator
        if isinstance(op, SimProcess) and isinstance(op.process, nengo.synapses.Synapse):
            name = sim._conversion.names.of_signal(op.output.base)
            raise ModelError(
                f"{name}: its filter {op.process} runs on the host, which sees only some steps of "
                "each image; leave one filter between the last neurons and the probe, such as that "
                "of their connection"
            )


@dataclass(frozen=True)
class Formats:
    """How many bits weights and states have.

    Attributes
    ----------
    weights : WeightBits
    state : int
        Of each voltage, and of each synapse's state.
    narrow : bool
        Take a machine whose words for weights have no more bits than the widest weights, and so
        for biases and gains, too; otherwise weights are rounded and stored in words of full width.
    """

    weights: WeightBits = field(default_factory=WeightBits)
    state: int = Machine().state_bits
    narrow: bool = False

    def machine(self) -> Machine:
        """The machine that they need."""
        found = replace(Machine(), state_bits=self.state)
        if not self.narrow or self.weights.everywhere is None:
            return found
        widest = max(self.weights.everywhere, *self.weights.layers.values(), 0)
        return replace(found, weight_bits=widest)

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        most = Machine().weight_bits
        everywhere = most if self.weights.everywhere is None else self.weights.everywhere
        return {
            "weights": everywhere,
            "layers": dict(self.weights.layers),
            "state": self.state,
            "narrow": self.narrow,
        }


@dataclass(frozen=True)
class Outcome:
    """What one run over the images gave.

    Attributes
    ----------
    answers : (n, times) int64 ndarray
        The class with the largest output.
    labels : (n,) int64 ndarray
    seconds : float
        In total, but for building.
    saturations : dict of str -> int
        Names of populations, and how often they were limited.
    engine_seconds : float, optional
        That the engine alone took, without the host's part.
    """

    answers: np.ndarray
    labels: np.ndarray
    seconds: float
    saturations: dict[str, int] = field(default_factory=dict)
    engine_seconds: float | None = None

    @property
    def accuracy(self) -> float:
        """Share of right answers at the end."""
        return float(np.mean(self.answers[:, -1] == self.labels))

    def by_time(self) -> list[float]:
        """Share of right answers at each time."""
        right: np.ndarray = np.mean(self.answers == self.labels[:, None], axis=0)
        return [float(share) for share in right]

    def by_class(self, classes: int) -> list[float | None]:
        """Share of right answers at the end, by class; None where there is no image of it."""
        right = self.answers[:, -1] == self.labels
        return [
            float(right[self.labels == c].mean()) if (self.labels == c).any() else None
            for c in range(classes)
        ]

    def first(self, count: int) -> Outcome:
        """The same of the first `count` images."""
        return replace(self, answers=self.answers[:count], labels=self.labels[:count])

    def to_json(self, classes: int) -> dict[str, Any]:
        """As a JSON object."""
        return {
            "images": len(self.labels),
            "accuracy": self.accuracy,
            "by_time": self.by_time(),
            "by_class": self.by_class(classes),
            "seconds": self.seconds,
            "engine_seconds": self.engine_seconds,
            "saturations": self.saturations,
        }


class Experiment:
    """A network and labelled images, to be run in several formats.

    Parameters
    ----------
    network : nengo.Network
        A network without a seed gets one. Its input node is made to show the images.
    data : Labelled
    steps : int
        How long each image is shown.
    dt : float
        Seconds.
    source, output : str, optional
        Names of the input node and of the probe with a value for each class, where there are
        several.
    mean : bool, optional
        Whether the answer is the largest mean since the image appeared, or else the largest value
        in the last step; by default the mean if single spikes are probed.
    calibration : Labelled, optional
        Fit all ranges that are not proved to these images, instead of widening those that are left.
    engine : str

    Attributes
    ----------
    advice : list of Advice
        From a run over the first images, or those of `calibration`.

    Raises
    ------
    ModelError
        If the input or the output is not clear, or nothing runs on the chip.
    InputError
        If images or labels do not fit the network.
    """

    def __init__(
        self,
        network: nengo.Network,
        data: Labelled,
        steps: int = 100,
        dt: float = 0.001,
        source: str | None = None,
        output: str | None = None,
        mean: bool | None = None,
        calibration: Labelled | None = None,
        engine: str = "native",
    ) -> None:
        if steps < 1:
            raise InputError(f"--steps {steps}: must be at least 1")
        if network.seed is None:
            network.seed = DEFAULT_SEED
        self.data, self.dt, self.engine = data, dt, engine
        self.name = network.label or "network"
        node, self.probe = input_node(network, source), output_probe(network, output)
        if self.probe.size_in <= int(data.labels.max()):
            raise InputError(
                f"the probe has {self.probe.size_in} elements, the labels go up to "
                f"{int(data.labels.max())}; choose the probe with --output"
            )
        self.mean = _probes_spikes(self.probe) if mean is None else mean
        times = np.unique(np.rint(np.linspace(0, steps, min(POINTS, steps) + 1)[1:]).astype(int))
        self.sampling = Sampling(tuple(int(t) for t in times), self.mean)
        shown = data.first(FITTED) if calibration is None else calibration
        present(node, shown.images, steps * dt)
        options: dict[str, Any] = {"engine": engine, "machine": Machine(), "progress_bar": False}
        sim = RecordingSimulator(network, dt=dt, **options)
        if sim.chip is None:
            raise ModelError(f"{self.name}: nothing in it can run on the chip")
        refuse_filters_behind(sim)
        with quiet_ranges():
            sim, _ = calibrated(sim, len(shown) * steps, calibration is not None, options)
            sim.reset(seed=sim.seed)
            sim.run_steps(len(shown) * steps)
        self._graph = sim.graph
        compilation = compile_graph(sim.graph)
        seen = replay(compilation.program, len(shown) * steps, sim.sent(), engine)
        self.advice = advise(measured(sim, compilation, seen, len(shown) * steps))
        sim.close()
        present(node, data.images, self.sampling.rows * dt)
        self._model = nengo.builder.Model(dt=dt)
        self._model.build(network)

    def fixed(
        self, formats: Formats | None = None, say: Callable[[int], Any] = lambda done: None
    ) -> Outcome:
        """All images on the chip.

        Raises
        ------
        KernelError
            If a neuron's state does not fit so few bits.
        InputError
            If weights cannot have so few bits, or there is no layer of a name.
        """
        formats = formats or Formats()
        formats.weights.check(Machine())
        machine = formats.machine()
        with quiet_ranges():
            sim = ImageSimulator(
                self._model, self._graph, self.sampling, machine, formats.weights, self.engine
            )
            begin = time.perf_counter()
            outputs = sim.show(self.probe, len(self.data), say)
            seconds = time.perf_counter() - begin
        limited, engine = dict(sim.images.saturated), sim.images.runner.seconds
        return Outcome(outputs.argmax(axis=2), self.data.labels, seconds, limited, engine)

    def floating(
        self, count: int | None = None, say: Callable[[int], Any] = lambda done: None
    ) -> Outcome:
        """The first `count` images, or all, in float Nengo."""
        count = len(self.data) if count is None else min(count, len(self.data))
        begin = time.perf_counter()
        outputs = float_images(self._model, self.probe, count, self.sampling, 0, say)
        seconds = time.perf_counter() - begin
        return Outcome(outputs.argmax(axis=2), self.data.labels[:count], seconds)

    def smallest(
        self,
        wanted: float,
        start: Formats | None = None,
        say: Callable[[str], Any] = lambda text: None,
    ) -> Iterator[tuple[Formats, Outcome, bool]]:
        """Search for the smallest formats that are right at least so often.

        First weights, with a state of all bits; then the state, with those weights.

        Parameters
        ----------
        wanted : float
            Share of right answers.
        start : Formats, optional
            Bits of single layers, which stay, and of the state to begin with.
        say : callable
            Called with what is tried.

        Yields
        ------
        formats : Formats
        outcome : Outcome
        enough : bool
            Whether it was right often enough; the last formats of which that holds are the result.
        """
        start = start or Formats()
        chosen = start
        for bits in range(FEWEST_WEIGHT_BITS, Machine().weight_bits + 1):
            tried = replace(start, weights=replace(start.weights, everywhere=bits))
            say(f"weights of {bits} bits")
            outcome = self.fixed(tried)
            enough = outcome.accuracy >= wanted - 1e-12
            yield tried, outcome, enough
            if enough:
                chosen = tried
                break
        else:
            return
        for bits in range(FEWEST_STATE_BITS, start.state):
            tried = replace(chosen, state=bits)
            say(f"states of {bits} bits")
            try:
                outcome = self.fixed(tried)
            except KernelError:
                continue  # too narrow for the neurons at all
            enough = outcome.accuracy >= wanted - 1e-12
            yield tried, outcome, enough
            if enough:
                break


def _probes_spikes(probe: nengo.Probe) -> bool:
    target = getattr(probe.target, "obj", probe.target)
    return (
        probe.synapse is None
        and isinstance(target, nengo.ensemble.Neurons)
        and bool(target.ensemble.neuron_type.spiking)
    )

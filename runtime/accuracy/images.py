"""Many images through one Program, each from the initial state and held for some steps."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...compiler.compile import compile_graph, widened
from ...compiler.errors import ModelError
from ...compiler.graph import Graph, Input
from ...compiler.machine import Machine
from ...compiler.passes.coarsen import WeightBits
from ...compiler.program import Program
from ...sim.held import Held
from ...sim.native.batch import NativeBatch
from ..chip import ProgramChip
from ..engines import create_engine
from ..ranges import with_ranges
from ..simulator import Simulator
from ..standalone import quantise


@dataclass(frozen=True)
class Sampling:
    """When the outputs are looked at while an image is shown.

    Attributes
    ----------
    times : tuple of int
        Numbers of steps since the image appeared, ascending; the last one is how long it is shown.
    mean : bool
        Look at the mean over all steps so far, instead of at the last one.
    """

    times: tuple[int, ...]
    mean: bool = False

    @property
    def rows(self) -> int:
        """Samples of an image: at each time, and one step before (a synapse shows a step late)."""
        return 2 * len(self.times)

    @property
    def steps(self) -> int:
        """Steps that an image is shown for."""
        return self.times[-1]

    def of(self, values: np.ndarray) -> np.ndarray:
        """The samples of some images.

        Parameters
        ----------
        values : (n, steps, size) ndarray
            After each step.

        Returns
        -------
        (n, 2 * times, size) float64 ndarray
        """
        last = np.repeat(self.times, 2) - np.tile([1, 0], len(self.times))
        begun = last[:, None] > 0  # before the first step all outputs are zero
        if not self.mean:
            return np.where(begun, values[:, np.maximum(last, 1) - 1], 0).astype(float)
        total = np.cumsum(values, axis=1)[:, np.maximum(last, 1) - 1]
        mean: np.ndarray = np.where(begun, total, 0) / np.repeat(self.times, 2)[:, None]
        return mean


class ImageRunner:
    """Shows images to a Program, each from the initial state; learning is off.

    Parameters
    ----------
    program : Program
    engine : str
        The native engine runs many images at a time, on all cores; others one after the other.

    Attributes
    ----------
    seconds : float
        That the engine took so far.
    """

    def __init__(self, program: Program, engine: str) -> None:
        self.program, self.engine = program, engine
        self.seconds = 0.0
        self._batch: NativeBatch | None = None

    def run(
        self, images: Mapping[str, np.ndarray], steps: int, record: Sequence[str]
    ) -> tuple[dict[str, np.ndarray], Counter[str]]:
        """Show some images.

        Parameters
        ----------
        images : mapping of input name -> (n, size) int64 ndarray
            What the inputs hold while an image is shown.
        steps : int
            For how long.
        record : sequence of str
            Output ports.

        Returns
        -------
        outputs : dict of output name -> (n, steps, size) int64 ndarray
        saturations : Counter
            Times that something was limited, by population.
        """
        begin = time.perf_counter()
        found = (self._together if self.engine == "native" else self._one_by_one)(
            images, len(next(iter(images.values()))), steps, record
        )
        self.seconds += time.perf_counter() - begin
        return found

    def _together(
        self, images: Mapping[str, np.ndarray], count: int, steps: int, record: Sequence[str]
    ) -> tuple[dict[str, np.ndarray], Counter[str]]:
        if self._batch is None or self._batch.copies != count:
            self._batch = NativeBatch(self.program, count)
            self._batch.learning(False)
        self._batch.reset()
        held = {name: values[:, None, :] for name, values in images.items()}
        found = self._batch.run(steps, held, record)
        saturations: Counter[str] = Counter()
        for k in range(count):
            saturations.update(self._batch.saturations(k))
        return found, saturations

    def _one_by_one(
        self, images: Mapping[str, np.ndarray], count: int, steps: int, record: Sequence[str]
    ) -> tuple[dict[str, np.ndarray], Counter[str]]:
        engine = create_engine(self.engine, self.program)
        engine.learning(False)
        saturations: Counter[str] = Counter()
        found = []
        for k in range(count):
            engine.reset()
            for name, values in images.items():
                engine.write(name, values[k])
            found.append(engine.run(steps, {}, record))
            saturations.update(engine.saturations())
        return {name: np.stack([f[name] for f in found]) for name in record}, saturations


class ImageChip:
    """A chip on which one step of the host is a sample of an image.

    The host shows each image for `Sampling.rows` of its own steps. What it reads in these are the
    samples: so everything that the host computes in front of the chip and behind it stays as it is.

    Parameters
    ----------
    chip : ProgramChip
    sampling : Sampling
    engine : str

    Attributes
    ----------
    saturated : Counter
        Times that something was limited by its format, by population.
    runner : ImageRunner
    """

    def __init__(self, chip: ProgramChip, sampling: Sampling, engine: str) -> None:
        self.chip = chip
        self.sampling = sampling
        self.saturated: Counter[str] = Counter()
        self._engine = engine
        self.runner = ImageRunner(chip.program, engine)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.chip, name)

    def step(self, phase: int) -> None:
        """Images cannot be shown step by step; raises `ModelError`."""
        raise ModelError(
            "functions of the host stand in a loop with the chip, or both in front of it and "
            "behind it: images cannot be run on the chip alone; leave such functions out"
        )

    def run(
        self, steps: int, inputs: Mapping[str, Held], record: Iterable[str]
    ) -> dict[str, np.ndarray]:
        """Run ``steps / rows`` images; returns a sample for each step."""
        rows, names = self.sampling.rows, list(record)
        images: dict[str, np.ndarray] = {}
        for name, held in inputs.items():
            shown = held.at(np.arange(0, steps, rows))
            changes = held.first % rows != 0
            if (held.rows[changes] != shown[held.first[changes] // rows]).any():
                raise ModelError(
                    f"{self.chip.graph[name].origin}: what it gives to the chip changes while an "
                    "image is shown; only the images may change"
                )
            images[name] = shown
            # Lowers the Graph anew if a value leaves its range.
            largest = int(np.argmax(np.abs(images[name]).max(axis=1, initial=0.0)))
            self.chip.write(name, images[name][largest])
        program = self.chip.program
        if self.runner.program is not program:
            self.runner = ImageRunner(program, self._engine)
        given = {n: quantise(program, program.inputs[n], v)[0] for n, v in images.items()}
        found, limited = self.runner.run(given, self.sampling.steps, names)
        self.saturated.update(limited)
        return {
            name: (self.sampling.of(values) * program.outputs[name].unit).reshape(steps, -1)
            for name, values in found.items()
        }


class ImageSimulator(Simulator):
    """A `Simulator` whose step is a sample of an image; see `ImageChip`.

    Parameters
    ----------
    model : nengo.builder.Model
        Built, with a node that shows each image for ``Sampling.rows`` steps.
    graph : Graph
        Of the same network, with its ranges.
    sampling : Sampling
    machine : Machine, optional
    weight_bits : WeightBits, optional
    engine : str
    """

    def __init__(
        self,
        model: Any,
        graph: Graph,
        sampling: Sampling,
        machine: Machine | None = None,
        weight_bits: WeightBits | None = None,
        engine: str = "native",
    ) -> None:
        self._graph, self._sampling = graph, sampling
        self._bits, self._machine = weight_bits, machine or Machine()
        self.images: ImageChip
        super().__init__(None, dt=model.dt, seed=0, model=model, engine=engine, progress_bar=False)

    def _make_chip(self) -> Any:
        def compile(graph: Graph) -> Program:
            return compile_graph(graph, self._machine, weight_bits=self._bits).program

        engine = self._options["engine"]
        # The ranges that were fitted, but inputs as large as the model says they get.
        known = with_ranges(self._conversion, None)
        limits = {
            node.name: max(node.limit or 0.0, getattr(self._graph[node.name], "limit", 0.0) or 0.0)
            for node in known.nodes()
            if isinstance(node, Input)
        }
        graph = widened(self._graph, limits)
        chip = ProgramChip(graph, compile, lambda program: create_engine(engine, program))
        self.images = ImageChip(chip, self._sampling, engine)
        return self.images

    def show(
        self, probe: Any, count: int, say: Callable[[int], Any] = lambda done: None
    ) -> np.ndarray:
        """Show the first `count` images; what the probe holds at each time.

        Parameters
        ----------
        probe : nengo.Probe
        count : int
        say : callable
            Called with the number of images done.

        Returns
        -------
        (count, times, size) float64 ndarray
        """
        rows = self._sampling.rows
        together = max(1, BLOCK // rows)
        found = []
        for first in range(0, count, together):
            images = min(together, count - first)
            self.run_steps(images * rows)
            values = np.array(self.data[probe])
            found.append(values.reshape(images, rows, -1)[:, 1::2])
            self.clear_probes()
            say(first + images)
        return np.concatenate(found)


BLOCK = 1000
"""Steps of the host that are run at a time."""

"""What an engine is given over a run: rows that are held for some steps, or one in each step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np

from spikeloom.sim.held import Held, together
from spikeloom.sim.native.batch import NativeBatch
from spikeloom.sim.native.engine import NativeEngine

FEWEST_STEPS_HELD = 8
"""Inputs that change less often than once in so many steps are given as rows that are held."""

SHIFT = 37
"""Copies with inputs of their own are so many steps apart, where these change in each step."""

Segment = tuple[int, dict[str, np.ndarray]]
"""Steps, and the inputs as `NativeBatch.run` takes them: int64 (copies or 1, steps or 1, size)."""


class Schedule:
    """The inputs of a run, in segments in which images are held.

    Parameters
    ----------
    inputs : mapping of port name -> (steps, size) int64 ndarray
    steps : int

    Attributes
    ----------
    is_held : bool
        Whether inputs are held for some steps each.
    """

    def __init__(self, inputs: Mapping[str, np.ndarray], steps: int) -> None:
        self.inputs, self.steps = dict(inputs), steps
        held = {name: Held.found(values) for name, values in inputs.items()}
        begins = np.zeros(1, np.int64)
        for values in held.values():
            begins = together(begins, values.first)
        self.is_held = len(begins) * FEWEST_STEPS_HELD <= steps
        self._bounds = list(pairwise([*begins.tolist(), steps]))
        self._rows = {name: values.on(begins) for name, values in held.items()}

    def segments(self, steps: int, copies: int = 1) -> list[Segment]:
        """The inputs of a run of `steps` steps, repeated as often as it takes.

        One copy's are what all share; of several each has its own, some images or steps later.
        """
        found: list[Segment] = []
        number = 0
        while steps > 0:
            begin, end = (
                self._bounds[number % len(self._bounds)] if self.is_held else (0, self.steps)
            )
            length = min(end - begin, steps)
            found.append((length, self._inputs(number, length, copies)))
            steps -= length
            number += 1
        return found

    def _inputs(self, number: int, length: int, copies: int) -> dict[str, np.ndarray]:
        several = np.arange(copies)[:, None]
        if self.is_held:
            shown = (number + several) % len(self._bounds)
            return {name: rows[shown] for name, rows in self._rows.items()}
        shown = (np.arange(length) + SHIFT * several) % self.steps
        return {name: values[shown] for name, values in self.inputs.items()}


def run_engine(engine: NativeEngine, segments: Sequence[Segment], record: Sequence[str]) -> None:
    """Run a single engine; inputs that are held are written once."""
    for steps, inputs in segments:
        given = {}
        for name, values in inputs.items():
            if values.shape[1] == steps:
                given[name] = values[0]
            else:
                engine.write(name, values[0, 0])
        engine.run(steps, given, record)


def run_batch(batch: NativeBatch, segments: Sequence[Segment], record: Sequence[str]) -> None:
    """Run all copies of a batch."""
    for steps, inputs in segments:
        batch.run(steps, inputs, record)

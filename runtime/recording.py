"""A Simulator that keeps what the host sends to the chip, so that a run can be repeated alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, cast

import numpy as np

from ..compiler.frontends.nengo import Conversion
from ..compiler.graph import Graph
from ..sim.held import Held
from .chip import Chip
from .simulator import Simulator


class RecordingChip:
    """Another chip, and all that was written to its inputs."""

    def __init__(self, chip: Chip) -> None:
        self.chip = chip
        self._sent: dict[str, list[np.ndarray]] = defaultdict(list)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.chip, name)

    def reset(self) -> None:
        """Go back to the initial memories, and forget what was written."""
        self._sent.clear()
        self.chip.reset()

    def write(self, name: str, values: np.ndarray) -> None:
        """Write an input, and keep it."""
        self.chip.write(name, values)
        self._sent[name].append(np.array(values, dtype=float)[None])

    def run(
        self, steps: int, inputs: Mapping[str, Held], record: Iterable[str]
    ) -> dict[str, np.ndarray]:
        """Run whole steps, and keep the inputs."""
        found = self.chip.run(steps, inputs, record)
        for name, held in inputs.items():
            self._sent[name].append(np.array(held.dense, dtype=float))
        return found

    def sent(self) -> dict[str, np.ndarray]:
        """Values of each input since the last reset, (steps, size) float64."""
        return {name: np.concatenate(blocks) for name, blocks in self._sent.items()}


class RecordingSimulator(Simulator):
    """`Simulator` that can say what the host sent to the chip, and how the model was split."""

    def _make_chip(self) -> Chip:
        return cast(Chip, RecordingChip(super()._make_chip()))

    @property
    def conversion(self) -> Conversion:
        """How the model was split between chip and host."""
        return self._conversion

    @property
    def graph(self) -> Graph:
        """What the chip computes, with the ranges that it was last compiled for."""
        chip: Any = self.chip
        graph: Graph = chip.graph
        return graph

    def sent(self) -> dict[str, np.ndarray]:
        """Values of each input of the chip since the last reset, (steps, size) float64."""
        chip: Any = self.chip
        return chip.sent() if chip is not None else {}

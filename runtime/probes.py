"""Probed data: blocks of samples, shown as arrays."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from nengo.simulator import SimulationData as NengoSimulationData


class Samples:
    """The samples of one probe, appended one by one or in blocks."""

    def __init__(self) -> None:
        self._blocks: list[np.ndarray] = []
        self._single: list[np.ndarray] = []
        self._length = 0

    def append(self, sample: np.ndarray) -> None:
        """Add one sample; it must not be changed afterwards."""
        self._single.append(sample)
        self._length += 1

    def extend(self, samples: np.ndarray | Iterable[np.ndarray]) -> None:
        """Add a block, (n, ...) ndarray, or any number of samples."""
        if isinstance(samples, Samples):
            samples = samples.array()
        if not isinstance(samples, np.ndarray):
            for sample in samples:
                self.append(sample)
        elif len(samples):
            self._flush()
            self._blocks.append(samples)
            self._length += len(samples)

    def _flush(self) -> None:
        if self._single:
            self._blocks.append(np.asarray(self._single))
            self._single = []

    def array(self) -> np.ndarray:
        """All samples, (n, ...) ndarray."""
        self._flush()
        if len(self._blocks) > 1:
            self._blocks = [np.concatenate(self._blocks)]
        return self._blocks[0] if self._blocks else np.asarray([])

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[np.ndarray]:
        return iter(self.array())

    def __getitem__(self, item: Any) -> Any:
        return self.array()[item]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.array(), dtype=dtype, copy=copy)


class SimulationData(NengoSimulationData):
    """`nengo.simulator.SimulationData` over `Samples`."""

    def __getitem__(self, key: Any) -> Any:
        """Data of a Nengo object: an array for a probe, the built parameters for another."""
        raw = self.raw[key]
        if not isinstance(raw, Samples):
            return super().__getitem__(key)
        if key not in self._cache or len(self._cache[key]) != len(raw):
            array = raw.array().view()
            array.setflags(write=False)
            self._cache[key] = array
        return self._cache[key]

"""Where the native engine keeps the weights that a rule changes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class LearnedPlace:
    """Where learned weights lie.

    Attributes
    ----------
    first : int
        Place of the first.
    stride : int
        Elements from one row to the next.
    rows : int
    transposed : bool
        A row holds the synapses of a post neuron, and not of a pre neuron.
    """

    first: int
    stride: int
    rows: int
    transposed: bool

    @property
    def size(self) -> int:
        """Elements of all rows."""
        return self.rows * self.stride

    def given(self, rows: np.ndarray) -> np.ndarray:
        """The elements, (size,), of the rows that a Program has."""
        own = np.zeros((self.rows, self.stride), rows.dtype)
        if self.transposed:
            own[:, : len(rows)] = rows.T[: self.rows]
        else:
            own[:] = rows[:, : self.stride]
        return own.reshape(-1)

    def put(self, own: np.ndarray, rows: np.ndarray) -> None:
        """The inverse: write elements into such rows."""
        mine = own.reshape(self.rows, self.stride)
        if self.transposed:
            rows[:, : self.rows] = mine[:, : len(rows)].T
        else:
            rows[:, : self.stride] = mine

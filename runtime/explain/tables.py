"""The weight tables of a Program beside the floats that they were made from."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from ...compiler.compile import Compilation
from ...compiler.machine import Machine
from ...compiler.passes.quantise import integers


@dataclass(frozen=True)
class WeightTable:
    """The weights from one vector of the chip to another.

    Everything that can be folded into a weight is: gain and radius of the neurons that it enters,
    amplitude / dt of the neurons that it comes from, the gain of a synapse that it enters.

    Attributes
    ----------
    source, target : str
        Names of the Graph's nodes.
    origin : str
        What the weights are, in the names of the user's model.
    shape : tuple of int
        (targets, sources)
    fraction : int
        Fraction bits: an integer is worth ``2**-fraction``.
    floats : (n,) float64 ndarray
        The weights that are not zero.
    stored : (n,) int64 ndarray
        Their integers.
    clipped : int
        Weights limited to the largest integer.
    errors : (targets,) float64 ndarray
        Root mean square of the rounding errors over that of the weights, for each target that has
        any.
    """

    source: str
    target: str
    origin: str
    shape: tuple[int, int]
    fraction: int
    floats: np.ndarray
    stored: np.ndarray
    clipped: int
    errors: np.ndarray

    @property
    def unit(self) -> float:
        """What an integer of 1 is worth."""
        return math.ldexp(1.0, -self.fraction)

    @property
    def error(self) -> float:
        """Root mean square of the rounding errors over that of the weights."""
        size = float(np.sqrt(np.mean(self.floats**2))) if len(self.floats) else 0.0
        if not size:
            return 0.0
        return float(np.sqrt(np.mean((self.stored * self.unit - self.floats) ** 2))) / size

    @property
    def lost(self) -> int:
        """Weights that are not zero, but whose integers are."""
        return int(np.count_nonzero(self.stored == 0))

    @property
    def bits(self) -> int:
        """Bits, sign included, that the largest integer takes."""
        return int(np.abs(self.stored).max(initial=0)).bit_length() + 1

    def to_json(self) -> dict[str, Any]:
        """A summary as a JSON object."""
        some = len(self.floats) > 0
        return {
            "source": self.source,
            "target": self.target,
            "origin": self.origin,
            "shape": list(self.shape),
            "weights": len(self.floats),
            "float": [float(self.floats.min()), float(self.floats.max())] if some else [0.0, 0.0],
            "integer": [int(self.stored.min()), int(self.stored.max())] if some else [0, 0],
            "fraction": self.fraction,
            "unit": self.unit,
            "bits": self.bits,
            "relative_error": self.error,
            "worst_target_error": float(self.errors.max(initial=0.0)),
            "lost": self.lost,
            "clipped": self.clipped,
        }


def weight_tables(compilation: Compilation) -> list[WeightTable]:
    """All tables of constant weights, in the order of the Graph's nodes."""
    return list(_tables(compilation))


def _tables(compilation: Compilation) -> Iterator[WeightTable]:
    graph, formats = compilation.graphs["group"], compilation.formats
    for node in graph.nodes():
        form = formats[node.name]
        if form.accumulator is None:
            continue
        for source, _, edge in graph.edges_into(node.name):
            value = formats[source].value
            if edge.plasticity is not None or value is None:
                continue
            fraction = form.accumulator - value
            floats = nonzeros(edge.matrix)
            stored, clipped = integers(floats.reshape(1, -1), fraction, compilation.machine)
            yield WeightTable(
                source,
                node.name,
                edge.origin,
                (int(edge.matrix.shape[0]), int(edge.matrix.shape[1])),
                fraction,
                floats,
                stored.ravel(),
                clipped,
                row_errors(edge.matrix, fraction, compilation.machine),
            )


def row_errors(matrix: Any, fraction: int, machine: Machine) -> np.ndarray:
    """Relative rounding error of each row that is not zero, (n,) float64."""
    entries = sp.csr_array(matrix)
    floats = np.asarray(entries.data, dtype=float)
    stored, _ = integers(floats.reshape(1, -1), fraction, machine)
    wrong = (np.ldexp(stored.ravel().astype(float), -fraction) - floats) ** 2
    number = np.repeat(np.arange(entries.shape[0]), np.diff(entries.indptr))
    size = np.bincount(number, floats**2, entries.shape[0])
    used = size > 0
    found: np.ndarray = np.sqrt(np.bincount(number, wrong, entries.shape[0])[used] / size[used])
    return found


def nonzeros(matrix: Any) -> np.ndarray:
    """The elements of a dense or sparse matrix that are not zero, (n,) float64."""
    values = np.asarray(matrix.data if sp.issparse(matrix) else matrix, dtype=float).ravel()
    found: np.ndarray = values[values != 0]
    return found

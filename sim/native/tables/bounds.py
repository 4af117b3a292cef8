"""How large payloads and sums of a Program can get: so the engine knows which words hold them."""

from __future__ import annotations

import numpy as np

from ....compiler.instructions import Cnv, Evt, Mac, Map
from ....compiler.program import Program
from ...check import signed_range


def largest_payload(program: Program, number: int) -> int:
    """The largest magnitude that a payload of an event list can have."""
    lo, hi = signed_range(program.machine.value_bits)
    largest = 0
    for i in program.instructions:
        if isinstance(i, Map) and i.list == number:
            code = program.kernels[i.kernel]
            emitted = code.ops[code.emit]
            largest = max(largest, -max(emitted.lo, lo), min(emitted.hi, hi))
    return largest


def largest_weights(program: Program, i: Mac | Evt) -> np.ndarray:
    """Largest magnitudes that the weights of an instruction can have, int64 (rows, elements)."""
    rows = program.weight[i.weights : i.weights + i.rows * i.words].reshape(i.rows, -1)
    for p in program.projections.values():
        if p.weights == i.weights:
            port = program.rules[p.rule].weight
            largest = max(-port.lo, port.hi) >> program.machine.residual_bits
            bound = np.zeros(rows.shape, np.int64)
            bound[:, : i.length] = largest + 1
            return bound
    return np.abs(rows.astype(np.int64))


def largest_sums(program: Program) -> np.ndarray:
    """Bounds of the magnitude of each accumulator element, inf where there is none.

    There is one if the first instruction of each phase that writes the element clears it.

    Returns
    -------
    (words * lanes,) float64 ndarray
    """
    lanes = program.machine.lanes
    most = np.zeros(program.accumulator_words * lanes)
    for phase in program.phases:
        now = np.full(len(most), np.inf)
        for i in phase:
            if isinstance(i, Mac | Evt):
                if isinstance(i, Mac):
                    factor = 1 << (program.machine.value_bits - 1)
                else:
                    factor = largest_payload(program, i.list)
                sums = largest_weights(program, i).sum(axis=0)
                span = slice(i.target * lanes, (i.target + i.words) * lanes)
                now[span] = sums * float(factor) + (0 if i.clear else now[span])
                most[span] = np.maximum(most[span], now[span])
            elif isinstance(i, Cnv):
                factor = 1 << (program.machine.value_bits - 1)
                if i.list >= 0:
                    factor = largest_payload(program, i.list)
                span = slice(i.target * lanes, (i.target + i.words) * lanes)
                now[span] += _convolved(program, i).reshape(-1) * float(factor)
                most[span] = np.maximum(most[span], now[span])
    return most


def _convolved(program: Program, i: Cnv) -> np.ndarray:
    """Sums of the magnitudes of all weights of a ``CNV`` to each target, int64 (words, lanes)."""
    kernel = np.abs(program.weight[i.weights : i.weights + i.kernel].astype(np.int64))
    entries = program.stencil[i.stencil : i.stencil + i.stencil_words]
    entries = entries[entries[:, 0] >= 0]
    sums = np.zeros((i.words, kernel.shape[1]), np.int64)
    for channel in range(1 << i.shift):
        np.add.at(sums, entries[:, 0], kernel[entries[:, 1] + channel])
    return sums

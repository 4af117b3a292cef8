"""Learned matrices as matrices: between the words of the loom's memories and full weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from .program import Program, ProjectionInfo

LEARNED = ("weight", "residual", "synapse")
"""Memories that learning changes."""


def with_learned(program: Program, memories: Mapping[str, np.ndarray]) -> Program:
    """A copy of a Program that begins with learned weights and states of synapses.

    Parameters
    ----------
    program : Program
    memories : mapping of memory name -> ndarray
        Those of `LEARNED`, as `Engine.memory` gives them.
    """
    return replace(
        program,
        weight=memories["weight"].astype(np.int32),
        residual=memories["residual"].astype(np.int32),
        synapse=memories["synapse"].astype(np.int64),
    )


def full_weights(
    program: Program, name: str, weight: np.ndarray, residual: np.ndarray
) -> np.ndarray:
    """The full weights of a projection.

    Parameters
    ----------
    program : Program
    name : str
        Key into `Program.projections`.
    weight, residual : (words, lanes) ndarray
        The two memories, as `Engine.memory` gives them.

    Returns
    -------
    (targets, sources) int64 ndarray
        Times `ProjectionInfo.unit` they are the user's weights.
    """
    p = program.projections[name]
    full = (weight[_words(p)].astype(np.int64) << program.machine.residual_bits) + residual[
        _words(p)
    ]
    return _matrix(p, full)


def put_weights(
    program: Program, name: str, full: np.ndarray, weight: np.ndarray, residual: np.ndarray
) -> None:
    """The inverse of `full_weights`: writes into the two memories, in place.

    Parameters
    ----------
    full : (targets, sources) int64 ndarray
        Limited to what the rule's weights can be.
    """
    p = program.projections[name]
    port = program.rules[p.rule].weight
    bits = program.machine.residual_bits
    rows = _rows(program, p, np.clip(full, port.lo, port.hi))
    upper = (rows + (1 << (bits - 1))) >> bits
    weight[_words(p)] = upper
    residual[_words(p)] = rows - (upper << bits)


def synapse_states(program: Program, name: str, slot: int, synapse: np.ndarray) -> np.ndarray:
    """State `slot` of a projection's synapses, (targets, sources) int64."""
    p = program.projections[name]
    return _matrix(p, synapse[slot][_words(p)].astype(np.int64))


def put_synapse_states(
    program: Program, name: str, slot: int, states: np.ndarray, synapse: np.ndarray
) -> None:
    """The inverse of `synapse_states`: writes into the memory, in place."""
    p = program.projections[name]
    port = program.rules[p.rule].synapses[slot]
    synapse[slot][_words(p)] = _rows(program, p, np.clip(states, port.lo, port.hi))


def _words(p: ProjectionInfo) -> slice:
    return slice(p.weights, p.weights + p.rows * p.words)


def _matrix(p: ProjectionInfo, words: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(words.reshape(p.rows, -1)[:, : p.length].T)


def _rows(program: Program, p: ProjectionInfo, matrix: np.ndarray) -> np.ndarray:
    padded = np.zeros((p.rows, p.words * program.machine.lanes), np.int64)
    padded[:, : p.length] = matrix.T
    return padded.reshape(-1, program.machine.lanes)

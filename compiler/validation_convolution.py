"""What makes the convolutions of a Program legal."""

from __future__ import annotations

import numpy as np

from . import checks
from .errors import ProgramError
from .instructions import Cnv
from .program import Program


def check_stencil(program: Program) -> None:
    """Check the stencil memory."""
    checks.array("stencil memory", program.stencil, np.int32, 2, 32)
    if program.stencil.shape[1] != 2:
        raise ProgramError(f"stencil memory has {program.stencil.shape[1]} columns, must be 2")


def check_convolution(what: str, program: Program, i: Cnv) -> None:
    """Check one ``CNV``: all that it may reach, and that each word keeps to its slot."""
    machine = program.machine
    checks.integer(f"{what}: rows", i.rows, 1, 1 << machine.index_bits)
    checks.integer(f"{what}: shift", i.shift, 0, machine.index_bits)
    if i.rows % (1 << i.shift):
        raise ProgramError(f"{what}: {i.rows} rows are no multiple of {1 << i.shift}")
    checks.integer(f"{what}: slots", i.slots, 1, 1 << 16)
    checks.integer(f"{what}: words", i.words, 1, 1 << 31)
    checks.integer(f"{what}: length", i.length, 1, i.words * machine.lanes)
    checks.integer(f"{what}: kernel", i.kernel, 1 << i.shift, 1 << 31)
    checks.span(f"{what}: weights", i.weights, i.kernel, program.weight.shape[0])
    checks.span(f"{what}: accumulators", i.target, i.words, program.accumulator_words)
    checks.span(f"{what}: stencil", i.stencil, i.stencil_words, len(program.stencil))
    if i.list == -1:
        checks.span(f"{what}: values", i.source, i.rows, program.value.size)
    else:
        checks.span(f"{what}: events", i.source, i.rows, program.event_words)
        checks.integer(f"{what}: event list", i.list, 0, program.event_lists - 1)
    entries = program.stencil[i.stencil : i.stencil + i.stencil_words]
    target, weights = entries.astype(np.int64).T
    there = target >= 0
    target_there, weights_there = target[there], weights[there]
    if np.any(target < -1) or np.any(target_there >= i.words):
        raise ProgramError(f"{what}: its stencil leaves its {i.words} accumulator words")
    if np.any(weights_there < 0) or np.any(weights_there > i.kernel - (1 << i.shift)):
        raise ProgramError(f"{what}: its stencil leaves its {i.kernel} words of weights")
    slot_of = np.full(i.words, -1)
    slots = np.repeat(np.arange(i.slots), i.positions)[there]
    slot_of[target_there] = slots
    wrong = np.flatnonzero(slot_of[target_there] != slots)
    if len(wrong):
        raise ProgramError(
            f"{what}: accumulator word {i.target + target_there[wrong[0]]} is reached in two slots"
        )

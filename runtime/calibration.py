"""Ranges that do not follow from the model, found in runs of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..compiler.program import Program
from .recording import RecordingSimulator
from .replay import Replay, replay

MARGIN = 1.25
"""A calibrated range is this much larger than what was seen."""

SMALLEST = 2.0**-10
"""Range of a signal that stays at zero."""

ROUNDS = 12
"""Times that the ranges of saturating signals are doubled, at most."""


def calibrated(
    sim: RecordingSimulator, steps: int, tighten: bool, options: Mapping[str, Any]
) -> tuple[RecordingSimulator, set[str]]:
    """A simulator of the same model whose unproved ranges suit a run.

    What the host gives to the chip widens its range by itself, while it runs. Other signals whose
    range does not follow from the model (filters in a loop without neurons, rate neurons) are
    doubled until they do not saturate any more.

    Parameters
    ----------
    sim : RecordingSimulator
        Is run, and closed if another one takes its place.
    steps : int
    tighten : bool
        Also narrow ranges to `MARGIN` times the largest value that was seen.
    options : mapping
        For the new simulator.

    Returns
    -------
    RecordingSimulator
    set of str
        Names of the signals, as the Graph has them, whose ranges come from the runs.
    """
    ranges: dict[str, float] = {}
    fitted: set[str] = set()
    for _ in range(ROUNDS):
        sim.run_steps(steps)
        program, sent = sim.program, sim.sent()
        assert program is not None
        seen = replay(program, steps, sent, options["engine"])
        found = _ranges_of_others(program, seen, tighten)
        if not found and not tighten:
            return sim, fitted
        fitted |= set(found)
        for name, values in sent.items():
            if tighten:
                found[name] = _with_margin(float(np.abs(values).max(initial=0.0)))
                fitted.add(name)
            else:  # as it is: a new simulator would forget that it was widened
                found[name] = _held(program, name)
        ranges |= found
        model, seed = sim.model, sim.seed
        sim.close()
        sim = RecordingSimulator(
            None, model=model, dt=model.dt, seed=seed, ranges=ranges, **options
        )
        if not _saturating(program, seen):
            break
        tighten = False
    return sim, fitted


def _ranges_of_others(program: Program, seen: Replay, tighten: bool) -> dict[str, float]:
    found = {}
    saturating = _saturating(program, seen)
    for note in _unproved(program):
        name = note["node"]
        population = program.populations[name]
        if name in saturating:
            limit = 2 * note["limit"]
        elif tighten and "output" in seen.largest[name]:
            # From the model's unit back to that of the Graph, in which limits are.
            unit = population.output_unit * 2.0 ** note["value_fraction"]
            limit = _with_margin(seen.largest[name]["output"] / unit)
        else:
            continue
        names = [member for member, _, _ in population.members] or [name]
        found.update(dict.fromkeys(names, limit))
    return found


def _saturating(program: Program, seen: Replay) -> set[str]:
    return {note["node"] for note in _unproved(program)} & set(seen.saturations)


def _unproved(program: Program) -> list[dict[str, Any]]:
    """Notes about what the chip computes and can hold only in an assumed range."""
    return [
        note
        for note in program.notes["formats"]
        if note["limit_from"] != "proved"
        and note["node"] in program.populations
        and note["value_fraction"] is not None
    ]


def _held(program: Program, name: str) -> float:
    """Largest value that an input's format holds."""
    largest = (1 << (program.machine.value_bits - 1)) - 1
    return math.ldexp(largest, -program.inputs[name].fraction)


def _with_margin(largest: float) -> float:
    return max(MARGIN * largest, SMALLEST)

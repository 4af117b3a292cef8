"""Processes whose output over many steps can be said at once, without calling them in each step."""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature
from typing import Any

import numpy as np
from nengo.builder.processes import SimProcess
from nengo.processes import Piecewise, PresentInput

Presentation = Callable[[int, int, float], tuple[np.ndarray, np.ndarray]]
"""``(first, steps, dt) -> (rows, first_of_each)``; see `presentation`."""


def presentation(op: Any) -> Presentation | None:
    """How to say at once what an operator shows in a block of steps.

    That is known for Nengo's `PresentInput`, for `Piecewise` of constants, and for any process
    without input whose class has a method ``held(first, steps, dt)`` (such as
    `spikeloom.Present`).

    Parameters
    ----------
    op : nengo Operator

    Returns
    -------
    callable or None
        ``held(first, steps, dt)`` gives ``(rows, first_of_each)`` of `steps` steps from number
        `first` (1 is the first of a run) on: the values, (n, size) float64, and (n,) int64
        increasing numbers of the steps, counted from the beginning of the block, that each is the
        first of; 0 is the first of these. None if the operator must be run step by step.
    """
    if not isinstance(op, SimProcess) or op.mode != "set" or op.input is not None:
        return None
    process: Any = op.process
    if type(process) is PresentInput:
        return lambda first, steps, dt: _present_input(process, first, steps, dt)
    if type(process) is Piecewise:
        constant = not any(callable(value) for value in process.data.values())
        if process.interpolation != "zero" or not constant or op.output.ndim != 1:
            return None
        size = op.output.size
        return lambda first, steps, dt: _piecewise(process, size, first, steps, dt)
    # A class that shows something else than its base must say so for both.
    for cls in type(process).__mro__:
        if "held" in vars(cls):
            return _declared(process.held)
        if "make_step" in vars(cls):
            return None
    return None


def _declared(held: Any) -> Presentation | None:
    """The method ``held`` of a process, if it is one of this kind and no other of that name."""
    if not callable(held) or tuple(signature(held).parameters) != ("first", "steps", "dt"):
        return None
    found: Presentation = held
    return found


def _time(first: int, steps: int, dt: float) -> np.ndarray:
    return np.arange(first, first + steps) * dt


def _begins(shown: np.ndarray) -> np.ndarray:
    """The steps in which something else is shown than in the step before."""
    changed = np.ones(len(shown), dtype=bool)
    np.not_equal(shown[1:], shown[:-1], out=changed[1:])
    return np.flatnonzero(changed)


def _present_input(
    process: PresentInput, first: int, steps: int, dt: float
) -> tuple[np.ndarray, np.ndarray]:
    """The arithmetic of Nengo's ``PresentInput``, on all steps."""
    inputs = process.inputs.reshape(len(process.inputs), -1)
    numbers = (_time(first, steps, dt) - dt) / float(process.presentation_time) + 1e-7
    shown = numbers.astype(np.int64) % len(inputs)
    begins = _begins(shown)
    return np.take(inputs, shown[begins], axis=0), begins


def _piecewise(
    process: Piecewise, size: int, first: int, steps: int, dt: float
) -> tuple[np.ndarray, np.ndarray]:
    """The arithmetic of Nengo's ``Piecewise`` without interpolation, on all steps."""
    times, values = zip(*sorted(process.data.items()), strict=True)
    shown = np.searchsorted(times, _time(first, steps, dt) + 0.5 * dt) - 1
    begins = _begins(shown)
    rows = np.zeros((len(begins), size))
    for row, number in zip(rows, shown[begins], strict=True):
        if number >= 0:
            row[:] = values[number]
    return rows, begins

"""Operators of the host run for a whole block of steps at once, as arrays over the steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from nengo.builder.operator import DotInc, Operator
from nengo.builder.processes import SimProcess
from nengo.processes import PresentInput

from ..compiler.frontends.nengo.linear import constant_part, elements
from ..compiler.frontends.nengo.placement import Placement


def at_once(placement: Placement, op: Operator) -> bool:
    """Whether an operator can be run for a block of steps at once.

    That is, where each element is computed for itself, so that the result is exactly that of
    single steps.
    """
    if _is_presentation(op):
        return True
    linear = placement.maps.get(op)
    if linear is None or isinstance(op, DotInc):
        return placement.is_constant(op) and not op.updates
    return len(np.unique(linear.rows)) == len(linear.rows)


def _is_presentation(op: Operator) -> bool:
    return (
        isinstance(op, SimProcess)
        and type(op.process) is PresentInput
        and op.mode == "set"
        and op.input is None
    )


class Block:
    """Values of base signals over a block of steps.

    Parameters
    ----------
    placement : Placement
    signals : nengo SignalDict
        Values before the block.
    first, steps : int
        Number of the first step, and how many there are.

    Attributes
    ----------
    values : dict of base signal -> (steps, size) float64 ndarray
        After each step.
    """

    def __init__(self, placement: Placement, signals: Any, first: int, steps: int) -> None:
        self.placement = placement
        self.signals = signals
        self.first = first
        self.steps = steps
        self.values: dict[Any, np.ndarray] = {}
        self.before: dict[Any, np.ndarray] = {}

    def target(self, base: Any) -> np.ndarray:
        """What operators write into: at first the constants that are set in each step."""
        if base not in self.values:
            constant = constant_part(self.placement.constant_ops(base), base.size)
            self.values[base] = np.repeat(constant[None], self.steps, axis=0)
        return self.values[base]

    def source(self, base: Any) -> np.ndarray:
        """What operators read: for the output of a synapse, the value of the step before."""
        if base not in self.values:
            held = self.signals[base].reshape(-1)
            return np.broadcast_to(held, (self.steps, base.size))
        if not self.placement.updaters[base]:
            return self.values[base]
        before = self.before.get(base)
        if before is None:
            before = self.signals[base].reshape(-1)
        return np.concatenate([before[None], self.values[base][:-1]])

    def run(self, op: Operator) -> None:
        """Run an operator that can be run `at_once`."""
        if _is_presentation(op):
            self._present(op)
            return
        linear = self.placement.maps.get(op)
        if linear is None:
            return  # constant: part of `target`
        added = self.source(linear.source)[:, linear.cols] * linear.data
        if op.sets:
            self.target(linear.target)[:, linear.rows] = added
        else:
            self.target(linear.target)[:, linear.rows] += added

    def _present(self, op: SimProcess) -> None:
        """The arithmetic of Nengo's ``PresentInput``, on all steps."""
        process, dt = op.process, self.placement.model.dt
        inputs = process.inputs.reshape(len(process.inputs), -1)
        time = np.arange(self.first, self.first + self.steps) * dt
        shown = ((time - dt) / float(process.presentation_time) + 1e-7).astype(np.int64)
        base, numbers = op.output.base, elements(op.output).ravel()
        if np.array_equal(numbers, np.arange(base.size)):  # all there is: nothing to copy into
            self.values[base] = np.take(inputs, shown % len(inputs), axis=0)
        else:
            self.target(base)[:, numbers] = inputs[shown % len(inputs)]

    def leave(self) -> None:
        """Put the last step's values into the signals."""
        for base, block in self.values.items():
            self.signals[base].reshape(-1)[:] = block[-1]


@dataclass
class Front:
    """What the host's part in front of the chip gave in some steps.

    Attributes
    ----------
    steps : int
    inputs : dict of input name -> (steps, size) float64 ndarray
    bridge : dict of base signal -> (steps, size) ndarray
        What the part behind the chip reads.
    error : Exception or None
        What the step after these raised.
    """

    steps: int
    inputs: dict[str, np.ndarray]
    bridge: dict[Any, np.ndarray]
    error: Exception | None = None

    def cut(self, steps: int) -> tuple[Front, Front | None]:
        """The first steps, and the rest."""
        if steps >= self.steps:
            return self, None

        def part(rows: slice, steps: int, error: Exception | None) -> Front:
            inputs = {name: values[rows] for name, values in self.inputs.items()}
            bridge = {base: values[rows] for base, values in self.bridge.items()}
            return Front(steps, inputs, bridge, error)

        return (
            part(slice(steps), steps, None),
            part(slice(steps, None), self.steps - steps, self.error),
        )

    def joined(self, later: Front | None) -> Front:
        """These steps and those after them."""
        if later is None:
            return self
        return Front(
            self.steps + later.steps,
            {n: np.concatenate([v, later.inputs[n]]) for n, v in self.inputs.items()},
            {b: np.concatenate([v, later.bridge[b]]) for b, v in self.bridge.items()},
            later.error,
        )

"""Operators of the host run for a whole block of steps at once, as arrays over the steps."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from nengo.builder.operator import DotInc, Operator

from ..compiler.frontends.nengo.linear import constant_part, elements
from ..compiler.frontends.nengo.placement import Placement
from ..compiler.frontends.nengo.presented import Presentation, presentation
from ..sim.held import Held, together


def at_once(placement: Placement, op: Operator) -> bool:
    """Whether an operator can be run for a block of steps at once.

    That is, where each element is computed for itself, so that the result is exactly that of
    single steps.
    """
    if presentation(op) is not None:
        return True
    linear = placement.maps.get(op)
    if linear is None or isinstance(op, DotInc):
        return placement.is_constant(op) and not op.updates
    return len(np.unique(linear.rows)) == len(linear.rows)


def by_themselves(placement: Placement, operators: Iterable[Operator]) -> set[Operator]:
    """Those of some operators that can be run for a block at once, before all of the others.

    They neither read nor write what the others write.
    """
    operators = list(operators)
    found = {op for op in operators if at_once(placement, op)}
    while True:
        others = {
            s.base for op in operators if op not in found for s in op.sets + op.incs + op.updates
        }
        tied = {op for op in found if others & {s.base for s in op.reads + op.sets + op.incs}}
        if not tied:
            return found
        found -= tied


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
    values : dict of base signal -> Held
        After each step, (size,) float64.
    before : dict of base signal -> (size,) ndarray
        Values in front of the block, where these are no longer in `signals`.
    """

    def __init__(self, placement: Placement, signals: Any, first: int, steps: int) -> None:
        self.placement = placement
        self.signals = signals
        self.first = first
        self.steps = steps
        self.values: dict[Any, Held] = {}
        self.before: dict[Any, np.ndarray] = {}
        self._own: set[Any] = set()

    def source(self, base: Any) -> Held:
        """What operators read: for the output of a synapse, the value of the step before."""
        if base not in self.values:
            return Held.constant(self.steps, self.signals[base].reshape(-1).copy())
        if not self.placement.updaters[base]:
            return self.values[base]
        before = self.before.get(base)
        if before is None:
            before = self.signals[base].reshape(-1)
        return self.values[base].delayed(before)

    def after(self, base: Any) -> Held:
        """The values after each step; at first the constants that are set in each."""
        if base in self.values:
            return self.values[base]
        constant = constant_part(self.placement.constant_ops(base), base.size)
        return Held.constant(self.steps, constant)

    def put(self, base: Any, numbers: np.ndarray, values: Held, adds: bool) -> None:
        """Set some elements of a base signal in each step, or add to them.

        Parameters
        ----------
        base : Signal
        numbers : (n,) int64 ndarray
            Elements, each named once.
        values : Held
            (n,) in each step.
        adds : bool
        """
        everything = np.array_equal(numbers, np.arange(base.size))
        if everything and not adds:
            self.values[base] = values
            self._own.discard(base)
            return
        target = self.after(base)
        first = together(target.first, values.first)
        rows = target.on(first)
        if everything:
            self.values[base] = Held(self.steps, rows + values.on(first), first)
            self._own.add(base)
            return
        if base not in self._own and rows is target.rows:
            rows = rows.copy()
        if adds:
            rows[:, numbers] += values.on(first)
        else:
            rows[:, numbers] = values.on(first)
        self.values[base] = Held(self.steps, rows, first)
        self._own.add(base)

    def run(self, op: Operator) -> None:
        """Run an operator that can be run `at_once`."""
        held = presentation(op)
        if held is not None:
            self._present(op, held)
            return
        linear = self.placement.maps.get(op)
        if linear is None:
            return  # constant: what `put` begins with
        source = self.source(linear.source).columns(linear.cols)
        added = source.map(lambda rows: rows * linear.data)
        self.put(linear.target, linear.rows, added, adds=not op.sets)

    def _present(self, op: Any, held: Presentation) -> None:
        rows, first = held(self.first, self.steps, self.placement.model.dt)
        output = op.output
        numbers = elements(output).ravel()
        shown = Held(self.steps, np.asarray(rows, dtype=float).reshape(len(first), -1), first)
        self.put(output.base, numbers, shown, adds=False)

    def leave(self, steps: int | None = None) -> None:
        """Put the values after so many steps, all if None, into the signals."""
        step = (self.steps if steps is None else steps) - 1
        for base, held in self.values.items():
            self.signals[base].reshape(-1)[:] = held.at(np.array([step]))[0]


@dataclass
class Front:
    """What the host's part in front of the chip gave in some steps.

    Attributes
    ----------
    steps : int
    inputs : dict of input name -> Held
        (size,) float64 in each step.
    bridge : dict of base signal -> Held
        What the part behind the chip reads.
    error : Exception or None
        What the step after these raised.
    """

    steps: int
    inputs: dict[str, Held]
    bridge: dict[Any, Held]
    error: Exception | None = None

    def _part(self, begin: int, end: int, error: Exception | None) -> Front:
        return Front(
            end - begin,
            {name: held.part(begin, end) for name, held in self.inputs.items()},
            {base: held.part(begin, end) for base, held in self.bridge.items()},
            error,
        )

    def cut(self, steps: int) -> tuple[Front, Front | None]:
        """The first steps, and the rest."""
        if steps >= self.steps:
            return self, None
        return self._part(0, steps, None), self._part(steps, self.steps, self.error)

    def joined(self, later: Front | None) -> Front:
        """These steps and those after them."""
        if later is None:
            return self
        return Front(
            self.steps + later.steps,
            {n: held.joined(later.inputs[n]) for n, held in self.inputs.items()},
            {b: held.joined(later.bridge[b]) for b, held in self.bridge.items()},
            later.error,
        )

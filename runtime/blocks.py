"""Operators of the host run for a whole block of steps at once, as arrays over the steps."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from nengo.builder.operator import DotInc, Operator, SimPyFunc

from ..compiler.frontends.nengo.linear import constant_part, elements
from ..compiler.frontends.nengo.placement import Placement
from ..compiler.frontends.nengo.presented import Presentation, presentation
from ..sim.held import Held, together


def is_function(op: Operator) -> bool:
    """Whether an operator calls code of the user's, which may have effects elsewhere."""
    if isinstance(op, SimPyFunc):
        return True
    if presentation(op) is not None:
        return False  # what it shows is known beforehand
    subject = getattr(op, "process", None) or getattr(op, "neurons", None) or op
    return not type(subject).__module__.startswith("nengo.")


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


@dataclass(frozen=True)
class _Move:
    """What an operator that can be run `at_once` does.

    Attributes
    ----------
    target : Signal
        Base signal.
    numbers : (n,) int64 ndarray or None
        Elements of it, None for all in order.
    adds : bool
        Whether it adds to them.
    shows : callable or None
        Gives the values, as `presentation` says; else they come from `source`.
    source : Signal or None
    columns : (n,) int64 ndarray or None
        Elements of the source; None for all in order.
    factors : (n,) float64 ndarray or None
        What each is multiplied with; None for 1.
    """

    target: Any
    numbers: np.ndarray | None
    adds: bool
    shows: Presentation | None = None
    source: Any = None
    columns: np.ndarray | None = None
    factors: np.ndarray | None = None


def some(numbers: np.ndarray, size: int) -> np.ndarray | None:
    """Numbers of elements, or None if they are all of `size`, in order."""
    return None if np.array_equal(numbers, np.arange(size)) else numbers


class Blocks:
    """Blocks of steps of one host; what they have in common is found out once.

    Parameters
    ----------
    placement : Placement
    signals : nengo SignalDict
    """

    def __init__(self, placement: Placement, signals: Any) -> None:
        self.placement = placement
        self.signals = signals
        self._moves: dict[Operator, _Move | None] = {}
        self._constants: dict[Any, np.ndarray] = {}

    def of(self, first: int, steps: int) -> Block:
        """The block of `steps` steps from number `first` on."""
        return Block(self, first, steps)

    def constant(self, base: Any) -> np.ndarray:
        """What operators with constant operands set a base signal to in each step, (size,)."""
        if base not in self._constants:
            operators = self.placement.constant_ops(base)
            self._constants[base] = constant_part(operators, base.size)
        return self._constants[base]

    def move(self, op: Operator) -> _Move | None:
        """What an operator does; None if it only sets constants."""
        if op not in self._moves:
            self._moves[op] = self._find_move(op)
        return self._moves[op]

    def _find_move(self, op: Any) -> _Move | None:
        shows = presentation(op)
        if shows is not None:
            base = op.output.base
            return _Move(base, some(elements(op.output).ravel(), base.size), False, shows)
        linear = self.placement.maps.get(op)
        if linear is None:
            return None
        return _Move(
            linear.target,
            some(linear.rows, linear.target.size),
            not op.sets,
            source=linear.source,
            columns=some(linear.cols, linear.source.size),
            factors=None if (linear.data == 1).all() else linear.data,
        )


def due(signals: Any, values: Mapping[Any, Held]) -> dict[int, list[tuple[np.ndarray, np.ndarray]]]:
    """By number of the step in a block: what has to be put where, for signals to be as held."""
    found: dict[int, list[tuple[np.ndarray, np.ndarray]]] = defaultdict(list)
    for base, held in values.items():
        flat = signals[base].reshape(-1)
        for step, row in zip(held.first.tolist(), held.rows, strict=True):
            found[step].append((flat, row))
    return found


class Block:
    """Values of base signals over a block of steps.

    Parameters
    ----------
    blocks : Blocks
        Its signals hold the values before the block.
    first, steps : int
        Number of the first step, and how many there are.

    Attributes
    ----------
    values : dict of base signal -> Held
        After each step, (size,) float64.
    before : dict of base signal -> (size,) ndarray
        Values in front of the block, where these are no longer in the signals.
    """

    def __init__(self, blocks: Blocks, first: int, steps: int) -> None:
        self._blocks = blocks
        self.signals = blocks.signals
        self.first = first
        self.steps = steps
        self.values: dict[Any, Held] = {}
        self.before: dict[Any, np.ndarray] = {}
        self._own: set[Any] = set()

    def source(self, base: Any) -> Held:
        """What operators read: for the output of a synapse, the value of the step before."""
        if base not in self.values:
            return Held.constant(self.steps, self.signals[base].reshape(-1).copy())
        if not self._blocks.placement.updaters[base]:
            return self.values[base]
        before = self.before.get(base)
        if before is None:
            before = self.signals[base].reshape(-1)
        return self.values[base].delayed(before)

    def after(self, base: Any) -> Held:
        """The values after each step; at first the constants that are set in each."""
        if base in self.values:
            return self.values[base]
        return Held.constant(self.steps, self._blocks.constant(base))

    def put(self, base: Any, numbers: np.ndarray | None, values: Held, adds: bool) -> None:
        """Set some elements of a base signal in each step, or add to them.

        Parameters
        ----------
        base : Signal
        numbers : (n,) int64 ndarray or None
            Elements, each named once; None for all in order.
        values : Held
            (n,) in each step.
        adds : bool
        """
        if numbers is None and not adds:
            self.values[base] = values
            self._own.discard(base)
            return
        target = self.after(base)
        first = together(target.first, values.first)
        rows = target.on(first)
        if numbers is None:
            rows = rows + values.on(first)
        else:
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
        move = self._blocks.move(op)
        if move is None:
            return  # constant: what `put` begins with
        if move.shows is not None:
            rows, first = move.shows(self.first, self.steps, self._blocks.placement.model.dt)
            rows = np.asarray(rows, dtype=float).reshape(len(first), -1)
            values = Held(self.steps, rows, first)
        else:
            values = self.source(move.source)
            self._own.discard(move.source)  # what was read may be shared from now on
            rows = values.rows if move.columns is None else values.rows[:, move.columns]
            rows = rows if move.factors is None else rows * move.factors
            values = Held(self.steps, rows, values.first)
        self.put(move.target, move.numbers, values, move.adds)

    def leave(self, steps: int | None = None) -> None:
        """Put the values after so many steps, all if None, into the signals."""
        step = (self.steps if steps is None else steps) - 1
        for base, held in self.values.items():
            last = held.rows[-1] if step >= held.first[-1] else held.at(np.array([step]))[0]
            self.signals[base].reshape(-1)[:] = last


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

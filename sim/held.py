"""Values of a vector over some steps, stored where they change.

An image that is shown for hundreds of steps is one row: nothing looks at it more than once.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


class Held:
    """A vector's values over a block of steps.

    Parameters
    ----------
    steps : int
    rows : (n, size) ndarray
        The values, in the order of their steps.
    first : (n,) int64 ndarray
        The step, from 0 on, that each row is the first of; increasing, and 0 at the beginning. Each
        row is held until the next begins.
    """

    __slots__ = ("first", "rows", "steps")

    def __init__(self, steps: int, rows: np.ndarray, first: np.ndarray) -> None:
        self.steps, self.rows, self.first = steps, rows, first

    @classmethod
    def each(cls, values: np.ndarray) -> Held:
        """From (steps, size) values, each of a step of its own."""
        return cls(len(values), values, np.arange(len(values)))

    @classmethod
    def constant(cls, steps: int, row: np.ndarray) -> Held:
        """The same (size,) values in all of one or more steps."""
        return cls(steps, row[None], np.zeros(1, np.int64))

    @classmethod
    def found(cls, values: np.ndarray | Held) -> Held:
        """From (steps, size) values, by looking where they change; a `Held` is left as it is."""
        if isinstance(values, Held):
            return values
        changed = np.ones(len(values), dtype=bool)
        changed[1:] = (values[1:] != values[:-1]).any(axis=1)
        first = np.flatnonzero(changed)
        return cls(len(values), values if len(first) == len(values) else values[first], first)

    @property
    def dense(self) -> np.ndarray:
        """The values in each step, (steps, size); may be `rows` themselves."""
        if len(self.rows) == self.steps:
            return self.rows
        return np.repeat(self.rows, np.diff(self.first, append=self.steps), axis=0)

    def at(self, steps: np.ndarray) -> np.ndarray:
        """The values in some steps, (len(steps), size)."""
        return self.rows[np.searchsorted(self.first, steps, side="right") - 1]

    def on(self, first: np.ndarray) -> np.ndarray:
        """Rows for other steps to begin at, among which all of `first` are; may be `rows`."""
        return self.rows if len(first) == len(self.first) else self.at(first)

    def map(self, function: Callable[[np.ndarray], np.ndarray]) -> Held:
        """A function of the rows in place of them; it must work on each row for itself."""
        return Held(self.steps, function(self.rows), self.first)

    def columns(self, numbers: np.ndarray | None) -> Held:
        """Some elements; all, and the same object, for None."""
        return self if numbers is None else self.map(lambda rows: rows[:, numbers])

    def part(self, begin: int, end: int) -> Held:
        """The steps from `begin` up to `end`."""
        if begin == 0 and end == self.steps:
            return self
        if end <= begin:
            return Held(0, self.rows[:0], self.first[:0])
        since, until = np.searchsorted(self.first, (begin, end - 1), side="right") - 1
        first = self.first[since : until + 1] - begin
        first[0] = 0
        return Held(end - begin, self.rows[since : until + 1], first)

    def joined(self, later: Held) -> Held:
        """These steps and those after them."""
        return Held(
            self.steps + later.steps,
            np.concatenate([self.rows, later.rows]),
            np.concatenate([self.first, later.first + self.steps]),
        )

    def delayed(self, before: np.ndarray) -> Held:
        """What was seen one step earlier; (size,) `before` in the first step."""
        kept = self.part(0, self.steps - 1)
        rows = np.concatenate([before[None], kept.rows])
        return Held(self.steps, rows, np.concatenate([[0], kept.first + 1]))

    def __len__(self) -> int:
        return self.steps

    def __array__(self, dtype: type | None = None, copy: bool | None = None) -> np.ndarray:
        values = np.asarray(self.dense, dtype=dtype)
        return values.copy() if copy and np.shares_memory(values, self.rows) else values


def together(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Increasing numbers of all steps that are in one or the other, of which both begin with 0."""
    if len(second) == 1 or np.array_equal(first, second):
        return first
    return second if len(first) == 1 else np.union1d(first, second)


__all__ = ["Held", "together"]

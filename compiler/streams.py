"""Recorded events: times and addresses, from files and to steps."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .errors import InputError

TIME, ADDRESS, VALUE = "time", "address", "value"
ROUNDING = 1e-7
"""Share of a step by which a time may lie before the step that it is meant for."""


@dataclass(frozen=True)
class Events:
    """Events, in any order.

    Attributes
    ----------
    time : (events,) float64 ndarray
        Seconds, from the beginning of the first step.
    address : (events,) int64 ndarray
    value : (events,) float64 ndarray
        How much each counts: 1 for a spike.
    """

    time: np.ndarray
    address: np.ndarray
    value: np.ndarray

    @classmethod
    def of(cls, rows: Any, what: str = "events") -> Events:
        """From rows of (time, address) or (time, address, value).

        Raises
        ------
        InputError
            If they are not such rows of finite numbers, or an address is not whole.
        """
        try:
            table = np.asarray(rows, dtype=float)
        except (TypeError, ValueError) as e:
            raise InputError(f"{what}: not made of numbers ({e}); give (time, address)") from e
        if table.size == 0:
            table = table.reshape(0, 2)
        if table.ndim != 2 or table.shape[1] not in (2, 3):
            raise InputError(
                f"{what}: of shape {table.shape}; give rows of (time, address) or "
                "(time, address, value)"
            )
        bad = ~np.isfinite(table).all(axis=1)
        bad |= (table[:, 0] < 0) | (table[:, 1] < 0) | (table[:, 1] != np.floor(table[:, 1]))
        if bad.any():
            row = int(np.flatnonzero(bad)[0])
            raise InputError(
                f"{what}: event {row} is {table[row].tolist()}; times must be seconds from 0 on, "
                "addresses whole numbers from 0 on"
            )
        value = table[:, 2] if table.shape[1] == 3 else np.ones(len(table))
        return cls(table[:, 0], table[:, 1].astype(np.int64), value)

    def check(self, size: float, what: str = "events") -> None:
        """Raise `InputError` if an address is not below `size`."""
        if len(self.address) and self.address.max() >= size:
            raise InputError(
                f"{what}: address {self.address.max()} in an input of size {size}; addresses "
                f"count from 0 to {size - 1}"
            )

    def steps(self, dt: float) -> np.ndarray:
        """(events,) int64: numbers of the steps, from 0 on, in which the events lie."""
        return np.floor(self.time / dt + ROUNDING).astype(np.int64)

    def rows(self, size: int, dt: float, steps: int | None = None) -> np.ndarray:
        """The events as values of an input, (steps, size) float64; those of one place add up.

        Without `steps` there are as many rows as the last event needs; events after the last row
        are left out.
        """
        numbers = self.steps(dt)
        if steps is None:
            steps = int(numbers.max(initial=-1)) + 1
        values = np.zeros((steps, size))
        inside = numbers < steps
        np.add.at(values, (numbers[inside], self.address[inside]), self.value[inside])
        return values


def read_events(path: str | Path) -> Events:
    """Read events from a file.

    An ``.npz`` file holds the arrays ``time`` and ``address`` and, if events count differently,
    ``value``; a ``.csv`` file has a column for each, named in its first line, in any order.

    Raises
    ------
    InputError
        If there is no such file, or it holds no events.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file; give a .npz or .csv file of events")
    if path.suffix == ".csv":
        columns = _columns(path)
    else:
        try:
            with np.load(path, allow_pickle=False) as stored:
                columns = {name: stored[name] for name in stored.files}
        except Exception as e:  # NumPy and zipfile raise many kinds for damaged archives
            reason = " ".join(str(e).split())
            raise InputError(f"{path}: not an .npz file of plain arrays ({reason})") from e
    return events_of(columns, str(path))


def is_events(columns: Any) -> bool:
    """Whether named arrays are events: a time and an address, and at most a value."""
    names = set(columns)
    return {TIME, ADDRESS} <= names <= {TIME, ADDRESS, VALUE}


def events_of(columns: Any, what: str) -> Events:
    """Events out of named arrays; raises `InputError` if they are not such."""
    if not is_events(columns):
        found = ", ".join(map(str, columns)) or "nothing"
        raise InputError(f"{what}: has {found}; events need {TIME!r} and {ADDRESS!r}")
    arrays = [np.ravel(columns[name]) for name in (TIME, ADDRESS, VALUE) if name in columns]
    lengths = {len(array) for array in arrays}
    if len(lengths) > 1:
        raise InputError(f"{what}: {TIME} and {ADDRESS} are not equally long; give one for each")
    return Events.of(np.stack([a.astype(float) for a in arrays], axis=1), what)


def _columns(path: Path) -> dict[str, np.ndarray]:
    try:
        with path.open(newline="") as file:
            rows = [[cell.strip() for cell in row] for row in csv.reader(file) if row]
    except (OSError, UnicodeDecodeError, csv.Error) as e:
        raise InputError(f"{path}: not a .csv file ({e})") from e
    header = rows[0] if rows else []
    if len(set(header)) != len(header) or not is_events(header):
        raise InputError(
            f"{path}: its first line is {header}; it must name the columns time,address"
        )
    for number, row in enumerate(rows[1:], 2):
        if len(row) != len(header):
            raise InputError(f"{path}:{number}: has {len(row)} cells, not {len(header)}")
    try:
        table = np.asarray(rows[1:], dtype=float).reshape(-1, len(header))
    except ValueError as e:
        raise InputError(f"{path}: {e}; cells must be numbers") from e
    return {name: table[:, i] for i, name in enumerate(header)}

"""Arrays in place of what input nodes show, with values for each copy of a batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import nengo
import numpy as np
from nengo.params import NdarrayParam
from nengo.processes import Process

from ...compiler.errors import InputError
from .places import Places

_copy: ContextVar[int] = ContextVar("copy", default=0)


@contextmanager
def copy_number(number: int) -> Iterator[None]:
    """What runs inside is copy `number` of its batch."""
    token = _copy.set(number)
    try:
        yield
    finally:
        _copy.reset(token)


class CopyData(Process):
    """Rows for each copy of a batch: that of step i in step i + 1, or one that is held.

    Parameters
    ----------
    values : (copies or 1, steps or 1, size) ndarray
        With 1 in place of the copies all show the same; with 1 in place of the steps it is held.
    """

    values = NdarrayParam("values", shape=("*", "*", "*"))

    def __init__(self, values: np.ndarray) -> None:
        self.values = values
        super().__init__(default_size_in=0, default_size_out=values.shape[2])

    def _rows(self) -> np.ndarray:
        values: np.ndarray = self.values
        return values[_copy.get() if len(values) > 1 else 0]

    def make_step(
        self, shape_in: Any, shape_out: Any, dt: float, rng: Any, state: Any
    ) -> Callable[[float], np.ndarray]:
        """The function of time that Nengo calls in each step; zeros after the last row."""
        rows = self._rows()
        nothing = np.zeros(rows.shape[1])

        def step_data(t: float) -> np.ndarray:
            number = round(t / dt) - 1 if len(rows) > 1 else 0
            return rows[number] if number < len(rows) else nothing

        return step_data

    def held(self, first: int, steps: int, dt: float) -> tuple[np.ndarray, np.ndarray]:
        """Rows (n, size) of `steps` steps from number `first` on, and the step each begins at."""
        rows = self._rows()
        if len(rows) == 1:
            return rows, np.zeros(1, np.int64)
        block = np.zeros((steps, rows.shape[1]))
        given = rows[first - 1 : first - 1 + steps]
        block[: len(given)] = given
        changed = np.ones(steps, dtype=bool)
        changed[1:] = (block[1:] != block[:-1]).any(axis=1)
        begins = np.flatnonzero(changed)
        return block[begins], begins


def find_nodes(
    network: nengo.Network, data: Mapping[Any, Any], batch: int
) -> dict[nengo.Node, CopyData]:
    """What nodes of a network show instead of their own output.

    Parameters
    ----------
    network : nengo.Network
    data : mapping of Node or name -> array_like (batch or 1, steps or 1, size)
    batch : int

    Raises
    ------
    InputError
        If there is no such input node, or its values have the wrong shape or are not finite.
    """
    places = Places(network)
    inputs = {node: places.of(node) for node in network.all_nodes if node.size_in == 0}
    found = {}
    for key, given in data.items():
        node = places.named(key) if isinstance(key, str) else key
        if node not in inputs:
            known = ", ".join(inputs.values()) or "none"
            what = repr(key) if isinstance(key, str) else places.of(key)
            raise InputError(f"data: {what} is no input node; there are: {known}")
        found[node] = CopyData(_checked(inputs[node], given, batch, node.size_out))
    return found


def _checked(name: str, given: Any, batch: int, size: int) -> np.ndarray:
    values = np.asarray(given)
    if values.dtype.kind not in "buif":
        raise InputError(f"data of {name!r} must be real numbers, not {values.dtype}")
    wanted = f"({batch} or 1, steps, {size})" if batch > 1 else f"(1, steps, {size})"
    if (
        values.ndim != 3
        or values.shape[0] not in (1, batch)
        or values.shape[1] == 0
        or values.shape[2] != size
    ):
        raise InputError(f"data of {name!r} has shape {values.shape}; give {wanted}")
    values = values.astype(float, copy=False)
    if not np.isfinite(values).all():
        raise InputError(f"data of {name!r}: some values are not finite; replace them")
    return values


def check_length(data: Mapping[str, CopyData], done: int, steps: int) -> None:
    """See that the data suffice for more steps.

    Raises
    ------
    InputError
        If not; names the node whose data end first.
    """
    for name, process in data.items():
        rows = process.values.shape[1]
        if rows > 1 and done + steps > rows:
            left = f"{rows - done} of them are left" if done else f"there are {rows}"
            raise InputError(
                f"data of {name!r} do not suffice for {steps} steps: {left}; run fewer or give more"
            )

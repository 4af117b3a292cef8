"""Values for inputs out of files: rows for steps or images, and lists of events.

A file is given as ``FILE.npz``, which holds an array for each input by its name, or as
``NAME=FILE``: then the file holds the values of one input, as an array (``.npy``, or ``.npz`` with
one array) or as events (``.npz`` with ``time`` and ``address``, or ``.csv``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..compiler.errors import InputError
from ..compiler.streams import Events, events_of, is_events, read_events
from .arrays import read_arrays

Given = dict[str, np.ndarray | Events]


def read_inputs(files: Sequence[str], sizes: Mapping[str, int], hold: int = 1) -> Given:
    """Read the values of inputs.

    Parameters
    ----------
    files : sequence of str
        ``FILE.npz`` or ``NAME=FILE``; where there is one input only, its name can be left out.
    sizes : mapping of input name -> size
    hold : int
        Steps that each row of an array lasts: to present images.

    Returns
    -------
    dict of input name -> ndarray or Events
        Arrays as they were stored, but for images, which are flattened, and rows that are held.

    Raises
    ------
    InputError
        If a file is missing or holds something else, or what it holds cannot be rows of an input.
    """
    if hold < 1:
        raise InputError(f"--hold {hold}: each row must last at least 1 step")
    found: Given = {}
    for text in files:
        name, separator, path = text.partition("=")
        if separator and not Path(text).exists():
            found[name] = _of_one(path, f"{path}: input {name!r}")
            continue
        if Path(text).suffix != ".npz":
            found[_only(sizes, text)] = _of_one(text, text)
            continue
        arrays = read_arrays(text)
        if is_events(arrays) and not set(arrays) <= set(sizes):
            found[_only(sizes, text)] = events_of(arrays, text)
        else:
            found.update(arrays)
    for name, values in found.items():
        if isinstance(values, Events):
            values.check(sizes.get(name, np.inf), f"input {name!r}")
        elif name in sizes and (hold > 1 or values.ndim > 2):
            found[name] = _rows(name, values, sizes[name], hold)
    return found


def given_steps(given: Mapping[str, np.ndarray | Events], dt: float) -> int | None:
    """How many steps the values suffice for; None if they do for any number.

    Rows count, and events only where there are no rows: after the last one there is silence.
    """
    rows = [len(v) for v in given.values() if isinstance(v, np.ndarray) and v.ndim == 2]
    if rows:
        return min(rows)
    ends = [int(v.steps(dt).max(initial=-1)) + 1 for v in given.values() if isinstance(v, Events)]
    return max(ends) if ends else None


def as_rows(values: np.ndarray | Events, size: int, dt: float, steps: int | None) -> np.ndarray:
    """The values of an input as an array; those of events for so many steps."""
    return values.rows(size, dt, steps) if isinstance(values, Events) else values


def show_in(network: Any, files: Sequence[str], dt: float, hold: int = 1) -> int | None:
    """Let nodes of a Nengo network show values out of files; names are the labels of the nodes.

    Returns
    -------
    int or None
        Steps that the values suffice for; afterwards the nodes are silent.

    Raises
    ------
    InputError
        As `read_inputs` does.
    """
    from ..compiler.frontends.nengo.streams import Recording

    nodes: dict[str, Any] = {}
    for i, node in enumerate(network.all_nodes):
        if node.size_in == 0:
            nodes.setdefault(node.label or f"Node {i}", node)
    sizes = {name: node.size_out for name, node in nodes.items()}
    varying = {
        name: size for name, size in sizes.items() if not isinstance(nodes[name].output, np.ndarray)
    }
    given = read_inputs(files, varying if len(varying) == 1 else sizes, hold)
    for name, values in given.items():
        if name not in sizes:
            known = ", ".join(sizes) or "none"
            raise InputError(f"there is no node {name!r} that could show it; there are: {known}")
        rows = as_rows(values, sizes[name], dt, None)
        if rows.shape != (sizes[name],):
            rows = _rows(name, rows, sizes[name], 1)
        held = rows if rows.ndim == 2 else rows[np.newaxis]
        nodes[name].output = Recording(held, repeat=rows.ndim == 1)
    return given_steps(given, dt)


def _only(sizes: Mapping[str, int], path: str) -> str:
    if len(sizes) != 1:
        known = ", ".join(sizes) or "none"
        raise InputError(f"{path}: for which input? Give NAME={path}; the inputs are: {known}")
    return next(iter(sizes))


def _of_one(path: str, what: str) -> np.ndarray | Events:
    """The values of a single input."""
    file = Path(path)
    if file.suffix == ".csv":
        return read_events(file)
    if file.suffix == ".npy":
        if not file.is_file():
            raise InputError(f"{what}: no such file; give a .npy, .npz or .csv file")
        try:
            return np.asarray(np.load(file, allow_pickle=False))
        except Exception as e:  # NumPy raises many kinds for damaged files
            reason = " ".join(str(e).split())
            raise InputError(f"{what}: not a plain .npy file ({reason})") from e
    arrays = read_arrays(file)
    if is_events(arrays):
        return events_of(arrays, what)
    if len(arrays) != 1:
        raise InputError(f"{what}: holds {len(arrays)} arrays; give one, or time and address")
    return next(iter(arrays.values()))


def _rows(name: str, values: np.ndarray, size: int, hold: int) -> np.ndarray:
    """Values as (size,) or (steps, size); images are flattened, and held."""
    if values.dtype.kind not in "buif":
        raise InputError(f"input {name!r} must hold real numbers, not {values.dtype}")
    if values.shape == (size,):
        return values
    rows = values.reshape(len(values), -1) if values.ndim and len(values) else values
    if rows.ndim != 2 or rows.shape[1] != size:
        raise InputError(
            f"input {name!r} has shape {values.shape}; give rows of {size} values, one a step"
        )
    return np.repeat(rows, hold, axis=0)

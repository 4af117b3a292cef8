"""Recorded data as the output of nodes: rows for steps, images for some steps each, spikes.

All are processes of Nengo, so that a network with them runs in any Nengo simulator; for Spikeloom
they are inputs that the host sends. Their method ``held`` says at once what they show in many steps
and where that changes; a process of the user's that has one is not called in each step either.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from nengo.params import BoolParam, IntParam, NdarrayParam, NumberParam
from nengo.processes import Process

from ...errors import InputError
from ...streams import Events, read_events


class Recording(Process):
    """Values of single steps: row i in step i + 1, zeros when all have been shown.

    Parameters
    ----------
    values : (steps, ...) array_like
        Each row is flattened. ``(0, size)`` is an input that stays 0 until something is given.
    repeat : bool
        Begin again after the last row.
    """

    values = NdarrayParam("values", shape=("...",))
    repeat = BoolParam("repeat")

    def __init__(self, values: Any, repeat: bool = False, **kwargs: Any) -> None:
        values = np.asarray(values, dtype=float)
        if values.ndim < 2 or not values.shape[1:] or 0 in values.shape[1:]:
            raise InputError(
                f"Recording needs values of shape (steps, size), not {values.shape}; one row a step"
            )
        if not np.isfinite(values).all():
            raise InputError("Recording: some values are not finite; replace them")
        self.values = values.reshape(len(values), int(np.prod(values.shape[1:])))
        self.repeat = repeat
        super().__init__(default_size_in=0, default_size_out=self.values.shape[1], **kwargs)

    def make_step(
        self, shape_in: Any, shape_out: Any, dt: float, rng: Any, state: Any
    ) -> Callable[[float], np.ndarray]:
        """The function of time that Nengo calls in each step."""
        values, repeat = self.values, self.repeat and len(self.values) > 0
        nothing = np.zeros(values.shape[1])

        def step_recording(t: float) -> np.ndarray:
            i = round(t / dt) - 1
            if repeat:
                i %= len(values)
            return values[i] if i < len(values) else nothing

        return step_recording

    def held(self, first: int, steps: int, dt: float) -> tuple[np.ndarray, np.ndarray]:
        """Rows (n, size) of `steps` steps from number `first` on, and the step each begins at."""
        number = _numbers(first, steps, dt)
        if self.repeat and len(self.values):
            number %= len(self.values)
        number[number >= len(self.values)] = -1
        shown = number >= 0
        changed = np.ones(steps, dtype=bool)
        changed[1:] = shown[1:] != shown[:-1]
        both = np.flatnonzero(shown[1:] & shown[:-1]) + 1
        changed[both] = (self.values[number[both]] != self.values[number[both - 1]]).any(axis=1)
        first_of_each = np.flatnonzero(changed)
        return _rows(self.values, number[first_of_each]), first_of_each


class Present(Process):
    """Images, each for a number of steps, over and over.

    Parameters
    ----------
    images : (images, ...) array_like
        Each is flattened.
    steps : int
        Time steps that each is shown.
    gap : int
        Time steps of zeros after each.
    """

    images = NdarrayParam("images", shape=("...",))
    steps = IntParam("steps", low=1)
    gap = IntParam("gap", low=0)

    def __init__(self, images: Any, steps: int, gap: int = 0, **kwargs: Any) -> None:
        images = np.asarray(images, dtype=float)
        if images.ndim < 2 or not images.size:
            raise InputError(
                f"Present needs images of shape (images, ...), not {images.shape}; for a single "
                "one give image[np.newaxis]"
            )
        if not np.isfinite(images).all():
            raise InputError("Present: some values of the images are not finite; replace them")
        for name, count, least in (("steps", steps, 1), ("gap", gap, 0)):
            if int(count) != count or count < least:
                raise InputError(f"Present: {name} is {count}; give at least {least} steps")
        self.images = images.reshape(len(images), -1)
        self.steps, self.gap = int(steps), int(gap)
        super().__init__(default_size_in=0, default_size_out=self.images.shape[1], **kwargs)

    def make_step(
        self, shape_in: Any, shape_out: Any, dt: float, rng: Any, state: Any
    ) -> Callable[[float], np.ndarray]:
        """The function of time that Nengo calls in each step."""
        images, steps, period = self.images, self.steps, self.steps + self.gap
        nothing = np.zeros(images.shape[1])

        def step_present(t: float) -> np.ndarray:
            image, step = divmod(round(t / dt) - 1, period)
            return images[image % len(images)] if step < steps else nothing

        return step_present

    def held(self, first: int, steps: int, dt: float) -> tuple[np.ndarray, np.ndarray]:
        """Rows (n, size) of `steps` steps from number `first` on, and the step each begins at."""
        image, step = np.divmod(_numbers(first, steps, dt), self.steps + self.gap)
        shown = np.where(step < self.steps, image % len(self.images), -1)
        first_of_each = np.flatnonzero(np.diff(shown, prepend=-2))
        return _rows(self.images, shown[first_of_each]), first_of_each


class SpikeStream(Process):
    """Recorded spikes: an event at the time t appears in the step that holds t.

    Parameters
    ----------
    events : str, Path or (events, 2) array_like
        A file (``.npz``, ``.csv``: see `spikeloom.compiler.streams.read_events`), or times in
        seconds and addresses.
    size : int
        Number of addresses.
    value : float
        What a spike is worth. Neurons of Nengo give ``1 / dt``, networks from NIR take 1.
    """

    events = NdarrayParam("events", shape=("*", 3))
    size = IntParam("size", low=1)
    value = NumberParam("value")

    def __init__(self, events: Any, size: int, value: float = 1.0, **kwargs: Any) -> None:
        if isinstance(events, (str, Path)):
            events = read_events(events)
        if not isinstance(events, Events):
            events = Events.of(events)
        events.check(size)
        self.events = np.stack([events.time, events.address, events.value], axis=1)
        self.size, self.value = size, value
        self._sorted: tuple[float, tuple[np.ndarray, np.ndarray, np.ndarray]] | None = None
        super().__init__(default_size_in=0, default_size_out=size, **kwargs)

    def make_step(
        self, shape_in: Any, shape_out: Any, dt: float, rng: Any, state: Any
    ) -> Callable[[float], np.ndarray]:
        """The function of time that Nengo calls in each step."""
        steps, address, worth = self._in_order(dt)
        size = self.size

        def step_spikes(t: float) -> np.ndarray:
            first, last = np.searchsorted(steps, round(t / dt) - 1 + np.arange(2))
            found = np.zeros(size)
            np.add.at(found, address[first:last], worth[first:last])
            return found

        return step_spikes

    def held(self, first: int, steps: int, dt: float) -> tuple[np.ndarray, np.ndarray]:
        """Rows (n, size) of `steps` steps from number `first` on, and the step each begins at."""
        spikes, address, worth = self._in_order(dt)
        number = _numbers(first, steps, dt)
        begin, end = np.searchsorted(spikes, [number[0], number[-1] + 1])
        step = spikes[begin:end] - number[0]
        # Zeros follow each step with spikes, unless there are some in the next step, too.
        first_of_each = np.unique(np.concatenate([[0], step, step + 1]))
        first_of_each = first_of_each[first_of_each < steps]
        rows = np.zeros((len(first_of_each), self.size))
        place = np.searchsorted(first_of_each, step)
        np.add.at(rows, (place, address[begin:end]), worth[begin:end])
        return rows, first_of_each

    def _in_order(self, dt: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Steps of all spikes, increasing, with their addresses and what they are worth."""
        if self._sorted is None or self._sorted[0] != dt:
            events = Events(self.events[:, 0], self.events[:, 1].astype(int), self.events[:, 2])
            steps = events.steps(dt)
            order = np.argsort(steps, kind="stable")
            spikes = steps[order], events.address[order], events.value[order] * self.value
            self._sorted = dt, spikes
        return self._sorted[1]


def _numbers(first: int, steps: int, dt: float) -> np.ndarray:
    """Numbers of steps, from 0 on, as the functions of time above compute them."""
    return np.rint(np.arange(first, first + steps) * dt / dt).astype(np.int64) - 1


def _rows(values: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """Some rows of `values`, zeros for -1."""
    if not len(values):
        return np.zeros((len(numbers), *values.shape[1:]))
    rows = np.take(values, numbers, axis=0, mode="wrap")
    rows[numbers < 0] = 0
    return rows

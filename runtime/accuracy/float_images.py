"""Many images through Nengo's own simulator, each from the initial state."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import nengo
import numpy as np
from nengo.builder import Model

from .images import Sampling


def float_images(
    model: Model,
    probe: nengo.Probe,
    count: int,
    sampling: Sampling,
    seed: int,
    say: Callable[[int], Any] = lambda done: None,
) -> np.ndarray:
    """What a probe holds at each time, in `nengo.Simulator`.

    Each image begins with all signals as they were at the start: nothing is built anew, and no
    image sees what the one before left.

    Parameters
    ----------
    model : nengo.builder.Model
        Built, with a node that shows each image for ``Sampling.rows`` steps.
    probe : nengo.Probe
    count : int
        Images, from the first one.
    sampling : Sampling
    seed : int
        Of the simulator.
    say : callable
        Called with the number of images done.

    Returns
    -------
    (count, times, size) float64 ndarray
    """
    times = np.array(sampling.times)
    with nengo.Simulator(
        None, dt=model.dt, model=model, seed=seed, progress_bar=False, optimize=False
    ) as sim:
        signals, seen = sim.signals, model.sig[probe]["in"]
        written = {s.base for op in model.operators for s in op.sets + op.incs + op.updates}
        start = {base: np.array(signals[base]) for base in written}
        found = np.empty((count, len(times), seen.size))
        values = np.empty((sampling.steps, seen.size))
        for image in range(count):
            for base, value in start.items():
                signals[base][...] = value
            for step in range(sampling.steps):
                # The clock stands still, so that the node goes on showing this image.
                signals[model.step][...] = image * sampling.rows
                sim.step()
                values[step] = signals[seen].reshape(-1)
            sim.clear_probes()
            if sampling.mean:
                found[image] = np.cumsum(values, axis=0)[times - 1] / times[:, None]
            else:
                found[image] = values[times - 1]
            say(image + 1)
    return found

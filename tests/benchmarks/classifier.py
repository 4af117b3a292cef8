"""Speed of a 784-128-10 spiking classifier, per image and step, in one run: ``make bench``.

10 000 images of 100 steps each, every image from the initial state, on the native engine; the same
network in ``nengo.Simulator`` (some of the images: it takes one at a time) and, where it is
installed, in NengoDL with a minibatch of 500. The images are random, as sparse as handwritten
digits are; the weights are random, scaled so that neurons fire as trained ones do.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import nengo
import numpy as np

from spikeloom.compiler.errors import ToolError
from spikeloom.compiler.frontends.nengo_dl.tensorflow import import_nengo_dl
from spikeloom.compiler.program import Program
from spikeloom.runtime.recording import RecordingSimulator
from spikeloom.runtime.standalone import quantise
from spikeloom.runtime.terminal import print_table
from spikeloom.sim.native.batch import NativeBatch

PIXELS, HIDDEN, CLASSES = 784, 128, 10
IMAGES, STEPS = 10_000, 100
FEW = 30
"""Images for those that take one at a time."""

MINIBATCH = 500
REPEATS = 3
WANTED = {"nengo": 50.0, "nengo_dl": 5.0}
"""How many times faster than each the native engine is to be."""


def sparse_images(count: int) -> np.ndarray:
    """Random images, (count, 784), in which as many pixels are lit as in handwritten digits."""
    rng = np.random.RandomState(1)
    return (rng.uniform(size=(count, PIXELS)) < 0.19) * rng.uniform(size=(count, PIXELS))


def classifier(images: np.ndarray, dt: float = 0.001) -> tuple[nengo.Network, nengo.Node]:
    """Network and input node; each image is shown for `STEPS`."""
    rng = np.random.RandomState(2)
    with nengo.Network(label="classifier", seed=3) as net:
        shown = nengo.Node(nengo.processes.PresentInput(images, STEPS * dt), label="image")
        hidden = nengo.Ensemble(
            HIDDEN,
            1,
            neuron_type=nengo.LIF(amplitude=0.01),
            gain=np.ones(HIDDEN),
            bias=rng.uniform(0.5, 1.2, HIDDEN),
            label="hidden",
        )
        out = nengo.Node(size_in=CLASSES, label="classes")
        weights = rng.normal(0, 0.12, (HIDDEN, PIXELS))
        nengo.Connection(shown, hidden.neurons, transform=weights, synapse=None)
        weights = rng.normal(0, 0.3, (CLASSES, HIDDEN))
        nengo.Connection(hidden.neurons, out, transform=weights, synapse=0.005)
        nengo.Probe(out, label="answers")
    return net, shown


def fastest(run: Callable[[], Any], repeats: int = REPEATS) -> float:
    """Seconds of the fastest of some runs."""
    times = []
    for _ in range(repeats):
        begin = time.perf_counter()
        run()
        times.append(time.perf_counter() - begin)
    return min(times)


def lowered(images: np.ndarray) -> tuple[Program, str, np.ndarray]:
    """The Program, its input port, and all images as integers (n, 1, 784)."""
    net, _ = classifier(images[:FEW])
    with RecordingSimulator(net, engine="native", progress_bar=False) as sim:
        sim.run_steps(FEW * STEPS)
        program = sim.program
    assert program is not None
    port = next(p for p in program.inputs.values() if p.size == PIXELS)
    return program, port.name, quantise(program, port, images)[0][:, None]


def nengo_dl_time(images: np.ndarray) -> float | str:
    """Seconds per image and step in NengoDL, or why it was not measured."""
    try:
        nengo_dl = import_nengo_dl()
    except ToolError as e:
        return str(e)
    net, shown = classifier(images[:1])
    data = np.repeat(images[:MINIBATCH, None], STEPS, axis=1)
    with nengo_dl.Simulator(net, minibatch_size=MINIBATCH, progress_bar=False) as sim:
        run: Callable[[], Any] = lambda: sim.run_steps(  # noqa: E731
            STEPS, data={shown: data}, progress_bar=False
        )
        run()  # the first call builds TensorFlow's graph
        return fastest(run) / (MINIBATCH * STEPS)


def measure() -> dict[str, Any]:
    """All figures, in microseconds per image and step."""
    images = sparse_images(IMAGES)
    net, _ = classifier(images[:FEW])
    with nengo.Simulator(net, progress_bar=False) as floating:
        nengo_us = fastest(lambda: floating.run_steps(FEW * STEPS)) / (FEW * STEPS) * 1e6
    program, port, held = lowered(images)
    record = list(program.outputs)
    result: dict[str, Any] = {
        "network": f"{PIXELS}-{HIDDEN}-{CLASSES} classifier",
        "images": IMAGES,
        "steps": STEPS,
        "nengo_us": nengo_us,
    }
    for name, threads in (("native_one_core_us", 1), ("native_us", None)):
        batch = NativeBatch(program, IMAGES, threads)

        def run(batch: NativeBatch = batch) -> None:
            batch.reset()
            batch.run(STEPS, {port: held}, record)

        result[name] = fastest(run) / (IMAGES * STEPS) * 1e6
        result["cores"] = batch.threads
    other = nengo_dl_time(images)
    if isinstance(other, str):
        result["nengo_dl_missing"] = other
    else:
        result["nengo_dl_us"] = other * 1e6
    result["ok"] = all(
        result[f"{name}_us"] / result["native_us"] >= wanted
        for name, wanted in WANTED.items()
        if f"{name}_us" in result
    )
    return result


def show(result: dict[str, Any]) -> None:
    """Print the figures as a table."""
    rows = []
    for name, key in (
        ("nengo.Simulator, one image at a time", "nengo_us"),
        (f"NengoDL, minibatch of {MINIBATCH}", "nengo_dl_us"),
        ("native engine, batch, one core", "native_one_core_us"),
        (f"native engine, batch, {result['cores']} cores", "native_us"),
    ):
        if key not in result:
            rows.append([name, "not measured", result["nengo_dl_missing"]])
            continue
        times = result[key] / result["native_us"]
        rows.append([name, f"{result[key]:.2f}", f"{times:.1f}x the time of the last row"])
    head = [f"{result['network']}, {IMAGES} images", "us per image and step", ""]
    print_table(head, rows)

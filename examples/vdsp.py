"""Handwritten digits, learned without labels by the voltages of the input neurons.

784 input neurons, 20 outputs that compete, and one learning rule between them: at each output spike
a weight grows if its input neuron fired lately (its voltage still recovers from the reset) and
shrinks if it is about to fire without having done so (voltage-dependent synaptic plasticity, Garg
and others 2022). Each output then stands for the class that it answers most often in training.

Neuron and rule are written once, as equations. ``--engine float`` runs them in Nengo, ``--engine
native`` as integers as on the chip; without it both run and are compared. MNIST is looked for in
the folder ``--mnist`` or SPIKELOOM_MNIST; without it the digits of scikit-learn are used.
"""

import argparse
import gzip
import os
import time
from pathlib import Path

import nengo
import numpy as np

import spikeloom
from spikeloom import (
    Input,
    Kernel,
    Parameter,
    Post,
    Pre,
    Rule,
    State,
    Weight,
    clip,
    constant,
    max_of,
    maximum,
    neuron_type,
    rounded,
    rule_type,
    scaled,
    select,
    table,
    winner,
)

SHOWN = 0.35
"""Seconds that each image is shown."""

SIDE = 28
CLASSES = 10


@neuron_type
class Competing(Kernel):
    """Adaptive LIF: only the largest voltage may fire; then all begin again together."""

    emits, payload_bits = "events", 1
    tau_rc = Parameter(low=1e-3, default=0.06, unit="s")
    tau_n = Parameter(low=1e-3, default=1.0, unit="s")
    inc_n = Parameter(low=0, high=1, default=0.01)
    hold = Parameter(low=0, high=1, default=0.01, unit="s")
    current = Input(range=(-256, 256), fraction=16)
    voltage, adaptation = State(range=(-64, 64), fraction=22), State(range=(0, 64), fraction=22)
    held = State(range=(0, 2**12), fraction=0, unit="step")

    def step(self, state, current, dt):
        rise = scaled(-np.expm1(-dt / self.tau_rc), bound=1)
        voltage = state.voltage + (current - state.adaptation - state.voltage) * rise
        voltage = select(state.held > 0, 0, maximum(voltage, -1))
        fires = max_of(voltage) > 1
        spike = fires & winner(voltage)
        hold = constant(self.hold / dt, range=(0, 2**12), fraction=0, like=current)
        left = state.adaptation - state.adaptation * scaled(dt / self.tau_n, bound=1)
        step = constant(self.inc_n / self.tau_n, range=(0, 64), fraction=22, like=current)
        return spike, {
            "voltage": select(fires, 0, voltage),
            "adaptation": select(spike, left + step, left),
            "held": select(fires, hold, maximum(state.held - 1, 0)),
        }


@rule_type
class VDSP(Rule):
    """At a post spike, the pre voltage says how long ago the pre neuron fired."""

    lr = Parameter(low=0, high=1, default=1e-2)
    alpha = Parameter(low=0, high=8, default=2.0)
    weight, fired = Weight(range=(0, 1)), Post("spike")
    v = Pre("voltage", range=(-1, 1), fraction=16)

    def step(self, now, dt):
        v, w = rounded(now.v, 8), rounded(now.weight, 9)
        push = table(lambda v: -np.sign(v) * np.expm1(abs(v)), v, (-1.72, 1.72), 16)
        x = select(v < 0, w, 1 - w)
        room = table(lambda x: np.exp(-self.alpha * x) * (1 - x), x, (0, 1 - 2**-17), 17)
        new = now.weight + rounded(push * room, 16) * scaled(self.lr)
        return {"weight": select(now.fired, clip(new, 0, 1), now.weight)}


def network(images, weights, options, learning=True):
    """The network, with its probes as attributes.

    Parameters
    ----------
    images : (n, 784) ndarray
        Intensities, 0 to 1.
    weights : (outputs, 784) ndarray
        Where they begin.
    options : argparse.Namespace
        `bias` of the inputs, `gain` of the outputs, learning `rate`.
    learning : bool
    """
    outputs, pixels = weights.shape
    resetting = spikeloom.LIF(tau_rc=0.06, tau_ref=0.002, min_voltage=-1, reset=-1)
    with nengo.Network(label="vdsp", seed=1) as model:
        shown = nengo.Node(nengo.processes.PresentInput(images, SHOWN), label="image")
        # Where the image is black, the bias holds the voltage above 0: there weights shrink.
        inputs = nengo.Ensemble(
            pixels,
            1,
            gain=np.full(pixels, 2.0),
            bias=np.full(pixels, options.bias),
            neuron_type=resetting,
            label="inputs",
        )
        outs = nengo.Ensemble(
            outputs,
            1,
            gain=np.full(outputs, options.gain),
            bias=np.zeros(outputs),
            neuron_type=Competing(),
            label="outputs",
        )
        nengo.Connection(shown, inputs.neurons, synapse=None)
        learned = nengo.Connection(
            inputs.neurons,
            outs.neurons,
            transform=weights,
            synapse=0.005,
            learning_rule_type=VDSP(lr=options.rate) if learning else None,
        )
        model.spikes = nengo.Probe(outs.neurons, label="spikes")
        if learning:
            model.weights = nengo.Probe(
                learned, "weights", sample_every=len(images) * SHOWN, label="weights"
            )
    return model


def run(images, weights, options, engine, learning):
    """Show all images; spikes of each output for each image, and the weights afterwards."""
    model = network(images, weights, options, learning)
    if engine == "float":
        sim = nengo.Simulator(model, dt=options.dt, progress_bar=False)
    else:
        sim = spikeloom.Simulator(model, dt=options.dt, engine=engine, progress_bar=False)
    with sim:
        sim.run_steps(len(images) * round(SHOWN / options.dt))
        spikes = sim.data[model.spikes].reshape(len(images), -1, len(weights)) > 0
        return spikes.sum(axis=1), sim.data[model.weights][-1].copy() if learning else weights


def accuracy(data, options, seed, engine):
    """Train, name the outputs by their answers in the second half of it, and test.

    Returns
    -------
    accuracy : float
        Fraction of test images whose most active output stands for their class.
    weights : (outputs, 784) ndarray
    """
    (images, classes), (unseen, expected) = data
    rng = np.random.RandomState(seed)
    order = rng.permutation(len(images))[: options.images]
    tested = rng.permutation(len(unseen))[: options.tests]
    begin = rng.uniform(0, 1, (options.outputs, images.shape[1]))
    answers, weights = run(images[order], begin, options, engine, learning=True)
    late, named = answers[len(order) // 2 :], classes[order][len(order) // 2 :]
    mean = [late[named == k].mean(axis=0) for k in range(CLASSES)]
    stands_for = np.argmax(mean, axis=0)
    answers, _ = run(unseen[tested], weights, options, engine, learning=False)
    return np.mean(stands_for[answers.argmax(axis=1)] == expected[tested]), weights


def read_idx(folder, name):
    """The array in an IDX file, compressed or not."""
    path = Path(folder) / name
    packed = path.with_name(f"{name}.gz")
    raw = path.read_bytes() if path.exists() else gzip.decompress(packed.read_bytes())
    shape = np.frombuffer(raw, ">u4", raw[3], offset=4)
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * raw[3]).reshape(shape)


def load(folder):
    """Training and test images (n, 784) between 0 and 1, with their classes."""
    if folder:
        return [
            (
                read_idx(folder, f"{part}-images-idx3-ubyte").reshape(-1, SIDE**2) / 255.0,
                read_idx(folder, f"{part}-labels-idx1-ubyte"),
            )
            for part in ("train", "t10k")
        ]
    from sklearn.datasets import load_digits

    digits = load_digits()
    large = np.pad(np.kron(digits.images / 16, np.ones((3, 3))), ((0, 0), (2, 2), (2, 2)))
    large = large.reshape(-1, SIDE**2)
    return [(large[:1200], digits.target[:1200]), (large[1200:], digits.target[1200:])]


def picture(weights, path):
    """Draw the weights of each output as an image."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    columns = 10
    rows = -(-len(weights) // columns)
    figure, axes = pyplot.subplots(rows, columns, figsize=(columns, rows), squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    for axis, field in zip(axes.flat, weights, strict=False):
        axis.imshow(field.reshape(SIDE, SIDE), vmin=0, vmax=1, cmap="magma")
    figure.tight_layout(pad=0.2)
    figure.savefig(path, dpi=100)
    pyplot.close(figure)


def options(arguments=None):
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mnist", default=os.environ.get("SPIKELOOM_MNIST"), help="folder")
    parser.add_argument("--images", type=int, default=600, help="number of training images")
    parser.add_argument("--tests", type=int, default=300, help="number of test images")
    parser.add_argument("--outputs", type=int, default=20)
    parser.add_argument("--dt", type=float, default=0.005, help="seconds; 0.001 or 0.005")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--engine", choices=["float", "native", "golden"], help="only this one")
    parser.add_argument("--rate", type=float, default=0.01, help="learning rate")
    parser.add_argument("--gain", type=float, default=0.0035, help="of the outputs")
    parser.add_argument("--bias", type=float, default=0.5, help="current of the inputs")
    parser.add_argument("--pictures", type=Path, help="folder for images of the weights")
    return parser.parse_args(arguments)


def model_of_ten_images():
    """What ``spikeloom compile examples/vdsp.py`` compiles."""
    defaults = options([])
    (images, _), _ = load(defaults.mnist)
    start = np.random.RandomState(0).uniform(0, 1, (defaults.outputs, SIDE**2))
    return network(images[:10], start, defaults)


if __name__ == "__main__":
    chosen = options()
    data = load(chosen.mnist)
    for seed in chosen.seeds:
        for engine in [chosen.engine] if chosen.engine else ["float", "native"]:
            began = time.perf_counter()
            right, weights = accuracy(data, chosen, seed, engine)
            print(
                f"seed {seed}, {engine}: {100 * right:.1f} % of {chosen.tests} test images, "
                f"{time.perf_counter() - began:.0f} s",
                flush=True,
            )
            if chosen.pictures:
                chosen.pictures.mkdir(parents=True, exist_ok=True)
                picture(weights, chosen.pictures / f"vdsp_{engine}_{seed}.png")
else:
    model = model_of_ten_images()

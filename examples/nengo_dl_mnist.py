"""Two classifiers trained with NengoDL, written to files that need no TensorFlow.

One is 784-128-10 neurons, the other has two convolutions; on the digits of scikit-learn (8 x 8
pixels) both are smaller. Run it in an environment with the extra `dl`::

    python examples/nengo_dl_mnist.py                      # scikit-learn's digits, half a minute
    python examples/nengo_dl_mnist.py --mnist FOLDER       # the four .gz files of MNIST

(the folder may also stand in SPIKELOOM_MNIST). It prints how often each is right in NengoDL, in
float Nengo and on the chip (the native engine). More about that, wherever Spikeloom is::

    spikeloom compile out/trained/dense_digits.slm -o out/dense
    spikeloom accuracy out/trained/dense_digits.slm --data out/trained/test_digits.npz

The neurons are trained as rates (NengoDL smooths the LIF's curve), then tested as they spike, with
a filter behind each population: the same network but for the filters, which nothing is trained in.
"""

import argparse
import gzip
import os
import sys
import time
from pathlib import Path

import nengo
import numpy as np

import spikeloom

STEPS = 100  # time steps that each test image is shown
SYNAPSE = 0.005  # seconds; the filter between populations
READOUT = 0.02  # seconds; the filter behind the last of them, through which the answer is read
LIF = nengo.LIF(amplitude=0.01)  # a rate of 100 Hz counts as 1
RATE = 150  # Hz at which neurons begin: few spikes carry little


def digits():
    """1 500 images of 8 x 8 pixels to train with, 297 to test with."""
    from sklearn.datasets import load_digits

    data = load_digits()
    images, labels = data.images / 16.0, data.target
    order = np.random.RandomState(0).permutation(len(labels))
    images, labels = images[order], labels[order]
    return (images[:1500], labels[:1500]), (images[1500:], labels[1500:])


def mnist(folder):
    """60 000 images of 28 x 28 pixels to train with, 10 000 to test with."""

    def read(name, header):
        with gzip.open(Path(folder) / f"{name}.gz") as file:
            return np.frombuffer(file.read(), np.uint8, offset=header)

    def part(name):
        images = read(f"{name}-images-idx3-ubyte", 16).reshape(-1, 28, 28) / 255.0
        return images, read(f"{name}-labels-idx1-ubyte", 8).astype(int)

    return part("train"), part("t10k")


def population(layer, synapse, label):
    """Neurons behind a layer; the filter behind them, None while rates are trained."""
    import nengo_dl

    spikes = nengo_dl.Layer(LIF)(
        layer,
        max_rates=nengo.dists.Choice([RATE]),
        intercepts=nengo.dists.Choice([0]),
        label=label,
    )
    filtered = nengo.Node(size_in=spikes.size_out, label=f"{label} filtered")
    nengo.Connection(spikes, filtered, synapse=synapse)
    return filtered


def network(layers, shape, synapse):
    """Pixels, then for each convolution or dense layer a population, then ten classes."""
    import nengo_dl
    import tensorflow as tf

    with nengo.Network(seed=1) as net:
        nengo_dl.configure_settings(stateful=False, trainable=None)
        net.config[nengo.Connection].synapse = None
        net.config[nengo.Connection].trainable = False
        x = image = nengo.Node(np.zeros(int(np.prod(shape))), label="image")
        for i, make in enumerate(layers, 1):
            layer = make()
            shape = shape if isinstance(layer, tf.keras.layers.Conv2D) else (int(np.prod(shape)),)
            x = nengo_dl.Layer(layer)(x, shape_in=shape)
            shape = tuple(layer.compute_output_shape((1, *shape))[1:])
            longest = synapse is not None and i == len(layers)
            x = population(x, READOUT if longest else synapse, f"layer {i}")
        x = nengo_dl.Layer(tf.keras.layers.Dense(10, name="weights of class"))(x)
        answer = nengo.Probe(x, label="class")
    return net, image, answer


def dense(hidden):
    """One population of `hidden` neurons."""
    import tensorflow as tf

    return [lambda: tf.keras.layers.Dense(hidden, name="weights of layer 1")]


def convolutional(filters, strides):
    """Two convolutions of 3 x 3 pixels."""
    import tensorflow as tf

    def make(i):
        return lambda: tf.keras.layers.Conv2D(
            filters[i], 3, strides=strides[i], name=f"weights of layer {i + 1}"
        )

    return [make(i) for i in range(len(filters))]


def train(layers, shape, data, epochs, path):
    """Train as rates, measure with spikes, export."""
    import nengo_dl
    import tensorflow as tf

    (images, labels), (test_images, test_labels) = data
    begin = time.perf_counter()
    net, _, answer = network(layers, shape, None)
    parameters = path.with_suffix(".trained")
    with nengo_dl.Simulator(net, minibatch_size=100, progress_bar=False) as sim:
        loss = tf.losses.SparseCategoricalCrossentropy(from_logits=True)
        x, y = images.reshape(len(images), 1, -1), labels.reshape(-1, 1, 1)
        for rate, count in ((3e-3, epochs), (3e-4, max(1, epochs // 2))):
            sim.compile(optimizer=tf.optimizers.Adam(rate), loss={answer: loss})
            sim.fit(x, {answer: y}, epochs=count, verbose=0)
        sim.save_params(parameters)
    seconds = time.perf_counter() - begin
    net, _, answer = network(layers, shape, SYNAPSE)
    net.label = path.stem
    with nengo_dl.Simulator(net, minibatch_size=100, progress_bar=False) as sim:
        sim.load_params(parameters)
        n = len(test_images)
        padded = np.resize(test_images.reshape(n, 1, -1), (-(-n // 100) * 100, 1, images[0].size))
        found = []
        for i in range(0, len(padded), 500):
            out = sim.predict(np.tile(padded[i : i + 500], (1, STEPS, 1)), verbose=0)
            found.append(out[answer][:, -1].argmax(axis=1))
        right = np.mean(np.concatenate(found)[:n] == test_labels)
        spikeloom.export(sim, path)
    Path(f"{parameters}.npz").unlink()
    print(
        f"{path}: {100 * right:.2f} % of {n} test images with spikes, {STEPS} steps each; "
        f"trained in {seconds:.0f} s; {path.stat().st_size / 1000:.0f} kB"
    )


def on_the_chip(path, data):
    """How often the exported network is right, in float Nengo and in fixed point."""
    from spikeloom.runtime.accuracy.labelled import load_labelled
    from spikeloom.runtime.accuracy.measurement import Experiment

    experiment = Experiment(spikeloom.load_frozen(path).network, load_labelled(data), STEPS)
    floating, fixed = experiment.floating().accuracy, experiment.fixed().accuracy
    print(
        f"  float Nengo {100 * floating:.2f} %, fixed point {100 * fixed:.2f} %, "
        f"difference {100 * (fixed - floating):+.2f} points"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mnist", metavar="FOLDER", default=os.environ.get("SPIKELOOM_MNIST"))
    parser.add_argument("--output", metavar="FOLDER", default="out/trained", type=Path)
    parser.add_argument("--epochs", type=int, help="passes over the images")
    arguments = parser.parse_args()
    spikeloom.import_nengo_dl()  # before TensorFlow, which it prepares for NengoDL
    arguments.output.mkdir(parents=True, exist_ok=True)
    if arguments.mnist:
        name, data, epochs = "mnist", mnist(arguments.mnist), arguments.epochs or 15
        models = {"dense": dense(128), "conv": convolutional((8, 16), (2, 2))}
    else:
        name, data, epochs = "digits", digits(), arguments.epochs or 60
        models = {"dense": dense(32), "conv": convolutional((8, 16), (1, 2))}
    test = arguments.output / f"test_{name}.npz"
    np.savez_compressed(
        test,
        images=data[1][0].reshape(len(data[1][0]), -1).astype(np.float32),
        labels=data[1][1].astype(np.int64),
    )
    shape = (*data[0][0].shape[1:], 1)
    for kind, layers in models.items():
        path = arguments.output / f"{kind}_{name}.slm"
        train(layers, shape, data, epochs, path)
        on_the_chip(path, test)
    return 0


if __name__ == "__main__":
    sys.exit(main())

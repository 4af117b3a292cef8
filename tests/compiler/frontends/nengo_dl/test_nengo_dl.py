"""Networks of NengoDL: what is exported spikes as NengoDL's own simulator did.

NengoDL computes in 32 bits, Nengo in 64: values differ in the seventh digit. Spikes must be equal.
"""

import importlib.util
import warnings

import nengo
import numpy as np
import pytest
from random_keras import random_model

import spikeloom
from spikeloom.compiler.errors import InputError, ModelError
from spikeloom.compiler.frontends.frozen.parameter_map import map_rows
from spikeloom.compiler.frontends.keras.layers import Options

for _name in ("tensorflow", "tf_keras", "nengo_dl"):
    if importlib.util.find_spec(_name) is None:
        pytest.skip(f"{_name} is not installed (extra dl)", allow_module_level=True)

STEPS = 60


@pytest.fixture(scope="module")
def nengo_dl():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = spikeloom.import_nengo_dl()
    return module


@pytest.fixture(scope="module")
def layers(nengo_dl):
    import tensorflow as tf

    return tf.keras.layers


@pytest.fixture(autouse=True)
def the_same_numbers_each_time(nengo_dl):
    import tensorflow as tf

    tf.keras.utils.set_random_seed(3)  # NumPy's, too, which networks without a seed draw from


@pytest.fixture(autouse=True)
def no_talk_of_gpus():
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="No GPU support detected")
        warnings.filterwarnings("ignore", message=".*settled_firingrate.*|.*divide by zero.*")
        yield


def images(size, count=100):
    rng = np.random.default_rng(size)
    return rng.uniform(0, 1, (count, 1, size)), rng.integers(3, size=(count, 1, 1))


def fit(sim, probe, size):
    """Move every trainable number a little, in directions that mean nothing."""
    import tensorflow as tf

    x, y = images(size)
    loss = tf.losses.SparseCategoricalCrossentropy(from_logits=True)
    sim.compile(optimizer=tf.optimizers.Adam(0.01), loss={probe: loss})
    sim.fit(x, {probe: y}, epochs=2, verbose=0)


def assert_same_spikes(sim, node, path, probes):
    """Compare the simulator with the exported file, image by image."""
    size = node.size_out
    spikes = 0
    for image in images(size, 3)[0][:, 0]:
        sim.reset(include_trainable=False)
        held = np.tile(image, (sim.minibatch_size, STEPS, 1))
        sim.run_steps(STEPS, data={node: held}, progress_bar=False)
        frozen = spikeloom.load_frozen(path).network
        (entry,) = [n for n in frozen.all_nodes if n.label == "image"]
        entry.output = image
        with nengo.Simulator(frozen, progress_bar=False) as reference:
            reference.run_steps(STEPS)
        for probe, again in zip(probes, frozen.all_probes, strict=True):
            found, wanted = np.array(sim.data[probe]), reference.data[again]
            found = found[0] if found.ndim == 3 else found
            if isinstance(probe.obj, nengo.ensemble.Neurons) and probe.attr == "output":
                np.testing.assert_array_equal(found > 0, wanted > 0)
                spikes += np.count_nonzero(wanted)
            np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4 * np.abs(wanted).max())
    assert spikes > 100


def simulator(nengo_dl, net, minibatch=None):
    return nengo_dl.Simulator(net, minibatch_size=minibatch, progress_bar=False)


def test_layers_of_keras(nengo_dl, layers, tmp_path):
    """Convolutions, pooling, a model as a layer, neurons with gains and biases of their own."""
    import tensorflow as tf

    path = tmp_path / "net.slm"
    with nengo.Network("layers", seed=1) as net:
        net.config[nengo.Ensemble].max_rates = nengo.dists.Choice([200])
        net.config[nengo.Ensemble].intercepts = nengo.dists.Choice([0])
        net.config[nengo.Connection].synapse = None
        image = nengo.Node(np.zeros(64), label="image")
        x = nengo_dl.Layer(layers.Conv2D(4, 3, padding="same"))(image, shape_in=(8, 8, 1))
        first = nengo_dl.Layer(nengo.LIF(amplitude=0.01))(x, label="first")
        x = nengo_dl.Layer(layers.AveragePooling2D(2))(first, shape_in=(8, 8, 4))
        x = nengo_dl.Layer(layers.DepthwiseConv2D(2))(x, shape_in=(4, 4, 4))
        second = nengo_dl.Layer(nengo.SpikingRectifiedLinear(amplitude=0.01))(x, label="second")
        whole = tf.keras.Sequential(
            [layers.Dense(8, activation="relu"), layers.BatchNormalization(), layers.Dense(3)],
            name="head",
        )
        out = nengo_dl.Layer(whole)(second)
        probes = [nengo.Probe(p) for p in (first, second, out)]
        probes.append(nengo.Probe(out, synapse=0.01))
    with simulator(nengo_dl, net, 50) as sim:
        fit(sim, probes[2], 64)
        model = spikeloom.export(sim, path)
        assert_same_spikes(sim, image, path, probes)
    rows = {row[0]: row for row in map_rows(model.layers)}
    assert rows["conv2d"][3:5] == ["3x3x1x4", "4"]
    assert rows["first"][4] == "" and " to " in rows["first"][6]  # own bias, trained apart from b
    assert rows["first"][-1] == "from conv2d: identity"
    assert rows["head/dense"][7] == "RectifiedLinear()"
    assert model.remarks == []


def test_objects_of_nengo(nengo_dl, tmp_path):
    """Encoders, decoders, weights between neurons, all trained; no seed is needed for that."""
    path = tmp_path / "net.slm"
    with nengo.Network("objects") as net:
        image = nengo.Node(np.zeros(12), label="image")
        a = nengo.Ensemble(40, 12, label="a", radius=2)
        b = nengo.Ensemble(30, 2, label="b", neuron_type=nengo.SpikingRectifiedLinear())
        nengo.Connection(image, a, synapse=None)
        nengo.Connection(a, b, transform=np.full((2, 12), 0.3))
        nengo.Connection(a[1], b[0], function=lambda x: x**2, synapse=nengo.Alpha(0.01))
        weights = nengo.dists.Uniform(-1e-3, 1e-3)
        nengo.Connection(a.neurons, b.neurons, transform=weights, synapse=0.003)
        out = nengo.Node(size_in=3, label="out")
        nengo.Connection(b.neurons, out, transform=nengo_dl.dists.Glorot(), synapse=None)
        probes = [nengo.Probe(a.neurons), nengo.Probe(b.neurons), nengo.Probe(b, synapse=0.02)]
        probes += [nengo.Probe(out), nengo.Probe(b.neurons, "voltage")]
    with simulator(nengo_dl, net, 50) as sim:
        fit(sim, probes[3], 12)
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # what a live simulator built needs no warning
            spikeloom.export(sim, path)
        assert_same_spikes(sim, image, path, probes)


def keras_model():
    import tensorflow as tf

    layers = tf.keras.layers
    entry = tf.keras.Input((6, 6, 1), name="image")
    x = layers.Conv2D(4, 3, activation="relu")(entry)
    x = layers.Flatten()(layers.AveragePooling2D(2)(x))
    x = layers.Dense(9, activation="relu")(x)
    return tf.keras.Model(entry, layers.Dense(3)(x))


def test_converter(nengo_dl, tmp_path):
    """Its network as it is; and the Keras model itself comes to the same network."""
    import tensorflow as tf

    model = keras_model()
    spiking = nengo.SpikingRectifiedLinear()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        converter = nengo_dl.Converter(
            model,
            swap_activations={tf.keras.activations.relu: spiking, tf.nn.relu: spiking},
            scale_firing_rates=200,
            synapse=0.005,
        )
    with pytest.warns(UserWarning, match="has no seed: its initial voltages"):
        spikeloom.export(converter, tmp_path / "unseeded.slm")
    converter.net.seed = 7
    (node,) = converter.inputs.values()
    node.label = "image"
    with converter.net:
        neurons = [nengo.Probe(ens.neurons) for ens in converter.net.all_ensembles]
    with simulator(nengo_dl, converter.net) as sim:
        spikeloom.export(sim, tmp_path / "net.slm")
        probes = [*converter.outputs.values(), *neurons]
        assert_same_spikes(sim, node, tmp_path / "net.slm", probes)
    spikeloom.export(
        model,
        tmp_path / "keras.slm",
        swap_activations={"relu": spiking},
        scale_firing_rates=200,
        synapse=0.005,
    )
    for swap in ({tf.keras.activations.relu: spiking}, {nengo.RectifiedLinear(): spiking}):
        again = spikeloom.export(model, tmp_path / "again.slm", swap_activations=swap).network
        assert all(type(e.neuron_type) is type(spiking) for e in again.all_ensembles)
    with pytest.raises(InputError, match=r"no activation of Keras becomes LIF\(\); name one"):
        spikeloom.export(model, tmp_path / "x.slm", swap_activations={nengo.LIF(): spiking})
    one = spikeloom.load_frozen(tmp_path / "net.slm").network
    other = spikeloom.load_frozen(tmp_path / "keras.slm").network
    for ours, theirs in zip(other.all_ensembles, one.all_ensembles, strict=True):
        np.testing.assert_array_equal(ours.gain, theirs.gain)
        assert (
            str(ours.neuron_type).split("initial")[0] == str(theirs.neuron_type).split("initial")[0]
        )


def test_keras_3(nengo_dl, tmp_path):
    """A live model of Keras 3 comes to what its file comes to."""
    keras = pytest.importorskip("keras", reason="Keras 3 is not installed")
    from spikeloom.compiler.frontends.keras.file import read_keras
    from spikeloom.compiler.frontends.keras.layers import convert_model

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(5, activation="relu")])
    live = spikeloom.export(model, tmp_path / "net.slm").network
    model.save(tmp_path / "net.keras")
    stored, _ = convert_model(read_keras(tmp_path / "net.keras"), Options())
    np.testing.assert_array_equal(
        live.all_connections[0].transform.init, stored.all_connections[0].transform.init
    )


@pytest.mark.parametrize("seed", range(16))
def test_random_models_of_keras(seed, tmp_path):
    import tensorflow as tf

    model, image = random_model(tf.keras, seed)
    (wanted,) = model.predict(image[np.newaxis], verbose=0)
    network = spikeloom.export(model, tmp_path / "net.slm").network
    (entry,) = [node for node in network.all_nodes if node.label == "image"]
    entry.output = image.ravel().astype(float)
    with nengo.Simulator(network, progress_bar=False) as sim:
        sim.step()
    (probe,) = network.all_probes
    scale = max(1.0, np.abs(wanted).max())
    np.testing.assert_allclose(sim.data[probe][0], wanted.ravel(), atol=1e-4 * scale)


def small(nengo_dl, layer, seed=1, after=None):
    with nengo.Network("small", seed=seed) as net:
        image = nengo.Node(np.zeros(4), label="image")
        x = nengo_dl.Layer(layer)(image)
        if after is not None:
            x = nengo_dl.Layer(after)(x)
        nengo.Probe(x)
    return net


def test_saved_parameters(nengo_dl, layers, tmp_path):
    net = small(nengo_dl, layers.Dense(3, name="d"), None, nengo.LIF())
    with simulator(nengo_dl, net) as sim:
        fit(sim, net.probes[0], 4)
        sim.save_params(str(tmp_path / "trained"))
        weights = net.nodes[1].tensor_func.get_weights()
    pair = (small(nengo_dl, layers.Dense(3), None, nengo.LIF()), tmp_path / "trained.npz")
    with pytest.warns(UserWarning, match="has no seed.*not those trained with trained.npz"):
        model = spikeloom.export(pair, tmp_path / "net.slm")
    kernels = [
        c.transform.init for c in model.network.all_connections if hasattr(c.transform, "init")
    ]
    np.testing.assert_array_equal(kernels[0], weights[0].T.astype(float))
    with pytest.raises(ModelError, match="no such file; give the one that nengo_dl's save_params"):
        spikeloom.export((pair[0], tmp_path / "nothing.npz"), tmp_path / "x.slm")
    with pytest.raises(ModelError, match=r"trained\.npz: not the parameters of this network"):
        spikeloom.export(
            (small(nengo_dl, layers.Dense(3)), tmp_path / "trained"), tmp_path / "x.slm"
        )


def test_what_cannot_be_exported(nengo_dl, layers, tmp_path):
    import tensorflow as tf

    def message(net):
        with simulator(nengo_dl, net) as sim, pytest.raises(ModelError) as e:
            spikeloom.export(sim, tmp_path / "x.slm")
        assert "\n" not in str(e.value)
        return str(e.value)

    text = message(small(nengo_dl, layers.Lambda(lambda x: x * 2, name="double")))
    assert text.startswith("layer 1, 'double' (Lambda): layers of class Lambda cannot be put")
    text = message(small(nengo_dl, lambda x: x + 1))
    assert text.startswith("TensorNode 1, ") and "it computes a Python function" in text
    own = type("Doubled", (layers.Layer,), {"call": lambda self, x: x * 2})(name="own")
    assert "layer 1, 'own' (own Doubled)" in message(small(nengo_dl, own))
    text = message(small(nengo_dl, tf.keras.activations.softmax, after=layers.Dense(2)))
    assert "softmax is known at the output only" in text
    text = message(small(nengo_dl, layers.Dense(2), after=nengo_dl.SoftLIFRate()))
    assert "SoftLIFRate is no neuron type of Nengo; use LIF or LIFRate" in text
    net = small(nengo_dl, layers.Dense(2))
    with simulator(nengo_dl, net) as sim:
        pass
    with pytest.raises(ModelError, match=r"is closed, and its trained numbers are gone"):
        spikeloom.export(sim, tmp_path / "x.slm")
    with pytest.raises(InputError, match="a list cannot be exported"):
        spikeloom.export([net], tmp_path / "x.slm")
    assert not list(tmp_path.iterdir())

import json
from dataclasses import replace
from pathlib import Path

import nengo
import numpy as np
import pytest

import spikeloom
from spikeloom.cli import main
from spikeloom.compiler.errors import InputError, KernelError, ModelError
from spikeloom.compiler.passes.coarsen import WeightBits
from spikeloom.runtime.accuracy.images import Sampling
from spikeloom.runtime.accuracy.labelled import Labelled, input_node, load_labelled, output_probe
from spikeloom.runtime.accuracy.measurement import Experiment, Formats
from spikeloom.runtime.commands.accuracy import weight_bits
from spikeloom.runtime.model_file import load_network

STEPS = 30
FIXTURES = Path(__file__).parents[2] / "fixtures"

MODEL = """
import nengo
import numpy as np

rng = np.random.default_rng(5)
prototypes = rng.uniform(size=(3, 12))
with nengo.Network(label="small", seed=3) as model:
    image = nengo.Node(np.zeros(12), label="image")
    hidden = nengo.Ensemble(
        30, 1, gain=np.full(30, 2.0), bias=rng.uniform(0, 1, 30),
        neuron_type=nengo.LIF(amplitude=0.01), label="hidden",
    )
    out = nengo.Node(size_in=3, label="out")
    first = rng.normal(size=(30, 12))
    nengo.Connection(image, hidden.neurons, transform=first, synapse=None)
    # Rates of the neurons at each prototype, solved for the classes.
    rates = hidden.neuron_type.rates(prototypes @ first.T, hidden.gain, hidden.bias)
    second = np.linalg.pinv(rates - rates.mean(axis=0)) @ (np.eye(3) - 1 / 3)
    nengo.Connection(hidden.neurons, out, transform=second.T, synapse=0.01)
    classes = nengo.Probe(out, label="classes")
"""


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("accuracy")
    (folder / "model.py").write_text(MODEL)
    prototypes = np.random.default_rng(5).uniform(size=(3, 12))
    rng = np.random.default_rng(6)
    labels = rng.integers(3, size=24)
    images = prototypes[labels] + rng.normal(size=(24, 12)) * 0.25
    np.savez(folder / "data.npz", images=images, labels=labels)
    return folder


def build(**changes):
    space = {}
    exec(MODEL, space)
    return space["model"], space


def data(files):
    return load_labelled(files / "data.npz")


def alone(network, image, steps, simulator, **options):
    """The only probe's samples for one image, by a simulator of its own."""
    input_node(network).output = nengo.processes.PresentInput(image[None], 1.0)
    with simulator(network, progress_bar=False, seed=0, **options) as sim:
        sim.run_steps(steps)
    return np.array(sim.data[output_probe(network)])


@pytest.mark.parametrize("mean", [False, True])
@pytest.mark.parametrize("probed", ["classes", "filtered", "spikes"])
def test_each_image_is_as_if_it_were_the_only_one(files, mean, probed):
    network, space = build()
    if probed != "classes":
        network.probes.clear()
        with network:
            synapse = 0.01 if probed == "filtered" else None
            nengo.Probe(space["hidden"].neurons, synapse=synapse)
    images = data(files).first(3)
    experiment = Experiment(network, images, STEPS, mean=mean, engine="golden")
    times = np.array(experiment.sampling.times)
    floating = experiment_outputs(experiment, "floating")
    fixed = experiment_outputs(experiment, "fixed")
    for k in range(3):
        for found, simulator, options in (
            (floating, nengo.Simulator, {"optimize": False}),
            (fixed, spikeloom.Simulator, {"engine": "golden"}),
        ):
            values = alone(network, images.images[k], STEPS, simulator, **options)
            expected = values[times - 1]
            if mean:
                expected = np.cumsum(values, axis=0)[times - 1] / times[:, None]
            # Ranges of the inputs, and so the last bits of weights, are those of all images.
            exact = simulator is nengo.Simulator
            tolerance = {"rtol": 1e-12, "atol": 1e-12} if exact else {"atol": 5e-3}
            scale = max(np.abs(expected).max(), 1e-9)
            np.testing.assert_allclose(found[k] / scale, expected / scale, **tolerance)


def experiment_outputs(experiment, kind):
    """What the probe holds at each time, before the largest is taken."""
    from spikeloom.runtime.accuracy.float_images import float_images
    from spikeloom.runtime.accuracy.images import ImageSimulator

    count = len(experiment.data)
    if kind == "floating":
        model, probe = experiment._model, experiment.probe
        return float_images(model, probe, count, experiment.sampling, 0)
    sim = ImageSimulator(
        experiment._model, experiment._graph, experiment.sampling, engine=experiment.engine
    )
    return sim.show(experiment.probe, count)


def test_engines_agree(files):
    found = [
        Experiment(build()[0], data(files), STEPS, engine=engine).fixed().answers
        for engine in ("golden", "native")
    ]
    np.testing.assert_array_equal(*found)


def test_float_and_fixed_are_right_alike(files):
    experiment = Experiment(build()[0], data(files), 60)
    fixed, floating = experiment.fixed(), experiment.floating()
    assert floating.accuracy > 0.7
    assert np.mean(fixed.answers[:, -1] == floating.answers[:, -1]) > 0.9
    assert not fixed.saturations
    assert len(fixed.by_time()) == len(experiment.sampling.times) == 10
    shares, sizes = fixed.by_class(3), np.bincount(data(files).labels)
    assert np.average(shares, weights=sizes) == pytest.approx(fixed.accuracy)
    assert fixed.by_class(5)[3:] == [None, None]


def test_fewer_bits_are_right_less_often(files):
    experiment = Experiment(build()[0], data(files), STEPS)
    whole = experiment_outputs(experiment, "fixed")
    errors = []
    for bits in (12, 6, 3):
        sim = experiment.fixed(Formats(WeightBits(bits)))
        errors.append(np.mean(sim.answers == whole.argmax(axis=2)))
    assert errors[0] >= errors[1] >= errors[2]
    assert errors[2] < 1
    narrow = experiment.fixed(Formats(WeightBits(), 16))
    assert narrow.answers.shape == whole.shape[:2]
    with pytest.raises(KernelError, match="does not fit 12 bits"):
        experiment.fixed(Formats(WeightBits(), 12))


def test_narrow_machines(files):
    experiment = Experiment(build()[0], data(files), STEPS)
    narrow = Formats(WeightBits(6, {"out": 8}), 20, narrow=True)
    assert (narrow.machine().weight_bits, narrow.machine().state_bits) == (8, 20)
    assert Formats(WeightBits(6)).machine().weight_bits == 18
    assert Formats(WeightBits(None, {"out": 8}), narrow=True).machine().weight_bits == 18
    rounded = replace(narrow, narrow=False)
    found = [experiment.fixed(formats).answers for formats in (narrow, rounded)]
    assert np.mean(found[0] == found[1]) > 0.9
    with pytest.raises(InputError, match="weights of 20 bits"):
        experiment.fixed(Formats(WeightBits(20), narrow=True))


def test_search_for_the_smallest_formats(files):
    experiment = Experiment(build()[0], data(files), STEPS)
    wanted = experiment.fixed().accuracy
    tried = list(experiment.smallest(wanted))
    weights = [f.weights.everywhere for f, _, _ in tried if f.state == 32]
    assert weights == list(range(4, 4 + len(weights)))
    assert [enough for _, _, enough in tried].count(True) == 2
    for _, outcome, enough in tried:
        assert (outcome.accuracy >= wanted) == enough
    assert tried[-1][0].state < 32
    assert all(f.weights.everywhere == weights[-1] for f, _, _ in tried if f.state < 32)
    assert not any(enough for _, _, enough in experiment.smallest(1.1))


def test_calibration_narrows_ranges(files):
    def rates():
        with nengo.Network(seed=1, label="rates") as net:
            image = nengo.Node(np.zeros(12), label="image")
            hidden = nengo.Ensemble(
                10, 1, gain=np.ones(10), bias=np.zeros(10), neuron_type=nengo.RectifiedLinear()
            )
            weights = np.random.default_rng(2).normal(size=(10, 12))
            nengo.Connection(image, hidden.neurons, transform=50 * weights, synapse=None)
            nengo.Probe(hidden.neurons[:3], synapse=0.01)
        return net

    images = data(files)
    fixed = Experiment(rates(), images, 10, calibration=images.first(5))
    loose = Experiment(rates(), images, 10)
    np.testing.assert_array_equal(fixed.fixed().answers[:, -1], loose.floating().answers[:, -1])


def with_functions(front, behind):
    """The network with a function on the host in front of the neurons, behind them, or both."""
    network, space = build()
    with network:
        if front:
            network.connections.remove(network.connections[0])
            double = nengo.Node(lambda t, x: 2 * x, size_in=12)
            nengo.Connection(space["image"], double, synapse=None)
            weights = space["first"] / 2
            nengo.Connection(double, space["hidden"].neurons, transform=weights, synapse=None)
        if behind:
            network.probes.clear()
            squashed = nengo.Node(lambda t, x: np.tanh(x), size_in=3)
            nengo.Connection(space["out"], squashed, synapse=None)
            nengo.Probe(squashed)
    return network


@pytest.mark.parametrize("front", [False, True])
def test_functions_of_the_host(files, front):
    experiment = Experiment(with_functions(front, not front), data(files), STEPS)
    fixed, floating = experiment.fixed(), experiment.floating()
    assert np.mean(fixed.answers == floating.answers) > 0.95


def test_functions_on_both_sides_are_refused(files):
    with pytest.raises(ModelError, match="both in front of it and behind it"):
        Experiment(with_functions(True, True), data(files), STEPS).fixed()


def test_filters_on_the_host_are_refused(files):
    network, space = build()
    network.probes.clear()
    with network:
        nengo.Probe(space["out"], synapse=0.02, label="twice")
    with pytest.raises(
        ModelError, match=r"twice.*: its filter Lowpass\(tau=0.02\) runs on the host"
    ):
        Experiment(network, data(files), STEPS)


def test_loops_over_the_host_are_refused(files):
    network, space = build()
    with network:
        loop = nengo.Node(lambda t, x: 0.1 * x, size_in=3)
        nengo.Connection(space["out"], loop, synapse=None)
        nengo.Connection(loop, space["hidden"].neurons, transform=np.ones((30, 3)), synapse=0.01)
    with pytest.raises(ModelError, match="stand in a loop with the chip"):
        Experiment(network, data(files), 10).fixed()


def test_inputs_that_change_are_refused(files):
    network, space = build()
    with network:
        wave = nengo.Node(lambda t: np.sin(1000 * t), label="wave")
        nengo.Connection(wave, space["hidden"].neurons, transform=np.ones((30, 1)), synapse=None)
    with pytest.raises(ModelError, match="wave: what it gives to the chip changes while"):
        Experiment(network, data(files), 10, source="image").fixed()


def test_samples():
    values = np.arange(1, 7)[None, :, None]
    values = np.concatenate([values, 10 * values])
    found = Sampling((1, 3, 6)).of(values)
    np.testing.assert_array_equal(found[0].ravel(), [0, 1, 2, 3, 5, 6])
    np.testing.assert_array_equal(found[1], 10 * found[0])
    found = Sampling((1, 3), mean=True).of(values)
    np.testing.assert_allclose(found[0].ravel(), [0, 1, 3 / 3, 6 / 3])


def test_command(files, capsys):
    picture = files / "accuracy.png"
    arguments = ["accuracy", str(files / "model.py"), "--data", str(files / "data.npz")]
    arguments += ["--steps", "20", "--lose", "10", "--weight-bits", "12,out=10"]
    assert main([*arguments, "--picture", str(picture)]) == 0
    printed = capsys.readouterr().out
    assert "24 images, 20 steps of 0.001 s each; the largest last value of classes" in printed
    assert "weights of 12 bits (out 10), states of 32 bits" in printed
    assert "smallest formats of at least" in printed
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert main([*arguments, "--json", "--float-images", "6", "--images", "10"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["fixed"]["images"] == 10
    assert found["float"]["images"] == 6
    assert found["times"][-1] == 20
    assert found["search"]["reference"] == "fixed"
    assert found["formats"]["layers"] == {"out": 10}
    assert main([*arguments, "--json", "--float-images", "0", "--answer", "mean", "--narrow"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["float"] is None
    assert found["mean"]
    assert found["search"]["found"]["narrow"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--steps", "0"], "--steps 0: must be at least 1"),
        (["--dt", "nan"], "must be a positive number of seconds"),
        (["--images", "0"], "--images 0: must be at least 1"),
        (["--lose", "-1"], "must be 0 to 100 percentage points"),
        (["--weight-bits", "out"], "give a number of bits, or LAYER=BITS"),
        (["--weight-bits", "20"], "weights of 20 bits: must be 2 to 18"),
        (["--weight-bits", "nowhere=8"], "bits of 'nowhere': no layer has that name"),
        (["--voltage-bits", "4"], "must be 8 to 32"),
        (["--voltage-bits", "12"], "does not fit 12 bits"),
        (["--input", "x"], "--input x: of the input nodes, none has that name; there are: image"),
        (["--output", "x"], "--output x: of the probes, none has that name; there are: classes"),
        (["--calibration", "none.npz"], "no such file"),
    ],
)
def test_mistakes(files, capsys, arguments, message):
    given = ["accuracy", str(files / "model.py"), "--data", str(files / "data.npz"), *arguments]
    assert main(given) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert message in lines[0]


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"labels": np.zeros(2, int)}, r"has no array 'images' \(it holds labels\)"),
        ({"images": np.zeros((2, 3))}, "has no array 'labels'"),
        ({"images": np.zeros(2), "labels": np.zeros(2, int)}, "they must be numbers of shape"),
        ({"images": np.zeros((0, 3)), "labels": np.zeros(0, int)}, "at least one image"),
        ({"images": np.zeros((2, 3)), "labels": np.zeros(3, int)}, "one for each of the 2 images"),
        ({"images": np.zeros((2, 3)), "labels": np.zeros(2)}, "must be integers"),
        ({"images": np.zeros((2, 3)), "labels": np.array([0, -1])}, "integers from 0 on"),
        ({"images": np.full((2, 3), np.nan), "labels": np.zeros(2, int)}, "image 0 holds a value"),
    ],
)
def test_mistaken_data(tmp_path, arrays, message):
    np.savez(tmp_path / "data.npz", **arrays)
    with pytest.raises(InputError, match=message):
        load_labelled(tmp_path / "data.npz")


def test_images_of_any_shape_are_flattened(tmp_path):
    images = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    np.savez(tmp_path / "data.npz", images=images, labels=np.array([1, 0], np.uint8))
    found = load_labelled(tmp_path / "data.npz")
    assert found.images.shape == (2, 12)
    assert found.images.dtype == float
    assert (len(found), found.classes) == (2, 2)


def test_data_that_does_not_fit_the_network(files):
    images = data(files)
    with pytest.raises(InputError, match="images have 5 elements, the input image takes 12"):
        Experiment(build()[0], Labelled(images.images[:, :5], images.labels), 10)
    with pytest.raises(InputError, match="the probe has 3 elements, the labels go up to 7"):
        Experiment(build()[0], Labelled(images.images, images.labels + 5), 10)


def test_which_input_and_output():
    with nengo.Network() as net:
        with pytest.raises(ModelError, match="the network has no probe; add one"):
            output_probe(net)
        nodes = [nengo.Node(lambda t: t, label=name) for name in ("a", "b")]
        probes = [nengo.Probe(node) for node in nodes]
    with pytest.raises(ModelError, match=r"several input nodes \(a, b\); choose one with --input"):
        input_node(net)
    assert input_node(net, "b") is nodes[1]
    assert output_probe(net, "a") is probes[0]


@pytest.mark.parametrize(
    ("file", "size"),
    [("keras/plain_keras3.keras:neuron=spiking-relu,scale=100", 36), ("nir/convolution.nir", 128)],
)
def test_trained_files(file, size):
    network, _ = load_network(str(FIXTURES / file), 0.001)
    rng = np.random.default_rng(0)
    images = Labelled(rng.normal(size=(20, size)), rng.integers(3, size=20))
    experiment = Experiment(network, images, 40)
    fixed, floating = experiment.fixed(), experiment.floating()
    assert np.mean(fixed.answers == floating.answers) > 0.95
    assert len(np.unique(fixed.answers)) > 1


def test_biases_are_no_inputs():
    with nengo.Network() as net:
        image = nengo.Node(np.zeros(4), label="image")
        nengo.Node(np.ones(4), label="bias")
        assert input_node(net) is image
        other = nengo.Node(lambda t: t, label="function")
        assert input_node(net) is other
        assert input_node(net, "bias").label == "bias"
        nengo.Node(lambda t: t, label="another")
        assert input_node(net) is image
        nengo.Node(np.zeros(2))
    with pytest.raises(ModelError, match="several input nodes"):
        input_node(net)


def test_layers_and_bits():
    assert weight_bits(None) == WeightBits()
    assert weight_bits("8") == WeightBits(8)
    assert weight_bits("conv=6, 10") == WeightBits(10, {"conv": 6})
    with pytest.raises(InputError, match="--weight-bits a=b: give a number"):
        weight_bits("a=b")

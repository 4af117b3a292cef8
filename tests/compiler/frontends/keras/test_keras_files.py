"""Stored Keras models against what Keras computed when they were stored."""

import json
import zipfile
from pathlib import Path

import nengo
import numpy as np
import pytest

from spikeloom.compiler.errors import ModelError
from spikeloom.compiler.frontends.frozen.parameter_map import map_rows
from spikeloom.compiler.frontends.keras.file import read_keras
from spikeloom.compiler.frontends.keras.layers import Options, convert_model

pytest.importorskip("h5py", reason="reading Keras files needs h5py (spikeloom[keras])")

FOLDER = Path(__file__).parents[3] / "fixtures" / "keras"
FILES = sorted(p.name for p in FOLDER.iterdir() if p.suffix in (".keras", ".h5"))


def network(name, **options):
    return convert_model(read_keras(FOLDER / name), Options(**options))


def run(net, inputs, steps=1):
    """What the probes show in the last step."""
    nodes = [n for n in net.nodes if n.size_in == 0 and n.label and not n.label.endswith(".bias")]
    for node, value in zip(nodes, inputs, strict=True):
        node.output = value.ravel().astype(float)
    with nengo.Simulator(net, progress_bar=False) as sim:
        sim.run_steps(steps)
    return [sim.data[p][-1] for p in net.all_probes]


@pytest.mark.parametrize("name", FILES)
def test_rate_networks_compute_what_keras_computes(name):
    with np.load((FOLDER / name).with_suffix(".npz")) as stored:
        inputs = [stored[k] for k in sorted(stored.files) if k.startswith("input")]
        outputs = [stored[k] for k in sorted(stored.files) if k.startswith("output")]
    net, records = network(name)
    for i in range(len(inputs[0])):
        found = run(net, [x[i] for x in inputs])
        for y, (place, expected) in zip(found, enumerate(outputs), strict=True):
            want = expected[i].ravel()
            if place == 0 and not name.startswith("image"):  # the chip leaves out the softmax
                y = np.exp(y - y.max()) / np.exp(y - y.max()).sum()
            np.testing.assert_allclose(y, want, rtol=2e-5, atol=2e-5)
    assert all(r.kind for r in records)


def test_spiking_networks_come_to_what_keras_computes():
    with np.load(FOLDER / "plain_keras3.npz") as stored:
        image, wanted = stored["input0"][0], stored["output0"][0]
    net, records = network(
        "plain_keras3.keras",
        swap_activations={"relu": nengo.SpikingRectifiedLinear()},
        scale_firing_rates=500,
        synapse=0.02,
    )
    assert [r.gain for r in records if r.gain] == [(500.0, 500.0)] * 2
    assert all(isinstance(e.neuron_type, nengo.SpikingRectifiedLinear) for e in net.all_ensembles)
    (found,) = run(net, [image], steps=400)
    found = np.exp(found - found.max())
    np.testing.assert_allclose(found / found.sum(), wanted, atol=0.02)


def test_scaled_neurons_are_told_apart_by_layer():
    net, records = network("plain_keras2.keras", scale_firing_rates={"hidden": 10.0})
    gains = {e.label: (e.gain[0], e.neuron_type.amplitude) for e in net.all_ensembles}
    assert gains == {"conv": (1.0, 1.0), "hidden": (10.0, 0.1)}
    table = {row[0]: row for row in map_rows(records)}
    assert table["hidden"][3:7] == ["12x8", "8", "10", "0"]
    assert table["class"][-1] == "softmax left out: the largest output stays the largest"


def test_the_map_names_what_was_folded_and_removed():
    _, records = network("image_keras3.keras")
    rows = {r.name: r for r in records}
    assert rows["first"].remark == "norm folded into W and b"
    assert rows["first"].layer_class == "Conv2D + BatchNormalization + ReLU"
    assert rows["first"].bias_shape == (4,)  # it had none of its own
    assert rows["dropped"].kind == "removed"
    assert "norm" not in rows
    assert rows["norm_of_rates"].kind == "weights"  # rectified in between: no kernel to fold into


def test_initial_voltages_come_from_the_seed():
    model = read_keras(FOLDER / "plain_keras3.keras")
    options = Options({"relu": nengo.LIF()})
    image = np.ones(36)
    spikes = []
    for seed in (0, 0, 1):
        net, _ = convert_model(model, options, seed)
        with net:
            nengo.Probe(net.all_ensembles[0].neurons, "voltage")
        spikes.append(run(net, [image])[-1])
    np.testing.assert_array_equal(spikes[0], spikes[1])
    assert np.any(spikes[0] != spikes[2])


def test_largest_of_spikes_is_refused_but_averaged_on_demand():
    swap = {"relu": nengo.SpikingRectifiedLinear()}
    with pytest.raises(ModelError) as e:
        network("image_keras3.keras", swap_activations=swap)
    assert "'largest' (MaxPooling2D): the largest of spikes is not that of the rates" in str(
        e.value
    )
    assert "use AveragePooling in the model" in str(e.value)
    with pytest.raises(ModelError, match="the largest of spikes"):
        network("image_keras3.keras", synapse=0.01)
    _, records = network("image_keras3.keras", swap_activations=swap, max_to_avg_pool=True)
    assert (
        "average instead of the largest" in next(r for r in records if r.name == "largest").remark
    )


@pytest.mark.parametrize("name", FILES)
def test_damaged_files_are_refused_in_one_line(name, tmp_path):
    data = (FOLDER / name).read_bytes()
    path = tmp_path / name
    for broken in (b"", b"nothing of Keras", data[: len(data) // 2]):
        path.write_bytes(broken)
        with pytest.raises(ModelError) as e:
            read_keras(path)
        assert str(e.value).startswith(f"{path}: ")
        assert "\n" not in str(e.value)


def rewritten(path, change, name="plain_keras3.keras"):
    """A stored model with its configuration changed."""
    with zipfile.ZipFile(FOLDER / name) as archive:
        files = {n: archive.read(n) for n in archive.namelist()}
    config = json.loads(files["config.json"])
    change(config)
    files["config.json"] = json.dumps(config).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for n, data in files.items():
            archive.writestr(n, data)
    return path


def layer(config, name):
    return next(x for x in config["config"]["layers"] if x["config"]["name"] == name)


def rename(name, kind):
    return lambda c: layer(c, name).update(class_name=kind)


def set_in(name, **values):
    return lambda c: layer(c, name)["config"].update(values)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            rename("mean", "Lambda"),
            "layer 3, 'mean' (Lambda): layers of class Lambda cannot be put on the chip",
        ),
        (
            rename("hidden", "LSTM"),
            "layer 5, 'hidden' (LSTM): layers of class LSTM cannot be put on the chip",
        ),
        (
            rename("flat", "MyOwn"),
            "layer 4, 'flat' (MyOwn): layers of class MyOwn cannot be put on the chip; express it",
        ),
        (
            lambda c: c["config"]["layers"][0]["config"].update(batch_shape=[None, None, 6, 1]),
            "its shape (None, 6, 1) is not fixed; give every size in keras.Input",
        ),
        (
            set_in("hidden", activation="softmax"),
            "layer 5, 'hidden' (Dense): softmax is known at the output only; use relu",
        ),
        (
            set_in("hidden", activation="gelu"),
            "layer 5, 'hidden' (Dense): activation 'gelu' has no neurons; use one of linear, relu",
        ),
        (
            set_in("hidden", activation={"class_name": "function", "registered_name": "my>act"}),
            "its activation is a function of its own",
        ),
        (set_in("hidden", use_bias=False), "has 2 arrays of weights, needs 1"),
        (set_in("conv", padding="odd"), "padding 'odd' is not known; use 'valid' or 'same'"),
        (
            lambda c: c.update(class_name="Subclassed"),
            "the model is a Subclassed, whose layers are",
        ),
        (lambda c: c["config"].pop("layers"), "KeyError"),
    ],
)
def test_models_that_cannot_be_converted(change, message, tmp_path):
    with pytest.raises(ModelError) as e:
        convert_model(read_keras(rewritten(tmp_path / "m.keras", change)), Options())
    assert message in str(e.value)
    assert "\n" not in str(e.value)


def test_weights_alone_are_refused(tmp_path):
    with zipfile.ZipFile(FOLDER / "plain_keras3.keras") as archive:
        (tmp_path / "plain.weights.h5").write_bytes(archive.read("model.weights.h5"))
    with pytest.raises(ModelError, match="holds weights alone; save the whole model"):
        read_keras(tmp_path / "plain.weights.h5")
    with pytest.raises(ModelError, match="cannot be read"):
        read_keras(tmp_path / "nothing.keras")

import json
import math
from pathlib import Path

import nengo
import numpy as np
import pytest

import spikeloom
from spikeloom.cli import main
from spikeloom.compiler.errors import InputError, ModelError
from spikeloom.runtime.explain.network import explain, first_share
from spikeloom.runtime.explain.text import print_neuron
from spikeloom.runtime.model_file import load_network

EXAMPLES = Path(spikeloom.__file__).parent / "examples"


@pytest.fixture(scope="module")
def two_layers():
    network, name = load_network(str(EXAMPLES / "two_layers.py"))
    network.label = name
    return network


@pytest.fixture(scope="module")
def explained(two_layers):
    return explain(two_layers, 50, "layer 1[1]", engine="golden")


def fired(steps, kind):
    return [entry["step"] for entry in steps if entry["spikes"][kind]]


def test_a_faster_step_moves_the_next_spike(two_layers, explained):
    with nengo.Simulator(two_layers, progress_bar=False, optimize=False) as sim:
        sim.run_steps(50)
    spikes = sim.data[two_layers.all_probes[0]]
    assert (np.flatnonzero(spikes[:, 0]) + 1).tolist() == [10, 20, 30, 40, 50]
    assert (np.flatnonzero(spikes[:, 1]) + 1).tolist() == [10, 19, 29, 39, 49]
    for kind in ("float", "fixed"):
        assert fired(explained["neuron"]["steps"], kind) == [10, 19, 29, 39, 49]
    steady = explain(two_layers, 50, "layer 1[0]", engine="golden")["neuron"]["steps"]
    for kind in ("float", "fixed"):
        assert fired(steady, kind) == [10, 20, 30, 40, 50]


def test_each_step_can_be_checked_by_hand(explained):
    steps = explained["neuron"]["steps"]
    assert [entry["current"]["float"] for entry in steps[13:16]] == [100, 200, 100]
    assert [entry["current"]["integer"] for entry in steps[13:16]] == [
        100 * 4096, 200 * 4096, 100 * 4096,
    ]  # fmt: skip
    assert steps[14]["voltage"]["float"] == pytest.approx(0.6)
    assert steps[14]["voltage"]["decoded"] == pytest.approx(0.6, abs=1e-4)
    for entry in steps:
        for signal, unit in (("current", 2**-12), ("voltage", 2**-24)):
            both = entry[signal]
            assert both["decoded"] == both["integer"] * unit
            assert both["decoded"] == pytest.approx(both["float"], abs=1e-4)


def test_what_a_spike_is_worth(explained):
    row = next(c for c in explained["connections"] if c["name"] == "layer 1 -> layer 2")
    share = 1 - math.exp(-0.001 / 0.005)
    assert row["spike_value"] == pytest.approx(10)
    assert row["first"] == pytest.approx(share)
    np.testing.assert_allclose(row["one_spike"], [10 * share * 0.6, 10 * share * 0.8])
    layer = explained["layers"][1]
    assert layer["bias"] == (0.8, 0.8)
    assert layer["parameters"]["tau_rc"] == 0.02
    assert layer["formats"]["voltage"] == 2**-22
    table = next(t for t in explained["tables"] if t["source"] == "layer 1")
    assert table["integer"] == [round(10 * share * w * 2 ** table["fraction"]) for w in (0.6, 0.8)]


def test_weights_of_a_neuron_in_front_of_its_synapse(two_layers):
    neuron = explain(two_layers, 12, "layer 2", engine="golden")["neuron"]
    (through,) = neuron["weights"]
    (behind,) = through["behind"]
    share = 1 - math.exp(-0.001 / 0.005)
    np.testing.assert_allclose(behind["float"], [10 * share * 0.8, 10 * share * 0.6])
    np.testing.assert_allclose(behind["current"], behind["float"], rtol=1e-4)
    np.testing.assert_array_equal(
        behind["integer"], np.rint(np.array(behind["float"]) / behind["unit"])
    )
    assert neuron["threshold"] == {"float": 1.0, "integer": 2**22}
    assert neuron["bias"]["integer"] == round(0.8 * 2 ** neuron["bias"]["fraction"])
    # The spike of step 10 is in the current of step 11, through the synapse.
    currents = [entry["current"]["float"] for entry in neuron["steps"]]
    assert currents[9] == 0.8
    assert currents[10] == pytest.approx(0.8 + 10 * share * 1.4)


def network_of_two(**kwargs):
    rng = np.random.default_rng(3)
    with nengo.Network(seed=2, label="net") as net:
        image = nengo.Node(nengo.processes.PresentInput(rng.uniform(size=(2, 6)), 0.02))
        hidden = nengo.Ensemble(
            8, 1, gain=rng.uniform(1, 3, 8), bias=rng.uniform(-1, 1, 8), label="hidden", **kwargs
        )
        nengo.Connection(image, hidden.neurons, transform=rng.normal(size=(8, 6)), synapse=None)
        decoded = nengo.Ensemble(20, 2, label="decoded")
        nengo.Connection(hidden.neurons[:4], decoded[1], transform=np.full((1, 4), 1e-3))
        nengo.Probe(decoded, synapse=0.01)
    return net


@pytest.mark.parametrize(
    "kind",
    [
        nengo.LIF(amplitude=0.01),
        nengo.AdaptiveLIF(),
        nengo.LIFRate(),
        nengo.RectifiedLinear(),
        nengo.Izhikevich(),
    ],
)
def test_other_neurons(kind):
    net = network_of_two(neuron_type=kind)
    found = explain(net, 20, "hidden[5]", engine="golden")
    json.dumps(found)
    with nengo.Simulator(net, progress_bar=False) as sim:
        gain = sim.data[net.ensembles[0]].gain
    neuron = found["neuron"]
    assert neuron["gain"] == gain[5]
    row = neuron["weights"][0]
    np.testing.assert_allclose(
        row["float"], gain[5] * net.connections[0].transform.init[5], rtol=1e-9
    )
    current = [entry["current"] for entry in neuron["steps"]]
    scale = max(abs(c["float"]) for c in current)
    assert all(abs(c["float"] - c["decoded"]) < 2e-3 * scale for c in current)


def test_decoded_connections_add_encoders():
    found = explain(network_of_two(), 5, engine="golden")
    into = found["connections"][1]
    assert into["into"] == "current"
    assert into["one_spike"][0] < 0 < into["one_spike"][1]
    assert found["neuron"]["neuron"] == "hidden[0]"


def test_first_share_of_synapses():
    assert first_share(None, 0.001) == 1
    assert first_share(nengo.Lowpass(0), 0.001) == 1
    assert first_share(nengo.Alpha(0.01), 0.001) == pytest.approx(0.00467884)


def test_command(tmp_path, capsys):
    np.savez(tmp_path / "data.npz", images=np.full((2, 2), [[50.0], [200.0]]))
    picture = tmp_path / "two.png"
    arguments = ["explain", str(EXAMPLES / "two_layers.py"), "--steps", "12", "--engine", "golden"]
    assert main([*arguments, "--neuron", "layer 1[1]", "--picture", str(picture)]) == 0
    printed = capsys.readouterr().out
    for heading in ("LAYERS", "CONNECTIONS", "TABLES", "NEURON layer 1[1]"):
        assert heading in printed
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert main([*arguments, "--data", str(tmp_path / "data.npz"), "--image", "1", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert fired(found["neuron"]["steps"], "fixed") == [5, 10]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--neuron", "layer 3"], "no ensemble 'layer 3' on the chip; it has: layer 1, layer 2"),
        (["--neuron", "layer 1[2]"], "layer 1 has 2 neurons, numbered from 0"),
        (["--steps", "0"], "must be at least 1"),
        (["--dt", "-1"], "must be a positive number of seconds"),
        (["--data", "missing.npz"], "no such file"),
    ],
)
def test_mistakes(capsys, arguments, message):
    assert main(["explain", str(EXAMPLES / "two_layers.py"), *arguments]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert message in lines[0]


def test_ensembles_of_one_name():
    with nengo.Network(seed=1) as net:
        for kind in (nengo.LIF(), nengo.SpikingRectifiedLinear()):
            nengo.Probe(nengo.Ensemble(3, 1, neuron_type=kind, label="same").neurons)
        nengo.Connection(*net.ensembles)
    kernels = [explain(net, 2, name, engine="golden")["neuron"]["kernel"]
               for name in ("same[2]", "same #2[2]")]  # fmt: skip
    assert kernels == ["LIF", "SpikingRectifiedLinear"]


@pytest.mark.parametrize(
    ("file", "arguments", "map_shown"),
    [
        ("keras/branched_keras3.keras", [], True),
        ("nir/convolution.nir", ["--dt", "0.001"], False),
    ],
)
def test_trained_files(capsys, file, arguments, map_shown):
    path = Path(__file__).parents[2] / "fixtures" / file
    given = ["explain", str(path), "--steps", "4", "--engine", "golden", *arguments]
    assert main(given) == 0
    printed = capsys.readouterr().out
    assert ("J = gain * (W x + b) + own bias" in printed) == map_shown
    assert "NEURON " in printed
    assert main([*given, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert ("parameter_map" in found) == map_shown
    for entry in found["neuron"]["steps"]:
        current = entry["current"]
        assert current["decoded"] == pytest.approx(current["float"], abs=1e-3)


def test_places_in_images(capsys):
    rng = np.random.default_rng(0)
    with nengo.Network(label="image", seed=1) as net:
        image = nengo.Node(nengo.processes.PresentInput(rng.uniform(size=(1, 75)), 1), label="in")
        kernel = rng.normal(size=(3, 3, 3, 2))
        convolution = nengo.Convolution(2, (5, 5, 3), kernel_size=(3, 3), init=kernel)
        gains = {"gain": np.full(18, 2.0), "bias": np.zeros(18)}
        layer = nengo.Ensemble(18, 1, label="layer", **gains)
        nengo.Connection(image, layer.neurons, transform=convolution, synapse=None)
    neuron = explain(net, 3, "layer[1,2,1]", engine="golden")["neuron"]
    assert neuron["index"] == (1 * 3 + 2) * 2 + 1
    (weights,) = neuron["weights"]
    # The kernel stands with its corner at (1, 2) of the 5 x 5 x 3 image.
    places = [np.unravel_index(element, (5, 5, 3)) for element in weights["elements"]]
    expected = [2 * kernel[y - 1, x - 2, c, 1] for y, x, c in places]
    np.testing.assert_allclose(weights["float"], expected)
    print_neuron(neuron)
    printed = capsys.readouterr().out
    assert "NEURON layer[11] (1, 2, 1)" in printed
    assert " (3, 4, 2) " in printed
    for wrong in ("layer[3,0,0]", "layer[1,1]", "layer[18]"):
        with pytest.raises(InputError, match=r"layer has .* neurons, numbered from 0"):
            explain(net, 3, wrong, engine="golden")


def test_nothing_to_explain():
    with nengo.Network(label="empty") as net:
        nengo.Node(lambda t: t)
    with pytest.raises(ModelError, match="nothing in it can run on the chip"):
        explain(net)
    with nengo.Network(label="on the host") as net:
        poisson = nengo.PoissonSpiking(nengo.LIFRate())
        noisy = nengo.Ensemble(20, 1, neuron_type=poisson, label="noisy")
        nengo.Connection(noisy, nengo.Ensemble(20, 1, label="other"), synapse=0.1)
    with pytest.raises(InputError, match="no ensemble 'noisy' on the chip; it has: other"):
        explain(net, neuron="noisy")
    with pytest.raises(InputError, match="--steps"):
        explain(net, steps=0)

import json
from pathlib import Path

import nengo
import numpy as np
import pytest
from sklearn.datasets import load_digits

from spikeloom.cli import main
from spikeloom.compiler.errors import InputError, ModelError
from spikeloom.runtime.accuracy.labelled import Labelled
from spikeloom.runtime.accuracy.measurement import Experiment
from spikeloom.runtime.model_file import load_network, time_step
from spikeloom.runtime.trained_files import is_trained, load_trained, with_choices

FIXTURES = Path(__file__).parents[1] / "fixtures"
PLAIN = str(FIXTURES / "keras" / "plain_keras3.keras")
DENSE = str(FIXTURES / "trained" / "dense_digits.slm")


def test_which_files_are_trained_ones():
    assert all(is_trained(f"net{end}") for end in (".slm", ".keras", ".h5", ".keras:neuron=lif"))
    assert not any(is_trained(f"net{end}") for end in (".py", ".py:model", ".nir", ".txt"))


def test_choices_make_the_neurons_of_a_keras_model():
    network, name = load_network(f"{PLAIN}:neuron=lif,amplitude=0.01,scale=20,synapse=0.005")
    assert name == "plain"
    for ens in network.all_ensembles:
        assert isinstance(ens.neuron_type, nengo.LIF)
        assert ens.neuron_type.amplitude == pytest.approx(0.0005)
        np.testing.assert_array_equal(ens.gain, 20)
    synapses = {c.synapse for c in network.all_connections if c.pre_obj in neurons(network)}
    assert synapses == {nengo.Lowpass(0.005)}
    rates, _ = load_network(PLAIN)
    assert all(isinstance(e.neuron_type, nengo.RectifiedLinear) for e in rates.all_ensembles)


def neurons(network):
    return [ens.neurons for ens in network.all_ensembles]


def test_further_choices_are_added():
    assert with_choices("a.py") == "a.py"
    assert with_choices("a.h5", neuron="lif", scale=None) == "a.h5:neuron=lif"
    assert with_choices("a.h5:scale=2", neuron="lif") == "a.h5:scale=2,neuron=lif"


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ("neuron=izhikevich", "no neuron 'izhikevich'; choose one of relu, spiking-relu, lif"),
        ("lif", "'lif' is not understood; choose by neuron, amplitude, scale, synapse, pooling"),
        ("colour=red", "'colour=red' is not understood"),
        ("scale=0", "scale=0: must be a positive number"),
        ("scale=fast", "scale=fast: must be a positive number"),
        ("synapse=-1", "synapse=-1: must be a positive number"),
        ("amplitude=2", "an amplitude needs neurons"),
        ("pooling=least", "pooling 'least': choose largest or average"),
    ],
)
def test_choices_that_cannot_be(choices, message):
    with pytest.raises(InputError) as e:
        load_network(f"{PLAIN}:{choices}")
    assert message in str(e.value)


def test_files_that_cannot_be_read(tmp_path):
    for name in ("net.slm", "net.keras", "net.h5"):
        with pytest.raises(ModelError, match=f"{name}: cannot be read"):
            load_network(str(tmp_path / name))
        (tmp_path / name).write_bytes(b"something else")
        with pytest.raises(ModelError, match=f"{name}: n"):  # not, neither
            load_network(str(tmp_path / name))


def test_a_frozen_network_has_its_map():
    model = load_trained(DENSE)
    assert model.source == "nengo_dl.Simulator"
    rows = {record.name: record for record in model.layers}
    assert rows["weights of layer 1"].kernel_shape == (64, 32)
    assert rows["weights of layer 1"].bias_shape == (32,)
    low, high = rows["layer 1"].neuron_bias
    assert low < high  # trained apart from the bias of the Keras layer
    assert rows["layer 1"].gain is not None
    assert time_step(DENSE, None) == 0.001


def test_compile_prints_the_map(tmp_path, capsys):
    options = ["--neuron", "spiking-relu", "--scale-firing-rates", "100", "--synapse", "0.005"]
    assert main(["compile", PLAIN, *options, "-o", str(tmp_path / "out"), "--compare", "0.1"]) == 0
    printed = capsys.readouterr().out
    assert "J = gain * (W x + b) + own bias" in printed
    assert "softmax left out: the largest output stays the largest" in printed
    assert "56 neurons on the chip, 0 on the host" in printed
    stored = json.loads((tmp_path / "out" / "report.json").read_text())
    assert [layer["name"] for layer in stored["parameter_map"]][1:3] == ["conv", "mean"]


def test_neurons_for_others_than_keras_models(capsys):
    assert main(["compile", DENSE, "--neuron", "lif", "-o", "out"]) == 2
    assert "--neuron, --amplitude" in capsys.readouterr().err


def test_compile_reads_frozen_networks(tmp_path, capsys):
    assert main(["compile", DENSE, "-o", str(tmp_path / "out"), "--compare", "0.1"]) == 0
    printed = capsys.readouterr().out
    assert "weights of layer 1  Dense" in printed
    assert "32 neurons on the chip, 0 on the host" in printed


@pytest.mark.parametrize("name", ["dense_digits", "conv_digits"])
def test_what_nengo_dl_trained_is_right_in_fixed_point(name):
    """As right as in float Nengo, on digits that the example did not train on."""
    digits = load_digits()
    last = np.random.RandomState(0).permutation(len(digits.target))[-100:]
    images = Labelled(digits.images[last].reshape(100, -1) / 16.0, digits.target[last])
    network, _ = load_network(str(FIXTURES / "trained" / f"{name}.slm"))
    experiment = Experiment(network, images, 60)
    fixed, floating = experiment.fixed(), experiment.floating()
    assert floating.accuracy >= 0.95
    assert abs(fixed.accuracy - floating.accuracy) <= 0.02
    assert np.mean(fixed.answers[:, -1] == floating.answers[:, -1]) >= 0.98

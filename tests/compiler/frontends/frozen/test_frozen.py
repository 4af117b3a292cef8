"""Frozen networks: what is read spikes as what was written, and as what was built."""

import io
import json
import zipfile

import nengo
import numpy as np
import pytest

import spikeloom
from spikeloom.compiler.errors import ModelError
from spikeloom.compiler.frontends.frozen.file import (
    FrozenModel,
    decode_frozen,
    encode_frozen,
    load_frozen,
    save_frozen,
)
from spikeloom.compiler.frontends.frozen.freeze import freeze
from spikeloom.compiler.frontends.frozen.parameter_map import LayerRecord, map_rows

NEURONS = (
    nengo.LIF(tau_rc=0.03),
    nengo.LIF(amplitude=0.2, min_voltage=-1),
    nengo.AdaptiveLIF(tau_n=0.5),
    nengo.Izhikevich(),
    nengo.SpikingRectifiedLinear(),
    nengo.RectifiedLinear(),
    nengo.LIFRate(),
    nengo.AdaptiveLIFRate(),
    nengo.Sigmoid(),
    nengo.Tanh(),
    nengo.PoissonSpiking(nengo.LIFRate()),
    nengo.RegularSpiking(nengo.Sigmoid()),
    nengo.StochasticSpiking(nengo.AdaptiveLIFRate()),
    spikeloom.LIF(tau_rc=0.02, tau_ref=0.002, reset=-0.2),
)
SYNAPSES = (
    None,
    nengo.Lowpass(0.01),
    nengo.Lowpass(0),
    nengo.Alpha(0.02),
    nengo.LinearFilter([1.0], [0.0004, 0.03, 1.0]),
)


def random_network(seed):
    """Populations of all kinds in an order without circles, connected in all ways."""
    rng = np.random.default_rng(seed)

    def synapse():
        return SYNAPSES[rng.integers(len(SYNAPSES))]

    with nengo.Network(f"network {seed}", seed=seed) as network:
        source = nengo.Node(rng.uniform(-1, 1, 2), label="source")
        shown = nengo.Node(nengo.processes.PresentInput(rng.normal(size=(3, 4)), 0.02))
        populations = []
        for i in range(3):
            neurons = NEURONS[rng.integers(len(NEURONS))]
            n, dimensions = int(rng.integers(5, 30)), int(rng.integers(1, 4))
            populations.append(
                nengo.Ensemble(n, dimensions, neuron_type=neurons, radius=rng.uniform(0.5, 2))
            )
            ens = populations[-1]
            nengo.Connection(source, ens[0], transform=rng.normal(size=(1, 2)), synapse=synapse())
            if i:
                pre = populations[rng.integers(i)]
                weights = nengo.solvers.LstsqL2(weights=bool(rng.integers(2)))
                nengo.Connection(
                    pre,
                    ens,
                    function=lambda x: np.sin(x[0]),
                    transform=rng.normal(size=(ens.dimensions, 1)),
                    solver=weights,
                    synapse=synapse() or 0.003,
                )
                nengo.Connection(pre[0], ens[-1], synapse=0.005, solver=weights)
                nengo.Connection(
                    pre.neurons[::2],
                    ens.neurons[[3, 1]],
                    transform=nengo.dists.Uniform(-1e-3, 1e-3),
                    synapse=synapse(),
                )
        with nengo.Network("inner"):
            image = nengo.Convolution(
                2, (2, 2, 1), kernel_size=(2, 2), padding="same", init=nengo.dists.Gaussian(0, 1)
            )
            through = nengo.Node(size_in=image.size_out)
            nengo.Connection(shown, through, transform=image, synapse=synapse())
            nengo.Probe(through)
        sparse = nengo.Sparse((4, 8), indices=[[0, 7], [3, 2]], init=[0.5, -2.0])
        sums = nengo.Node(size_in=4)
        nengo.Connection(through, sums, transform=sparse, synapse=None)
        for ens in populations:
            nengo.Probe(ens.neurons, sample_every=0.002)
            nengo.Probe(ens, synapse=0.01)
            nengo.Probe(ens[0])
            nengo.Probe(ens.neurons[:3], "input")
        nengo.Probe(sums)
        nengo.Probe(network.connections[0], synapse=0.01)
    return network


def run(network, seconds=0.1):
    with nengo.Simulator(network, progress_bar=False, optimize=False) as sim:
        sim.run(seconds)
    return [np.array(sim.data[p]) for p in network.all_probes]


def read_again(network):
    return decode_frozen(encode_frozen(FrozenModel(network)), "memory").network


@pytest.mark.parametrize("seed", range(12))
def test_what_is_read_spikes_as_what_was_written(seed):
    network = random_network(seed)
    frozen = freeze(network)
    expected = run(frozen)
    for found, wanted in zip(run(read_again(frozen)), expected, strict=True):
        np.testing.assert_array_equal(found, wanted)
    for built, wanted in zip(run(network), expected, strict=True):
        np.testing.assert_allclose(built, wanted, rtol=1e-9, atol=1e-9)
    assert sum(np.count_nonzero(x) for x in expected) > 0


@pytest.mark.parametrize("neurons", NEURONS, ids=lambda n: type(n).__name__)
def test_every_neuron_type(neurons):
    with nengo.Network(seed=1) as network:
        source = nengo.Node([0.7])
        ens = nengo.Ensemble(20, 1, neuron_type=neurons)
        nengo.Connection(source, ens)
        nengo.Probe(ens.neurons)
    (expected,) = run(network)
    (found,) = run(read_again(freeze(network)))
    np.testing.assert_array_equal(found, expected)
    assert found.any()


def test_every_built_in_type_is_tried():
    tried = {type(n) for n in NEURONS} | {nengo.Direct}
    theirs = {
        t
        for t in vars(nengo.neurons).values()
        if isinstance(t, type)
        and issubclass(t, nengo.neurons.NeuronType)
        and t not in (nengo.neurons.NeuronType, nengo.neurons.RatesToSpikesNeuronType)
    }
    assert theirs <= tried


def test_direct_mode_and_defaults_around(tmp_path):
    with nengo.Network(seed=1) as network:
        ens = nengo.Ensemble(1, 2, neuron_type=nengo.Direct())
        nengo.Connection(nengo.Node([0.5, 2]), ens)
        nengo.Probe(ens)
    save_frozen(FrozenModel(freeze(network)), tmp_path / "net.slm")
    with nengo.Network() as around:
        around.config[nengo.Ensemble].radius = 7
        around.config[nengo.Connection].synapse = 0.5
        found = load_frozen(tmp_path / "net.slm").network
    assert not around.all_objects
    np.testing.assert_array_equal(run(found)[0], run(network)[0])


def test_the_map_and_remarks_are_kept(tmp_path):
    records = [
        LayerRecord("dense", "weights", "Dense", (4,), (3,), (4, 3), (3,)),
        LayerRecord("spikes", "neurons", "Ensemble", (3,), (3,), neuron_bias=(1.0, 2.5)),
    ]
    with nengo.Network(seed=1) as network:
        nengo.Node([1.0])
    save_frozen(FrozenModel(freeze(network), records, ["a remark"], "test"), tmp_path / "a.slm")
    model = load_frozen(tmp_path / "a.slm")
    assert (model.layers, model.remarks, model.source) == (records, ["a remark"], "test")
    assert map_rows(records)[0][:5] == ["dense", "Dense", "4 -> 3", "4x3", "3"]
    assert map_rows(records)[1][6] == "1 to 2.5"


def refused(network, freezing=True):
    with pytest.raises(ModelError) as e:
        encode_frozen(FrozenModel(freeze(network) if freezing else network))
    assert "\n" not in str(e.value)
    return str(e.value)


def test_what_cannot_be_frozen_is_named():
    with nengo.Network(seed=1) as network:
        nengo.Node(lambda t: t, label="wave")
    assert "Node 'wave': it computes a Python function" in refused(network)
    assert "Node 'wave': it computes a Python function" in refused(network, freezing=False)
    with nengo.Network(seed=1) as network:
        nengo.Node(nengo.processes.WhiteSignal(1, 5), size_out=1, label="noise")
    assert "Node 'noise': its process WhiteSignal" in refused(network)
    with nengo.Network(seed=1) as network:
        a, b = nengo.Node([1.0], label="a"), nengo.Node(size_in=1, label="b")
        nengo.Connection(a, b, function=lambda x: x**2)
    assert "Connection Node 'a' -> Node 'b': it computes a Python function" in refused(network)
    with nengo.Network(seed=1) as network:
        ens = nengo.Ensemble(5, 1, label="a")
        nengo.Connection(ens, ens, learning_rule_type=nengo.PES(), label="learned")
    assert "Connection 'learned': it has a learning rule" in refused(network)
    with nengo.Network(seed=1) as network:
        nengo.Ensemble(5, 1, label="a", noise=nengo.processes.WhiteNoise())
    assert "Ensemble 'a': its noise is a random process" in refused(network)
    with nengo.Network(seed=1) as network:
        nengo.Ensemble(5, 1, label="a", neuron_type=type("Own", (nengo.LIF,), {})())
    assert "Ensemble 'a': Own is no neuron type of Nengo" in refused(network)


def test_what_is_not_frozen_is_named():
    with nengo.Network(seed=1) as network:
        ens = nengo.Ensemble(5, 1, label="a")
    assert "Ensemble 'a': its voltage is still to be drawn" not in refused(network, freezing=False)
    assert "still to be drawn; freeze it first" in refused(network, freezing=False)
    frozen = freeze(network)
    with frozen:
        nengo.Connection(frozen.ensembles[0], nengo.Node(size_in=1), label="c")
    assert "Connection 'c': its decoders are still to be solved for" in refused(frozen, False)
    assert ens.label == "a"


def content():
    with nengo.Network(seed=1) as network:
        nengo.Ensemble(5, 1, label="a")
    return encode_frozen(FrozenModel(freeze(network)))


def repacked(change):
    """A stored network with its JSON changed, and the hash left as it was."""
    with zipfile.ZipFile(io.BytesIO(content())) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    body = json.loads(files["model.json"])
    change(body)
    files["model.json"] = json.dumps(body, indent=1).encode()
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return out.getvalue()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda b: b.update(version=99), "has format version 99, this Spikeloom reads 1; update"),
        (lambda b: b.update(format="other"), "is not that of a stored network"),
        (lambda b: b["network"].update(label="x"), "does not match its SHA-256"),
    ],
)
def test_foreign_newer_and_changed_files(change, message):
    with pytest.raises(ModelError) as e:
        decode_frozen(repacked(change), "net.slm")
    assert message in str(e.value)
    assert str(e.value).startswith("net.slm: ")


def test_damaged_files(tmp_path):
    data = content()
    assert decode_frozen(data, "whole").network.ensembles[0].label == "a"
    rng = np.random.default_rng(0)
    for place in rng.integers(len(data), size=40):
        broken = bytearray(data)
        broken[place] ^= 0xFF
        try:
            again = encode_frozen(decode_frozen(bytes(broken), "net.slm"))
        except ModelError as e:
            assert str(e).startswith("net.slm: ") and "\n" not in str(e)
        else:
            assert again == data  # a byte that means nothing, such as a date of the archive
    for broken in (b"", b"text", data[:100], data[: len(data) // 2]):
        with pytest.raises(ModelError, match=r"net.slm: not a stored network or damaged"):
            decode_frozen(broken, "net.slm")
    with pytest.raises(ModelError, match="cannot be read"):
        load_frozen(tmp_path / "nothing.slm")


def test_an_earlier_file_stays_until_the_new_one_is_whole(tmp_path):
    path = tmp_path / "net.slm"
    path.write_bytes(content())
    with nengo.Network(seed=1) as network:
        nengo.Node(lambda t: t)
    with pytest.raises(ModelError):
        save_frozen(FrozenModel(network), path)
    assert path.read_bytes() == content()
    assert [p.name for p in tmp_path.iterdir()] == ["net.slm"]

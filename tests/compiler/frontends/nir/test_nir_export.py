"""Networks written as NIR: read back, they do the same; what NIR cannot say is refused by name."""

from pathlib import Path

import nengo
import nir
import numpy as np
import pytest
from nir_graphs import DT, chain, graph, lif, output, outputs, spikes
from numpy.testing import assert_allclose, assert_array_equal

import spikeloom
from spikeloom.compiler.errors import ModelError, ProgramError
from spikeloom.compiler.frontends.nengo.step_neurons import StepLIF, StepLIFSubtract
from spikeloom.compiler.frontends.nengo.streams import Recording
from spikeloom.compiler.frontends.nir.export import export_nir
from spikeloom.compiler.frontends.nir.network import import_nir

FOLDER = Path(__file__).parents[3] / "fixtures" / "nir"
N, STEPS = 6, 80
RNG = np.random.default_rng(5)
CURRENT = RNG.uniform(-1, 4, (STEPS, N))


def own(low, high, n=N):
    return np.linspace(low, high, n)


def same(value, n=N):
    return np.full(n, float(value))


def kinds(made):
    return sorted(type(node).__name__ for node in made.nodes.values())


@pytest.mark.parametrize("name", ["feedforward", "synaptic", "recurrent", "convolution"])
def test_networks_of_snntorch_come_back(name, tmp_path):
    with np.load(FOLDER / f"{name}.npz") as stored:
        given = stored["input"]
    first = import_nir(FOLDER / f"{name}.nir", dt=1e-4)
    path = tmp_path / "again.nir"
    made = export_nir(first, path, dt=1e-4)
    read = nir.read(path)  # checks the types that nodes pass on
    assert kinds(read) == kinds(made)
    wanted = output(first, given, dt=1e-4)
    assert wanted.sum() > 100
    assert_array_equal(output(import_nir(path), given, dt=1e-4), wanted)
    assert "Delay" not in kinds(made)  # what is fed back is late without one
    assert ("Conv2d" in kinds(made)) == (name == "convolution")


NODES = {
    "LIF": nir.LIF(own(5e-3, 0.03), own(2, 3), own(-0.2, 0.1), own(0.9, 1.2), own(-0.5, -0.1)),
    "IF": nir.IF(own(40, 60), own(0.8, 1.2), own(0, -0.3)),
    "CubaLIF": nir.CubaLIF(
        own(2e-3, 9e-3), same(0.01), own(1, 2), own(0.1, 0.3), same(1), own(-0.2, 0), own(1, 2)
    ),
    "LI": nir.LI(same(0.02), own(1, 2), own(-1, 1)),
    "I": nir.I(own(1, 2)),
    "CubaLI": nir.CubaLI(same(5e-3), same(0.01), own(1, 2), own(-1, 1), same(2)),
    "Threshold": nir.Threshold(own(0.5, 3)),
}


@pytest.mark.parametrize("method", ["euler", "exponential"])
@pytest.mark.parametrize("kind", NODES)
def test_neurons_come_back(kind, method):
    first = import_nir(chain(NODES[kind], shape=[N]), dt=DT, method=method)
    wanted = output(first, CURRENT)
    assert wanted.any()
    made = export_nir(first, dt=DT, method=method)
    assert made.metadata == {"dt": DT, "method": method, "reset": "nir"}
    assert {"CubaLI": "LI"}.get(kind, kind) in kinds(made)
    assert_allclose(output(made, CURRENT, dt=DT), wanted, atol=1e-9)


def test_layers_and_delays_come_back():
    neurons = nir.LIF(same(0.01), same(5), same(0), same(1), same(0))
    few = nir.LIF(same(0.01, 4), same(5, 4), same(0, 4), same(1, 4), same(0, 4))
    nodes = {
        "in": nir.Input([N]),
        "a": neurons,
        "d": nir.Delay(own(0, 5) * DT),
        "w": nir.Affine(RNG.normal(size=(4, N)), own(0, 1, 4)),
        "b": few,
        "v": nir.Linear(RNG.normal(size=(N, 4))),
        "out": nir.Output([4]),
        "hidden": nir.Output([N]),
    }
    edges = [("in", "a"), ("a", "d"), ("d", "w"), ("w", "b"), ("b", "v"), ("v", "a"), ("b", "out")]
    first = import_nir(graph(nodes, [*edges, ("a", "hidden")]), dt=DT)
    given = spikes((STEPS, N))
    wanted = outputs(first, given)
    found = outputs(export_nir(first, dt=DT), given)
    assert wanted.keys() == found.keys() == {"out", "hidden"}
    for name, values in wanted.items():
        assert values.sum() > 10
        assert_array_equal(found[name], values)


def pure(neuron_type=None, synapse=None, size=20, **options):
    """An ensemble of Nengo's, decoded into a second one."""
    lifs = nengo.LIF(tau_ref=0, min_voltage=-np.inf)
    with nengo.Network(seed=2, label="pure") as network:
        network.u = nengo.Node(Recording(np.zeros((0, 1))), label="u")
        network.a = nengo.Ensemble(size, 1, neuron_type=neuron_type or lifs, label="a", **options)
        network.b = nengo.Ensemble(size, 1, neuron_type=lifs, label="b")
        nengo.Connection(network.u, network.a, synapse=None)
        nengo.Connection(network.a, network.b, function=np.square, synapse=synapse)
        nengo.Probe(network.b.neurons, label="spikes")
    return network


@pytest.mark.parametrize("synapse", [None, 0, 0.01])
def test_gains_decoders_and_synapses_become_weights_and_filters(synapse):
    made = export_nir(pure(synapse=synapse), dt=DT)
    found = kinds(made)
    assert found.count("LIF") == 2 and "u" in made.nodes and "spikes" in made.nodes
    assert ("LI" in found) == bool(synapse) and ("Delay" in found) == (synapse is not None)
    times = {float(t) for node in made.nodes.values() for t in np.ravel(getattr(node, "tau", []))}
    assert_allclose(sorted(times), [0.01, 0.02] if synapse else [0.02])
    given = np.sin(np.arange(400) * 0.02)[:, None]
    network = pure(synapse=synapse)
    network.u.output = Recording(given)
    with nengo.Simulator(network, dt=DT, progress_bar=False) as sim:
        sim.run_steps(400, progress_bar=False)
    wanted = sim.data[network.probes[0]]
    again = output(made, given)
    # NIR has no instants inside a step, so spikes shift: the counts of neurons stay close.
    assert abs(again.sum() - wanted.sum()) < 0.1 * wanted.sum()
    counts = np.corrcoef((again > 0).sum(axis=0), (wanted > 0).sum(axis=0))[0, 1]
    assert again.max() == pytest.approx(1 / DT) and counts > 0.98


def stepped(**options):
    with nengo.Network(seed=1, label="net") as network:
        node = nengo.Node(Recording(np.zeros((0, N))), label="in")
        made = StepLIF(time_step=DT, leak=0.1, amplitude=DT)
        values = {"gain": same(1), "bias": same(0), "encoders": np.ones((N, 1))} | options
        network.a = nengo.Ensemble(N, 1, neuron_type=values.pop("neuron_type", made), **values)
        nengo.Connection(node, network.a.neurons, synapse=None)
        nengo.Probe(network.a.neurons)
    return network


def test_stepped_neurons_are_written_with_their_time_constant():
    made = export_nir(stepped(bias=same(0.05)), dt=DT)
    (node,) = [n for n in made.nodes.values() if isinstance(n, nir.LIF)]
    assert_allclose(node.tau, DT / 0.1)
    (layer,) = [n for n in made.nodes.values() if isinstance(n, nir.Affine)]
    assert_array_equal(layer.weight, np.eye(N))
    found = output(made, CURRENT)
    assert_array_equal(found, lif(CURRENT + 0.05, 0.01, 10, 0, 1, 0))
    assert found.any()


def refused(network, **options):
    with pytest.raises(ModelError) as caught:
        export_nir(network, dt=DT, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_nir_cannot_say_is_listed_with_the_reasons():
    network = pure(neuron_type=nengo.LIF(), synapse=nengo.Alpha(0.01))
    with network:
        nengo.Probe(network.b.neurons, "voltage", label="v")
        nengo.Probe(nengo.Ensemble(3, 1, neuron_type=nengo.Tanh(), label="t").neurons, label="tp")
    message = refused(network)
    assert message.startswith("pure cannot be written as NIR: ")
    assert "a (NIR has no refractory time; set tau_ref=0)" in message
    assert "(NIR's synapses are of first order; use nengo.Lowpass or None)" in message
    assert "v (NIR has outputs of neurons and sums of them only)" in message
    assert "t (NIR has no Tanh neurons; it has LIF, CubaLIF, IF, LI, I and Threshold)" in message
    message = refused(pure(neuron_type=nengo.LIF(tau_ref=0)))
    assert "a (NIR's voltages have no lower limit; set min_voltage=-np.inf)" in message


def test_resets_and_states_that_nir_does_not_have():
    made = StepLIFSubtract(time_step=DT, leak=0.1, amplitude=DT)
    assert "StepLIFSubtract neurons reset in a way of their own" in refused(
        stepped(neuron_type=made)
    )
    late = nengo.LIF(tau_ref=0, min_voltage=-np.inf, initial_state={"refractory_time": same(0.01)})
    assert "no place for its initial refractory_time" in refused(stepped(neuron_type=late))


def test_functions_learning_and_networks_without_outputs():
    network = pure()
    with network:
        square = nengo.Node(lambda t, x: x**2, size_in=1, label="square")
        nengo.Connection(network.a, square)
        nengo.Connection(square, network.b)
        error = nengo.Node([0.1])
        learned = nengo.Connection(network.a, network.b, learning_rule_type=nengo.PES())
        nengo.Connection(error, learned.learning_rule)
    message = refused(network)
    assert "square (Python function)" in message and "it learns; freeze its weights" in message
    network = pure()
    network.probes.clear()
    assert "nothing is probed: add a Probe" in refused(network)
    assert "choose euler, exponential" in refused(pure(), method="magic")


def test_files_are_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "net.nir"
    path.write_text("before")
    with pytest.raises(ModelError):
        export_nir(pure(neuron_type=nengo.LIF()), path, dt=DT)
    assert path.read_text() == "before"
    with pytest.raises(ProgramError, match="cannot write"):
        export_nir(pure(), tmp_path / "no" / "net.nir", dt=DT)
    export_nir(pure(), path, dt=DT)
    assert "LIF" in kinds(nir.read(path))
    assert [p.name for p in tmp_path.iterdir()] == ["net.nir"]


def test_public_names():
    assert spikeloom.export_nir is export_nir and spikeloom.import_nir is import_nir


def test_convolutions_come_back_with_their_padding_channels_and_biases():
    def lifs(*shape):
        full = (np.full(shape, value) for value in (0.01, 8.0, 0.0, 1.0, 0.0))
        return nir.LIF(*full)

    def conv(source, out, channels, stride, groups=1):
        weight = RNG.normal(size=(out, channels // groups, 3, 3))
        return nir.Conv2d(source, weight, stride, 1, 1, groups, own(-0.1, 0.1, out))

    pool = nir.SumPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0]))
    layers = [conv((8, 8), 4, 2, 1), lifs(4, 8, 8), conv((8, 8), 6, 4, 2, 2), lifs(6, 4, 4), pool]
    layers += [
        lifs(6, 2, 2),
        nir.Flatten(None, 0),
        nir.Affine(RNG.normal(size=(5, 24)), own(0, 1, 5)),
    ]
    first = import_nir(chain(*layers, lifs(5), shape=[2, 8, 8]), dt=DT)
    given = spikes((60, 2, 8, 8))
    wanted = output(first, given)
    assert wanted.sum() > 30
    made = export_nir(first, dt=DT)
    found = [made.nodes[name] for name in ("input -> n1", "n1 -> n3", "n3 -> n5")]
    assert [(n.weight.shape, n.stride, n.padding, n.groups) for n in found] == [
        ((4, 2, 3, 3), (1, 1), (1, 1), 1),
        ((6, 2, 3, 3), (2, 2), (1, 1), 2),
        ((6, 1, 2, 2), (2, 2), (0, 0), 6),
    ]
    assert sum(isinstance(n, nir.LIF) and n.r.shape == (6, 2, 2) for n in made.nodes.values()) == 1
    assert_array_equal(output(made, given, dt=DT), wanted)


def test_inputs_keep_elements_that_nothing_reads():
    pool = nir.AvgPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0]))
    few = (np.full((1, 1, 2), value) for value in (0.01, 12.0, 0.0, 1.0, 0.0))
    first = import_nir(chain(pool, nir.LIF(*few), shape=[1, 3, 4]), dt=DT)
    made = export_nir(first, dt=DT)
    assert tuple(made.nodes["input"].input_type["input"]) in ((12,), (1, 3, 4))
    given = spikes((STEPS, 12), 0.6)
    assert_array_equal(output(made, given, dt=DT), output(first, given))

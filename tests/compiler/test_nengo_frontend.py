"""Graph plus host plan, evaluated in floats, against `nengo.Simulator`: the same to 1e-9."""

import nengo
import numpy as np
import pytest
from float_graph import FloatSimulator
from nengo.builder import Model
from nengo_networks import (
    NETWORKS,
    base_network,
    channel,
    host_in_the_middle,
    noise,
    sine,
    slices,
)

from spikeloom.compiler.frontends.nengo import convert
from spikeloom.compiler.graph import Input, Population

TIME = 0.15


@pytest.mark.parametrize("lockstep", [False, True], ids=["blocks", "lockstep"])
@pytest.mark.parametrize("name", NETWORKS)
def test_equals_nengo(name, lockstep):
    network = NETWORKS[name]()
    with nengo.Simulator(network, optimize=False, progress_bar=False, seed=7) as expected:
        expected.run(TIME)
    with FloatSimulator(network, progress_bar=False, seed=7) as found:
        if lockstep:
            for _ in range(round(TIME / found.dt)):
                found.step()
        else:
            found.run(TIME)
        assert found.chip is not None
    for probe in network.probes:
        a, b = expected.data[probe], found.data[probe]
        assert a.shape == b.shape
        scale = max(1.0, float(np.abs(a).max()))
        np.testing.assert_allclose(b, a, rtol=0, atol=1e-9 * scale, err_msg=str(probe))


def converted(network):
    model = Model()
    model.build(network)
    return convert(model)


# -- structure ---------------------------------------------------------------------------------


def test_nodes_are_named_after_the_users_objects():
    graph = converted(channel()).graph
    assert {"a", "b", "a.in", "u", "a -> b.synapse", "u -> a.synapse"} <= set(graph.nx)
    with base_network() as net:
        nengo.Connection(nengo.Node([0.5, 1]), nengo.networks.EnsembleArray(10, 2, label="x").input)
        nengo.Connection(nengo.Ensemble(10, 1), nengo.Ensemble(10, 1))
        nengo.Connection(net.ensembles[0], net.ensembles[1], synapse=0.01)
    names = set(converted(net).graph.nx)
    assert {"x/x_0", "x/x_1", "x/input", "Ensemble 0", "Ensemble 0 -> Ensemble 1.synapse"} <= names
    assert "Ensemble 0 -> Ensemble 1.synapse #2" in names


def test_constants_become_biases():
    with base_network() as net:
        k = nengo.Node([0.5, -1], label="k")
        a = nengo.Ensemble(10, 2, label="a")
        nengo.Connection(k, a, synapse=None)
        nengo.Connection(k[0], a[1], synapse=0.01)
    found = converted(net)
    assert found.plan.sends == []
    assert not any(isinstance(node, Input) for node in found.graph.nodes())


def test_the_host_sends_the_smallest_vector():
    with base_network() as net:
        u = nengo.Node(lambda t: [t, 2 * t], label="u")
        a = nengo.Ensemble(10, 30, label="a")
        nengo.Connection(u, a, transform=np.ones((30, 2)))
    (send,) = converted(net).plan.sends
    assert send.name == "u" and len(send.elements) == 2


def test_host_functions_behind_synapses_need_no_second_phase():
    with base_network() as net:
        a = nengo.Ensemble(10, 1, label="a")
        f = nengo.Node(lambda t, x: -x, size_in=1, label="f")
        b = nengo.Ensemble(10, 1, label="b")
        nengo.Connection(a, f)
        nengo.Connection(f, b, synapse=None)
    found = converted(net)
    assert found.graph["f"].requires == set()
    assert all(receive.at_end for receive in found.plan.receives)
    assert {o.what for o in found.graph.observations.values()} == {"y"}


def test_inputs_require_what_their_functions_read_in_the_same_step():
    found = converted(host_in_the_middle())
    assert found.graph["f"].requires == {"f.in"}
    assert found.graph["u"].requires == set()


def test_sums_of_host_and_chip():
    found = converted(noise())
    inputs = [node.name for node in found.graph.nodes() if isinstance(node, Input)]
    assert sorted(inputs) == ["a.current.host", "u"]
    (population,) = (n for n in found.graph.nodes() if n.name == "a")
    assert np.any(population.bias)
    (send,) = (s for s in found.plan.sends if s.name == "a.current.host")
    np.testing.assert_array_equal(send.offset, population.bias)


def test_the_host_computes_itself_what_it_knows():
    with base_network() as net:
        u = nengo.Node(sine, label="u")
        relay = nengo.Node(size_in=1, label="relay")
        a = nengo.Ensemble(10, 1, label="a")
        f = nengo.Node(lambda t, x: x, size_in=1, label="f")
        nengo.Connection(u, relay, synapse=None, transform=2)
        nengo.Connection(relay, a)
        nengo.Connection(relay, f, synapse=None)
        nengo.Probe(relay)
    assert converted(net).plan.receives == []


@pytest.mark.parametrize(
    ("neuron_type", "reason"),
    [
        (nengo.LIFRate(tau_ref=0), "tau_ref = 0 is outside"),
        (nengo.AdaptiveLIF(tau_n=1e-4), "tau_n = 0.0001 is outside"),
        (nengo.PoissonSpiking(nengo.RectifiedLinear()), "its rates drive a spike generator"),
    ],
)
def test_neurons_without_a_kernel_stay_on_the_host(neuron_type, reason):
    with base_network() as net:
        a = nengo.Ensemble(10, 1, label="a", neuron_type=neuron_type)
        b = nengo.Ensemble(10, 1, label="b")
        nengo.Connection(a, b)
    found = converted(net)
    assert [n.name for n in found.graph.nodes() if isinstance(n, Population)] == [
        "b",
        "a -> b.synapse",
    ]
    assert any(reason in text for text in found.placement.reasons.values())


def test_subclass_of_a_neuron_type_stays_on_the_host():
    class OwnLIF(nengo.LIF):
        def step(self, dt, J, output, voltage, refractory_time):
            output[:] = 0

    with base_network() as net:
        nengo.Ensemble(10, 1, label="a", neuron_type=OwnLIF())
    assert len(converted(net).graph.nx) == 0


def test_model_merged_by_nengos_optimizer_is_understood():
    network = slices()
    with nengo.Simulator(network, optimize=True, progress_bar=False, seed=7) as merged:
        merged.run(TIME)
        with FloatSimulator(None, model=merged.model, progress_bar=False, seed=7) as found:
            found.run(TIME)
            for probe in network.probes:
                np.testing.assert_allclose(found.data[probe], merged.data[probe], rtol=0, atol=1e-8)


def test_semantic_pointers():
    spa = pytest.importorskip("nengo_spa")
    with spa.Network(seed=1) as net:
        a = spa.State(16, subdimensions=4)
        b = spa.State(16, subdimensions=4)
        source = spa.Transcode(lambda t: "A" if t < 0.1 else "B", output_vocab=a.vocab)
        a.vocab.populate("A; B")
        source >> a
        a * spa.sym.A >> b
        net.probe = nengo.Probe(b.output, synapse=0.01)
    with nengo.Simulator(net, optimize=False, progress_bar=False, seed=7) as expected:
        expected.run(TIME)
    with FloatSimulator(net, progress_bar=False, seed=7) as found:
        found.run(TIME)
    np.testing.assert_allclose(found.data[net.probe], expected.data[net.probe], atol=1e-9)


def readout(size):
    """A network whose probe is behind a synapse, a passthrough node and a matrix."""
    with nengo.Network(seed=1) as net:
        a = nengo.Ensemble(20, 1)
        filtered = nengo.Node(size_in=20)
        read = nengo.Node(size_in=size)
        nengo.Connection(a.neurons, filtered, synapse=0.01, transform=2)
        weights = np.random.RandomState(0).normal(size=(size, 20))
        nengo.Connection(filtered, read, transform=weights, synapse=None)
        nengo.Probe(read)
    return net


def test_a_readout_of_fewer_numbers_is_the_chips():
    net = readout(3)
    with nengo.Simulator(net, optimize=False, progress_bar=False) as expected:
        expected.run(TIME)
    with FloatSimulator(net, progress_bar=False) as found:
        found.run(TIME)
    np.testing.assert_allclose(found.data[net.probes[0]], expected.data[net.probes[0]], rtol=1e-9)
    graph = converted(net).graph
    assert [graph[o.node].size for o in graph.observations.values()] == [3]


def test_a_readout_of_more_numbers_is_the_hosts():
    graph = converted(readout(40)).graph
    assert [graph[o.node].size for o in graph.observations.values()] == [20]

"""Learning rules on the chip: the same weights as in Nengo, readable, stoppable, kept."""

import nengo
import numpy as np
import pytest

import spikeloom
from spikeloom import Error, Parameter, Post, Pre, Rule, Weight, clip, rule_type, scaled, select
from spikeloom.compiler.errors import KernelError
from spikeloom.runtime.simulator import Simulator


@rule_type
class PairSTDP(Rule):
    """Up when the post neuron fires after the pre neuron, down the other way round."""

    rate = Parameter(low=0, default=1e-2)
    tau = Parameter(low=1e-3, default=0.02, unit="s")
    weight = Weight(range=(0, 1))
    pre_spike, post_spike = Pre("spike"), Post("spike")
    pre_trace, post_trace = Pre("activity", tau="tau"), Post("activity", tau="tau")

    def step(self, now, dt):
        up = select(now.post_spike, now.pre_trace, 0)
        down = select(now.pre_spike, now.post_trace, 0)
        change = up * scaled(self.rate * dt) - down * scaled(0.7 * self.rate * dt)
        return {"weight": clip(now.weight + change, 0, 1)}


@rule_type
class Delta(Rule):
    """A user's own error rule, on decoders."""

    modifies = "decoders"
    rate = Parameter(default=1e-6)
    tau = Parameter(low=1e-3, default=0.005, unit="s")
    activity = Pre("activity", tau="tau")
    error = Error()

    def step(self, now, dt):
        return {"weight": now.weight - now.error * now.activity * scaled(self.rate * dt)}


def error_network(rule, seed=0):
    """Learns x -> x**2 from the error."""
    with nengo.Network(seed=seed) as network:
        network.x = nengo.Node(lambda t: np.sin(6 * t))
        pre, post, error = (nengo.Ensemble(60, 1) for _ in range(3))
        nengo.Connection(network.x, pre)
        network.learned = nengo.Connection(
            pre, post, function=lambda x: [0], learning_rule_type=rule
        )
        nengo.Connection(post, error)
        nengo.Connection(pre, error, function=lambda x: -(x**2))
        nengo.Connection(error, network.learned.learning_rule)
        network.weights = nengo.Probe(network.learned, "weights", sample_every=0.01)
        network.output = nengo.Probe(post, synapse=0.03)
    return network


def spiking_network(rule, seed=0, synapse=0.005):
    """Weights between two populations that fire together."""
    rng = np.random.RandomState(seed)
    with nengo.Network(seed=seed) as network:
        source = nengo.Node(lambda t: np.sin(8 * t))
        a, b = nengo.Ensemble(30, 1), nengo.Ensemble(20, 1)
        nengo.Connection(source, a)
        nengo.Connection(source, b)
        network.learned = nengo.Connection(
            a.neurons,
            b.neurons,
            transform=rng.uniform(0, 1, (20, 30)) * 1e-3,
            learning_rule_type=rule,
            synapse=synapse,
        )
        network.weights = nengo.Probe(network.learned, "weights", sample_every=0.01)
    return network


def encoder_network(rule, seed=0):
    with nengo.Network(seed=seed) as network:
        source = nengo.Node([0.3, -0.4])
        x = nengo.Ensemble(40, 2)
        network.learned = nengo.Connection(source, x, synapse=None, learning_rule_type=rule)
        network.weights = nengo.Probe(
            network.learned.learning_rule, "scaled_encoders", sample_every=0.01
        )
    return network


NETWORKS = {
    "PES": lambda: error_network(nengo.PES(1e-4)),
    "own rule with an error": lambda: error_network(Delta()),
    "Oja": lambda: spiking_network(nengo.Oja(1e-7)),
    "BCM": lambda: spiking_network(nengo.BCM(1e-10)),
    "STDP": lambda: spiking_network(PairSTDP()),
    "Voja": lambda: encoder_network(nengo.Voja(1e-3)),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_learns_what_nengo_learns(name):
    network = NETWORKS[name]()
    with nengo.Simulator(network, progress_bar=False) as reference:
        reference.run(0.3)
    with Simulator(network, progress_bar=False) as sim:
        sim.run(0.3)
    assert len(sim.program.projections) == 1
    expected, found = reference.data[network.weights], sim.data[network.weights]
    assert found.shape == expected.shape
    change = expected[-1] - expected[0]
    error = (found[-1] - found[0]) - change
    assert np.sqrt(np.mean(change**2)) > 0
    # Spikes differ by a few in fixed point: a hundredth of what is learned in the mean.
    assert np.sqrt(np.mean(error**2)) < 0.03 * np.sqrt(np.mean(change**2))


@pytest.mark.parametrize("name", ["PES", "STDP", "Voja"])
def test_native_is_golden(name):
    found = []
    for engine in ("golden", "native"):
        network = NETWORKS[name]()
        with Simulator(network, engine=engine, progress_bar=False) as sim:
            sim.run(0.1)
            found.append((sim.data[network.weights], sim.chip.engine.memory("residual")))
    for a, b in zip(*found, strict=True):
        np.testing.assert_array_equal(a, b)


def test_probes_show_weights_before_the_step():
    """As in Nengo, the first sample is what the network began with."""
    network = spiking_network(PairSTDP())
    with network:
        every = nengo.Probe(network.learned, "weights")
    with Simulator(network, progress_bar=False) as sim:
        sim.run_steps(30)
        assert np.array_equal(sim.data[every][9::10], sim.data[network.weights])
        before = sim.learned(network.learned)
        sim.step()
        assert np.array_equal(sim.data[every][-1], before)
    start = network.learned.transform.init
    np.testing.assert_allclose(sim.data[every][0], start, atol=2**-34)


def test_freezing():
    network = error_network(nengo.PES(1e-4))
    with Simulator(network, progress_bar=False) as sim:
        sim.run(0.05)
        sim.freeze()
        weights = sim.learned(network.learned)
        sim.run(0.05)
        assert np.array_equal(sim.learned(network.learned), weights)
        assert not sim.learning
        sim.learning = True
        sim.run(0.05)
        assert not np.array_equal(sim.learned(network.learned), weights)


def test_freezing_rules_on_the_host():
    network = error_network(nengo.RLS())
    with Simulator(network, progress_bar=False) as sim:
        assert any("RLS" in item.reason for item in sim.placement.on_host)
        sim.run(0.02)
        sim.freeze()
        sim.run(0.01)
        weights = sim.learned(network.learned)
        sim.run(0.02)
        np.testing.assert_array_equal(sim.learned(network.learned), weights)


def test_reset_forgets():
    network = error_network(nengo.PES(1e-4))
    with Simulator(network, progress_bar=False) as sim:
        sim.run(0.1)
        first = np.array(sim.data[network.weights])
        sim.reset()
        sim.run(0.1)
        np.testing.assert_array_equal(sim.data[network.weights], first)


def test_what_was_learned_is_kept_in_the_network():
    network = error_network(nengo.PES(1e-4))
    with Simulator(network, progress_bar=False) as sim:
        sim.run(0.3)
        weights = sim.learned(network.learned)
        sim.keep_learned(network)
    with nengo.Simulator(network, progress_bar=False) as later:
        np.testing.assert_allclose(later.data[network.learned].weights, weights)


def test_what_was_learned_is_kept_in_the_program(tmp_path):
    network = spiking_network(PairSTDP())
    with Simulator(network, progress_bar=False) as sim:
        sim.run(0.2)
        program = sim.learned_program()
        engine = sim.chip.engine
        spikeloom.save_program(program, tmp_path / "learned.slp")
        again = spikeloom.load_program(tmp_path / "learned.slp")
        np.testing.assert_array_equal(again.weight, engine.memory("weight"))
        np.testing.assert_array_equal(again.residual, engine.memory("residual"))


def test_weights_that_leave_their_range_get_a_larger_one(caplog):
    """PES that begins at 0, with a large rate: the range that was expected is passed."""
    network = error_network(nengo.PES(2e-2))
    with nengo.Simulator(network, progress_bar=False) as reference:
        reference.run(0.2)
    with Simulator(network, progress_bar=False) as sim:
        sim.run(0.2)
    assert "beyond its expected range" in caplog.text
    assert np.abs(reference.data[network.weights]).max() > 1e-3
    largest = np.abs(sim.data[network.weights]).max()
    assert largest == pytest.approx(np.abs(reference.data[network.weights]).max(), rel=0.1)


def test_rules_that_a_connection_cannot_have():
    with nengo.Network() as network:
        node, b = nengo.Node([0]), nengo.Ensemble(5, 1)

        @rule_type
        class Hebb(Rule):
            modifies = "encoders"
            activity = Pre("activity")

            def step(self, now, dt):
                return {"weight": now.weight + now.activity * scaled(1e-3 * dt)}

        nengo.Connection(node, b, learning_rule_type=Hebb())
    with pytest.raises(KernelError, match=r"Hebb looks at the pre neuron's activity.*is a Node"):
        Simulator(network, progress_bar=False)


def test_states_that_neurons_do_not_have():
    @rule_type
    class Watcher(Rule):
        weight = Weight(range=(0, 1))
        heat = Pre("heat", range=(0, 1), fraction=10)

        def step(self, now, dt):
            return {"weight": clip(now.weight + now.heat * scaled(dt), 0, 1)}

    network = spiking_network(Watcher())
    with pytest.raises(KernelError, match=r"heat.*LIF neurons have only: .*voltage"):
        Simulator(network, progress_bar=False)


def test_slices_of_neurons_learn_on_the_host():
    with nengo.Network(seed=0) as network:
        a, b = nengo.Ensemble(20, 1), nengo.Ensemble(20, 1)
        nengo.Connection(
            a.neurons[:10],
            b,
            transform=np.full((1, 10), 1e-4),
            learning_rule_type=nengo.PES(1e-4),
        )
    with Simulator(network, progress_bar=False) as sim:
        sim.run(0.01)
    assert any("slice" in item.reason for item in sim.placement.on_host)

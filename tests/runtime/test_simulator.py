"""`spikeloom.Simulator` behaves as `nengo.Simulator` does."""

import logging
import pickle
import warnings

import nengo
import numpy as np
import pytest
from nengo.exceptions import ReadonlyError, SimulatorClosed, ValidationError

from spikeloom import Simulator
from spikeloom.compiler.errors import InputError
from spikeloom.runtime.simulator import SaturationWarning


def simulator(network, **kwargs):
    return Simulator(network, progress_bar=False, **kwargs)


def channel(function=None, **kwargs):
    with nengo.Network(seed=1) as net:
        net.u = nengo.Node(function or (lambda t: np.sin(8 * t)), label="u")
        net.a = nengo.Ensemble(40, 1, label="a", **kwargs)
        net.b = nengo.Ensemble(30, 1, label="b", **kwargs)
        nengo.Connection(net.u, net.a)
        net.conn = nengo.Connection(net.a, net.b)
        net.p_u = nengo.Probe(net.u)
        net.p_b = nengo.Probe(net.b, synapse=0.01)
        net.p_spikes = nengo.Probe(net.a.neurons, sample_every=0.003)
    return net


def test_runs_and_shows_what_nengo_shows():
    net = channel()
    with nengo.Simulator(net, progress_bar=False, optimize=False) as expected:
        expected.run(0.3)
    with simulator(net) as sim:
        assert sim.n_steps == 0 and sim.time == 0
        sim.run(0.3)
        assert sim.n_steps == 300 and sim.time == pytest.approx(0.3) and sim.dt == 0.001
        np.testing.assert_array_equal(sim.trange(), expected.trange())
        np.testing.assert_array_equal(
            sim.trange(sample_every=0.003), expected.trange(sample_every=0.003)
        )
        for probe in net.probes:
            assert sim.data[probe].shape == expected.data[probe].shape
            assert sim.data[probe].dtype == expected.data[probe].dtype
        np.testing.assert_array_equal(sim.data[net.p_u], expected.data[net.p_u])
        np.testing.assert_array_equal(sim.data[net.a].gain, expected.data[net.a].gain)
        np.testing.assert_array_equal(sim.data[net.conn].weights, expected.data[net.conn].weights)
        error = sim.data[net.p_b] - expected.data[net.p_b]
        assert np.sqrt(np.mean(error**2)) < 0.02
        with pytest.raises(ValueError, match="read-only"):
            sim.data[net.p_b][0] = 1


@pytest.mark.parametrize("engine", ["golden", "native"])
def test_parts_steps_and_blocks_are_the_same(engine):
    net = channel()
    with simulator(net, engine=engine) as whole:
        whole.run_steps(60)
    with simulator(net, engine=engine) as parts:
        parts.run_steps(7)
        for _ in range(13):
            parts.step()
        parts.run_steps(40)
    for probe in net.probes:
        np.testing.assert_array_equal(whole.data[probe], parts.data[probe])


def test_reset_starts_again():
    net = channel()
    with simulator(net) as sim:
        sim.run_steps(50)
        first = {p: sim.data[p].copy() for p in net.probes}
        sim.reset()
        assert sim.n_steps == 0 and len(sim.data[net.p_b]) == 0
        sim.run_steps(50)
        for probe in net.probes:
            np.testing.assert_array_equal(sim.data[probe], first[probe])


def test_seeds_reach_processes_and_reset_changes_them():
    with nengo.Network(seed=2) as net:
        noise = nengo.Node(nengo.processes.WhiteNoise(), label="noise")
        a = nengo.Ensemble(10, 1)
        nengo.Connection(noise, a)
        probe = nengo.Probe(noise)
    with nengo.Simulator(net, progress_bar=False, optimize=False) as expected:
        expected.run_steps(5)
    with simulator(net) as sim:
        sim.run_steps(5)
        np.testing.assert_array_equal(sim.data[probe], expected.data[probe])
        sim.reset(seed=sim.seed + 1)
        sim.run_steps(5)
        assert not np.array_equal(sim.data[probe], expected.data[probe])


def test_clear_probes_keeps_the_state():
    net = channel()
    with simulator(net) as sim:
        sim.run_steps(20)
        sim.clear_probes()
        sim.run_steps(20)
        later = sim.data[net.p_b].copy()
    with simulator(net) as sim:
        sim.run_steps(40)
        np.testing.assert_array_equal(sim.data[net.p_b][20:], later)


def test_closed_and_readonly():
    sim = simulator(channel())
    with pytest.raises(ReadonlyError):
        sim.dt = 0.002
    with pytest.raises(ValidationError):
        sim.run(-1)
    sim.run_steps(3)
    sim.close()
    for call in (sim.step, sim.reset, lambda: sim.run_steps(2)):
        with pytest.raises(SimulatorClosed):
            call()
    assert len(sim.data) > 0
    sim = simulator(channel())
    with pytest.warns(ResourceWarning):
        sim.__del__()
    sim.close()


def test_pickle_keeps_data_and_options():
    with nengo.Network(seed=1) as net:
        a = nengo.Ensemble(10, 1, label="a")
        probe = nengo.Probe(a, synapse=0.01)
    with simulator(net, engine="golden") as sim:
        sim.run_steps(10)
        with pickle.loads(pickle.dumps(sim)) as copy:
            (twin,) = copy.model.probes
            np.testing.assert_array_equal(copy.data[twin], sim.data[probe])
            assert copy.n_steps == sim.n_steps
            copy.run_steps(10)
            sim.run_steps(10)
            np.testing.assert_array_equal(copy.data[twin], sim.data[probe])


def test_prebuilt_model():
    net = channel()
    model = nengo.builder.Model(dt=0.002)
    model.build(net)
    with simulator(None, model=model) as sim:
        sim.run_steps(5)
        assert sim.dt == 0.002 and len(sim.data[net.p_u]) == 5


def test_network_without_neurons_runs_on_the_host_alone():
    with nengo.Network() as net:
        probe = nengo.Probe(nengo.Node(lambda t: t))
    with simulator(net) as sim:
        sim.run_steps(3)
        assert sim.program is None
        np.testing.assert_allclose(sim.data[probe].ravel(), [0.001, 0.002, 0.003])


def test_functions_on_both_sides_see_nengos_order():
    calls = []
    with nengo.Network(seed=1) as net:
        u = nengo.Node(lambda t: calls.append(("in", t)) or 0.5)
        a = nengo.Ensemble(10, 1)
        out = nengo.Node(lambda t, x: calls.append(("out", t)), size_in=1)
        nengo.Connection(u, a)
        nengo.Connection(a, out)
    with simulator(net) as sim:
        calls.clear()
        sim.run_steps(4)
    assert sorted(calls[:2]) == sorted([("in", 0.001), ("out", 0.001)])
    assert [round(t * 1000) for _, t in calls] == [1, 1, 2, 2, 3, 3, 4, 4]


def test_function_that_raises_leaves_whole_steps():
    def fails(t):
        if t > 0.0205:
            raise RuntimeError("enough")
        return 0.3

    net = channel(fails)
    with simulator(net) as sim:
        with pytest.raises(RuntimeError, match="enough"):
            sim.run_steps(50)
        assert sim.n_steps == 20 and len(sim.data[net.p_b]) == 20
    with simulator(channel(lambda t: 0.3)) as other:
        other.run_steps(20)
        np.testing.assert_array_equal(
            sim.data[net.p_b], next(d for k, d in other.data.items() if str(k) == str(net.p_b))
        )


def test_values_that_are_not_finite_are_refused():
    net = channel(nengo.processes.PresentInput([[0.5]], 1.0))
    with simulator(net) as sim:
        signal = sim.model.sig[net.u]["out"]
        chip = sim.chip
        with pytest.raises(InputError, match=r"u: .* not finite"):
            chip.write("u", np.array([np.nan]))
        assert signal.size == 1


# -- ranges ------------------------------------------------------------------------------------


def grows(t):
    return 0.5 if t < 0.05 else 0.5 + 1000 * (t - 0.05)


@pytest.mark.parametrize("engine", ["golden", "native"])
@pytest.mark.parametrize("lockstep", [False, True])
def test_input_that_leaves_its_range_is_compiled_for_again(caplog, engine, lockstep):
    net = channel(grows)
    with caplog.at_level(logging.WARNING), simulator(net, engine=engine) as sim:
        if lockstep:
            for _ in range(100):
                sim.step()
        else:
            for _ in range(10):
                sim.run_steps(10)
    named = [r.getMessage() for r in caplog.records if "compiled again" in r.getMessage()]
    assert named and all(message.startswith("u reached") for message in named)
    with simulator(net, engine=engine, ranges={net.u: 64}) as given:
        given.run_steps(100)
    caplog.clear()
    # the same signal, apart from the coarser input before the change
    error = sim.data[net.p_b] - given.data[net.p_b]
    assert np.abs(error).max() < 0.1
    assert len(caplog.records) == 0


def test_late_input_that_leaves_its_range():
    def network(gain):
        with nengo.Network(seed=1) as net:
            net.a = nengo.Ensemble(40, 1, label="a")
            net.f = nengo.Node(lambda t, x: gain(t), size_in=1, label="f")
            net.b = nengo.Ensemble(40, 1, label="b")
            nengo.Connection(net.a, net.f, synapse=None)
            nengo.Connection(net.f, net.b, synapse=None)
            net.p = nengo.Probe(net.b, synapse=0.01)
            net.v = nengo.Probe(net.a.neurons, "voltage")
        return net

    net = network(lambda t: 0.5 if t < 0.03 else 40.0)
    with simulator(net, engine="golden") as sim:
        assert sim.chip.phases == 2
        sim.run_steps(60)
    with simulator(net, engine="golden", ranges={"f": 64}) as given:
        given.run_steps(60)
    np.testing.assert_array_equal(sim.data[net.v], given.data[net.v])
    np.testing.assert_allclose(sim.data[net.p], given.data[net.p], atol=0.05)


def test_ranges_are_checked():
    net = channel()
    with pytest.raises(InputError, match=r"nothing that the host gives.*inputs are: u"):
        simulator(net, ranges={net.b: 3})
    with pytest.raises(InputError, match="not a positive number"):
        simulator(net, ranges={net.u: 0})
    with pytest.raises(InputError, match="no engine is named"):
        simulator(net, engine="abacus")


def test_saturation_warns_once_and_names_the_population():
    net = channel(lambda t: 4000.0, neuron_type=nengo.SpikingRectifiedLinear())
    with simulator(net, ranges={net.u: 5000}) as sim:
        with pytest.warns(SaturationWarning, match="a.*: limited by its fixed-point format"):
            sim.run_steps(100)
        with warnings.catch_warnings():
            warnings.simplefilter("error", SaturationWarning)
            sim.reset()


# -- what runs where ---------------------------------------------------------------------------


def test_placement_lists_what_is_on_the_host():
    with nengo.Network(seed=1) as net:
        u = nengo.Node(lambda t: np.sin(t), label="u")
        a = nengo.Ensemble(10, 1, label="a")
        b = nengo.Ensemble(20, 1, label="b", neuron_type=nengo.LIFRate(tau_ref=0))
        c = nengo.Ensemble(30, 1, label="c")
        nengo.Connection(u, a)
        nengo.Connection(a, b)
        nengo.Connection(b, c, synapse=nengo.synapses.Triangle(0.01))
        conn = nengo.Connection(a, c, learning_rule_type=nengo.RLS())
        nengo.Connection(c, conn.learning_rule)
        other = nengo.Connection(a, c, learning_rule_type=nengo.PES(), label="second")
        nengo.Connection(c, other.learning_rule)
        nengo.Probe(c, synapse=0.01)
    with simulator(net) as sim:
        share = sim.placement
        where = {(i.kind, i.name): (i.where, i.reason) for i in share.items}
        assert where["ensemble", "a"] == ("chip", "")
        assert where["ensemble", "b"] == ("host", "LIFRate.tau_ref = 0 is outside 1e-06..inf")
        assert where["node", "u"] == ("host", "Python function")
        assert where["connection", "a -> c"] == ("host", "learned weights (RLS)")
        triangle = [i for i in share.items if i.kind == "synapse" and "Triangle" in i.name]
        assert triangle[0].where == "host" and "not a linear filter" in triangle[0].reason
        assert share.count("ensemble", "chip") == 40
        assert share.count("ensemble") == 60
        assert "RLS of a -> c" in {i.name for i in share.on_host}
        assert where["learning rule", "PES of second"] == ("chip", "")
        assert "neurons on the chip: 40 of 60" in str(share)
        assert share.to_json()["counts"]["ensemble"] == {"chip": 40, "host": 20}


def test_constants_reach_functions_in_front_of_the_chip():
    """Whatever the order in which sets of operators come: resets first, then what is added."""
    for size in range(1, 13):
        with nengo.Network(seed=size) as network:
            source = nengo.Node(np.arange(1.0, 1 + size))
            scaled = nengo.Node(lambda t, x: x * t, size_in=size)
            nengo.Connection(source, scaled, synapse=None)
            nengo.Connection(scaled, nengo.Ensemble(5, size))
            probe = nengo.Probe(scaled)
        with Simulator(network, progress_bar=False) as sim:
            sim.run_steps(5)
        assert np.allclose(sim.data[probe], np.outer(sim.trange(), source.output))

"""Each copy of a batch computes what a Simulator of its network alone computes, bit for bit."""

import gc

import nengo
import numpy as np
import pytest
from random_learning_networks import AtSpikes, PairSTDP, random_learning_network
from random_networks import random_network

import spikeloom
from spikeloom.compiler.machine import Machine
from spikeloom.runtime.simulator import SaturationWarning

STEPS = 100
SECOND_RUN = 20  # begins with what the first one left


def alone(network, steps=STEPS, **options):
    """What a Simulator of one network gives."""
    with spikeloom.Simulator(network, progress_bar=False, **options) as sim:
        sim.run_steps(steps)
        sim.run_steps(SECOND_RUN)
    return sim


def batch(network, steps=STEPS, **options):
    with spikeloom.Simulator(network, progress_bar=False, **options) as sim:
        sim.run_steps(steps)
        sim.run_steps(SECOND_RUN)
    return sim


def assert_equal(batched, network, copy, single):
    """All samples and all memories of a copy are those of the Simulator of its network alone."""
    for probe in network.all_probes:
        assert np.array_equal(batched.data[probe][copy], single.data[probe])
    assert_memories(batched.copies[copy], single)


def assert_memories(copy, single):
    """Every integer that lasts from step to step is the same."""
    if single.chip is not None:
        for name in ("value", "state", "event", "count", "weight", "residual", "synapse"):
            ours, theirs = (sim.chip.engine.memory(name) for sim in (copy, single))
            assert np.array_equal(ours, theirs), name


@pytest.mark.parametrize("seed", [0, 1, 3, 4, 6, 8, 9, 11])
def test_seeds_of_random_networks(seed):
    network, dt = random_network(seed)
    seeds = [seed, 100 + seed, seed]
    batched = batch(network, dt=dt, batch=3, seeds=seeds)
    for copy, own in enumerate(seeds):
        network.seed = own
        assert_equal(batched, network, copy, alone(network, dt=dt))


@pytest.mark.parametrize("seed", range(6))
def test_seeds_of_random_learning_networks(seed):
    network = random_learning_network(seed)
    batched = batch(network, seeds=[7, 8])
    for copy, own in enumerate([7, 8]):
        network.seed = own
        assert_equal(batched, network, copy, alone(network))


@pytest.mark.parametrize("seed", [1, 4])
def test_golden_is_native(seed):
    network, dt = random_network(seed)
    golden = batch(network, 40, dt=dt, batch=2, seeds=3, engine="golden")
    native = batch(network, 40, dt=dt, batch=2, seeds=3)
    for probe in network.all_probes:
        assert np.array_equal(golden.data[probe], native.data[probe])
    network.seed = 4
    assert_equal(golden, network, 1, alone(network, 40, dt=dt, engine="golden"))


@pytest.mark.hardware
def test_hardware_is_golden():
    with nengo.Network(seed=3) as network:
        source = nengo.Node([0.5], label="source")
        ens = nengo.Ensemble(12, 1, label="ens")
        nengo.Connection(source, ens)
        nengo.Probe(ens.neurons)
    options = {"machine": Machine(lanes=4), "vary": {"source.output": [[0.5], [-0.7]]}}
    golden = batch(network, 30, engine="golden", **options)
    rtl = batch(network, 30, engine="rtl", **options)
    for probe in network.all_probes:
        assert np.array_equal(golden.data[probe], rtl.data[probe])
    assert np.ptp(golden.data[network.all_probes[0]], axis=0).any()


def learning(rule, kind):
    """A network in which a rule of some kind has something to learn."""
    with nengo.Network(seed=2) as network:
        source = nengo.Node(lambda t: np.sin(30 * t), label="source")
        a = nengo.Ensemble(25, 1, label="a")
        b = nengo.Ensemble(20, 1, label="b")
        nengo.Connection(source, a)
        nengo.Connection(source, b)
        if kind == "decoders":
            network.learned = nengo.Connection(
                a, b, function=lambda x: [0], learning_rule_type=rule, label="learned"
            )
            nengo.Connection(b, network.learned.learning_rule)
            nengo.Probe(network.learned, "weights", sample_every=0.01)
        elif kind == "encoders":
            network.learned = nengo.Connection(
                source, b, synapse=None, learning_rule_type=rule, label="learned"
            )
            nengo.Probe(network.learned.learning_rule, "scaled_encoders", sample_every=0.01)
        else:
            start = np.random.RandomState(3).uniform(0, 1, (20, 25)) * 1e-3
            network.learned = nengo.Connection(
                a.neurons, b.neurons, transform=start, learning_rule_type=rule, label="learned"
            )
            nengo.Probe(network.learned, "weights", sample_every=0.01)
        nengo.Probe(b.neurons)
    return network


RULES = {
    "PES": (lambda **kw: nengo.PES(**kw), "decoders", "learning_rate", [1e-4, 3e-4]),
    "Voja": (lambda **kw: nengo.Voja(**kw), "encoders", "learning_rate", [1e-3, 1e-2]),
    "Oja": (lambda **kw: nengo.Oja(**kw), "weights", "beta", [0.5, 2.0]),
    "BCM": (lambda **kw: nengo.BCM(**kw), "weights", "learning_rate", [1e-9, 4e-9]),
    "STDP": (lambda **kw: spikeloom.STDP(**kw), "weights", "a_plus", [0.02, 0.05]),
    "VDSP": (lambda **kw: spikeloom.VDSP(**kw), "weights", "learning_rate", [0.05, 0.2]),
    "MPES": (lambda **kw: spikeloom.MPES(**kw), "decoders", None, [1, 2]),
    "own, of pairs": (
        lambda **kw: PairSTDP(**kw),
        "weights",
        "learning_rule_type.tau",
        [0.005, 0.04],
    ),
    "own, at spikes": (lambda **kw: AtSpikes(**kw), "weights", "rate", [0.02, 0.1]),
}


@pytest.mark.parametrize("name", RULES)
def test_rules(name):
    """Parameters of every rule: a copy learns what it would learn alone."""
    make, kind, parameter, values = RULES[name]
    network = learning(make(), kind)
    path, _, parameter = parameter.rpartition(".") if parameter else ("", "", None)
    if parameter is None:
        batched = batch(network, 200, seeds=values)
    else:
        batched = batch(
            network, 200, vary={(network.learned, f"{path}.{parameter}".strip(".")): values}
        )
    for copy, value in enumerate(values):
        single = learning(make() if parameter is None else make(**{parameter: value}), kind)
        if parameter is None:
            single.seed = value
        found = alone(single, 200)
        for ours, theirs in zip(network.all_probes, single.all_probes, strict=True):
            assert np.array_equal(batched.data[ours][copy], found.data[theirs])
        assert_memories(batched.copies[copy], found)
    weights = batched.data[network.all_probes[0]]
    assert np.ptp(weights, axis=1).max() > 0, "nothing was learned"
    assert (weights[0] != weights[1]).any(), "the copies do not differ"
    assert np.array_equal(
        batched.learned(network.learned)[1], batched.copies[1].learned(network.learned)
    )


def test_copies_are_alike_without_seeds():
    network, dt = random_network(5)
    batched = batch(network, dt=dt, batch=3)
    assert len({id(copy.program) for copy in batched.copies}) == 1
    for copy in range(3):
        assert_equal(batched, network, copy, alone(network, dt=dt))


def test_networks_without_seeds_are_alike():
    """What is drawn at random is drawn once; copies differ in what is varied alone."""
    with nengo.Network() as network:
        noise = nengo.Node(nengo.processes.WhiteSignal(1, high=20), label="noise")
        ens = nengo.Ensemble(10, 1, label="ens")
        nengo.Connection(noise, ens)
        probe = nengo.Probe(ens.neurons)
    assert not np.ptp(batch(network, batch=3).data[probe], axis=0).any()
    varied = batch(network, vary={"ens.tau_rc": [0.02, 0.02, 0.05]}).data[probe]
    assert np.array_equal(varied[0], varied[1])
    assert not np.array_equal(varied[0], varied[2])
    assert network.seed is None


def noisy():
    """Noise without a seed of its own, in a node and in neurons."""
    with nengo.Network(seed=3) as network:
        source = nengo.Node(nengo.processes.WhiteNoise(), size_out=1)
        ens = nengo.Ensemble(20, 1, noise=nengo.processes.WhiteSignal(1, high=30))
        nengo.Connection(source, ens, synapse=0.01)
        nengo.Probe(ens.neurons)
        nengo.Probe(source)
    return network


def test_seeds_are_those_of_noise_too():
    network = noisy()
    batched = batch(network, seeds=[3, 4, 3])
    for copy, own in enumerate([3, 4, 3]):
        network.seed = own
        assert_equal(batched, network, copy, alone(network))
    samples = batched.data[network.all_probes[1]]
    assert np.array_equal(samples[0], samples[2]) and (samples[0] != samples[1]).any()


def test_seed_of_the_stochastic_operators():
    network = noisy()
    batched = batch(network, seed=11, vary={(network.ensembles[0], "tau_rc"): [0.02, 0.03]})
    assert_equal(batched, network, 0, alone(network, seed=11))
    samples = batched.data[network.all_probes[1]]
    assert np.array_equal(samples[0], samples[1])
    batched = spikeloom.Simulator(network, batch=2, progress_bar=False)
    batched.run_steps(STEPS)
    batched.reset(seed=11)
    batched.run_steps(STEPS + SECOND_RUN)
    assert_equal(batched, network, 1, alone(network, seed=11))
    batched.close()


def test_what_is_no_batch():
    network, dt = random_network(5)
    options = dict.fromkeys(["batch", "seeds", "vary", "data", "threads"])
    with spikeloom.Simulator(network, dt, progress_bar=False, **options) as sim:
        assert type(sim) is spikeloom.Simulator
    with spikeloom.Simulator(network, dt, None, None, False, batch=1) as sim:
        assert type(sim) is spikeloom.BatchSimulator and sim.batch == 1 and sim.dt == dt


def test_list_of_networks():
    networks = [learning(nengo.PES(rate), "decoders") for rate in (1e-4, 2e-4)]
    networks.append(networks[0])
    batched = batch(networks)
    for copy, network in enumerate(networks):
        single = alone(network)
        assert_memories(batched.copies[copy], single)
        for ours, theirs in zip(networks[0].all_probes, network.all_probes, strict=True):
            assert np.array_equal(batched.data[ours][copy], single.data[theirs])
    assert batched.copies[0].program is batched.copies[2].program


def test_a_copy_is_a_simulator():
    network, dt = random_network(2)
    batched = spikeloom.Simulator(network, dt=dt, batch=2, seeds=1, progress_bar=False)
    batched.run_steps(30)
    copy = batched.copies[1]
    assert isinstance(copy, spikeloom.Simulator)
    copy.run_steps(10)
    copy.step()
    assert copy.n_steps == 41
    network.seed = 2
    with spikeloom.Simulator(network, dt=dt, progress_bar=False) as single:
        single.run_steps(41)
    probe = network.all_probes[0]
    assert np.array_equal(copy.data[probe], single.data[probe])
    with pytest.raises(spikeloom.SpikeloomError, match="different shapes"):
        batched.data[probe]
    batched.close()


def test_reset_and_pieces():
    """In one run, in pieces, step by step, and again after a reset."""
    network, dt = random_network(6)
    probe = network.all_probes[0]
    with spikeloom.Simulator(network, dt=dt, batch=3, seeds=1, progress_bar=False) as sim:
        sim.run(60 * dt)
        whole = sim.data[probe]
        assert whole.shape == (3, 60, probe.size_in)
        sim.reset()
        assert sim.n_steps == 0
        sim.run_steps(20)
        sim.step()
        sim.run_steps(39)
        assert sim.n_steps == 60
        assert np.array_equal(sim.data[probe], whole)
        assert np.array_equal(sim.trange(), dt * np.arange(1, 61))
    with pytest.raises(nengo.exceptions.SimulatorClosed):
        sim.run_steps(1)


def test_threads_change_nothing():
    network, dt = random_network(9)
    found = [batch(network, dt=dt, batch=4, seeds=1, threads=threads) for threads in (1, 3)]
    for probe in network.all_probes:
        for other in found[1:]:
            assert np.array_equal(found[0].data[probe], other.data[probe])


def test_frozen_batch_learns_nothing():
    network = learning(spikeloom.VDSP(), "weights")
    with spikeloom.Simulator(network, batch=2, seeds=0, progress_bar=False) as sim:
        sim.run_steps(100)
        before = sim.learned(network.learned)
        sim.freeze()
        assert not sim.learning
        sim.run_steps(100)
        assert np.array_equal(sim.learned(network.learned), before)
        sim.learning = True
        sim.run_steps(100)
        assert (sim.learned(network.learned) != before).any(axis=(1, 2)).all()


def test_inputs_beyond_their_range():
    """A copy that is compiled again for its inputs leaves the others as they are."""
    with nengo.Network(seed=3) as network:
        source = nengo.Node([0.5], label="source")
        ens = nengo.Ensemble(30, 1, radius=40, label="ens")
        scaled = nengo.Node(lambda t, x: 300 * x * t, size_in=1)
        nengo.Connection(source, scaled, synapse=None)
        nengo.Connection(scaled, ens)
        probe = nengo.Probe(ens.neurons)
    values = [[0.1], [5.0], [0.2]]
    batched = batch(network, 300, vary={"source.output": values})
    programs = [copy.program for copy in batched.copies]
    assert programs[0] is programs[2] is not programs[1]
    for copy, value in enumerate(values):
        source.output = value
        assert np.array_equal(batched.data[probe][copy], alone(network, 300).data[probe])


def test_a_warning_for_all_copies(caplog):
    with nengo.Network(seed=3) as network:
        source = nengo.Node(nengo.processes.PresentInput([[0.0], [1.0]], 0.02), label="source")
        scaled = nengo.Node(lambda t, x: 300 * x, size_in=1, label="scaled")
        nengo.Connection(source, scaled, synapse=None)
        nengo.Connection(scaled, nengo.Ensemble(10, 1))
    batch(network, 50, batch=4)
    said = [r for r in caplog.records if "compiled again" in r.getMessage()]
    assert len(said) == 1 and "scaled reached 300" in said[0].getMessage()


def test_interrupt():
    """A copy that is interrupted stops the others; then the batch goes on."""

    def interrupted(t):
        if abs(t - 0.01) < 1e-4 and not stopped:
            stopped.append(t)
            raise KeyboardInterrupt
        return t

    stopped = []
    with nengo.Network(seed=3) as network:
        nengo.Connection(nengo.Node(interrupted), nengo.Ensemble(10, 1))
    with spikeloom.Simulator(network, batch=3, progress_bar=False) as sim:
        with pytest.raises(KeyboardInterrupt):
            sim.run_steps(2000)
        sim.reset()
        sim.run_steps(20)
        assert [copy.n_steps for copy in sim.copies] == [20, 20, 20]


def test_an_open_batch_warns_once():
    network, dt = random_network(5)
    sim = spikeloom.Simulator(network, dt=dt, batch=3, progress_bar=False)
    with pytest.warns(ResourceWarning, match="batch of 3 copies") as seen:
        del sim
        gc.collect()
    assert len(seen) == 1


def test_objects_with_states_are_copied():
    """A callable object in a node belongs to one copy alone."""

    class Counter:
        def __init__(self):
            self.calls = 0

        def __call__(self, t):
            self.calls += 1
            return self.calls

    with nengo.Network(seed=1) as network:
        node = nengo.Node(Counter(), size_out=1)
        probe = nengo.Probe(node)
    found = batch(network, 20, batch=3).data[probe]
    assert np.array_equal(
        found[..., 0] - found[:, :1, 0], np.tile(np.arange(20.0 + SECOND_RUN), (3, 1))
    )
    assert not np.ptp(found, axis=0).any()


def test_programs_are_shared_only_if_equal():
    network = learning(nengo.PES(1e-4), "decoders")
    sim = batch(network, 5, vary={(network.learned, "learning_rate"): [1e-4, 2e-4, 1e-4]})
    assert sim.copies[0].program is sim.copies[2].program
    assert sim.copies[0].program is not sim.copies[1].program


def test_one_line_for_the_saturation_of_all():
    network, dt = random_network(0)
    with pytest.warns(SaturationWarning, match="in 3 of 3 copies; give the ranges") as seen:
        batch(network, dt=dt, batch=3)
    assert len(seen) == 2, "one for each run"
    assert {warning.filename for warning in seen} == {__file__}

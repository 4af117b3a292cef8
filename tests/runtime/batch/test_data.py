"""Arrays in place of what input nodes show."""

import nengo
import numpy as np
import pytest

import spikeloom
from spikeloom.compiler.errors import InputError

STEPS = 80


def classifier():
    with nengo.Network(seed=6) as network:
        network.image = nengo.Node(np.zeros(6), label="image")
        network.gate = nengo.Node(lambda t: [t > 0.02], size_out=1, label="gate")
        network.hidden = nengo.Ensemble(40, 6, label="hidden")
        network.out = nengo.Ensemble(30, 2, label="out")
        nengo.Connection(network.image, network.hidden)
        nengo.Connection(network.gate, network.out.neurons, transform=-np.ones((30, 1)))
        nengo.Connection(network.hidden, network.out, function=lambda x: x[:2] * x[2:4])
        network.spikes = nengo.Probe(network.out.neurons)
        network.shown = nengo.Probe(network.image)
        network.decoded = nengo.Probe(network.out, synapse=0.02)
    return network


def simulate(network, steps=STEPS, **options):
    with spikeloom.Simulator(network, progress_bar=False, **options) as sim:
        sim.run_steps(steps)
    return sim


@pytest.mark.parametrize("engine", ["native", "golden"])
def test_rows_for_each_step(engine):
    steps = STEPS if engine == "native" else 30
    images = np.random.RandomState(1).uniform(-1, 1, (3, steps, 6))
    images[1, 5:20] = images[1, 5]  # held for a while
    network = classifier()
    batched = simulate(network, steps, data={network.image: images}, engine=engine)
    assert batched.batch == 3
    assert np.array_equal(batched.data[network.shown], images)
    assert len({id(copy.program) for copy in batched.copies}) == 1
    for copy in range(3):
        network.image.output = spikeloom.Recording(images[copy])
        single = simulate(network, steps, engine=engine)
        for probe in network.all_probes:
            assert np.array_equal(batched.data[probe][copy], single.data[probe])


def test_held_rows():
    images = np.random.RandomState(2).uniform(-1, 1, (4, 1, 6))
    network = classifier()
    batched = simulate(network, data={"image": images})
    for copy in range(4):
        network.image.output = spikeloom.Recording(images[copy], repeat=True)
        single = simulate(network)
        for probe in (network.spikes, network.decoded):
            assert np.array_equal(batched.data[probe][copy], single.data[probe])


def test_shared_rows_and_several_nodes():
    network = classifier()
    images = np.random.RandomState(3).uniform(-1, 1, (2, 1, 6))
    gates = np.random.RandomState(4).uniform(0, 1, (1, STEPS, 1))
    batched = simulate(network, data={network.image: images, "gate": gates})
    network.gate.output = spikeloom.Recording(gates[0])
    for copy in range(2):
        network.image.output = spikeloom.Recording(images[copy], repeat=True)
        assert np.array_equal(
            batched.data[network.spikes][copy], simulate(network).data[network.spikes]
        )


def test_with_parameters_and_seeds():
    network = classifier()
    images = np.random.RandomState(5).uniform(-1, 1, (2, STEPS, 6))
    batched = simulate(
        network, data={network.image: images}, vary={"hidden.tau_rc": [0.02, 0.03]}, seeds=[6, 7]
    )
    for copy, (tau, seed) in enumerate([(0.02, 6), (0.03, 7)]):
        single = classifier()
        single.seed = seed
        single.hidden.neuron_type = nengo.LIF(tau_rc=tau)
        single.image.output = spikeloom.Recording(images[copy])
        found = simulate(single)
        assert np.array_equal(batched.data[network.spikes][copy], found.data[single.spikes])


def test_pieces_and_single_copies():
    """A copy shows its own rows however it is run."""
    images = np.random.RandomState(1).uniform(-1, 1, (2, STEPS, 6))
    network = classifier()
    whole = simulate(network, data={network.image: images})
    with spikeloom.Simulator(network, data={network.image: images}, progress_bar=False) as sim:
        sim.run_steps(20)
        for copy in sim.copies:
            copy.run_steps(30)
            copy.step()
        sim.step()
        sim.run_steps(STEPS - 52)
        for probe in network.all_probes:
            assert np.array_equal(sim.data[probe], whole.data[probe])
        sim.copies[1].reset()
        sim.copies[1].run_steps(10)
        assert np.array_equal(sim.copies[1].data[network.shown], images[1, :10])


def test_lockstep():
    """Data that reach the chip together with what depends on the chip."""
    with nengo.Network(seed=2) as network:
        source = nengo.Node([0.0], label="source")
        a = nengo.Ensemble(30, 1, label="a")
        back = nengo.Node(lambda t, x: -0.5 * x, size_in=1)
        nengo.Connection(source, a)
        nengo.Connection(a, back)
        nengo.Connection(back, a)
        probe = nengo.Probe(a.neurons)
    rows = np.random.RandomState(5).uniform(-1, 1, (3, 50, 1))
    batched = simulate(network, 50, data={source: rows})
    for copy in range(3):
        source.output = spikeloom.Recording(rows[copy])
        assert np.array_equal(batched.data[probe][copy], simulate(network, 50).data[probe])


def test_data_of_networks_in_a_list():
    networks = [classifier(), classifier()]
    networks[1].hidden.neuron_type = nengo.LIF(tau_rc=0.05)
    images = np.random.RandomState(7).uniform(-1, 1, (2, 1, 6))
    batched = simulate(networks, data={"image": images})
    for copy, network in enumerate(networks):
        network.image.output = spikeloom.Recording(images[copy], repeat=True)
        found = simulate(network)
        assert np.array_equal(batched.data[networks[0].spikes][copy], found.data[network.spikes])


@pytest.mark.parametrize(
    "name, shape, message",
    [
        (
            "image",
            (2, STEPS, 5),
            r"data of 'image' has shape \(2, 80, 5\); give \(2 or 1, steps, 6\)",
        ),
        ("image", (3, STEPS, 6), r"has shape \(3, 80, 6\); give \(2 or 1, steps, 6\)"),
        ("image", (2, 6), r"has shape \(2, 6\)"),
        ("image", (2, 0, 6), r"has shape \(2, 0, 6\)"),
        ("hidden", (2, 1, 6), "hidden is no input node; there are: image, gate|no input node"),
        ("pixels", (2, 1, 6), "there is no object 'pixels'; there are"),
    ],
)
def test_wrong_shapes(name, shape, message):
    with pytest.raises(InputError, match=message):
        spikeloom.Simulator(classifier(), batch=2, data={name: np.zeros(shape)})


def test_wrong_values():
    for bad, message in ((np.nan, "not finite"), ("x", "real numbers")):
        with pytest.raises(InputError, match=message):
            spikeloom.Simulator(classifier(), data={"image": np.full((2, 3, 6), bad)})


def test_steps_beyond_the_data():
    network = classifier()
    with spikeloom.Simulator(
        network, data={"image": np.zeros((2, 50, 6))}, progress_bar=False
    ) as sim:
        with pytest.raises(InputError, match="'image' do not suffice for 51 steps: there are 50"):
            sim.run_steps(51)
        assert sim.n_steps == 0
        sim.run_steps(40)
        with pytest.raises(InputError, match="10 of them are left"):
            sim.run(0.02)
        assert sim.n_steps == 40
        sim.run_steps(10)

"""Parameters by name, and copies of networks that differ in them."""

import inspect

import nengo
import numpy as np
import pytest

import spikeloom
from spikeloom import Kernel, Parameter, State, neuron_type
from spikeloom.compiler.errors import InputError
from spikeloom.runtime.batch.places import Places
from spikeloom.runtime.batch.variation import copied, replaced, set_parameters, varied


@neuron_type
class Leaky(Kernel):
    """Leaky integrate-and-fire neuron."""

    emits = "events"
    tau = Parameter(low=1e-3, high=1.0, default=0.02, unit="s")
    current = spikeloom.Input(range=(-1024, 1024), fraction=16)
    voltage = State(range=(-16, 1024), fraction=20)

    def step(self, state, current, dt):
        voltage = state.voltage + (current - state.voltage) * spikeloom.scaled(
            dt / self.tau, bound=1
        )
        spike = voltage > 1
        return spike, {"voltage": spikeloom.select(spike, -1, voltage)}


def small():
    with nengo.Network(seed=1, label="net") as network:
        network.source = nengo.Node(nengo.processes.WhiteSignal(1, high=10, seed=4), label="noise")
        network.a = nengo.Ensemble(15, 1, label="a")
        network.b = nengo.Ensemble(12, 1, neuron_type=Leaky(), label="b.two")
        network.into = nengo.Connection(network.source, network.a, synapse=0.01)
        network.learned = nengo.Connection(
            network.a,
            network.b,
            learning_rule_type=[nengo.PES(pre_synapse=nengo.Lowpass(0.02)), nengo.RLS()],
            synapse=nengo.Alpha(0.03),
        )
        nengo.Connection(network.b, network.learned.learning_rule[0])
        with nengo.Network(label="inner") as network.inner:
            network.c = nengo.Ensemble(5, 1, label="a")
            nengo.Ensemble(5, 1)
        network.spikes = nengo.Probe(network.a.neurons)
    return network


@pytest.mark.parametrize(
    "key, expected",
    [
        ("a.tau_rc", ("neuron_type", "tau_rc")),
        ("a.neuron_type.tau_ref", ("neuron_type", "tau_ref")),
        ("a.gain", ("gain",)),
        ("b.two.tau", ("neuron_type", "tau")),
        ("inner/a.radius", ("radius",)),
        ("inner/Ensemble 1.radius", ("radius",)),
        ("noise.high", ("output", "high")),
        ("noise -> a.tau", ("synapse", "tau")),
        ("learned.tau", ("synapse", "tau")),
        ("learned.learning_rule_type.0.learning_rate", None),
        (
            "learned.learning_rule_type.0.pre_synapse.tau",
            ("learning_rule_type", "0", "pre_synapse", "tau"),
        ),
        ("into.transform", ("transform",)),
        ("into.synapse", ("synapse",)),
        ("learned.solver.reg", ("solver", "reg")),
        ("learned.reg", ("solver", "reg")),
        ("seed", ("seed",)),
    ],
)
def test_names(key, expected):
    places = Places(small())
    (place,) = places.find(key)
    if expected is not None:
        assert place.path == expected
    place.value()


def test_values_are_changed_in_the_copy_alone():
    network = small()
    made, own = varied(
        network,
        {
            (network.a, "tau_rc"): 0.05,
            "b.two.tau": 0.03,
            "noise.high": 20.0,
            "learned.learning_rule_type.0.pre_synapse.tau": 0.004,
            (network.learned.learning_rule[1], "learning_rate"): 0.5,
            "into.synapse": None,
            (network.learned.synapse, "tau"): 0.01,
            (network.a, "gain"): np.ones(15),
            (network.a, "bias"): np.full(15, 2.0),
        },
        seed=9,
    )
    assert made.seed == 9 and network.seed == 1
    assert own(network.a) in made.ensembles
    assert own(network.a).neuron_type.tau_rc == 0.05 and network.a.neuron_type.tau_rc == 0.02
    assert own(network.b).neuron_type.tau == 0.03 and network.b.neuron_type.tau == 0.02
    assert own(network.source).output.high == 20 and network.source.output.high == 10
    pes, rls = own(network.learned).learning_rule_type
    assert pes.pre_synapse.tau == 0.004 and rls.learning_rate == 0.5
    assert own(network.learned).synapse == nengo.Alpha(0.01)
    assert own(network.into).synapse is None and network.into.synapse is not None
    assert (own(network.a).gain == 1).all() and network.a.gain is None
    # What ends at the rule ends at the one that took its place.
    (error,) = [
        c
        for c in made.connections
        if isinstance(c.post_obj, type(own(network.learned).learning_rule[0]))
    ]
    assert error.post_obj == own(network.learned).learning_rule[0]
    nengo.builder.Model().build(made)


def test_an_object_used_twice_changes_in_both_places():
    lif = nengo.LIF()
    with nengo.Network() as network:
        ensembles = [nengo.Ensemble(5, 1, neuron_type=t) for t in (lif, lif, nengo.LIF())]
    set_parameters(network, {(lif, "tau_rc"): 0.1})
    assert [e.neuron_type.tau_rc for e in ensembles] == [0.1, 0.1, 0.02]


def test_arrays_and_frozen_objects_are_shared_by_copies():
    images = np.random.RandomState(0).uniform(size=(4, 9))
    with nengo.Network() as network:
        node = nengo.Node(nengo.processes.PresentInput(images, 0.01))
    made, own = copied(network)
    assert made.nodes == [own(node)] != [node]
    assert own(node).output.inputs is node.output.inputs


@pytest.mark.parametrize(
    "key, message",
    [
        ("x.tau_rc", r"there is no object 'x'; there are: .*\ba\b"),
        ("a.tau_c", r"a has no parameter 'tau_c'; it has: tau_rc"),
        ("tau_rc", "'tau_rc' names no parameter; give 'label.parameter'"),
        ("a.neuron_type.tau", r"a has no parameter 'neuron_type.tau'"),
        (3, "3 names no parameter"),
    ],
)
def test_unknown_names(key, message):
    with pytest.raises(InputError, match=message) as error:
        spikeloom.Simulator(small(), vary={key: [1, 2]})
    assert "\n" not in str(error.value)


def test_objects_of_another_network():
    other = small()
    with pytest.raises(InputError, match="no part of the network"):
        spikeloom.Simulator(small(), vary={(other.a, "gain"): [1, 2]})
    with pytest.raises(InputError, match="no part of the network"):
        spikeloom.Simulator(small(), vary={(nengo.LIF(), "tau_rc"): [1, 2]})


def test_several_objects_of_one_name():
    with nengo.Network() as network:
        for _ in range(2):
            nengo.Ensemble(5, 1, label="a")
    with pytest.raises(InputError, match="2 objects are named 'a'"):
        spikeloom.Simulator(network, vary={"a.radius": [1, 2]})


def test_a_name_of_two_parts():
    with pytest.raises(InputError, match="'learning_rate' is a parameter of several of its parts"):
        Places(small()).find("learned.learning_rate")


@pytest.mark.parametrize(
    "obj, name, value",
    [
        (nengo.Lowpass(0.1), "tau", 0.2),
        (nengo.Alpha(0.1), "tau", 0.2),
        (nengo.LinearFilter([1], [0.1, 1]), "den", np.array([0.2, 1.0])),
        (nengo.AdaptiveLIF(tau_n=0.5), "tau_rc", 0.03),
        (nengo.processes.WhiteSignal(1, high=10, seed=4), "rms", 0.3),
        (nengo.processes.WhiteSignal(1, high=10, seed=4), "seed", 5),
        (nengo.PES(1e-3, pre_synapse=0.1), "learning_rate", 1e-4),
        (nengo.Voja(1e-3, post_synapse=None), "learning_rate", 1e-4),
        (spikeloom.STDP(tau_plus=0.03), "a_plus", 0.5),
        (Leaky(tau=0.3, amplitude=2.0), "amplitude", 1.5),
        (Leaky(tau=0.3), "tau", 0.5),
        (nengo.solvers.LstsqL2(reg=0.2, weights=True), "reg", 0.4),
        (spikeloom.Present(np.eye(3), 4, gap=2), "images", 2 * np.eye(3)),
    ],
)
def test_frozen_objects_are_as_if_made_anew(obj, name, value):
    """What is derived from a parameter follows it, what was said otherwise stays."""
    made = replaced(obj, name, value)
    assert type(made) is type(obj)
    arguments = {p.name: getattr(obj, p.name) for p in obj._params}
    wanted = {key: v for key, v in arguments.items() if key in arguments_or_parameters(obj)}
    assert made == type(obj)(**{**wanted, name: value})
    assert made != obj


def arguments_or_parameters(obj):
    """Names by which the constructor takes all that the object was given here."""
    named = inspect.getfullargspec(type(obj).__init__)
    declared = getattr(type(obj), "kernel_class", getattr(type(obj), "rule_class", None))
    names = [*named.args[1:], *(declared.declared(Parameter) if declared else ())]
    return {*names, "seed"} if isinstance(obj, nengo.processes.WhiteSignal) else set(names)


@pytest.mark.parametrize(
    "key, values, message",
    [
        ("b.two.tau", [0.02, 2.0], r"b.two.tau = 2.0: .*outside 0.001..1"),
        ("a.tau_rc", [0.02, -1], r"a.tau_rc = -1: .*must be greater than"),
        ("a.tau_rc", [0.02, "x"], r"a.tau_rc = 'x'"),
        ("a.radius", [1.0, 0.0], r"a.radius = 0.0: .*must be greater than"),
        ("into.synapse", [0.1, -0.1], r"into.synapse = -0.1"),
        ("a.tau_rc", [0.02], r"a.tau_rc has 1 values for a batch of 2; give one a copy"),
        ("a.tau_rc", 0.02, r"a.tau_rc has 0.02; give 2 values, one a copy"),
    ],
)
def test_bad_values(key, values, message):
    with pytest.raises(InputError, match=message) as error:
        spikeloom.Simulator(small(), batch=2, vary={key: values})
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "seeds, message",
    [
        ([1, 2, 3], "seeds: 3 given for a batch of 2"),
        ([1, -2], "-2 is no seed"),
        ([1, 0.5], "0.5 is no seed"),
    ],
)
def test_bad_seeds(seeds, message):
    with pytest.raises(InputError, match=message):
        spikeloom.Simulator(small(), batch=2, seeds=seeds)


def simulate(network, **options):
    with spikeloom.Simulator(network, progress_bar=False, **options) as sim:
        sim.run_steps(100)
    return sim


def channel(**changes):
    """A network with one thing changed by hand."""
    with nengo.Network(seed=5) as network:
        source = nengo.Node(changes.get("output", lambda t: np.sin(9 * t)), size_out=1, label="in")
        a = nengo.Ensemble(
            30,
            1,
            neuron_type=changes.get("neuron_type", nengo.LIF()),
            radius=changes.get("radius", 1.0),
            max_rates=changes.get("max_rates", nengo.dists.Uniform(50, 200)),
            intercepts=changes.get("intercepts", nengo.dists.Uniform(-0.9, 0.9)),
            encoders=changes.get("encoders", nengo.dists.UniformHypersphere(surface=True)),
            label="a",
        )
        b = nengo.Ensemble(20, 1, label="b")
        nengo.Connection(source, a, synapse=changes.get("synapse", nengo.Lowpass(0.01)), label="in")
        nengo.Connection(
            a,
            b,
            transform=changes.get("transform", 0.5),
            function=changes.get("function", np.square),
            solver=changes.get("solver", nengo.solvers.LstsqL2()),
            label="ab",
        )
        nengo.Probe(a.neurons)
        nengo.Probe(b, synapse=0.02)
    return network


@pytest.mark.parametrize(
    "key, name, values, change",
    [
        ("a.tau_rc", "neuron_type", [0.02, 0.05], lambda v: nengo.LIF(tau_rc=v)),
        ("a.neuron_type", "neuron_type", [nengo.LIF(), nengo.AdaptiveLIF()], None),
        ("a.radius", "radius", [1.0, 2.0], None),
        ("a.max_rates", "max_rates", [np.full(30, 80.0), np.full(30, 120.0)], None),
        ("a.intercepts", "intercepts", np.random.RandomState(1).uniform(-1, 0.5, (2, 30)), None),
        ("a.encoders", "encoders", [np.ones((30, 1)), -np.ones((30, 1))], None),
        ("ab.transform", "transform", [0.5, -1.0], None),
        ("ab.function", "function", [np.square, np.sin], None),
        ("ab.reg", "solver", [0.1, 0.3], lambda v: nengo.solvers.LstsqL2(reg=v)),
        ("Node.output", "output", [[0.3], [0.6]], None),
    ],
)
def test_equals_the_network_changed_by_hand(key, name, values, change):
    key = key.replace("Node", "in") if key.startswith("Node") else key
    network = channel()
    if key == "in.output":  # a connection has that label, too
        key = (network.nodes[0], "output")
    batched = simulate(network, vary={key: values})
    for copy, value in enumerate(values):
        single = channel(**{name: value if change is None else change(value)})
        found = simulate(single)
        for ours, theirs in zip(network.all_probes, single.all_probes, strict=True):
            assert np.array_equal(batched.data[ours][copy], found.data[theirs])
    assert any(
        not np.array_equal(batched.data[p][0], batched.data[p][1]) for p in network.all_probes
    )


def test_synapses():
    network = channel()
    batched = simulate(network, vary={(network.connections[0], "tau"): [0.01, 0.1]}, seeds=[5, 6])
    for copy, (tau, seed) in enumerate([(0.01, 5), (0.1, 6)]):
        single = channel(synapse=nengo.Lowpass(tau))
        single.seed = seed
        assert np.array_equal(
            batched.data[network.all_probes[0]][copy], simulate(single).data[single.all_probes[0]]
        )


def test_the_network_of_the_user_stays_as_it_was():
    network = channel()
    before = {(obj, name): getattr(obj, name) for obj in network.all_objects for name in obj.params}
    simulate(network, vary={"a.tau_rc": [0.02, 0.05], "ab.transform": [1, 2]}, seeds=1)
    assert network.seed == 5
    for (obj, name), value in before.items():
        now = getattr(obj, name)
        assert now is value or np.array_equal(now, value)

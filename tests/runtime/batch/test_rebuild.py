"""Networks built from other networks' builds: the same as built in full, or built in full."""

import nengo
import numpy as np
import pytest
from nengo.builder import Builder
from random_learning_networks import random_learning_network
from random_networks import random_network

import spikeloom
from spikeloom.compiler.errors import SpikeloomError
from spikeloom.compiler.frontends.nengo import convert
from spikeloom.compiler.variants import kernels_of
from spikeloom.runtime.batch import rebuild
from spikeloom.runtime.batch.places import Places, _all_ways
from spikeloom.runtime.batch.rebuild import Builds
from spikeloom.runtime.batch.sharing import Solutions, digest, structure_of
from spikeloom.runtime.batch.variation import varied


class Counting(Builds):
    """Builds that tell how many networks they have built in full."""

    def __init__(self):
        super().__init__(0.001, Solutions(nengo.cache.NoDecoderCache()))

    @property
    def full(self):
        return len(self._originals)


def in_full(network):
    model = nengo.builder.Model(dt=0.001)
    model.build(network)
    return model


def content_of(model):
    """A digest of what the chip is given, and what the host does, in order."""
    conversion = convert(model)
    operators = [
        (
            type(op),
            [[values_of(s) for s in getattr(op, role)] for role in rebuild.ROLES],
            getattr(op, "process", None),
            getattr(op, "neurons", None),
            getattr(op, "learning_rate", None),
        )
        for op in conversion.order
    ]
    probes = [values_of(model.sig[probe]["in"]) for probe in model.probes]
    built = [str(type(model.params[obj])) for obj in rebuild.objects_of(model.toplevel)]
    seeds = [model.seeds[obj] for obj in rebuild.objects_of(model.toplevel)]
    graph = conversion.graph
    plan = [str(type(action)) for action in conversion.plan.actions]
    found = digest(
        [structure_of(graph), kernels_of(graph), operators, probes, built, seeds, plan], KEPT
    )
    assert found is not None
    return found


KEPT = {}


def values_of(signal):
    value = signal.initial_value
    return np.asarray(value.toarray() if signal.sparse else value), signal.readonly, signal.is_view


def check(builds, network):
    """The digest of a network, which is the same from both builds."""
    state = np.random.get_state()
    expected = in_full(network)
    after = np.random.get_state()
    np.random.set_state(state)
    model = builds.model(network)
    assert type(model) is nengo.builder.Model
    assert np.array_equal(np.random.get_state()[1], after[1])
    found = content_of(model)
    assert found == content_of(expected)
    for obj in rebuild.objects_of(network):
        for name, value in vars_of(model.params[obj]):
            assert digest([value], KEPT) == digest([getattr(expected.params[obj], name)], KEPT)
    return found


def vars_of(built):
    found = built._asdict() if hasattr(built, "_asdict") else {}
    return [(name, value) for name, value in found.items() if name != "solver_info"]  # has times


@pytest.mark.parametrize("make", [lambda s: random_network(s)[0], random_learning_network])
def test_all_numbers_of_random_networks(make):
    """Each number in a network is changed in turn; nothing that follows from it is taken over."""
    different = built = tried = 0
    for seed in range(3):
        network = make(seed)
        builds = Counting()
        first = check(builds, network)
        rng = np.random.default_rng(seed)
        for obj in rebuild.objects_of(network):
            for path in _all_ways(obj):
                value = obj
                try:
                    for name in path:
                        value = getattr(value, name) if isinstance(name, str) else value[name]
                except (AttributeError, TypeError, KeyError, IndexError):
                    continue
                if isinstance(value, bool) or not isinstance(value, (int, float)):
                    continue
                if rng.random() < 0.9 and "seed" not in path:
                    continue
                changed = value + 1 if isinstance(value, int) else value * 1.25 + 1e-9
                names = ".".join(map(str, path))
                try:
                    other, _ = varied(network, {(obj, names): changed})
                    in_full(other)
                except (SpikeloomError, nengo.exceptions.NengoException, ValueError):
                    continue
                tried += 1
                different += check(builds, other) != first
        built += builds.full
    assert tried > 10 and different > tried // 2
    assert built < tried // 2


def error_driven(rule, label="learned"):
    with nengo.Network(seed=1) as network:
        stimulus = nengo.Node(np.sin, label="stimulus")
        a = nengo.Ensemble(20, 1, label="a")
        b = nengo.Ensemble(20, 1, label="b")
        nengo.Connection(stimulus, a)
        learned = nengo.Connection(a, b, learning_rule_type=rule, label=label)
        if rule is not None:
            nengo.Connection(stimulus, learned.learning_rule)
        nengo.Probe(b, synapse=0.03)
        nengo.Probe(a.neurons)
        nengo.Probe(learned, "weights")
    return network


def test_networks_made_one_by_one():
    """As in a sweep: other objects each time, and functions that are others each time."""
    builds = Counting()
    digests = [check(builds, error_driven(nengo.PES(rate))) for rate in (1e-4, 1e-4, 1e-3)]
    assert digests[0] == digests[1] != digests[2]
    assert builds.full == 1


def test_only_what_differs_is_built(monkeypatch):
    built = []
    build = rebuild.RecordedModel.build

    def noted(self, obj, *args, **options):
        built.append(obj)
        return build(self, obj, *args, **options)

    builds = Counting()
    builds.model(error_driven(nengo.PES(1e-4)))
    monkeypatch.setattr(rebuild.RecordedModel, "build", noted)
    network = error_driven(nengo.PES(1e-3))
    model = builds.model(network)
    objects = list(rebuild.objects_of(network))
    ensembles = {id(obj) for obj in network.ensembles}
    assert ensembles and not ensembles & {id(obj) for obj in built}
    assert len([obj for obj in built if any(obj is o for o in objects)]) < len(objects)
    (op,) = (op for op in model.operators if hasattr(op, "learning_rate"))
    assert op.learning_rate == 1e-3
    # What is taken over is entered under the network's own objects.
    assert model.params[network.ensembles[0]].gain.shape == (20,)
    assert model.probes == network.probes
    assert set(network.all_ensembles) <= set(model.sig)


def test_other_kinds_of_objects_are_built_in_full():
    """A rule or none, another rule: and what was built before is left as it was."""
    builds = Counting()
    first = error_driven(None)
    check(builds, first)
    flags = [s.readonly for op in builds._originals[0]._model.operators for s in op.all_signals]
    voja, pes = nengo.Voja(1e-2, post_synapse=None), nengo.PES(1e-4)
    for rule, full in ((voja, 2), (pes, 3), (None, 3), (nengo.Voja(2e-2, post_synapse=None), 3)):
        check(builds, error_driven(rule))
        assert builds.full == full
    original = builds._originals[-1]._model
    assert [s.readonly for op in original.operators for s in op.all_signals] == flags


def test_other_sizes_and_seeds():
    builds = Counting()
    digests = set()
    for seed, neurons, dimensions in ((1, 20, 1), (1, 21, 1), (2, 20, 1), (1, 20, 2)):
        with nengo.Network(seed=seed) as network:
            a = nengo.Ensemble(neurons, dimensions)
            nengo.Probe(a, synapse=0.03)
        digests.add(check(builds, network))
    assert len(digests) == 4


def test_functions_made_again():
    """The same text and nothing of their own: the same function; else another one."""

    def make(power=None, rate=1e-4):
        with nengo.Network(seed=1) as network:
            node = nengo.Node(lambda t: np.sin(9 * t))
            a = nengo.Ensemble(20, 1)
            nengo.Connection(node, a)
            function = (lambda x: x * x) if power is None else (lambda x: x**power)
            b = nengo.Ensemble(20, 1)
            nengo.Connection(a, b, function=function, learning_rule_type=nengo.PES(rate))
            nengo.Probe(b)
        return network

    builds = Counting()
    digests = [check(builds, make(*args)) for args in ((), (None, 1e-3), (2,), (3,), (3,))]
    assert digests[0] != digests[1] and digests[2] != digests[3] == digests[4]
    assert builds.full == 1
    first, second = make(), make(None, 1e-3)
    one, other = builds.model(first), builds.model(second)
    built = [m.params[n.connections[1]] for m, n in ((one, first), (other, second))]
    assert built[0].solver_info is built[1].solver_info


def test_subnetworks_and_slices():
    def make(tau, gain):
        with nengo.Network(seed=3) as network:
            with nengo.Network(label="inner"):
                a = nengo.Ensemble(20, 2, label="a")
                b = nengo.Ensemble(20, 2, label="b")
                nengo.Connection(a[0], b[1], synapse=tau)
            array = nengo.networks.EnsembleArray(10, 3)
            nengo.Connection(b, array.input[[2, 0]], transform=gain)
            nengo.Probe(array.output[1:], synapse=0.01)
            nengo.Probe(b.neurons[::2])
        return network

    builds = Counting()
    settings = [(0.005, 1.0), (0.01, 1.0), (0.01, 2.0), (None, 1.0), (0.005, 1.0)]
    digests = [check(builds, make(*setting)) for setting in settings]
    assert digests[0] == digests[-1] and len(set(digests)) == 4
    assert builds.full == 2  # without a synapse there are other operators


class Counter(nengo.Process):
    """Counts in an object that it keeps itself."""

    def __init__(self):
        super().__init__(default_size_in=0, default_size_out=1)
        self.seen = []

    def make_step(self, shape_in, shape_out, dt, rng, state):
        def step(t):
            self.seen.append(t)
            return np.array([len(self.seen) / 100])

        return step


class Called:
    def __init__(self):
        self.count = 0

    def __call__(self, t):
        self.count += 1
        return self.count / 100


def keeping():
    """A function that counts its calls itself."""
    count = 0

    def output(t):
        nonlocal count
        count += 1
        return count / 100

    return output


@pytest.mark.parametrize("make", [Counter, Called, keeping])
def test_what_keeps_something_is_each_network_s_own(make):
    networks, outputs = [], []
    for _ in range(3):
        with nengo.Network(seed=1) as network:
            outputs.append(make())
            node = nengo.Node(outputs[-1], size_out=1)
            ens = nengo.Ensemble(10, 1)
            nengo.Connection(node, ens)
            network.probe = nengo.Probe(node)
        networks.append(network)
    with spikeloom.Simulator(networks, progress_bar=False) as sim:
        sim.run_steps(20)
        data = sim.data[networks[0].probe]
    # Nengo itself calls a node's function once or twice while it is made.
    assert np.array_equal(data[0], data[1]) and np.array_equal(data[0], data[2])
    assert np.ptp(data[0]) == pytest.approx(0.19)


def test_somebody_else_s_builders(monkeypatch):
    """What they look at is not known, so nothing is taken over."""
    calls = []

    class Odd(nengo.Ensemble):
        pass

    def build_odd(model, odd):
        calls.append(odd)
        return Builder.builders[nengo.Ensemble](model, odd)

    monkeypatch.setitem(Builder.builders, Odd, build_odd)
    builds = Counting()
    for _ in range(3):
        with nengo.Network(seed=1) as network:
            nengo.Probe(Odd(10, 1).neurons)
        builds.model(network)
    assert len(calls) == 3


def noting(cls, read):
    """A class of parameters that notes of which objects they are read."""

    def get(self, instance, owner):
        if instance is not None:
            read.append(instance)
        return cls.__get__(self, instance, owner)

    return type(cls.__name__, (cls,), {"__get__": get})


def test_builders_look_at_nothing_but_the_object_and_its_ends(monkeypatch):
    """Of Nengo's own this is assumed: each parameter that is read while an object is built."""
    read = []
    for cls in (nengo.Ensemble, nengo.Node, nengo.Connection, nengo.Probe):
        for name in vars(cls):
            parameter = vars(cls)[name]
            if not isinstance(parameter, nengo.params.Parameter):
                continue

            monkeypatch.setattr(parameter, "__class__", noting(type(parameter), read))
    for seed in range(4):
        network = random_learning_network(seed)
        model = rebuild.RecordedModel(network, dt=0.001)
        build = model.build
        depth = []

        def noted(obj, *args, depth=depth, build=build, model=model, **options):
            if id(obj) not in model._numbers or depth:
                return build(obj, *args, **options)
            depth.append(obj)
            read.clear()
            made = build(obj, *args, **options)
            depth.pop()
            near, todo = [], [obj]
            while todo:
                found = todo.pop()
                near.append(found)
                todo += [e for e in ends_of(found) if not any(e is n for n in near)]
            for other in read:
                assert any(other is n for n in near) or id(other) not in model._numbers
            assert read
            return made

        monkeypatch.setattr(model, "build", noted)
        model.toplevel = None
        build(network)


def ends_of(obj):
    found = []
    for name in ("pre_obj", "post_obj", "obj"):
        end = getattr(obj, name, None)
        for inner in ("ensemble", "connection"):
            end = getattr(end, inner, end)
        if isinstance(end, nengo.base.NengoObject):
            found.append(end)
    return found


def test_names_stay_those_of_the_copy():
    network = error_driven(nengo.PES(1e-4))
    for ensemble in network.ensembles:
        ensemble.label = None
    builds = Counting()
    builds.model(network)
    other, own = varied(network, {(network.connections[1], "learning_rate"): 1e-3})
    model = builds.model(other)
    names = convert(model).names
    assert names.of(other.ensembles[1]) == Places(other).of(other.ensembles[1]) == "Ensemble 1"
    assert names.of(own(network.probes[0])) == "probe of Ensemble 1"

"""Programs made from another one's: what lowering the Graph would give, or nothing."""

import copy
from dataclasses import replace

import nengo
import numpy as np
import pytest
from random_learning_networks import random_learning_network
from random_networks import random_network

import spikeloom
from spikeloom.compiler.compile import compile_graph, lower
from spikeloom.compiler.errors import SpikeloomError
from spikeloom.compiler.frontends.nengo import convert, rules
from spikeloom.compiler.graph import Population
from spikeloom.compiler.kernels.kernel import Kernel
from spikeloom.compiler.kernels.neurons import LIF
from spikeloom.compiler.kernels.parametrised import Parameter
from spikeloom.compiler.machine import Machine
from spikeloom.compiler.passes.learned import learned_edges
from spikeloom.compiler.variants import Template, kernels_of
from spikeloom.compiler.watched import Watch, same

MACHINE = Machine()


def graph_of(network, dt=0.001):
    model = nengo.builder.Model(dt=dt)
    model.build(network)
    return convert(model).graph


def with_kernels(graph, kernels):
    """The Graph with other kernels and rules."""
    graph, left = graph.copy(), iter(kernels)
    for node in graph.nodes():
        if isinstance(node, Population):
            node.kernel = next(left)
    for _, _, edge, learned in learned_edges(graph):
        edge.plasticity = replace(learned, rule=next(left))
    return graph


def changed(kernel, **values):
    """A kernel with other values of some parameters."""
    return type(kernel)(**{**kernel.values, **values})


def assert_same_programs(one, other):
    """Field by field."""
    for name, value in vars(one).items():
        found = getattr(other, name)
        if isinstance(value, np.ndarray) or name == "tables":
            assert same(value, found), name
        else:
            assert value == found, name
            assert repr(value) == repr(found), name


def lowered_or_error(graph):
    try:
        return lower(graph, MACHINE)
    except SpikeloomError as e:
        return str(e)


def check(graph, kernels, template=None):
    """Whether there is a variant; if so, it is what the Graph would be lowered to."""
    found = (template or Template(graph, MACHINE)).variant(kernels)
    if found is not None:
        assert_same_programs(found, lower(with_kernels(graph, kernels), MACHINE))
    return found is not None


@pytest.mark.parametrize("make", [lambda s: random_network(s)[0], random_learning_network])
def test_random_networks(make):
    """Each time one parameter, or the same one of all kernels of a class, is another."""
    made = tried = 0
    for seed in range(8):
        rng = np.random.default_rng(seed)
        graph = graph_of(make(seed))
        kernels, template = kernels_of(graph), Template(graph, MACHINE)
        assert_same_programs(template.program, lower(graph, MACHINE))
        for number, kernel in enumerate(kernels):
            for name, value in kernel.values.items():
                factor = rng.choice([0.5, 0.97, 1.03, 3.0])
                for all_of_them in (False, True):
                    others = list(kernels)
                    chosen = range(len(kernels)) if all_of_them else [number]
                    try:
                        for k in chosen:
                            if type(kernels[k]) is type(kernel):
                                others[k] = changed(kernels[k], **{name: value * factor})
                    except SpikeloomError:  # out of its range
                        continue
                    tried += 1
                    made += check(graph, others, template)
    assert 0 < made < tried


OWN_RULES = [made() for made in vars(rules).values() if hasattr(made, "rule_class")]


def network_with(rule, seed=1):
    with nengo.Network(seed=seed) as network:
        stimulus = nengo.Node(np.sin)
        a, b = nengo.Ensemble(20, 1), nengo.Ensemble(20, 1)
        nengo.Connection(stimulus, a)
        if rule.modifies == "decoders" or rule.modifies == "encoders":
            learned = nengo.Connection(a, b, learning_rule_type=rule)
        else:
            learned = nengo.Connection(
                a.neurons,
                b.neurons,
                transform=np.random.RandomState(0).uniform(0.1, 0.9, (20, 20)) * 1e-2,
                learning_rule_type=rule,
            )
        if rule.size_in == 1 or rule.modifies == "decoders":
            nengo.Connection(stimulus, learned.learning_rule)
        nengo.Probe(b.neurons)
    return network


@pytest.mark.parametrize(
    "rule",
    [nengo.PES(1e-4), nengo.BCM(1e-9), nengo.Oja(1e-6), nengo.Voja(1e-2), *OWN_RULES],
    ids=lambda rule: type(rule).__name__,
)
def test_rates_of_all_rules(rule):
    """Parameters of rules are registers and tables; each rule has one that is no more than that."""
    graph = graph_of(network_with(rule))
    *_, kernel = kernels = kernels_of(graph)
    assert list(learned_edges(graph)), f"{rule} does not run on the chip"
    template = Template(graph, MACHINE)
    made = 0
    for name, value in kernel.values.items():
        for factor in (0.5, 1.01):
            try:
                other = changed(kernel, **{name: value * factor})
            except SpikeloomError:
                continue
            if isinstance(lowered_or_error(with_kernels(graph, [*kernels[:-1], other])), str):
                assert template.variant([*kernels[:-1], other]) is None
            else:
                made += check(graph, [*kernels[:-1], other], template)
    assert made


def test_what_enters_the_weights_is_lowered():
    """A synapse's gain is folded into weights, a refractory time bounds what follows."""
    with nengo.Network(seed=1) as network:
        a = nengo.Ensemble(20, 1)
        nengo.Probe(a, synapse=0.03)
    graph = graph_of(network)
    kernels = kernels_of(graph)
    template = Template(graph, MACHINE)
    assert template.variant(kernels) is not None
    lif = next(i for i, kernel in enumerate(kernels) if isinstance(kernel, LIF))
    (lowpass,) = (i for i, kernel in enumerate(kernels) if hasattr(kernel, "gain"))
    for number, name, expected in (
        (lif, "tau_rc", True),
        (lif, "tau_ref", False),
        (lowpass, "gain", False),
        (lowpass, "pole", False),
    ):
        others = list(kernels)
        others[number] = changed(kernels[number], **{name: kernels[number].values[name] * 0.9})
        assert check(graph, others, template) is expected, name
        different = lower(with_kernels(graph, others), MACHINE) if expected is False else None
        if different is not None:
            assert not same(
                [different.weight, different.notes],
                [template.program.weight, template.program.notes],
            )


def test_equal_populations_that_are_no_longer_equal():
    """They were joined because they were equal, and must not be where they are not, or are now."""
    with nengo.Network(seed=1) as network:
        for tau_rc in (0.02, 0.02, 0.03):
            a = nengo.Ensemble(20, 1, neuron_type=nengo.LIF(tau_rc=tau_rc), seed=1)
            nengo.Probe(a, synapse=0.03)
    graph = graph_of(network)
    kernels = kernels_of(graph)
    template = Template(graph, MACHINE)
    lifs = [i for i, kernel in enumerate(kernels) if isinstance(kernel, LIF)]
    assert [kernels[i].tau_rc for i in lifs] == [0.02, 0.02, 0.03]

    def with_taus(*taus):
        others = list(kernels)
        for i, tau in zip(lifs, taus, strict=True):
            others[i] = changed(kernels[i], tau_rc=tau)
        return others

    assert check(graph, with_taus(0.04, 0.04, 0.05), template)
    assert not check(graph, with_taus(0.04, 0.05, 0.05), template)
    assert not check(graph, with_taus(0.04, 0.04, 0.04), template)


class Curious(Kernel):
    """What enters is scaled by a parameter, of which nobody but lowering is told."""

    factor = Parameter(low=0, high=4)
    homogeneous, delayed = LIF.homogeneous, False
    u = spikeloom.Input(range=(-8, 8), fraction=16)
    x = spikeloom.State(range=(-8, 8), fraction=16)

    def step(self, state, u, dt):
        return u, {"x": u}

    def output_limit(self, input_limit, dt):
        return self.factor


def test_whatever_a_pass_asks_is_noted():
    watch = Watch(Curious(factor=2.0))
    kernel = watch.watched
    assert type(kernel).__name__ == "Curious" and isinstance(kernel, Curious)
    assert kernel.code(MACHINE) is Curious.code(MACHINE)
    assert watch.answers_alike(Curious(factor=3.0))
    assert kernel.output_limit(1.0, 0.001) == 2.0
    assert not watch.answers_alike(Curious(factor=3.0))
    assert watch.answers_alike(Curious(factor=2.0))
    for ask in (
        lambda k: k.factor,
        lambda k: k.values,
        lambda k: vars(k),
        lambda k: copy.copy(k),
        repr,
    ):
        watch = Watch(Curious(factor=2.0))
        ask(watch.watched)
        assert not watch.answers_alike(Curious(factor=3.0)), ask


def test_what_is_the_same():
    nan = float("nan")
    assert same(nan, nan) and same([1, {"a": np.arange(3)}], [1, {"a": np.arange(3)}])
    for a, b in (
        (0.0, -0.0),
        (1, 1.0),
        (np.zeros(2), -np.zeros(2)),
        (np.zeros(2), np.zeros(2, np.float32)),
        ((1,), [1]),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        (object(), object()),
    ):
        assert not same(a, b), (a, b)


def test_a_kernel_with_more_than_parameters_is_not_watched():
    graph = graph_of(random_network(1)[0])
    assert Template.fits(graph)
    kernels_of(graph)[0].note = "mine"
    assert not Template.fits(graph)


def test_a_bad_parameter_is_told_by_lowering():
    graph = graph_of(network_with(nengo.PES(1e-4)))
    *others, rule = kernels_of(graph)
    template = Template(graph, MACHINE)
    huge = changed(rule, learning_rate=1e30)
    assert template.variant([*others, huge]) is None
    with pytest.raises(SpikeloomError):
        compile_graph(with_kernels(graph, [*others, huge]), MACHINE)

"""Seeded random Nengo networks that learn, for tests that compare engines with each other."""

import nengo
import numpy as np

from spikeloom import Parameter, Post, Pre, Rule, Weight, clip, rule_type, scaled, select


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
class AtSpikes(Rule):
    """Where the post neuron fires, weights follow the pre neuron's voltage."""

    rate = Parameter(low=0, default=0.05)
    weight = Weight(range=(-1, 1))
    voltage = Pre("voltage", range=(-1, 1), fraction=12)
    fired = Post("spike")

    def step(self, now, dt):
        change = select(now.fired, now.voltage - 0.5, 0)
        return {"weight": clip(now.weight + change * scaled(self.rate), -1, 1)}


def random_learning_network(seed, plain=False):
    """A network with one to three learning rules, all from one number.

    Parameters
    ----------
    seed : int
    plain : bool
        One rule between two populations, filters always there: then few kernels serve many
        networks, and one piece of hardware is not too large to be simulated.

    Returns
    -------
    network : nengo.Network
    """
    rng = np.random.default_rng(seed)
    with nengo.Network(seed=seed) as network:
        sizes = rng.integers(1, 3, 2)
        sources = [_source(rng, int(d)) for d in sizes]
        ensembles = [nengo.Ensemble(int(rng.integers(5, 40)), int(d)) for d in sizes]
        for source, ensemble in zip(sources, ensembles, strict=True):
            nengo.Connection(source, ensemble)
        for _ in range(1 if plain else rng.integers(1, 4)):
            pre, post = ensembles if plain else (ensembles[k] for k in rng.integers(0, 2, 2))
            RULES[rng.integers(len(RULES))](rng, sources, pre, post, plain)
        for ensemble in ensembles:
            nengo.Probe(ensemble.neurons)
    return network


def _source(rng, size):
    if rng.random() < 0.5:
        return nengo.Node(rng.uniform(-1, 1, size))
    frequency, phase = rng.uniform(2, 20, size), rng.uniform(0, 6, size)
    return nengo.Node(lambda t: np.sin(2 * np.pi * frequency * t + phase))


def _pes(rng, sources, pre, post, plain):
    error = nengo.Node(size_in=post.dimensions) if rng.random() < 0.5 else None
    if error is None:
        error = nengo.Ensemble(20, post.dimensions)
    weights = bool(rng.random() < 0.4)
    connection = nengo.Connection(
        pre,
        post,
        function=lambda x: np.zeros(post.dimensions),
        solver=nengo.solvers.LstsqL2(weights=weights),
        learning_rule_type=nengo.PES(
            float(rng.choice([1e-4, 1e-3])), pre_synapse=_synapse(rng, plain)
        ),
    )
    nengo.Connection(post, error)
    nengo.Connection(nengo.Node(rng.uniform(-1, 1, post.dimensions)), error)
    nengo.Connection(error, connection.learning_rule)
    nengo.Probe(connection, "weights", sample_every=0.01)


def _synapse(rng, plain):
    if plain:
        return nengo.Lowpass(float(rng.uniform(0.002, 0.05)))
    return [nengo.Lowpass(0.005), nengo.Lowpass(0.05), None][rng.integers(3)]


def _between_neurons(rng, pre, post, rule, largest):
    initial = rng.uniform(0, largest, (post.n_neurons, pre.n_neurons))
    connection = nengo.Connection(
        pre.neurons,
        post.neurons,
        transform=initial,
        learning_rule_type=rule,
        synapse=float(rng.choice([0.002, 0.01])) if rng.random() < 0.8 or pre is post else None,
    )
    nengo.Probe(connection, "weights", sample_every=0.01)


def _oja(rng, sources, pre, post, plain):
    rule = nengo.Oja(1e-6, beta=float(rng.uniform(0.1, 2)), pre_synapse=_synapse(rng, plain))
    _between_neurons(rng, pre, post, rule, 1e-3)


def _bcm(rng, sources, pre, post, plain):
    _between_neurons(rng, pre, post, nengo.BCM(1e-9, post_synapse=_synapse(rng, plain)), 1e-3)


def _stdp(rng, sources, pre, post, plain):
    _between_neurons(rng, pre, post, PairSTDP(tau=float(rng.uniform(0.005, 0.05))), 1e-3)


def _at_spikes(rng, sources, pre, post, plain):
    _between_neurons(rng, pre, post, AtSpikes(), 1e-3)


def _voja(rng, sources, pre, post, plain):
    source = next(s for s in sources if s.size_out == post.dimensions)
    rule = nengo.Voja(float(rng.choice([1e-3, 1e-2])), post_synapse=_synapse(rng, plain))
    connection = nengo.Connection(source, post, synapse=None, learning_rule_type=rule)
    nengo.Probe(connection.learning_rule, "scaled_encoders", sample_every=0.01)
    if rng.random() < 0.5:
        modulation = nengo.Node(lambda t: -float(t > 0.05))
        nengo.Connection(modulation, connection.learning_rule, synapse=None)


RULES = (_pes, _pes, _oja, _bcm, _stdp, _at_spikes, _voja)

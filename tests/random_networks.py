"""Seeded random Nengo networks, for tests that compare engines with each other."""

import nengo
import numpy as np

NEURONS = (nengo.LIF, nengo.SpikingRectifiedLinear, nengo.RectifiedLinear)


def random_network(seed):
    """A network, its time step, and the probes to compare, all from one number.

    Parameters
    ----------
    seed : int

    Returns
    -------
    network : nengo.Network
    dt : float
    """
    rng = np.random.default_rng(seed)
    dt = float(rng.choice([0.0005, 0.001, 0.001, 0.002]))
    with nengo.Network(seed=seed) as network:
        sources = [_source(rng, i) for i in range(rng.integers(1, 4))]
        ensembles = [_ensemble(rng, i) for i in range(rng.integers(1, 5))]
        for ensemble in ensembles:
            _connect(rng, sources[rng.integers(len(sources))], ensemble)
        for _ in range(rng.integers(1, 6)):
            pre = ensembles[rng.integers(len(ensembles))]
            post = ensembles[rng.integers(len(ensembles))]
            _connect(rng, pre, post, recurrent=True)
        for ensemble in ensembles:
            nengo.Probe(ensemble.neurons)
            nengo.Probe(ensemble, synapse=float(rng.choice([0.005, 0.03])))
            if isinstance(ensemble.neuron_type, nengo.LIF):
                nengo.Probe(ensemble.neurons, "voltage")
            if rng.random() < 0.3:
                nengo.Probe(ensemble.neurons, "input", sample_every=3 * dt)
    return network, dt


def _source(rng, number):
    size = int(rng.integers(1, 4))
    kind = rng.integers(3)
    if kind == 0:
        return nengo.Node(rng.uniform(-1, 1, size), label=f"constant {number}")
    if kind == 1:
        frequency, phase = rng.uniform(1, 20, size), rng.uniform(0, 6, size)
        return nengo.Node(
            lambda t: np.sin(2 * np.pi * frequency * t + phase), label=f"sine {number}"
        )
    process = nengo.processes.WhiteSignal(1.0, high=float(rng.uniform(5, 50)), seed=number)
    return nengo.Node(process, size_out=size, label=f"noise {number}")


def _ensemble(rng, number):
    kind = NEURONS[rng.choice(3, p=[0.7, 0.2, 0.1])]
    kwargs = {}
    if kind is nengo.LIF:
        kwargs = {
            "tau_rc": float(rng.choice([0.01, 0.02, 0.06])),
            "tau_ref": float(rng.choice([0.001, 0.002, 0.0035])),
            "min_voltage": float(rng.choice([0, 0, -1])),
            "amplitude": float(rng.choice([1, 1, 0.01])),
        }
    return nengo.Ensemble(
        int(rng.integers(1, 120)),
        int(rng.integers(1, 5)),
        radius=float(rng.choice([0.5, 1, 3])),
        neuron_type=kind(**kwargs),
        max_rates=nengo.dists.Uniform(50, 250),
        label=f"ensemble {number}",
    )


def _synapse(rng, recurrent):
    kinds = [
        nengo.Lowpass(float(rng.choice([0.002, 0.005, 0.1]))),
        nengo.Alpha(float(rng.choice([0.005, 0.02]))),
        nengo.Lowpass(0),
        nengo.LinearFilter([1], [0.0004, 0.02, 1]),
        nengo.LinearFilter([0.005, 1], [0.0002, 0.03, 1]),
    ]
    if not recurrent:
        kinds.append(None)
    return kinds[rng.integers(len(kinds))]


def _connect(rng, pre, post, recurrent=False):
    """Connect two objects by one of the ways that Nengo knows."""
    synapse = _synapse(rng, recurrent)
    kind = rng.integers(4) if isinstance(pre, nengo.Ensemble) else 0
    if kind == 1:  # neuron to neuron
        weights = rng.normal(size=(post.n_neurons, pre.n_neurons)) / pre.n_neurons / 50
        nengo.Connection(pre.neurons, post.neurons, transform=weights, synapse=synapse)
    elif kind == 2:  # full weights
        solver = nengo.solvers.LstsqL2(weights=True)
        function = (lambda x: np.resize(x, post.dimensions)) if recurrent else None
        nengo.Connection(pre, post, solver=solver, function=function, synapse=synapse)
    elif kind == 3:  # onto neurons, as inhibition
        transform = -rng.uniform(0, 2, (post.n_neurons, pre.size_out))
        nengo.Connection(pre, post.neurons, transform=transform, synapse=synapse)
    else:
        transform = rng.uniform(-1, 1, (post.size_in, pre.size_out)) / pre.size_out
        nengo.Connection(pre, post, transform=transform, synapse=synapse)

"""Kernels of Nengo's own neuron types: in float they are Nengo's, on the chip close to them."""

import nengo
import numpy as np
import pytest

import spikeloom
from spikeloom.compiler.frontends.nengo.kernels import NEURONS, RELATIVE

KINDS = [
    nengo.AdaptiveLIF(),
    nengo.AdaptiveLIF(tau_n=0.1, inc_n=0.05, amplitude=0.5, min_voltage=-1, tau_rc=0.03),
    nengo.Izhikevich(),
    nengo.Izhikevich(tau_recovery=0.1),
    nengo.Izhikevich(reset_voltage=-55, reset_recovery=4),
    nengo.Sigmoid(),
    nengo.Tanh(tau_ref=0.004),
    nengo.LIFRate(amplitude=0.3),
    nengo.AdaptiveLIFRate(),
    nengo.AdaptiveLIFRate(tau_n=0.4, amplitude=2),
]

RANGES = {"Izhikevich": (-20, 80), "Sigmoid": (-6, 6), "Tanh": (-6, 6)}
"""Of the currents; -1..12 for others."""

N = 50


def name(kind):
    return type(kind).__name__


@pytest.mark.parametrize("kind", KINDS, ids=repr)
def test_the_equations_are_nengos(kind):
    rng = np.random.default_rng(0)
    kernel = NEURONS[type(kind)](kind)
    lo, hi = RANGES.get(name(kind), (-1, 12))
    theirs = kind.make_state(N, rng=np.random.RandomState(1))
    extra = {n: np.zeros(N) for n in kernel.state_units(0.001)}
    unit = getattr(kind, "amplitude", 1.0)
    unit = unit / kind.tau_ref if type(kind) in RELATIVE else unit / 0.001
    for _ in range(200):
        current = rng.uniform(lo, hi, N)
        output = np.zeros(N)
        found, ours = kernel.step_float(
            extra | {n: np.array(v, dtype=float) for n, v in theirs.items()}, current, 0.001
        )
        kind.step(0.001, current, output, **theirs)
        np.testing.assert_allclose(found * unit, output, rtol=1e-9, atol=1e-9)
        for state, values in theirs.items():
            np.testing.assert_allclose(ours[state], values, rtol=1e-9, atol=1e-9)


def run(simulator, kind, **options):
    with nengo.Network(seed=1) as net:
        currents = np.linspace(*RANGES.get(name(kind), (-1, 12)), N)
        a = nengo.Ensemble(N, 1, neuron_type=kind, gain=np.ones(N), bias=currents)
        nengo.Connection(nengo.Node(lambda t: 0.5 * np.sin(6 * t)), a, synapse=None)
        probe = nengo.Probe(a.neurons)
        states = {s: nengo.Probe(a.neurons, s) for s in kind.state}
    with simulator(net, progress_bar=False, **options) as sim:
        sim.run(1.0)
    return np.array(sim.data[probe]), {s: np.array(sim.data[p]) for s, p in states.items()}, sim


@pytest.mark.parametrize("kind", KINDS, ids=repr)
def test_on_the_chip(kind):
    exact, states, _ = run(nengo.Simulator, kind)
    found, held, sim = run(spikeloom.Simulator, kind, engine="native")
    assert sim.placement.count("ensemble", "chip") == N
    assert not any(sim.chip.engine.saturations().values())
    if kind.spiking:
        rates = [(x > 0).sum(axis=0) for x in (exact, found)]
        assert np.abs(rates[0] - rates[1]).max() <= 1
        assert rates[0].max() > 100
    else:
        assert np.abs(exact - found).max() < 1e-3 * np.abs(exact).max()
    if "adaptation" in states:
        largest = states["adaptation"].max()
        assert np.abs(states["adaptation"] - held["adaptation"])[-1].max() < 0.02 * largest


def test_rates_of_a_population_that_is_tuned():
    """Through decoders and encoders, with gains and biases of Nengo's choosing."""
    for kind in (nengo.LIFRate(), nengo.Sigmoid(), nengo.Tanh(), nengo.AdaptiveLIF(inc_n=0.001)):
        with nengo.Network(seed=2) as net:
            u = nengo.Node(lambda t: np.sin(8 * t))
            intercepts = {}
            if name(kind) in ("Sigmoid", "Tanh"):
                intercepts["max_rates"] = nengo.dists.Uniform(250, 350)
                intercepts["intercepts"] = nengo.dists.Uniform(-0.9, 0.5)
            a = nengo.Ensemble(100, 1, neuron_type=kind, **intercepts)
            b = nengo.Ensemble(100, 1, neuron_type=kind, **intercepts)
            nengo.Connection(u, a)
            nengo.Connection(a, b, function=np.square)
            probe = nengo.Probe(b, synapse=0.02)
        with nengo.Simulator(net, progress_bar=False) as floating:
            floating.run(0.5)
        with spikeloom.Simulator(net, progress_bar=False) as fixed:
            fixed.run(0.5)
        assert fixed.placement.count("ensemble", "chip") == 200
        error = np.sqrt(np.mean((floating.data[probe] - fixed.data[probe]) ** 2))
        assert error < (0.02 if kind.spiking else 0.002), name(kind)

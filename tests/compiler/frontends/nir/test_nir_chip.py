"""Imported nodes in fixed point: native equals golden, and both are close to float Nengo."""

import nengo
import nir
import numpy as np
import pytest
from nir_graphs import DT, chain, graph, output, spikes
from numpy.testing import assert_allclose, assert_array_equal

import spikeloom
from spikeloom.compiler.frontends.nengo.step_neurons import StepLI
from spikeloom.compiler.frontends.nir.network import import_nir

N, STEPS = 6, 80
RNG = np.random.default_rng(5)
CURRENT = RNG.uniform(-1, 4, (STEPS, N))
SPIKING = ("LIF", "CubaLIF", "IF", "Threshold")


def own(low, high, n=N):
    return np.linspace(low, high, n)


def same(value, n=N):
    return np.full(n, float(value))


NODES = {
    "LIF": nir.LIF(own(5e-3, 0.03), own(2, 3), own(-0.2, 0.1), own(0.9, 1.2), own(-0.5, -0.1)),
    "IF": nir.IF(own(40, 60), own(0.8, 1.2), own(0, -0.3)),
    "CubaLIF": nir.CubaLIF(
        own(2e-3, 9e-3), own(8e-3, 0.02), own(1, 2), own(0.1, 0.3), same(1), own(-0.2, 0), own(1, 2)
    ),
    "LI": nir.LI(own(5e-3, 0.02), own(1, 2), own(-1, 1)),
    "I": nir.I(own(1, 2)),
    "CubaLI": nir.CubaLI(same(5e-3), same(0.01), own(1, 2), own(-1, 1), same(2)),
    "Threshold": nir.Threshold(own(0.5, 3)),
}


@pytest.mark.parametrize("behind", [False, True], ids=["currents", "spikes"])
@pytest.mark.parametrize("kind", NODES)
def test_nodes_in_fixed_point(kind, behind):
    before = [nir.LIF(same(0.01), same(5), same(0), same(1), same(0))]
    before.append(nir.Linear(np.random.default_rng(1).normal(size=(N, N)) * 2))
    made = chain(*(before if behind else []), NODES[kind], shape=[N])
    floating = output(made, CURRENT)
    native, golden = (output(made, CURRENT, engine) for engine in ("native", "golden"))
    assert_array_equal(native, golden)
    assert floating.any()
    if kind in SPIKING:
        assert_array_equal(native, floating)
    else:
        # an output has 18 bits, of what its largest input could lead to
        assert_allclose(native, floating, atol=1e-4 * np.abs(floating).max())


@pytest.mark.parametrize("reset", ["nir", "subtract", "late-subtract", "late-reset"])
@pytest.mark.parametrize("kind", ["LIF", "CubaLIF", "IF"])
def test_every_reset_in_fixed_point(kind, reset):
    made = chain(NODES[kind], shape=[N])
    floating = output(made, 2 * CURRENT, reset=reset)
    assert_array_equal(output(made, 2 * CURRENT, "golden", reset=reset), floating)
    assert floating.sum() > 30


def test_recurrent_layers_and_delays_in_fixed_point():
    nodes = {
        "in": nir.Input([N]),
        "lif": NODES["CubaLIF"],
        "delay": nir.Delay(own(1, 6) * DT),
        "w": nir.Affine(RNG.normal(size=(N, N)), own(0, 0.3)),
        "v": nir.Linear(RNG.normal(size=(N, N))),
        "out": nir.Output([N]),
    }
    edges = [("in", "lif"), ("lif", "delay"), ("delay", "w"), ("w", "lif"), ("lif", "v")]
    made = graph(nodes, [*edges, ("v", "lif"), ("lif", "out")])
    given = 4 * spikes((STEPS, N))
    floating = output(made, given)
    assert floating.sum() > 50
    for engine in ("native", "golden"):
        assert_array_equal(output(made, given, engine), floating)


def test_an_integrator_has_room_for_where_it_begins():
    """A voltage far above what its input alone leads to must not be cut off."""
    with nengo.Network(seed=1) as network:
        made = StepLI(time_step=DT, leak=0.1, initial_state={"voltage": same(50)})
        values = {"gain": same(1), "bias": same(0.01), "encoders": np.ones((N, 1))}
        probe = nengo.Probe(nengo.Ensemble(N, 1, neuron_type=made, **values).neurons)
    with spikeloom.Simulator(network, dt=DT, progress_bar=False) as sim:
        sim.run_steps(20, progress_bar=False)
    voltage, wanted = 50.0, []
    for _ in range(20):
        voltage += 0.01 - 0.1 * voltage
        wanted.append(voltage)
    assert_allclose(sim.data[probe][:, 0], wanted, rtol=1e-3)


def test_what_runs_away_without_leak_is_held_for_ten_seconds():
    network = import_nir(chain(nir.I(same(1)), shape=[N]), dt=DT)
    given = np.ones((100, N))
    found = output(network, given, "native")
    assert_allclose(found, np.cumsum(given * DT, axis=0), atol=2e-4)

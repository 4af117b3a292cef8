"""Small populations are joined where that costs nothing, and stay readable one by one."""

import nengo
import numpy as np
from small_graphs import lif, lowpass, run_float, synapse

from spikeloom.compiler.compile import compile_graph
from spikeloom.compiler.graph import Graph, Input, Observation, Population
from spikeloom.compiler.machine import Machine
from spikeloom.compiler.passes.fold import fold
from spikeloom.compiler.passes.group import group
from spikeloom.compiler.passes.route import route
from spikeloom.compiler.passes.verify import verify
from spikeloom.sim.golden import GoldenEngine


def array(count=6, n=20, chain=False):
    """Ensembles side by side: each reads its own input element and writes one of a synapse."""
    rng = np.random.default_rng(0)
    graph = Graph("array", 0.001)
    graph.add(Input("u", count, limit=1.0))
    for k in range(count):
        graph.add(lif(f"e{k}", n, seed=k))
        graph.connect("u", f"e{k}", rng.normal(size=(n, 1)) * 3 * np.eye(count)[k])
        graph.observe(Observation(f"spikes{k}", f"e{k}", "output"))
        graph.observe(Observation(f"J{k}", f"e{k}", "input"))
        graph.observe(Observation(f"v{k}", f"e{k}", "voltage"))
    graph.add(synapse("y", count))
    for k in range(count):
        graph.connect(f"e{k}", "y", np.outer(np.eye(count)[k], rng.normal(size=n)) / 1e3)
    if chain:
        for k in range(1, count):
            graph.connect(f"e{k - 1}", f"e{k}", np.full((n, n), 1e-4))
    return graph


def populations(graph):
    return [n.name for n in graph.nodes() if isinstance(n, Population)]


def test_an_array_becomes_one_population_with_the_same_meaning():
    routed = route(fold(array()), Machine())
    joined = group(routed, Machine())
    verify(joined, "group")
    assert len(populations(joined)) == 2
    (name,) = [n for n in populations(joined) if n != "y"]
    assert [m.name for m in joined[name].members] == [f"e{k}" for k in range(6)]
    u = {"u": np.random.default_rng(1).uniform(-1, 1, (80, 6))}
    before, after = run_float(routed, 80, u), run_float(joined, 80, u)
    np.testing.assert_array_equal(np.hstack([before[f"e{k}"] for k in range(6)]), after[name])
    np.testing.assert_allclose(before["y"], after["y"], atol=1e-12)


def test_each_member_can_still_be_read():
    program = compile_graph(array()).program
    engine = GoldenEngine(program)
    (name,) = [n for n in program.populations if n != "y"]
    info = program.populations[name]
    assert info.members == tuple((f"e{k}", 20 * k, 20) for k in range(6))
    rng = np.random.default_rng(1)
    for _ in range(50):
        engine.write("u", rng.integers(-(2**16), 2**16, 6))
        engine.step()
    voltages = np.concatenate([engine.read(f"v{k}") for k in range(6)])
    (spikes,) = [i for i in program.instructions if getattr(i, "population", "") == name]
    states = engine.memory("state")[0, spikes.state :][:120]
    np.testing.assert_array_equal(voltages, states)
    currents = np.concatenate([engine.read(f"J{k}") for k in range(6)])
    flat = engine.memory("accumulator").reshape(-1)[spikes.source * 16 :][:120]
    np.testing.assert_array_equal(currents, flat)
    events = engine.memory("event")[: engine.memory("count")[0]]
    dense = np.zeros(120, np.int64)
    dense[events[:, 0]] = events[:, 1]
    assert dense.any()
    np.testing.assert_array_equal(
        np.concatenate([engine.read(f"spikes{k}") for k in range(6)]), dense
    )


def test_a_chain_within_a_step_is_not_joined():
    joined = group(route(fold(array(chain=True)), Machine()), Machine())
    verify(joined, "group")
    assert len(populations(joined)) == 7


def test_populations_that_write_to_different_words_stay_apart():
    joined = group(route(fold(array(count=40)), Machine()), Machine())
    sizes = sorted(joined[n].size for n in populations(joined) if n != "y")
    assert sizes == [8 * 20, 16 * 20, 16 * 20]


def test_filters_of_very_different_size_keep_their_own_scale():
    graph = Graph("filters", 0.001)
    for k, limit in enumerate([1.0, 2.0, 1000.0]):
        graph.add(Input(f"u{k}", 1, limit=limit))
        graph.add(
            Population(
                f"f{k}", 1, kernel=lowpass(0.01), bias=np.zeros(1), initial={"y": np.zeros(1)}
            )
        )
        graph.connect(f"u{k}", f"f{k}", np.eye(1))
    joined = group(fold(graph), Machine())
    assert sorted(joined[n].size for n in populations(joined)) == [1, 2]


def test_different_parameters_stay_apart():
    graph = Graph("parameters", 0.001)
    for k, tau in enumerate([0.01, 0.01, 0.02]):
        graph.add(Input(f"u{k}", 1, limit=1.0))
        graph.add(synapse(f"f{k}", 1, tau))
        graph.connect(f"u{k}", f"f{k}", np.eye(1))
    joined = group(fold(graph), Machine())
    assert sorted(joined[n].size for n in populations(joined)) == [1, 2]


def test_a_product_array_takes_few_instructions():
    from spikeloom.runtime.simulator import Simulator

    with nengo.Network(seed=0) as network:
        product = nengo.networks.Product(30, 16)
        nengo.Connection(nengo.Node(np.full(16, 0.5)), product.input_a)
        nengo.Connection(nengo.Node(np.full(16, 0.5)), product.input_b)
        nengo.Probe(product.output, synapse=0.01)
    with Simulator(network, progress_bar=False) as sim:
        assert len(sim.program.instructions) < 40
        assert sum(p.size for p in sim.program.populations.values() if p.kernel == "LIF") == 480

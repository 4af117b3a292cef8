"""A Program computes what its Graph says, within what its formats allow."""

import numpy as np
import pytest
from small_graphs import lif, recurrent, run_float, synapse

from spikeloom.compiler.compile import compile_graph
from spikeloom.compiler.graph import Graph, Input, Observation, Vector
from spikeloom.compiler.machine import Machine
from spikeloom.sim.golden import GoldenEngine


def run_program(program, steps, inputs, record):
    engine = GoldenEngine(program)
    integers = {
        name: np.rint(value * 2.0 ** program.inputs[name].fraction).astype(np.int64)
        for name, value in inputs.items()
    }
    recorded = engine.run(steps, integers, record)
    floats = {n: recorded[n] * program.outputs[n].unit for n in record}
    return floats, engine


@pytest.mark.parametrize("machine", [Machine(), Machine(4, 16, 16, 32)])
def test_feed_forward_spikes_are_the_float_ones(machine):
    graph = Graph("forward", 0.001)
    graph.add(Input("u", 2, limit=1.0))
    graph.add(lif("a", 200))
    rng = np.random.default_rng(0)
    graph.connect("u", "a", rng.normal(size=(200, 2)) * 4)
    graph.observe(Observation("spikes", "a", "output"))
    graph.observe(Observation("J", "a", "input"))
    u = np.repeat(rng.uniform(-1, 1, (20, 2)), 25, axis=0)
    expected = run_float(graph, 500, {"u": u})["a"]
    found, engine = run_program(compile_graph(graph, machine).program, 500, {"u": u}, ["spikes"])
    assert engine.saturations() == {}
    total = expected.sum() / 1000
    assert total > 3000
    assert abs(found["spikes"].sum() / 1000 - total) <= 0.002 * total
    # spikes that come a step early or late count twice here
    assert np.count_nonzero(found["spikes"] != expected) < 0.06 * total


def test_currents_and_filtered_sums_follow():
    graph = Graph("linear", 0.001)
    graph.add(Input("u", 3, limit=1.0))
    graph.add(synapse("f", 3, 0.02))
    graph.add(Vector("x", 2, bias=np.array([0.25, -0.5])))
    graph.add(synapse("g", 2, 0.005))
    rng = np.random.default_rng(0)
    graph.connect("u", "f", np.eye(3))
    graph.connect("f", "x", rng.normal(size=(2, 3)))
    graph.connect("x", "g", np.eye(2))
    for name in "fxg":
        graph.observe(Observation(name, name, "output"))
    u = rng.uniform(-1, 1, (300, 3))
    expected = run_float(graph, 300, {"u": u})
    found, _ = run_program(compile_graph(graph).program, 300, {"u": u}, ["f", "x", "g"])
    for name in "fxg":
        np.testing.assert_allclose(found[name], expected[name], atol=2e-4)


def test_a_recurrent_network_keeps_its_statistics():
    graph = recurrent(n=200, seed=4)
    u = {"u": np.tile([[0.5, -0.3]], (1000, 1))}
    expected = run_float(graph, 1000, u)
    found, _ = run_program(compile_graph(graph).program, 1000, u, ["spikes", "y"])
    assert found["spikes"].sum() == pytest.approx(expected["a"].sum(), rel=0.01)
    np.testing.assert_allclose(found["y"][200:].mean(0), expected["y"][200:].mean(0), atol=5e-3)

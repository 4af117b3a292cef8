"""Fold and route change the form of a Graph, never what it computes."""

import numpy as np
import pytest
import scipy.sparse as sp
from small_graphs import lif, recurrent, run_float, synapse

from spikeloom.compiler.errors import GraphError
from spikeloom.compiler.graph import Graph, Input, Observation, Vector
from spikeloom.compiler.machine import Machine
from spikeloom.compiler.passes.fold import fold
from spikeloom.compiler.passes.route import multiply, route
from spikeloom.compiler.passes.verify import verify


def test_fold_keeps_the_meaning():
    graph = recurrent()
    folded = fold(graph)
    verify(folded, "fold")
    u = {"u": np.random.default_rng(3).uniform(-1, 1, (60, 2))}
    before, after = run_float(graph, 60, u), run_float(folded, 60, u)
    assert before["a"].sum() > 0
    np.testing.assert_array_equal(before["a"], after["a"] * 1000)
    np.testing.assert_allclose(before["y"], after["y"], atol=1e-12)
    pole = graph["y"].kernel.pole
    raw = graph.edges_into("y")[0][2].matrix
    np.testing.assert_allclose(folded.edges_into("y")[0][2].matrix, raw * 1000 * (1 - pole))
    assert not graph["a"].folded  # the original is untouched


def test_route_keeps_the_meaning():
    graph = fold(recurrent())
    routed = route(graph, Machine())
    verify(routed, "route")
    assert "x" not in routed.nx
    u = {"u": np.random.default_rng(3).uniform(-1, 1, (60, 2))}
    before, after = run_float(graph, 60, u), run_float(routed, 60, u)
    np.testing.assert_array_equal(before["a"], after["a"])
    np.testing.assert_allclose(before["y"], after["y"], atol=1e-12)


def test_an_observed_vector_stays():
    graph = recurrent()
    graph.observe(Observation("x", "x", "output"))
    assert "x" in route(fold(graph), Machine()).nx


def decode_encode(n_pre, n_post, dimensions):
    graph = Graph("decode and encode", 0.001)
    graph.add(lif("a", n_pre))
    graph.add(Vector("x", dimensions, bias=np.zeros(dimensions)))
    graph.add(lif("b", n_post, seed=1))
    rng = np.random.default_rng(0)
    graph.connect("a", "x", rng.normal(size=(dimensions, n_pre)))
    graph.connect("x", "b", rng.normal(size=(n_post, dimensions)))
    return graph


def test_factored_or_full_by_cost():
    assert "x" in route(decode_encode(500, 500, 2), Machine()).nx
    assert "x" not in route(decode_encode(20, 20, 16), Machine()).nx


def test_a_filter_moves_behind_a_matrix_that_shrinks():
    graph = Graph("wide filter", 0.001)
    graph.add(lif("a", 100))
    graph.add(synapse("f", 64))
    graph.add(lif("b", 4, seed=1))
    rng = np.random.default_rng(0)
    graph.connect("a", "f", rng.normal(size=(64, 100)) / 1e4)
    graph.connect("f", "b", rng.normal(size=(4, 64)))
    folded = fold(graph)
    routed = route(folded, Machine())
    verify(routed, "route")
    assert routed["f"].size == 4
    before, after = run_float(folded, 80, {}), run_float(routed, 80, {})
    np.testing.assert_array_equal(before["b"], after["b"])
    assert before["b"].sum() > 0


def test_biases_pass_through_removed_vectors():
    graph = Graph("bias", 0.001)
    graph.add(Input("u", 1))
    graph.add(Vector("x", 1, bias=np.array([0.5])))
    graph.add(lif("b", 8))
    graph.connect("u", "x", np.eye(1))
    graph.connect("x", "b", np.full((8, 1), 2.0))
    routed = route(fold(graph), Machine())
    np.testing.assert_allclose(routed["b"].bias, graph["b"].bias + 1.0)


def test_parallel_edges_are_added():
    graph = Graph("parallel", 0.001)
    graph.add(Input("u", 2))
    graph.add(lif("b", 2))
    graph.connect("u", "b", sp.csr_array(np.eye(2)), "one")
    graph.connect("u", "b", np.ones((2, 2)), "two")
    ((_, _, edge),) = fold(graph).edges_into("b")
    np.testing.assert_array_equal(edge.matrix, [[2, 1], [1, 2]])
    assert edge.origin == "one; two"


def test_products_stay_sparse_where_they_are():
    eye = sp.csr_array(sp.eye_array(64))
    assert sp.issparse(multiply(eye, eye))
    assert not sp.issparse(multiply(np.ones((64, 64)), eye))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda g: g.connect("u", "a", np.ones((3, 3))), "has shape"),
        (lambda g: g.connect("u", "x", np.full((2, 2), np.nan)), "is not finite"),
        (lambda g: g.connect("y", "u", np.eye(2)), "input 'u' has incoming edges"),
        (lambda g: g.connect("a", "x", np.zeros((2, 40))), "depends on itself"),
        (lambda g: setattr(g["a"], "bias", np.zeros(3)), "bias of 'a'"),
        (lambda g: g["a"].initial.pop("voltage"), "has initial states"),
        (lambda g: g.observe(Observation("o", "nobody", "output")), "unknown node 'nobody'"),
        (lambda g: g.observe(Observation("o", "a", "colour")), "asks for 'colour'"),
        (lambda g: g["u"].requires.add("nobody"), "requires the unknown node"),
    ],
)
def test_verify_names_what_is_wrong(spoil, message):
    graph = recurrent()
    verify(graph, "frontend")
    spoil(graph)
    with pytest.raises(GraphError, match=f"after pass 'frontend'.*{message}"):
        verify(graph, "frontend")

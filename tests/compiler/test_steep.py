import numpy as np

from spikeloom.compiler.compile import lower
from spikeloom.compiler.graph import Graph, Input, Population
from spikeloom.compiler.kernels.neurons import LIF, RectifiedLinear
from spikeloom.compiler.passes.steep import HEADROOM, flatten_steep


def graph_of(kernel, gains, intercepts):
    graph = Graph("steep", 0.001)
    n = len(gains)
    states = {"voltage": np.zeros(n), "refractory_time": np.zeros(n)}
    graph.add(Input("u", 1, limit=2.0))
    graph.add(
        Population(
            "a",
            n,
            kernel=kernel,
            bias=1.0 - gains * intercepts,
            initial=states if isinstance(kernel, LIF) else {},
            folded=True,
        )
    )
    graph.connect("u", "a", gains[:, None])
    return graph


GAINS = np.array([2.0, 50.0, 1e5, 1e17])
INTERCEPTS = np.array([-0.5, 0.9, 0.9999, 1.0])


def test_extreme_currents_are_flattened_around_the_threshold():
    graph = graph_of(LIF(tau_rc=0.02, tau_ref=0.002), GAINS, INTERCEPTS)
    flat = flatten_steep(graph)
    ((_, _, edge),) = flat.edges_into("a")
    gains, bias = edge.matrix[:, 0], flat["a"].bias
    np.testing.assert_array_equal(gains[:2], GAINS[:2])
    assert np.all(np.abs(bias) + 2 * gains <= HEADROOM * 4096 * 1.001)
    np.testing.assert_allclose((1 - bias) / gains, INTERCEPTS, atol=1e-4)
    # the Graph given is left as it was
    np.testing.assert_array_equal(graph["a"].bias, 1.0 - GAINS * INTERCEPTS)


def test_kernels_without_a_threshold_are_left_alone():
    graph = graph_of(RectifiedLinear(), GAINS, INTERCEPTS)
    ((_, _, edge),) = flatten_steep(graph).edges_into("a")
    np.testing.assert_array_equal(edge.matrix[:, 0], GAINS)


def test_lowered_weights_fit_the_machine():
    program = lower(graph_of(LIF(tau_rc=0.02, tau_ref=0.002), GAINS, INTERCEPTS))
    assert np.abs(program.weight).max() < 1 << (program.machine.weight_bits - 1)

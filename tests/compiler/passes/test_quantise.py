"""Limits are proved, formats follow from them, and sums fit by construction."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_graphs import lif, lowpass, recurrent, run_float, synapse

from spikeloom.compiler.compile import lower
from spikeloom.compiler.graph import Graph, Input, Observation, Population, Vector
from spikeloom.compiler.kernels.filters import Alpha, Resonance
from spikeloom.compiler.kernels.neurons import RectifiedLinear
from spikeloom.compiler.machine import Machine
from spikeloom.compiler.passes.fold import fold
from spikeloom.compiler.passes.limits import Response, limits
from spikeloom.compiler.passes.quantise import (
    bias_bits,
    bias_constants,
    bias_rows,
    fraction_for,
    quantise,
)
from spikeloom.sim.golden import GoldenEngine

MACHINE = Machine()


def test_response_of_a_lowpass():
    response = Response(lowpass(0.005), 0.001)
    pole = np.exp(-0.2)
    gain, _ = response.gain()
    assert gain == pytest.approx(1 / (1 - pole))
    # events every second step, each adding 1: the peak of the stationary train
    peak, _ = response.train_peak(2)
    assert peak == pytest.approx(1 / (1 - pole**2))


@pytest.mark.parametrize(
    "kernel",
    [
        Alpha(pole1=0.9, pole2=0.9, feed=0.09, direct=0.05, gain=0.1),
        Resonance(real=0.98, imag=0.03, b1=0.1, b2=0.9, gain=1),
    ],
)
def test_no_train_of_events_exceeds_the_peak(kernel):
    response = Response(kernel, 0.001)
    rng = np.random.default_rng(0)
    names = list(kernel.state_units(0.001))
    for interval in (1, 3):
        peak, largest = response.train_peak(interval)
        seen = 0.0
        state = {n: np.zeros(50) for n in names}
        wait = np.zeros(50)
        sign = rng.choice([-1.0, 1.0], 50)
        for _ in range(500):
            fire = (wait <= 0) & (rng.random(50) < 0.9)
            wait = np.where(fire, interval - 1, wait - 1)
            output, state = kernel.step_float(state, fire * sign, 0.001)
            seen = max(seen, np.abs(output).max())
            assert max(np.abs(v).max() for v in state.values()) <= largest * (1 + 1e-9)
        assert 0.2 * peak < seen <= peak * (1 + 1e-9)


def test_an_integrator_has_no_limit():
    assert Response(lowpass(1e12), 0.001).gain() == (np.inf, np.inf)


def test_limits_behind_spiking_neurons_are_proved_and_hold():
    graph = fold(recurrent(seed=2))
    found = limits(graph)
    assert found["a"].source == found["y"].source == "proved"
    assert (found["u"].source, found["u"].output) == ("given", 1.0)
    inputs = {"u": np.random.default_rng(0).choice([-1.0, 1.0], (400, 2))}
    run = run_float(graph, 400, inputs)
    for name in ("y", "x", "u.filtered"):
        assert np.abs(run[name]).max() <= found[name].output
    assert np.abs(run["y"]).max() > 0


def test_a_loop_without_spikes_takes_what_is_known():
    graph = Graph("rates", 0.001)
    graph.add(Input("u", 1, limit=2.0))
    graph.add(Population("r", 3, kernel=RectifiedLinear(), bias=np.ones(3), limit=50.0))
    graph.add(synapse("y", 3))
    graph.connect("u", "r", np.ones((3, 1)))
    graph.connect("r", "y", np.eye(3))
    graph.connect("y", "r", np.eye(3))
    found = limits(fold(graph))
    assert (found["r"].output, found["r"].source) == (50.0, "given")
    assert found["y"].source == "assumed"


def test_without_a_loop_rates_are_proved():
    graph = Graph("rates", 0.001)
    graph.add(Input("u", 1, limit=2.0))
    graph.add(Population("r", 3, kernel=RectifiedLinear(), bias=np.ones(3)))
    graph.connect("u", "r", np.full((3, 1), -4.0))
    assert limits(graph)["r"].output == 9.0


@given(st.floats(1e-9, 1e9), st.integers(8, 40))
def test_fraction_for_uses_every_bit(limit, bits):
    fraction = fraction_for(limit, bits)
    largest = 2 ** (bits - 1) - 1
    assert round(limit * 2.0**fraction) <= largest
    assert round(limit * 2.0 ** (fraction + 1)) > largest


@pytest.mark.parametrize("weight_bits", [2, 3, 4, 8, 16, 17, 18, 20])
@given(data=st.data())
def test_bias_rows_are_exact_and_fit_weights(weight_bits, data):
    machine = replace(MACHINE, weight_bits=weight_bits)
    largest = 2 ** (bias_bits(machine) - 1)
    values = data.draw(st.lists(st.integers(-largest, largest - 1)))
    bias = np.array(values, np.int64)
    rows = bias_rows(bias, machine)
    assert np.abs(rows).max(initial=0) < 2 ** (weight_bits - 1)
    constants = bias_constants(machine)
    assert constants[-1] == 1
    assert max(constants) < 2 ** (machine.value_bits - 1)
    assert constants == [2**16, 1] or weight_bits < 17
    assert len(rows) <= len(constants)
    np.testing.assert_array_equal(constants[-len(rows) :] @ rows, bias)


def test_biases_of_narrow_weights():
    graph = Graph("narrow", 0.001)
    bias = np.array([0.7, -1.3, 2.0, 0.001])
    graph.add(Input("u", 4, limit=1.0))
    graph.add(Vector("sum", 4, bias=bias))
    graph.connect("u", "sum", np.array([[0.5, 1, -1, 0.25]] * 4))
    graph.observe(Observation("sum", "sum", "output"))
    for bits in (4, 8, 18):
        program = lower(graph, Machine(weight_bits=bits))
        engine = GoldenEngine(program)
        engine.step()
        found = engine.read("sum") * program.outputs["sum"].unit
        np.testing.assert_allclose(found, bias, atol=1e-4)


@pytest.mark.parametrize("machine", [MACHINE, Machine(4, 16, 16, 32)])
def test_sums_fit_the_accumulator_at_the_largest_of_everything(machine):
    graph = Graph("sums", 0.001)
    graph.add(Input("u", 300, limit=100.0))
    graph.add(lif("a", 20))
    graph.add(Vector("sum", 5, bias=np.full(5, -3.0)))
    rng = np.random.default_rng(0)
    matrices = {"u": rng.normal(size=(5, 300)), "a": rng.normal(size=(5, 20)) * 100}
    for source, matrix in matrices.items():
        graph.connect(source, "sum", matrix)
    graph = fold(graph)
    formats = quantise(graph, machine)
    fraction = formats["sum"].accumulator
    worst = np.rint(np.full(5, 3.0) * 2.0**fraction)
    for source, _, edge in graph.edges_into("sum"):
        weights = np.rint(edge.matrix * 2.0 ** (fraction - formats[source].value))
        assert np.abs(weights).max() < 2 ** (machine.weight_bits - 1)
        worst += np.abs(weights).sum(axis=1) * (
            1 if source == "a" else 2 ** (machine.value_bits - 1)
        )
    assert worst.max() < 2 ** (machine.accumulator_bits - 1)

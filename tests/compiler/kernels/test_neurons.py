"""Built-in neurons: in float they are Nengo's, in integers they fire at Nengo's rates."""

import nengo
import numpy as np
import pytest

from spikeloom.compiler.kernels.neurons import LIF, RectifiedLinear, SpikingRectifiedLinear
from spikeloom.compiler.machine import Machine
from spikeloom.sim.evaluate import evaluate

MACHINE = Machine()


@pytest.mark.parametrize("dt", [0.0001, 0.001, 0.004])
@pytest.mark.parametrize(("tau_rc", "tau_ref", "low"), [(0.02, 0.002, 0), (0.06, 0.0013, -1)])
def test_lif_in_float_is_nengos(dt, tau_rc, tau_ref, low):
    rng = np.random.default_rng(1)
    n = 200
    kernel = LIF(tau_rc=tau_rc, tau_ref=tau_ref, min_voltage=low)
    theirs = nengo.LIF(tau_rc=tau_rc, tau_ref=tau_ref, min_voltage=low)
    state = {"voltage": rng.uniform(0, 1, n), "refractory_time": np.zeros(n)}
    voltage, refractory = state["voltage"].copy(), state["refractory_time"].copy()
    fired = 0
    for _ in range(200):
        current = rng.uniform(-3, 12, n)
        expected = np.zeros(n)
        theirs.step(dt, current, expected, voltage, refractory)
        output, state = kernel.step_float(state, current, dt)
        np.testing.assert_array_equal(output, expected * dt)
        np.testing.assert_allclose(state["voltage"], voltage, atol=1e-9)
        np.testing.assert_allclose(state["refractory_time"], refractory, atol=1e-9)
        fired += output.sum()
    assert fired > 100


def test_spiking_rectified_linear_in_float_is_nengos():
    rng = np.random.default_rng(2)
    theirs = nengo.SpikingRectifiedLinear()
    voltage = rng.uniform(0, 1, 50)
    state = {"voltage": voltage.copy()}
    for _ in range(100):
        current = rng.uniform(-200, 3000, 50)
        expected = np.zeros(50)
        theirs.step(0.001, current, expected, voltage)
        output, state = SpikingRectifiedLinear().step_float(state, current, 0.001)
        np.testing.assert_allclose(output, expected * 0.001, atol=1e-12)
    assert output.max() > 1


def test_rectified_linear_in_float_is_nengos():
    current = np.linspace(-3, 3, 13)
    output, _ = RectifiedLinear().step_float({}, current, 0.001)
    np.testing.assert_array_equal(output, np.maximum(current, 0))


def spikes(kernel, current, steps, dt=0.001):
    """Spike counts of the integer code for a constant current (floats)."""
    code = kernel.code(MACHINE)
    registers = kernel.registers(dt, MACHINE)
    tables = kernel.table_entries(dt, MACHINE)
    u = np.rint(np.asarray(current) * 2**code.input.fraction).astype(np.int64)
    states = [np.zeros(len(u), np.int64) for _ in code.states]
    count = np.zeros(len(u), np.int64)
    for _ in range(steps):
        result = evaluate(code, u, states, registers, tables)
        states = [np.asarray(s) for s in result.next_state]
        count += result.output >> code.emit_fraction
    return count


@pytest.mark.parametrize(("dt", "tau_ref"), [(0.001, 0.002), (0.001, 0.0013), (0.0005, 0.003)])
def test_lif_in_integers_fires_at_the_analytic_rate(dt, tau_ref):
    tau_rc = 0.02
    target = np.linspace(5, 300, 60)
    current = 1 / (1 - np.exp((tau_ref - 1 / target) / tau_rc))
    seconds = 4
    count = spikes(LIF(tau_rc=tau_rc, tau_ref=tau_ref), current, round(seconds / dt), dt)
    error = count / seconds - target
    # counting over 4 s alone is uncertain by a quarter of a hertz
    assert np.sqrt(np.mean(error**2)) < 0.3
    assert np.abs(error).max() < 0.75


def test_several_spikes_in_a_step_are_counted():
    count = spikes(SpikingRectifiedLinear(), [0.0, -50.0, 250.0, 2500.0], 1000)
    assert count.tolist() == [0, 0, 250, 2500]


def test_min_voltage_and_reset_are_free():
    code = LIF.code(MACHINE)
    kernel = LIF(tau_rc=0.06, tau_ref=0.002, min_voltage=-1, reset=-1)
    registers = kernel.registers(0.001, MACHINE)
    tables = kernel.table_entries(0.001, MACHINE)
    u = np.array([-500 * 2**18, 100 * 2**18])
    result = evaluate(code, u, [np.zeros(2, np.int64)] * 2, registers, tables)
    assert np.asarray(result.next_state[0]).tolist() == [-(2**22), -(2**22)]
    assert result.output.tolist() == [0, 2**code.emit_fraction]


def test_minus_infinity_means_never_clipped():
    kernel = LIF(tau_rc=0.02, tau_ref=0.002, min_voltage=-np.inf)
    assert kernel.registers(0.001, MACHINE)["min_voltage"] == -(2**31)

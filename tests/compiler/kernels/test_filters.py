"""Synapses: any linear filter of Nengo is a sum of sections with the same response."""

import nengo
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spikeloom.compiler.kernels.filters import Alpha, Lowpass, Resonance, filter_sections


def response(sections, z, dt=0.001):
    """Sum of the sections' outputs for the input z."""
    y = np.zeros(len(z))
    for kernel in sections:
        state = {name: np.zeros(1) for name in kernel.state_units(dt)}
        for n, value in enumerate(z):
            output, state = kernel.step_float(state, np.array([value * kernel.input_gain(dt)]), dt)
            y[n] += output[0]
    return y


def nengo_response(synapse, z, dt=0.001):
    """What Nengo's own step function gives."""
    state = synapse.make_state((1,), (1,), dt)
    step = synapse.make_step((1,), (1,), dt, None, state)
    return np.array([np.ravel(np.array(step(0, np.array([v]))))[0] for v in z])


SYNAPSES = {
    "lowpass": nengo.Lowpass(0.005),
    "no delay line": nengo.Lowpass(0),
    "slow": nengo.Lowpass(1.0),
    "alpha": nengo.Alpha(0.01),
    "two real poles": nengo.LinearFilter([1], [0.001 * 0.02, 0.021, 1]),
    "complex pair": nengo.LinearFilter([1], [0.03**2, 0.018, 1]),
    "lead": nengo.LinearFilter([0.1, 1], [0.01, 1]),
    "highpass": nengo.LinearFilter([1, 0], [0.02, 1]),
    "bandpass": nengo.LinearFilter([0.02, 0], [0.0004, 0.01, 1]),
    "third order": nengo.LinearFilter([1, 2, 3], [0.00001, 0.001, 0.05, 1]),
    "integrator": nengo.LinearFilter([1], [1, 0]),
    "digital": nengo.LinearFilter([0.5, 0.2], [1, -0.3], analog=False),
}


@pytest.mark.parametrize("name", SYNAPSES)
def test_sections_respond_as_nengo(name):
    synapse = SYNAPSES[name]
    z = np.random.default_rng(0).normal(size=200)
    sections = filter_sections(*synapse._get_ss(0.001))
    expected = nengo_response(synapse, z)
    np.testing.assert_allclose(response(sections, z), expected, atol=1e-9 * np.abs(expected).max())


@settings(max_examples=40, deadline=None)
@given(
    tau1=st.floats(0.0005, 0.5),
    tau2=st.floats(0.0005, 0.5),
    zero=st.floats(-0.05, 0.05),
    dt=st.sampled_from([0.0001, 0.001, 0.005]),
)
def test_any_two_real_poles(tau1, tau2, zero, dt):
    synapse = nengo.LinearFilter([zero, 1], [tau1 * tau2, tau1 + tau2, 1])
    sections = filter_sections(*synapse._get_ss(dt))
    assert sections is not None
    z = np.random.default_rng(1).normal(size=100)
    expected = nengo_response(synapse, z, dt)
    np.testing.assert_allclose(
        response(sections, z, dt), expected, atol=1e-6 * np.abs(expected).max()
    )


def test_the_kinds_of_sections():
    def kinds(synapse):
        return [type(s) for s in filter_sections(*synapse._get_ss(0.001))]

    assert kinds(SYNAPSES["alpha"]) == [Alpha]
    assert kinds(SYNAPSES["complex pair"]) == [Resonance]
    assert sorted(k.__name__ for k in kinds(SYNAPSES["third order"])) == ["Lowpass", "Resonance"]
    assert kinds(SYNAPSES["highpass"]) == [Lowpass, Lowpass]


def test_what_cannot_be_expressed():
    unstable = nengo.LinearFilter([1], [1, -1.5], analog=False)
    assert filter_sections(*unstable._get_ss(0.001)) is None
    triple = nengo.Lowpass(0.01).combine(nengo.Lowpass(0.01)).combine(nengo.Lowpass(0.01))
    assert filter_sections(*triple._get_ss(0.001)) is None
    late = nengo.LinearFilter([1], [1, 0, 0, 0], analog=False)
    assert filter_sections(*late._get_ss(0.001)) is None

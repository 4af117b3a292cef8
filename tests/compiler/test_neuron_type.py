import pickle

import nengo
import numpy as np
import pytest

import spikeloom
from spikeloom import Input, Kernel, Parameter, State, constant, maximum, neuron_type, scaled
from spikeloom.compiler.errors import KernelError


@neuron_type
class Leaky(Kernel):
    """Leaky integrate-and-fire with a reset to -1."""

    emits = "events"
    tau = Parameter(low=1e-4, default=0.02, unit="s")
    reset = Parameter(low=-2, high=0, default=-1.0)
    current = Input(range=(-1024, 1024), fraction=16)
    voltage = State(range=(-4, 1024), fraction=20)

    def step(self, state, current, dt):
        voltage = state.voltage + (current - state.voltage) * scaled(dt / self.tau, bound=1)
        voltage = maximum(voltage, -2)
        spike = voltage > 1
        reset = constant(self.reset, range=(-2, 0), fraction=20, like=voltage)
        return spike, {"voltage": spikeloom.select(spike, reset, voltage)}


@neuron_type
class Square(Kernel):
    """A rate neuron."""

    current = Input(range=(-64, 64), fraction=12)

    def step(self, state, current, dt):
        positive = maximum(current, 0)
        return positive * positive, {}

    def output_limit(self, input_limit, dt):
        return min(input_limit, 64) ** 2


def network(kind, **arguments):
    with nengo.Network(seed=3) as net:
        stimulus = nengo.Node(lambda t: np.sin(10 * t), label="stimulus")
        n = 40
        a = nengo.Ensemble(
            n, 1, neuron_type=kind, gain=np.linspace(2, 4, n), bias=np.linspace(0, 3, n), label="a"
        )
        nengo.Connection(stimulus, a, synapse=None)
        net.decoded = nengo.Probe(a, synapse=0.02)
        net.output = nengo.Probe(a.neurons)
        net.voltage = nengo.Probe(a.neurons, "voltage") if kind.state else None
    return net


def run(simulator, net, **options):
    with simulator(net, progress_bar=False, **options) as sim:
        sim.run(0.5)
    return sim


@pytest.mark.parametrize("engine", ["golden", "native"])
def test_spiking_type_in_nengo_and_on_the_chip(engine):
    net = network(Leaky(tau=0.01, amplitude=2))
    floating, fixed = run(nengo.Simulator, net), run(spikeloom.Simulator, net, engine=engine)
    assert fixed.placement.count("ensemble", "chip") == 40
    spikes = floating.data[net.output]
    assert set(np.unique(spikes)) == {0, 2000}
    assert floating.data[net.voltage].min() < -0.5
    rates = [(s.data[net.output] > 0).mean(axis=0) / s.dt for s in (floating, fixed)]
    assert np.sqrt(np.mean((rates[0] - rates[1]) ** 2)) < 1
    np.testing.assert_allclose(fixed.data[net.decoded], floating.data[net.decoded], atol=0.05)


def test_step_is_what_the_equations_say():
    floating = run(nengo.Simulator, network(Leaky(tau=0.01)))
    net = network(Leaky(tau=0.01))
    with nengo.Simulator(net, progress_bar=False) as sim:
        gain, bias = sim.data[net.ensembles[0]].gain, sim.data[net.ensembles[0]].bias
        encoders = sim.data[net.ensembles[0]].encoders[:, 0]
    voltage, recorded = np.zeros(40), []
    for t in 0.001 * np.arange(1, 501):
        current = gain * encoders * np.sin(10 * t) + bias
        voltage = np.maximum(voltage + 0.1 * (current - voltage), -2)
        voltage[voltage > 1] = -1
        recorded.append(voltage.copy())
    probe = next(p for p in floating.model.probes if p.attr == "voltage")
    np.testing.assert_allclose(floating.data[probe], recorded, atol=1e-9)


def test_rate_type():
    net = network(Square(amplitude=3))
    floating, fixed = run(nengo.Simulator, net), run(spikeloom.Simulator, net, engine="golden")
    assert fixed.placement.count("ensemble", "chip") == 40
    gain, bias = np.linspace(2, 4, 40), np.linspace(0, 3, 40)
    encoders = floating.data[net.ensembles[0]].encoders[:, 0]
    current = gain * encoders * np.sin(10 * 0.001) + bias
    np.testing.assert_allclose(floating.data[net.output][0], 3 * np.maximum(current, 0) ** 2)
    np.testing.assert_allclose(fixed.data[net.output], floating.data[net.output], atol=0.05)


def test_tuning_is_found_from_the_equations():
    with nengo.Network(seed=1) as net:
        a = nengo.Ensemble(20, 1, neuron_type=Leaky(), max_rates=nengo.dists.Uniform(40, 60))
        nengo.Connection(a, nengo.Node(size_in=1))
    with nengo.Simulator(net, progress_bar=False) as sim:
        pass
    rates = a.neuron_type.rates(1.0, sim.data[a].gain, sim.data[a].bias)
    assert 35 < rates.min() <= rates.max() < 65


def test_initial_states():
    uniform = nengo.dists.Uniform(0.2, 0.4)

    class Kernel2(Leaky.kernel_class):
        pass

    kind = neuron_type(Kernel2, {"voltage": uniform})
    with nengo.Network(seed=1) as net:
        a = nengo.Ensemble(50, 1, neuron_type=kind(), gain=np.ones(50), bias=np.zeros(50))
        b = nengo.Ensemble(
            50, 1, neuron_type=kind(initial_state={"voltage": nengo.dists.Choice([0.7])}),
            gain=np.ones(50), bias=np.zeros(50),
        )  # fmt: skip
        nengo.Probe(a.neurons, "voltage")
    sim = nengo.Simulator(net, progress_bar=False)
    first = sim.model.sig[a.neurons]["voltage"].initial_value
    assert first.min() >= 0.2
    assert first.max() <= 0.4
    assert set(sim.model.sig[b.neurons]["voltage"].initial_value) == {0.7}


def test_initial_states_are_declared_with_the_state():
    @neuron_type
    class Begins(Kernel):
        emits = "events"
        payload_bits = 1
        current = Input(range=(-8, 8))
        mem_v2 = State(range=(-8, 8), initial=(0.25, 0.75))
        _trace = State(range=(0, 1), initial=0.5)
        clock = State(range=(0, 100), fraction=4, unit="step", initial=0.02)

        def step(self, state, current, dt):
            v = state.mem_v2 + current * scaled(dt, bound=1)
            spike = v > 1
            return spike, {
                "mem_v2": spikeloom.select(spike, 0, v),
                "_trace": state._trace,
                "clock": maximum(state.clock - 1, 0),
            }

    with nengo.Network(seed=1) as net:
        a = nengo.Ensemble(30, 1, neuron_type=Begins(), gain=np.ones(30), bias=np.zeros(30))
        probes = {s: nengo.Probe(a.neurons, s) for s in ("mem_v2", "_trace", "clock")}
    for simulator in (nengo.Simulator, spikeloom.Simulator):
        sim = run(simulator, net)
        first = sim.data[probes["mem_v2"]][0]
        assert 0.25 <= first.min() < 0.3 < 0.7 < first.max() <= 0.75
        assert set(sim.data[probes["_trace"]].ravel()) == {0.5}
        # in the equations it counts steps, outside seconds: 20 of them, one of which has passed
        np.testing.assert_allclose(sim.data[probes["clock"]][[0, 10, 30], 0], [0.019, 0.009, 0])
    with pytest.raises(KernelError, match="begins at 3, outside its range"):

        @neuron_type
        class Outside(Begins.kernel_class):
            mem_v2 = State(range=(-1, 1), initial=3)


def test_rates_by_a_formula():
    @neuron_type
    class Known(Leaky.kernel_class):
        def rates(self, current):
            above = np.maximum(current - 1, 1e-9)
            return 1 / (self.tau * np.log1p(2 / above))

    kind = Known(tau=0.05, amplitude=2)
    found = kind.rates([2.0, 3.0], [1.0, 2.0], [0.0, 1.0])
    current = np.array([[2.0, 5.0], [3.0, 7.0]])
    np.testing.assert_allclose(found, 2 / (0.05 * np.log1p(2 / (current - 1))))
    # the same without a formula is counted: slower by the steps' length
    counted = Leaky(tau=0.05, amplitude=2).rates([2.0, 3.0], [1.0, 2.0], [0.0, 1.0])
    np.testing.assert_allclose(counted, found, rtol=0.05)


def test_rates_of_a_rate_type_with_states():
    @neuron_type
    class Slow(Kernel):
        current = Input(range=(-8, 8))
        y = State(range=(-8, 8))

        def step(self, state, current, dt):
            y = state.y + (current - state.y) * scaled(dt / 0.01, bound=1)
            return y, {"y": y}

    np.testing.assert_allclose(Slow().rates([0.5, 1.0], [1.0], [0.5])[:, 0], [1.0, 1.5], atol=1e-3)


def test_names_that_nengo_needs():
    class Odd(Leaky.kernel_class):
        gain_bias = Parameter(default=1.0)

    with pytest.raises(KernelError, match="Nengo uses 'gain_bias' itself, rename it"):
        neuron_type(Odd)


def test_types_are_equal_by_their_parameters_and_can_be_pickled():
    assert Leaky(tau=0.01) == Leaky(tau=0.01) != Leaky(tau=0.03)
    assert pickle.loads(pickle.dumps(Leaky(tau=0.01))) == Leaky(tau=0.01)


def test_mistakes():
    with pytest.raises(KernelError, match="Leaky has no parameter 'tua'"):
        Leaky(tua=0.1)
    with pytest.raises(KernelError, match="outside"):
        Leaky(tau=0)
    with pytest.raises(KernelError, match="Leaky has no state 'v'"):
        neuron_type(Leaky.kernel_class, {"v": nengo.dists.Choice([0])})

    class Loud(Leaky.kernel_class):
        amplitude = Parameter(default=1.0)

    with pytest.raises(KernelError, match="Nengo uses 'amplitude' itself, rename it"):
        neuron_type(Loud)

"""Learning rules of the language of rules in Nengo, in float."""

import nengo
import numpy as np
import pytest

import spikeloom
from spikeloom import Error, Parameter, Post, Pre, Rule, Weight, rule_type, scaled
from spikeloom.compiler.errors import KernelError
from spikeloom.compiler.kernels.rules.bcm import BCM
from spikeloom.compiler.kernels.rules.oja import Oja
from spikeloom.compiler.kernels.rules.pes import PES
from spikeloom.compiler.kernels.rules.voja import Voja

TAU = 0.007
STEPS = 300


class FilteredPES(PES):
    """PES with a filtered activity."""

    tau = Parameter(low=1e-3, default=TAU, unit="s")
    activity = Pre("activity", tau="tau")


class FilteredOja(Oja):
    """Oja with filtered activities."""

    tau = Parameter(low=1e-3, default=TAU, unit="s")
    pre_activity = Pre("activity", tau="tau")
    post_activity = Post("activity", tau="tau")


class FilteredBCM(BCM):
    """BCM with filtered activities."""

    tau = Parameter(low=1e-3, default=TAU, unit="s")
    tau_theta = Parameter(low=1e-3, default=0.3, unit="s")
    pre_activity = Pre("activity", tau="tau")
    post_activity = Post("activity", tau="tau")
    theta = Post("activity", tau="tau_theta")


class FilteredVoja(Voja):
    """Voja with a filtered activity."""

    tau = Parameter(low=1e-3, default=TAU, unit="s")
    post_activity = Post("activity", tau="tau")


def learned(kind, rule, error=None):
    """Weights in each step of a connection that learns by `rule`."""
    with nengo.Network(seed=3) as network:
        source = nengo.Node(lambda t: [np.sin(20 * t), np.cos(13 * t)])
        a = nengo.Ensemble(25, 2)
        b = nengo.Ensemble(15, 2, radius=1.4)
        nengo.Connection(source, a)
        if kind == "decoders":
            made = nengo.Connection(a, b, learning_rule_type=rule)
        elif kind == "full":
            solver = nengo.solvers.LstsqL2(weights=True)
            made = nengo.Connection(a, b, solver=solver, learning_rule_type=rule)
        elif kind == "neurons":
            weights = np.random.RandomState(1).uniform(0, 1e-3, (15, 25))
            nengo.Connection(source, b)
            made = nengo.Connection(
                a.neurons, b.neurons, transform=weights, learning_rule_type=rule
            )
        else:
            made = nengo.Connection(a, b, learning_rule_type=rule)
        if error is not None:
            nengo.Connection(nengo.Node(error), made.learning_rule, synapse=None)
        shown = b if kind == "encoders" else made
        what = nengo.Probe(shown, "scaled_encoders" if kind == "encoders" else "weights")
    with nengo.Simulator(network, progress_bar=False) as sim:
        sim.run_steps(STEPS)
        return sim.data[what]


def error(t):
    return [np.sin(30 * t), 0.5]


@pytest.mark.parametrize(
    "kind, ours, nengos, signal, nengos_signal",
    [
        (
            "decoders",
            lambda: rule_type(FilteredPES)(learning_rate=1e-3, neurons=25),
            lambda: nengo.PES(1e-3, pre_synapse=TAU),
            error,
            error,
        ),
        (
            "full",
            lambda: rule_type(PES)(learning_rate=1e-3, neurons=25),
            lambda: nengo.PES(1e-3, pre_synapse=None),
            error,
            error,
        ),
        (
            "neurons",
            lambda: rule_type(FilteredOja)(learning_rate=1e-7, beta=3.0),
            lambda: nengo.Oja(1e-7, pre_synapse=TAU, beta=3.0),
            None,
            None,
        ),
        (
            "neurons",
            lambda: rule_type(FilteredBCM)(learning_rate=1e-10),
            lambda: nengo.BCM(1e-10, pre_synapse=TAU, theta_synapse=0.3),
            None,
            None,
        ),
        (
            "encoders",
            lambda: rule_type(FilteredVoja)(learning_rate=1e-3),
            lambda: nengo.Voja(1e-3, post_synapse=TAU),
            lambda t: 1 + np.sin(t),
            np.sin,
        ),
    ],
    ids=["PES", "PES on full weights", "Oja", "BCM", "Voja"],
)
def test_like_nengos_own(kind, ours, nengos, signal, nengos_signal):
    made, wanted = learned(kind, ours(), signal), learned(kind, nengos(), nengos_signal)
    scale = np.abs(wanted).max()
    assert np.abs(wanted[-1] - wanted[0]).max() > 1e-3 * scale
    assert np.abs(made - wanted).max() < 1e-9 * scale


# -- rules that Nengo does not have, against loops ------------------------------------------------


def recorded(rule, weights, post_type=None, error=None, dt=0.001, decoders=False, seed=5):
    """A run with a learned connection: weights, spikes and pre voltages of each step, states."""
    with nengo.Network(seed=seed) as network:
        source = nengo.Node(lambda t: [np.sin(25 * t), np.cos(17 * t)])
        lif = spikeloom.LIF(tau_rc=0.02, tau_ref=0.002, min_voltage=-1, reset=-1)
        a = nengo.Ensemble(weights.shape[1], 2, neuron_type=lif)
        nengo.Connection(source, a)
        if decoders:
            b = nengo.Node(size_in=len(weights))
            made = nengo.Connection(a.neurons, b, transform=weights, learning_rule_type=rule)
        else:
            b = nengo.Ensemble(len(weights), 2)
            nengo.Connection(source, b)
            made = nengo.Connection(
                a.neurons, b.neurons, transform=weights, learning_rule_type=rule
            )
            post = nengo.Probe(b.neurons)
        if error is not None:
            nengo.Connection(nengo.Node(error), made.learning_rule, synapse=None)
        shown, pre = nengo.Probe(made, "weights"), nengo.Probe(a.neurons)
        voltage = nengo.Probe(a.neurons, "voltage")
    with nengo.Simulator(network, dt=dt, progress_bar=False) as sim:
        states = {
            name: signal.initial_value.copy()
            for name, signal in sim.model.sig[made.learning_rule].items()
            if name in ("plus", "minus", "plus_device", "minus_device")
        }
        sim.run_steps(STEPS)
        fired = np.zeros((STEPS, len(weights))) if decoders else sim.data[post] > 0
        return sim.data[shown], sim.data[pre] > 0, fired, sim.data[voltage], states


def uniform(shape, seed=2):
    return np.random.RandomState(seed).uniform(0.1, 0.9, shape)


@pytest.mark.parametrize("dt", [0.001, 0.002])
def test_stdp(dt):
    parameters = {"a_plus": 0.02, "a_minus": 0.03, "tau_plus": 0.015, "tau_minus": 0.03}
    start = uniform((6, 9))
    weights, pre, post, _, _ = recorded(spikeloom.STDP(**parameters), start, dt=dt)
    w = start.copy()
    pre_trace, post_trace = [0.0] * 9, [0.0] * 6
    for n in range(STEPS):
        # Nengo's filters see a spike in its own step, already scaled by 1 - exp(-dt/tau).
        pre_trace = [x * np.exp(-dt / 0.015) + s for x, s in zip(pre_trace, pre[n], strict=True)]
        post_trace = [x * np.exp(-dt / 0.03) + s for x, s in zip(post_trace, post[n], strict=True)]
        assert np.abs(weights[n] - w).max() < 1e-9
        for j in range(6):
            for i in range(9):
                w[j, i] += 0.02 * pre_trace[i] * post[n, j] - 0.03 * post_trace[j] * pre[n, i]
                w[j, i] = min(max(w[j, i], 0.0), 1.0)
    assert np.abs(weights[-1] - start).max() > 0.1


@pytest.mark.parametrize("alpha", [0.0, 2.0])
def test_vdsp(alpha):
    start = uniform((6, 9))
    rule = spikeloom.VDSP(learning_rate=0.1, alpha=alpha)
    weights, _, post, voltage, _ = recorded(rule, start)
    w = start.copy()
    for n in range(STEPS):
        assert np.abs(weights[n] - w).max() < 1e-9
        for j in np.flatnonzero(post[n]):
            for i in range(9):
                v, x = voltage[n, i], w[j, i]
                if v < 0:
                    x += 0.1 * np.exp(-alpha * x) * (1 - x) * (np.exp(-v) - 1)
                elif v > 0:
                    x -= 0.1 * np.exp(alpha * (x - 1)) * x * (np.exp(v) - 1)
                w[j, i] = min(max(x, 0.0), 1.0)
    assert post.sum() > 20
    assert np.abs(weights[-1] - start).max() > 0.1


class Device:
    """A memristor of the bidirectional power law, in ohms."""

    r_min, r_max, r_3, a, c, pulses = 200.0, 2.3e8, 2.5e8, -0.146, -0.146, 65536

    def __init__(self, normalised):
        first, last = 1 / (self.r_min + self.r_max), 1 / (self.r_min + self.r_max * 65536**self.a)
        self.first, self.span = first, last - first
        self.r = 1 / (first + normalised * self.span)

    def pulse(self, positive):
        if positive:
            n = ((self.r - self.r_min) / self.r_max) ** (1 / self.a)
            r = self.r + self.r_max * self.a * n ** (self.a - 1)
        else:
            n = ((self.r_3 - self.r) / self.r_3) ** (1 / self.c)
            r = self.r - self.r_3 * self.c * n ** (self.c - 1)
        before = self.normalised()
        self.r = min(r, self.r_min + self.r_max)
        return self.normalised() - before

    def normalised(self):
        return (1 / self.r - self.first) / self.span


@pytest.mark.parametrize("spread", [None, 0.3])
def test_memristors(spread):
    kind = spikeloom.MPES if spread is None else spikeloom.VariedMPES
    rule = kind(gain=0.5, dead_zone=0.4, **({} if spread is None else {"spread": spread}))
    errors = np.array([[np.sin(n / 15), np.cos(n / 9), 0.1] for n in range(1, STEPS + 1)])
    start = np.zeros((3, 8))
    weights, pre, _, _, states = recorded(
        rule, start, error=lambda t: errors[min(round(t * 1000), STEPS) - 1], decoders=True
    )
    assert {0.2 <= s.min() < s.max() <= 0.25 for n, s in states.items() if "_" not in n} == {True}
    plus = [[Device(g) for g in row] for row in states["plus"]]
    minus = [[Device(g) for g in row] for row in states["minus"]]
    w = start.copy()
    for n in range(STEPS):
        assert np.abs(weights[n] - w).max() < 1e-9
        for j in np.flatnonzero(np.abs(errors[n]) > 0.4):
            for i in np.flatnonzero(pre[n]):
                raising = errors[n, j] < 0
                up, down = plus[j][i].pulse(raising), minus[j][i].pulse(not raising)
                if spread is not None:
                    up *= 1 + spread * states["plus_device"][j, i]
                    down *= 1 + spread * states["minus_device"][j, i]
                w[j, i] += 0.5 * (up - down)
    assert np.abs(weights[-1][:2]).max(axis=1).min() > 1e-3
    assert not np.any(weights[-1][2])  # its error stays within the dead zone


def test_devices_are_drawn_from_the_seed():
    rule = spikeloom.VariedMPES()
    drawn = [
        recorded(rule, np.zeros((3, 8)), error=lambda t: [0] * 3, decoders=True, seed=seed)[4]
        for seed in (1, 1, 2)
    ]
    for name in ("plus", "minus", "plus_device", "minus_device"):
        assert np.array_equal(drawn[0][name], drawn[1][name])
        assert not np.array_equal(drawn[0][name], drawn[2][name])
    assert np.std(drawn[0]["plus_device"]) > 0.3


# -- what cannot work -----------------------------------------------------------------------------


def definition(**body):
    return type("Wrong", (Rule,), body)


def hebb(self, now, dt):
    return {"weight": now.weight + now.x}


def branch(self, now, dt):
    return {"weight": now.weight if now.x > 0 else 0}


@pytest.mark.parametrize(
    "body, message",
    [
        ({"x": Pre("spike"), "step": branch}, "use select"),
        (
            {"x": Pre("spike"), "step": lambda s, n, d: {"weight": np.sin(n.weight)}},
            "sin|table",
        ),
        ({"x": Pre("spike"), "step": lambda s, n, d: {"weight": n.weight / n.x}}, "divide"),
        ({"x": Pre("voltage"), "step": hebb}, "give its range and fraction"),
        ({"x": Pre("voltage", range=(0, np.inf)), "step": hebb}, "not finite"),
        ({"x": Pre("spike"), "weight": Weight((0, np.inf)), "step": hebb}, "not finite"),
        (
            {"x": spikeloom.Synapse((0, 2.0**40), 0), "step": hebb, "weight": Weight((0, 1))},
            "smaller range",
        ),
        (
            {"x": Pre("spike"), "step": hebb, "weight": Weight((0, 1)), "gate": "post"},
            "declares gate 'post'",
        ),
        (
            {"x": Pre("spike"), "step": hebb, "weight": Weight((0, 1)), "gate": "never"},
            "gate must be one of",
        ),
        ({"x": Pre("activity"), "step": hebb}, "multiplied by scaled"),
        ({"x": Pre("spike"), "step": lambda s, n, d: n.weight}, "must return a dict"),
        (
            {"x": Pre("spike"), "step": lambda s, n, d: {"weight": n.weight, "y": 1}},
            "must return a dict",
        ),
        (
            {"x": Pre("spike"), "step": lambda s, n, d: {"weight": spikeloom.sum_of(n.weight)}},
            "one synapse",
        ),
        ({"x": Pre("spike"), "step": hebb, "modifies": "neurons"}, "modifies must be one of"),
        ({"values": Pre("spike"), "step": hebb}, "rename it"),
        ({"delta": Parameter(default=1), "step": hebb}, "rename it"),
    ],
)
def test_rules_that_cannot_be(body, message):
    with pytest.raises(KernelError, match=message) as caught:
        rule_type(definition(**body))
    assert "\n" not in str(caught.value)


def test_a_mistake_names_its_line():
    with pytest.raises(KernelError, match=r"test_rule_types\.py:\d+.*select"):
        rule_type(definition(x=Pre("spike"), step=branch))


def test_parameters_outside_their_range():
    for values in ({"learning_rate": -1.0}, {"alpha": 9.0}, {"speed": 1.0}):
        with pytest.raises(KernelError):
            spikeloom.VDSP(**values)


@rule_type
class Needy(Rule):
    """Looks at an error and at a voltage."""

    rate = Parameter(default=1e-3)
    weight = Weight(range=(-1, 1))
    error = Error(range=(-1, 1), fraction=12)
    voltage = Post("voltage", range=(0, 1), fraction=12)

    def step(self, now, dt):
        return {"weight": now.weight + now.error * now.voltage * scaled(self.rate)}


@pytest.mark.parametrize(
    "post_type, message",
    [
        (nengo.LIF(), None),
        (nengo.LIFRate(), "LIFRate neurons have only: no states"),
    ],
)
def test_states_that_neurons_have(post_type, message):
    with nengo.Network(seed=0) as network:
        a, b = nengo.Ensemble(5, 1), nengo.Ensemble(4, 1, neuron_type=post_type)
        made = nengo.Connection(
            a.neurons, b.neurons, transform=np.zeros((4, 5)), learning_rule_type=Needy()
        )
        nengo.Connection(nengo.Node([1]), made.learning_rule, transform=np.ones((1, 1)))
        delta = nengo.Probe(made.learning_rule, "delta")
    if message is None:
        with nengo.Simulator(network, progress_bar=False) as sim:
            sim.run_steps(50)
        assert np.any(sim.data[delta])
    else:
        with pytest.raises(KernelError, match=message):
            nengo.Simulator(network, progress_bar=False)


def test_rules_need_spiking_neurons():
    with nengo.Network() as network:
        a, b = nengo.Ensemble(5, 1), nengo.Ensemble(4, 1, neuron_type=nengo.LIFRate())
        nengo.Connection(
            a.neurons, b.neurons, transform=np.zeros((4, 5)), learning_rule_type=spikeloom.STDP()
        )
    with pytest.raises(KernelError, match="have rates; use spiking neurons"):
        nengo.Simulator(network, progress_bar=False)

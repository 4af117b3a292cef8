"""Each rule of the advice: where it speaks, and where it must not."""

import json
from dataclasses import replace

import nengo
import numpy as np
import pytest

from spikeloom.cli import main
from spikeloom.compiler.frontends.nengo.step_neurons import StepLIF
from spikeloom.compiler.frontends.nengo.streams import Present, Recording
from spikeloom.compiler.machine import Machine
from spikeloom.runtime.deployment import deploy
from spikeloom.runtime.explain.tables import WeightTable, row_errors
from spikeloom.runtime.report.advice import RULES, advise, rising, unscaled
from spikeloom.runtime.report.measured import Layer, Link, Measured
from spikeloom.runtime.report.page import render_report

NUMBERS = np.random.default_rng(0)
RATES = NUMBERS.uniform(40, 120, 50)
LAYER = Layer("hidden", RATES, amplitude=0.01, tau_ref=0.002)
LINK = Link("hidden -> out", 0.005, 10.0)
WEIGHTS = NUMBERS.normal(size=1000)


def table(weights, bits=18):
    """Weights (10, n) as integers at the finest scale."""
    weights = weights.reshape(10, -1)
    fraction = bits - 1 - int(np.ceil(np.log2(np.abs(weights).max())))
    stored = np.rint(weights * 2.0**fraction).astype(np.int64)
    errors = row_errors(weights, fraction, Machine())
    floats = weights.ravel()
    return WeightTable("in", "hidden", "w", (10, 100), fraction, floats, stored.ravel(), 0, errors)


HEALTHY = Measured(
    seconds=1.0,
    presentation=0.1,
    dt=0.001,
    layers=[LAYER],
    links=[LINK],
    tables=[table(WEIGHTS)],
    cycles={"hidden": 4000.0, "out": 3000.0},
)


def given(measured):
    return {advice.rule: advice for advice in advise(measured)}


def test_a_network_in_order_gets_none():
    assert advise(HEALTHY) == []


def with_layer(**changes):
    return replace(HEALTHY, layers=[replace(LAYER, **changes)])


def with_rates(share, rate):
    rates = RATES.copy()
    rates[: round(share * len(rates))] = rate
    return with_layer(rates=rates)


FOUND = {
    # rule: (what must be found, with its number), and what is just in order
    "silent": ((with_rates(0.8, 20.0), 0.8), with_rates(0.6, 20.0)),
    "saturated": ((with_rates(0.1, 450.0), 0.1), with_rates(0.1, 390.0)),
    "coarse": (
        (replace(HEALTHY, tables=[table(WEIGHTS, 5)]), 1.0),
        replace(HEALTHY, tables=[table(WEIGHTS, 10)]),
    ),
    "amplitude": (
        (with_layer(amplitude=1.0), pytest.approx(RATES.max())),
        with_layer(amplitude=0.1),
    ),
    "unfiltered": (
        (replace(HEALTHY, links=[replace(LINK, synapse=None)]), 10.0),
        replace(HEALTHY, links=[replace(LINK, synapse=None, intended=True)]),
    ),
    "short": ((replace(HEALTHY, links=[replace(LINK, synapse=0.05)]), 2.0),
              replace(HEALTHY, links=[replace(LINK, synapse=0.03)])),
    "dominant": (
        (replace(HEALTHY, cycles={"hidden": 18000.0, "out": 2000.0}), 0.9),
        replace(HEALTHY, cycles={"hidden": 14000.0, "out": 6000.0}),
    ),
}  # fmt: skip


def test_every_rule_is_tested():
    assert FOUND.keys() == RULES.keys()


@pytest.mark.parametrize("rule", RULES)
def test_both_sides_of_a_rule(rule):
    (wanting, number), in_order = FOUND[rule]
    found = given(wanting)
    assert list(found) == [rule]
    advice = found[rule]
    assert advice.number == number
    assert any(character.isdigit() for character in advice.what)
    assert advice.remedy
    assert advice.subject in str(advice)
    assert "\n" not in str(advice)
    assert given(in_order) == {}


def test_other_things_that_are_in_order():
    silent = with_rates(0.8, 20.0)
    assert given(replace(silent, layers=[replace(silent.layers[0], learns=True)])) == {}
    assert given(replace(silent, presentation=0.2)) == {}
    assert list(given(with_layer(amplitude=1e-4))) == ["amplitude"]
    assert given(with_layer(amplitude=1.0, raw=False)) == {}
    assert given(Measured(0.0, None, 0.001)) == {}
    fast = with_rates(0.1, 450.0)
    assert given(replace(fast, layers=[replace(fast.layers[0], tau_ref=None)])) == {}
    assert given(replace(HEALTHY, links=[replace(LINK, synapse=None, filtered=True)])) == {}
    assert given(replace(HEALTHY, cycles={"hidden": 9000.0, "out": 10.0})) == {}
    assert given(replace(HEALTHY, cycles={"hidden": 90000.0})) == {}


def test_weights_beside_much_larger_ones_and_clipped_ones():
    # Nine neurons of ten have weights of a hundred thousandth of those of the other one.
    uneven = WEIGHTS.reshape(10, -1) * np.array([1, *[1e-5] * 9])[:, None]
    uneven_table = table(uneven)
    assert uneven_table.error < 1e-4
    (advice,) = advise(replace(HEALTHY, tables=[uneven_table]))
    assert advice.number == 0.9
    assert "for 90 % of its 10 targets" in advice.what
    # A neuron with one large weight is told by that weight; so is a single neuron of many.
    one_large = WEIGHTS.reshape(10, -1).copy()
    one_large[:, 0] = 300.0
    assert advise(replace(HEALTHY, tables=[table(one_large)])) == []
    clipped = replace(table(WEIGHTS), clipped=3)
    (advice,) = advise(replace(HEALTHY, tables=[clipped]))
    assert advice.number == 3


def test_errors_of_rows():
    weights = np.array([[0.5, 0.25], [0.0, 0.0], [0.3, -0.1]])
    found = row_errors(weights, 3, Machine())
    wrong = np.array([0.25 - 0.3, -0.125 + 0.1])
    expected = np.sqrt((wrong**2).sum() / (0.3**2 + 0.1**2))
    np.testing.assert_allclose(found, [0, expected])


def test_accuracy_that_still_rises():
    times = [10, 20, 30, 40]
    (advice,) = rising(times, [0.2, 0.4, 0.6, 0.7], 1000)
    assert advice.number == pytest.approx(0.1)
    assert "10.0 points" in advice.what
    assert rising(times, [0.2, 0.9, 0.951, 0.96], 1000) == []
    assert rising(times, [0.2, 0.4, 0.6, 0.7], 20) == []  # chance alone may do this
    assert rising([1], [0.9], 100) == []


def test_images_left_as_bytes():
    (advice,) = unscaled(np.array([[0, 255.0]]), 0.1)
    assert advice.number == 255
    assert unscaled(np.array([[0, 255.0]]), 0.9) == []
    assert unscaled(np.array([[0, 1.0]]), 0.1) == []


def network(synapse=0.005, amplitude=0.01, gain=1.0, bias=40.0, tau_ref=0.002):
    rng = np.random.default_rng(1)
    kind = nengo.LIF(amplitude=amplitude, tau_ref=tau_ref)
    gains, biases = kind.gain_bias(rng.uniform(60, 120, 40), rng.uniform(-1, 0, 40))
    with nengo.Network(label="net", seed=1) as net:
        shown = nengo.processes.PresentInput(rng.uniform(0.2, 1, size=(4, 10)), 0.1)
        image = nengo.Node(shown, label="image")
        hidden = nengo.Ensemble(
            40, 1, gain=gains * gain, bias=biases * gain, neuron_type=kind, label="hidden"
        )
        weights = rng.uniform(-0.1, 0.2, size=(40, 10))
        nengo.Connection(image, hidden.neurons, transform=weights, synapse=None)
        out = nengo.Node(size_in=5, label="out")
        readout = rng.normal(size=(5, 40))
        nengo.Connection(hidden.neurons, out, transform=readout, synapse=synapse)
        nengo.Probe(out)
    return net


def advice_for(net):
    return {advice.rule for advice in deploy(net, seconds=0.4, engine="golden").findings.advice}


def test_measured_networks():
    assert advice_for(network()) == set()
    assert advice_for(network(synapse=None)) == {"unfiltered"}
    assert advice_for(network(amplitude=1.0)) == {"amplitude"}
    assert advice_for(network(synapse=0.05)) == {"short"}
    assert advice_for(network(gain=0.5)) == {"silent"}
    assert advice_for(network(gain=60.0)) == {"saturated"}


def test_rates_are_those_that_were_probed():
    net = network()
    with net:
        spikes = nengo.Probe(net.ensembles[0].neurons, label="spikes")
    found = deploy(net, seconds=0.3, engine="golden")
    (layer,) = found.findings.measured.layers
    comparison = next(c for c in found.findings.comparisons if c.name == spikes.label)
    np.testing.assert_allclose(layer.rates, (comparison.fixed > 0).sum(axis=0) / 0.3)
    cycles = found.findings.measured.cycles
    assert set(cycles) == {"hidden", "hidden -> out.synapse"}
    assert sum(cycles.values()) < found.data["cycles"]["mean"]


def test_how_long_something_is_presented():
    def found(output):
        net = network()
        net.nodes[0].output = output
        return deploy(net, seconds=0.2, engine="golden").findings.measured.presentation

    images = np.random.default_rng(2).uniform(size=(3, 10))
    assert found(nengo.processes.PresentInput(images, 0.05)) == 0.05
    assert found(Present(images, 30)) == pytest.approx(0.03)
    assert found(Recording(np.repeat(images, 40, axis=0))) == pytest.approx(0.04)
    assert found(Recording(images)) is None
    assert found(nengo.processes.PresentInput(images, 0.001)) is None
    assert found(images[0]) is None


def test_spikes_that_a_later_synapse_filters():
    net = network(synapse=None)
    (probe,) = net.all_probes
    probe.synapse = nengo.Lowpass(0.01)
    assert advice_for(net) == set()
    with net:
        function = nengo.Node(lambda t, x: None, size_in=5)
        nengo.Connection(net.nodes[1], function, synapse=None)
    assert advice_for(net) == {"unfiltered"}


def test_neurons_that_are_trained_without_synapses():
    net = network(synapse=None)
    net.ensembles[0].neuron_type = StepLIF(time_step=0.001, leak=0.05)
    assert "unfiltered" not in advice_for(net)


def test_report_and_command(tmp_path, capsys):
    deployment = deploy(network(synapse=None), seconds=0.2, engine="golden")
    page = render_report(deployment.findings, deployment.data)
    assert "<h2>Advice</h2>" in page
    assert "hidden -&gt; out" in page
    for caption in (
        "Firing rates of each layer",
        "Rounding errors of weights",
        "Clock cycles of a",
    ):
        assert caption in page
    (entry,) = deployment.data["advice"]
    assert entry["rule"] == "unfiltered"
    healthy = deploy(network(), seconds=0.2, engine="golden")
    assert "Nothing: rates, weights" in render_report(healthy.findings, healthy.data)
    model = tmp_path / "model.py"
    model.write_text(
        "import nengo, numpy as np\n"
        "with nengo.Network(label='m', seed=1) as model:\n"
        "    a = nengo.Node(nengo.processes.PresentInput(np.eye(2) * 0.5, 0.05), label='a')\n"
        "    b = nengo.Ensemble(20, 2, label='b')\n"
        "    c = nengo.Ensemble(20, 2, label='c')\n"
        "    nengo.Connection(a, b)\n"
        "    nengo.Connection(b, c, synapse=None)\n"
        "    p = nengo.Probe(c, synapse=0.01)\n"
    )
    arguments = ["compile", str(model), "-o", str(tmp_path / "out"), "--engine", "golden"]
    assert main([*arguments, "--compare", "0.2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    (line,) = (x for x in lines if x.startswith("advice:") and "without a synapse" in x)
    assert "b -> c: spikes pass without a synapse: 1000 in one step" in line
    data = json.loads((tmp_path / "out" / "report.json").read_text())
    assert "unfiltered" in {entry["rule"] for entry in data["advice"]}

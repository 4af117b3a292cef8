"""Each node of NIR against its equations, written down once more without Nengo."""

import nir
import numpy as np
import pytest
import scipy.signal
from nir_graphs import DT, chain, graph, lif, output, outputs, spikes
from numpy.testing import assert_allclose, assert_array_equal

import spikeloom
from spikeloom.compiler.frontends.frozen.file import FrozenModel, load_frozen, save_frozen
from spikeloom.compiler.frontends.nir.network import import_nir
from spikeloom.compiler.instructions import Cnv

N, STEPS = 6, 80
RNG = np.random.default_rng(3)
CURRENT = RNG.uniform(-1, 4, (STEPS, N))


def own(low, high, n=N):
    return np.linspace(low, high, n)


def same(value, n=N):
    return np.full(n, float(value))


def conv2d(x, weight, bias, stride, padding, dilation, groups):
    """Cross-correlation of (c, h, w) values as PyTorch defines it, with SciPy."""
    c_out, c_in, kh, kw = weight.shape
    wide = np.zeros((c_out, c_in, dilation[0] * (kh - 1) + 1, dilation[1] * (kw - 1) + 1))
    wide[:, :, :: dilation[0], :: dilation[1]] = weight
    x = np.pad(x, ((0, 0), *((p, p) for p in padding)))
    found = []
    for o in range(c_out):
        first = o // (c_out // groups) * c_in
        planes = [scipy.signal.correlate2d(x[first + i], wide[o, i], "valid") for i in range(c_in)]
        found.append(np.sum(planes, axis=0)[:: stride[0], :: stride[1]] + bias[o])
    return np.array(found)


@pytest.mark.parametrize("varied", [False, True])
@pytest.mark.parametrize("method", ["euler", "exponential"])
def test_lif(method, varied):
    pick = own if varied else lambda low, high: same((low + high) / 2)
    values = dict(tau=pick(5e-3, 30e-3), r=pick(2, 3), v_leak=pick(-0.2, 0.1))
    values |= dict(v_threshold=pick(0.9, 1.2), v_reset=pick(-0.5, -0.1))
    share = -np.expm1(-DT / values["tau"]) if method == "exponential" else None
    expected = lif(CURRENT, **values, share=share)
    assert expected.sum() > 30
    assert_array_equal(
        output(chain(nir.LIF(**values), shape=[N]), CURRENT, method=method), expected
    )


def test_lif_starts_at_its_leak_voltage_and_may_fire_by_itself():
    node = nir.LIF(tau=same(0.01), r=same(1), v_leak=same(2), v_threshold=same(3), v_reset=same(0))
    given = np.zeros((STEPS, N))
    assert not output(chain(node, shape=[N]), given).any()
    node.v_threshold = same(1.5)
    expected = lif(given, 0.01, 1, 2.0, 1.5, 0.0)
    found = output(chain(node, shape=[N]), given)
    assert found.sum() > 5 * N
    assert_array_equal(found, expected)


def test_if():
    node = nir.IF(r=own(40, 60), v_threshold=own(0.8, 1.2), v_reset=own(0, -0.3))
    v, expected = np.zeros(N), []
    for x in CURRENT:
        v = v + DT * node.r * x
        z = v > node.v_threshold
        v = np.where(z, node.v_reset, v)
        expected.append(z)
    assert np.sum(expected) > 20
    assert_array_equal(output(chain(node, shape=[N]), CURRENT), np.array(expected, float))


@pytest.mark.parametrize("varied", [False, True])
def test_cuba_lif(varied):
    pick = own if varied else lambda low, high: same((low + high) / 2)
    node = nir.CubaLIF(
        tau_syn=pick(2e-3, 9e-3),
        tau_mem=pick(8e-3, 20e-3),
        r=own(1.5, 2.5),
        v_leak=own(0.1, 0.3),
        v_threshold=own(0.9, 1.1),
        v_reset=own(-0.2, 0.0),
        w_in=own(1.0, 1.4),
    )
    v, i, expected = node.v_leak.copy(), np.zeros(N), []
    for x in CURRENT:
        i = i + DT / node.tau_syn * (-i + node.w_in * x)
        v = v + DT / node.tau_mem * (node.v_leak - v + node.r * i)
        z = v > node.v_threshold
        v = np.where(z, node.v_reset, v)
        expected.append(z)
    assert np.sum(expected) > 30
    assert_array_equal(output(chain(node, shape=[N]), CURRENT), np.array(expected, float))


@pytest.mark.parametrize("tau", [same(0.02), own(5e-3, 0.05)])
def test_li_and_i(tau):
    leaky = nir.LI(tau=tau, r=own(1, 2), v_leak=own(-1, 1))
    v, expected = leaky.v_leak.copy(), []
    for x in CURRENT:
        v = v + DT / tau * (leaky.v_leak - v + leaky.r * x)
        expected.append(v)
    assert_allclose(output(chain(leaky, shape=[N]), CURRENT), expected, atol=1e-12)
    found = output(chain(nir.I(r=own(1, 2)), shape=[N]), CURRENT)
    assert_allclose(found, np.cumsum(DT * own(1, 2) * CURRENT, axis=0), atol=1e-12)


def test_cuba_li():
    node = nir.CubaLI(
        tau_syn=own(2e-3, 9e-3), tau_mem=same(0.015), r=own(1, 2), v_leak=own(-1, 1), w_in=2.0
    )
    v, i, expected = node.v_leak.copy(), np.zeros(N), []
    for x in CURRENT:
        i = i + DT / node.tau_syn * (-i + 2 * x)
        v = v + DT / node.tau_mem * (node.v_leak - v + node.r * i)
        expected.append(v)
    assert_allclose(output(chain(node, shape=[N]), CURRENT), expected, atol=1e-12)


def test_threshold():
    found = output(chain(nir.Threshold(own(0.5, 3)), shape=[N]), CURRENT)
    assert 0 < found.mean() < 1
    assert_array_equal(found, own(0.5, 3) < CURRENT)


def test_linear_affine_and_scale():
    weight, bias = RNG.normal(size=(4, N)), RNG.normal(size=4)
    expected = CURRENT @ weight.T
    assert_allclose(output(chain(nir.Linear(weight), shape=[N]), CURRENT), expected, atol=1e-12)
    found = output(chain(nir.Affine(weight, bias), nir.Scale(own(1, 2, 4)), shape=[N]), CURRENT)
    assert_allclose(found, (expected + bias) * own(1, 2, 4), atol=1e-12)


CONVOLUTIONS = [
    dict(stride=1, padding=0),
    dict(stride=1, padding=1),
    dict(stride=1, padding="same"),
    dict(stride=1, padding="valid"),
    dict(stride=2, padding=1),
    dict(stride=(2, 1), padding=(2, 0)),
    dict(stride=3, padding=3),
    dict(stride=1, padding=2, dilation=2),
    dict(stride=1, padding=1, groups=2),
]


@pytest.mark.parametrize("options", CONVOLUTIONS)
def test_conv2d(options):
    options = {"dilation": 1, "groups": 1, **options}
    weight = RNG.normal(size=(4, 4 // options["groups"], 3, 3))
    bias = RNG.normal(size=4)
    given = RNG.normal(size=(3, 4, 9, 7))
    pairs = {k: np.broadcast_to(options[k], 2) for k in ("stride", "dilation")}
    padding = {"same": 1, "valid": 0}.get(options["padding"], options["padding"])
    padding = np.broadcast_to(padding, 2)
    expected = [
        conv2d(x, weight, bias, padding=padding, groups=options["groups"], **pairs).ravel()
        for x in given
    ]
    node = nir.Conv2d(input_shape=None, weight=weight, bias=bias, **options)
    found = output(chain(node, shape=[4, 9, 7]), given)
    assert_allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize("padding", [0, 1, 3])
def test_conv1d(padding):
    weight, given = RNG.normal(size=(2, 3, 3)), RNG.normal(size=(4, 3, 11))
    node = nir.Conv1d(
        input_shape=11,
        weight=weight,
        stride=2,
        padding=padding,
        dilation=1,
        groups=1,
        bias=own(0, 1, 2),
    )
    expected = [
        conv2d(
            x[:, None], weight[:, :, None], own(0, 1, 2), (1, 2), (0, padding), (1, 1), 1
        ).ravel()
        for x in given
    ]
    assert_allclose(output(chain(node, shape=[3, 11]), given), expected, atol=1e-12)


@pytest.mark.parametrize("kind, worth", [(nir.SumPool2d, 1.0), (nir.AvgPool2d, 1 / 6)])
def test_pools_and_flatten(kind, worth):
    node = kind(kernel_size=np.array([2, 3]), stride=np.array([2, 2]), padding=np.array([0, 1]))
    given = RNG.normal(size=(3, 2, 6, 7))
    weight = np.zeros((2, 1, 2, 3)) + worth
    expected = [
        conv2d(x, weight, np.zeros(2), (2, 2), (0, 1), (1, 1), groups=2).ravel() for x in given
    ]
    flatten = nir.Flatten(input_type=None, start_dim=0)
    assert_allclose(output(chain(node, flatten, shape=[2, 6, 7]), given), expected, atol=1e-12)


def test_delay_is_a_number_of_steps_for_each_element():
    delay = np.array([0, 1, 1, 3, 5, 2]) * DT
    found = output(chain(nir.Delay(delay), shape=[N]), CURRENT)
    for i, steps in enumerate([0, 1, 1, 3, 5, 2]):
        assert_array_equal(found[steps:, i], CURRENT[: STEPS - steps, i])
        assert not found[:steps, i].any()


def neurons(n, **other):
    values = dict(tau=same(0.01, n), r=same(8, n), v_leak=same(0, n), v_threshold=same(1, n))
    return nir.LIF(**values, v_reset=same(0, n), **other)


def test_an_edge_that_closes_a_cycle_brings_the_step_before():
    given, weight = spikes((STEPS, N)), RNG.normal(size=(N, N))
    nodes = {
        "in": nir.Input([N]),
        "lif": neurons(N),
        "w": nir.Linear(weight),
        "out": nir.Output([N]),
    }
    edges = [("in", "lif"), ("lif", "w"), ("w", "lif"), ("lif", "out")]
    found = output(graph(nodes, edges), given)
    v, z, expected = np.zeros(N), np.zeros(N), []
    for x in given:
        v = v + 0.1 * (-v + 8 * (x + weight @ z))
        z = (v > 1).astype(float)
        v[z > 0] = 0
        expected.append(z)
    assert np.sum(expected) > 50
    assert_array_equal(found, expected)
    inner = graph(
        {k: nodes[k] for k in ("lif", "w")} | {"i": nodes["in"], "o": nodes["out"]},
        [("i", "lif"), ("lif", "w"), ("w", "lif"), ("lif", "o")],
    )
    outer = {"a": nir.Input([N]), "layer": inner, "z": nir.Output([N])}
    assert_array_equal(output(graph(outer, [("a", "layer"), ("layer", "z")]), given), expected)


def test_a_cycle_with_a_delay_is_as_late_as_the_delay_says():
    given, weight = spikes((STEPS, N)), RNG.normal(size=(N, N))
    nodes = {"in": nir.Input([N]), "lif": neurons(N), "w": nir.Linear(weight)}
    nodes |= {"d": nir.Delay(same(3 * DT)), "out": nir.Output([N])}
    edges = [("in", "lif"), ("lif", "d"), ("d", "w"), ("w", "lif"), ("lif", "out")]
    found = output(graph(nodes, edges), given)
    v, past, expected = np.zeros(N), [np.zeros(N)] * 3, []
    for x in given:
        v = v + 0.1 * (-v + 8 * (x + weight @ past[-3]))
        z = (v > 1).astype(float)
        v[z > 0] = 0
        past.append(z)
        expected.append(z)
    assert_array_equal(found, expected)


def test_branches_skips_several_inputs_and_outputs():
    weight = RNG.normal(size=(4, N))
    nodes = {
        "in": nir.Input([N]),
        "w1": nir.Linear(weight),
        "w2": nir.Affine(2 * weight, own(0, 1, 4)),
        "sum": nir.Scale(own(1, 2, 4)),
        "spikes": neurons(4),
        "currents": nir.Output([4]),
        "z": nir.Output([4]),
    }
    edges = [("in", "w1"), ("in", "w2"), ("w1", "sum"), ("w2", "sum"), ("sum", "spikes")]
    edges += [("w2", "spikes"), ("spikes", "z"), ("sum", "currents")]
    found = outputs(graph(nodes, edges), CURRENT)
    w1, w2 = CURRENT @ weight.T, 2 * CURRENT @ weight.T + own(0, 1, 4)
    total = (w1 + w2) * own(1, 2, 4)
    assert_allclose(found["currents"], total, atol=1e-12)
    expected = lif(total + w2, 0.01, 8, 0, 1, 0)
    assert expected.any()
    assert_array_equal(found["z"], expected)


def test_labels_are_the_names_of_nodes():
    network = import_nir(chain(nir.Linear(np.eye(N)), neurons(N), shape=[N]), dt=DT)
    assert [e.label for e in network.ensembles] == ["n1"]
    assert [n.label for n in network.nodes] == ["input"]
    assert [p.label for p in network.probes] == ["output"]
    (edge,) = network.connections  # the layer is the connection itself
    assert_array_equal(edge.transform.init, np.eye(N))


def test_time_step_and_choices_may_come_from_the_files_metadata():
    made = chain(neurons(N), shape=[N])
    made.metadata = {"dt": DT, "method": "exponential", "reset": "subtract"}
    (ensemble,) = import_nir(made).ensembles
    assert ensemble.neuron_type.time_step == DT
    assert type(ensemble.neuron_type).__name__ == "StepLIFSubtract"
    assert ensemble.neuron_type.leak == pytest.approx(-np.expm1(-0.1))
    (ensemble,) = import_nir(made, reset="nir", method="euler", dt=2e-3).ensembles
    assert type(ensemble.neuron_type).__name__ == "StepLIF"
    assert ensemble.neuron_type.leak == pytest.approx(0.2)


def test_imported_networks_can_be_stored_and_read_without_nir(tmp_path):
    readout = nir.LI(own(5e-3, 0.05, 4), same(1, 4), own(0, 1, 4))
    weight = nir.Linear(RNG.normal(size=(4, N)))
    network = import_nir(chain(neurons(N), weight, readout, shape=[N]), dt=DT)
    save_frozen(FrozenModel(network), tmp_path / "net.slm")
    again = load_frozen(tmp_path / "net.slm").network
    wanted = output(network, CURRENT)
    assert wanted.any()
    assert_array_equal(output(again, CURRENT), wanted)


def test_channels_come_and_go_in_nirs_order():
    shape, spread = (3, 4, 2), np.arange(24).reshape(3, 4, 2) / 23
    values = dict(tau=0.005 + 0.02 * spread, r=4 + 2 * spread, v_leak=0.1 * spread)
    values |= dict(v_threshold=0.8 + 0.4 * spread, v_reset=-0.3 * spread)
    wide = nir.LIF(**values)
    flat = nir.LIF(**{name: array.ravel()[::-1] for name, array in values.items()})
    weight = RNG.normal(size=(5, 24))
    nodes = {
        "in": nir.Input(shape),
        "wide": wide,
        "delay": nir.Delay(DT * (np.arange(24).reshape(shape) % 3)),
        "scale": nir.Scale(1 + spread),
        "f": nir.Flatten({"input": np.array(shape)}, start_dim=0),
        "flat": flat,
        "w": nir.Linear(weight),
        "spikes": nir.Output(shape),
        "scaled": nir.Output(shape),
        "sums": nir.Output([5]),
    }
    edges = [("in", "wide"), ("wide", "delay"), ("delay", "scale"), ("scale", "f"), ("f", "flat")]
    edges += [("in", "f"), ("flat", "w"), ("wide", "spikes"), ("scale", "scaled"), ("w", "sums")]
    given = RNG.uniform(-1, 2, (STEPS, *shape))
    found = outputs(graph(nodes, edges), given)
    first = lif(given, **values)
    assert 50 < first.sum() < 0.8 * first.size
    assert_array_equal(found["spikes"], first.reshape(STEPS, 24))
    late = np.arange(24) % 3
    scaled = np.zeros((STEPS, 24))
    for i in range(24):
        scaled[late[i] :, i] = first.reshape(STEPS, 24)[: STEPS - late[i], i]
    scaled *= (1 + spread).ravel()
    assert_allclose(found["scaled"], scaled, atol=1e-12)
    flat_values = {name: getattr(flat, name) for name in values}
    last = lif(scaled + given.reshape(STEPS, 24), **flat_values)
    assert_allclose(found["sums"], last @ weight.T, atol=1e-12)


def test_convolutions_are_stored_once():
    def neurons_of(*shape):
        full = (np.full(shape, value) for value in (0.01, 8.0, 0.0, 1.0, 0.0))
        return nir.LIF(*full)

    first = nir.Conv2d((14, 14), RNG.normal(size=(8, 2, 3, 3)), 1, 1, 1, 1, np.zeros(8))
    second = nir.Conv2d((14, 14), RNG.normal(size=(16, 8, 3, 3)), 2, 1, 1, 1, np.zeros(16))
    rest = [nir.Flatten(None, 0), nir.Linear(RNG.normal(size=(10, 784)))]
    layers = [first, neurons_of(8, 14, 14), second, neurons_of(16, 7, 7), *rest, neurons_of(10)]
    made = chain(*layers, shape=[2, 14, 14])
    network = import_nir(made, dt=DT)
    with spikeloom.Simulator(network, progress_bar=False) as sim:
        instructions = sim.program.instructions
        words = len(sim.program.weight)
    assert sum(isinstance(i, Cnv) for i in instructions) == 2
    assert words < 2000  # 784 of them are those of the last layer; unrolled it would be 14 000

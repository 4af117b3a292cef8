"""The rules that Nengo does not have, on the chip: as in float, engines alike; both examples."""

import importlib.util
from pathlib import Path

import nengo
import numpy as np
import pytest

import spikeloom
from spikeloom.compiler.instructions import Upd
from spikeloom.compiler.machine import Machine

EXAMPLES = Path(__file__).parents[2] / "examples"
STEPS = 400
HARDWARE_STEPS = 60


def example(name):
    specification = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def spiking(rule, seed=4):
    """Weights between 0 and 1 from neurons with a reset below 0."""
    start = np.random.RandomState(seed).uniform(0, 1, (18, 25))
    with nengo.Network(seed=seed) as network:
        source = nengo.Node(lambda t: [np.sin(25 * t), np.cos(17 * t)])
        lif = spikeloom.LIF(tau_rc=0.03, tau_ref=0.002, min_voltage=-1, reset=-1)
        rates = nengo.dists.Uniform(30, 60)
        a = nengo.Ensemble(25, 2, neuron_type=lif, max_rates=rates)
        b = nengo.Ensemble(18, 2, neuron_type=lif, gain=np.full(18, 1e-3), bias=np.full(18, 1.2))
        nengo.Connection(source, a)
        made = nengo.Connection(a.neurons, b.neurons, transform=start, learning_rule_type=rule)
        network.weights = nengo.Probe(made, "weights")
        network.spikes = nengo.Probe(b.neurons)
    return network


def pulsed(rule, seed=4):
    """Decoders of memristors that follow a given error."""
    with nengo.Network(seed=seed) as network:
        source = nengo.Node(lambda t: np.sin(25 * t))
        pre, post = nengo.Ensemble(30, 1), nengo.Ensemble(20, 2)
        nengo.Connection(source, pre)
        made = nengo.Connection(pre, post, function=lambda x: [0, 0], learning_rule_type=rule)
        error = nengo.Node(lambda t: [np.sign(np.sin(40 * t)), 0.5 - t])
        nengo.Connection(error, made.learning_rule, synapse=None)
        network.weights = nengo.Probe(made, "weights")
        network.spikes = nengo.Probe(pre.neurons)
    return network


def simulate(network, engine):
    if engine == "float":
        sim = nengo.Simulator(network, progress_bar=False)
    else:
        sim = spikeloom.Simulator(network, engine=engine, progress_bar=False)
    with sim:
        sim.run_steps(STEPS)
    return sim


CASES = [
    (spiking, lambda: spikeloom.STDP(a_plus=0.02, a_minus=0.03), {"pre", "post"}),
    (spiking, lambda: spikeloom.VDSP(learning_rate=0.1), {"post"}),
    (pulsed, lambda: spikeloom.MPES(), {"pre"}),
    (pulsed, lambda: spikeloom.VariedMPES(), {"pre"}),
]
NAMES = ["STDP", "VDSP", "MPES", "VariedMPES"]


@pytest.mark.parametrize("make, rule, gates", CASES, ids=NAMES)
def test_as_in_float(make, rule, gates):
    network = make(rule())
    reference, sim = simulate(network, "float"), simulate(network, "native")
    assert not [item for item in sim.placement.on_host if item.kind not in ("node", "probe")]
    updates = [i for phase in sim.program.phases for i in phase if isinstance(i, Upd)]
    assert {update.gate for update in updates} == gates
    wanted, found = reference.data[network.weights], sim.data[network.weights]
    assert np.count_nonzero(reference.data[network.spikes]) > 50
    change = np.abs(wanted[-1] - wanted[0])
    assert change.max() > 0
    # A spike that comes a step early or late in fixed point moves single weights; on the whole
    # they are the same.
    assert np.abs(found[-1] - wanted[-1]).mean() < 0.05 * change.mean()


@pytest.mark.parametrize("make, rule, gates", CASES, ids=NAMES)
def test_engines_agree(make, rule, gates):
    network = make(rule())
    golden, native = simulate(network, "golden"), simulate(network, "native")
    assert np.array_equal(golden.data[network.weights], native.data[network.weights])
    assert np.array_equal(golden.data[network.spikes], native.data[network.spikes])
    assert np.ptp(golden.data[network.weights], axis=0).max() > 0


@pytest.mark.hardware
@pytest.mark.parametrize("make, rule", [case[:2] for case in CASES[1::2]], ids=NAMES[1::2])
def test_hardware_is_golden(make, rule):
    """Tables of a lane, states of a synapse, gates of either side."""
    network = make(rule())
    learned = []
    for engine in ("golden", "rtl"):
        with spikeloom.Simulator(
            network, engine=engine, machine=Machine(lanes=4), progress_bar=False
        ) as sim:
            sim.run_steps(HARDWARE_STEPS)
            memories = [sim.chip.engine.memory(name) for name in ("weight", "residual", "synapse")]
            learned.append([sim.data[network.weights], *memories])
    assert all(np.array_equal(a, b) for a, b in zip(*learned, strict=True))
    assert np.ptp(learned[0][0], axis=0).max() > 0


def test_vdsp_example_learns_alike(tmp_path):
    vdsp = example("vdsp")
    options = vdsp.options(["--images", "200", "--tests", "60"])
    data = vdsp.load(None)
    accuracies, fields = zip(
        *(vdsp.accuracy(data, options, 0, engine) for engine in ("float", "native")), strict=True
    )
    assert all(0 <= right <= 1 for right in accuracies)
    begin = np.random.RandomState(0)
    begin.permutation(len(data[0][0]))
    begin.permutation(len(data[1][0]))
    start = begin.uniform(0, 1, fields[0].shape)
    moved = [field - start for field in fields]
    assert np.corrcoef(moved[0].ravel(), moved[1].ravel())[0, 1] > 0.8
    vdsp.picture(fields[1], tmp_path / "weights.png")
    assert (tmp_path / "weights.png").stat().st_size > 1000


def test_vdsp_is_short():
    text = (EXAMPLES / "vdsp.py").read_text()
    written = text[text.index("@neuron_type\n") : text.index("def network(")]
    assert len([line for line in written.splitlines() if line.strip()]) <= 40


def test_memristor_example_runs():
    memristor = example("memristor")
    memristor.SECONDS = 6.0
    model = memristor.network()
    errors = {engine: memristor.learned_error(model, engine) for engine in ("float", "native")}
    for error, before in errors.values():
        assert error < 0.6 * before
    assert errors["native"][0] < 1.1 * errors["float"][0]

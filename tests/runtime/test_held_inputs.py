"""What is presented for some time is evaluated, converted and written once for that time."""

import nengo
import numpy as np
import pytest

import spikeloom
from spikeloom import Simulator
from spikeloom.compiler.frontends.nengo.presented import presentation
from spikeloom.runtime.blocks import at_once

RNG = np.random.RandomState(0)
ROWS = RNG.uniform(-1, 1, (7, 3))
EVENTS = np.array([[0.0, 1], [0.0031, 0], [0.0031, 0], [0.004, 2], [0.0212, 1], [0.09, 0]])


class Staircase(nengo.Process):
    """A custom process that holds each value for `hold` steps; counts how often it is asked."""

    def __init__(self, hold):
        self.hold, self.asked = hold, 0
        super().__init__(default_size_in=0, default_size_out=2)

    def value(self, number):
        return np.array([np.sin(number // self.hold), 0.1])

    def make_step(self, shape_in, shape_out, dt, rng, state):
        def step(t):
            self.asked += 1
            return self.value(round(t / dt) - 1)

        return step

    def held(self, first, steps, dt):
        number = np.arange(first, first + steps) - 1
        begins = np.flatnonzero(np.diff(number // self.hold, prepend=-1))
        return np.array([self.value(n) for n in number[begins]]), begins


class Reversed(spikeloom.Present):
    """Shows something else than its base says that it holds."""

    def make_step(self, *args):
        step = super().make_step(*args)
        return lambda t: step(t)[::-1]


class Holder(Staircase):
    """Has a method of that name for something else."""

    def held(self):
        return self.hold


PROCESSES = {
    "images": nengo.processes.PresentInput(ROWS, 0.013),
    "short images": nengo.processes.PresentInput(ROWS, 0.0007),
    "odd images": nengo.processes.PresentInput(ROWS.reshape(7, 1, 3), 0.00333),
    "piecewise": nengo.processes.Piecewise({0.005: [1, 2, 3], 0.0305: [0, 0, 1], 0.031: [1, 1, 1]}),
    "present": spikeloom.Present(ROWS, 11),
    "present with gaps": spikeloom.Present(ROWS, 5, gap=3),
    "recording": spikeloom.Recording(ROWS),
    "recording of holds": spikeloom.Recording(np.repeat(ROWS, 6, axis=0), repeat=True),
    "nothing recorded": spikeloom.Recording(np.zeros((0, 3))),
    "spikes": spikeloom.SpikeStream(EVENTS, 3, value=2.5),
    "staircase": Staircase(9),
}


def operator(process, dt=0.001):
    model = nengo.builder.Model(dt=dt)
    with nengo.Network() as net:
        nengo.Node(process)
    model.build(net)
    return next(op for op in model.operators if isinstance(op, nengo.builder.processes.SimProcess))


@pytest.mark.parametrize("dt", [0.001, 0.0004, 1 / 3 * 1e-2])
@pytest.mark.parametrize("name", PROCESSES)
def test_a_block_is_what_nengo_shows(name, dt):
    process = PROCESSES[name]
    size = process.default_size_out
    step = process.make_step((0,), (size,), dt, None, {})
    held = presentation(operator(process, dt))
    number = 1
    for steps in (1, 2, 40, 57):
        rows, first = held(number, steps, dt)
        assert rows.shape == (len(first), size)
        assert first[0] == 0 and (np.diff(first) > 0).all() and first[-1] < steps
        shown = np.repeat(rows, np.diff(first, append=steps), axis=0)
        expected = [np.broadcast_to(step(n * dt), (size,)) for n in range(number, number + steps)]
        np.testing.assert_array_equal(shown, expected)
        number += steps


def test_only_what_changes_counts():
    for name, most in (("images", 9), ("recording of holds", 17), ("spikes", 9), ("staircase", 12)):
        rows, _ = presentation(operator(PROCESSES[name]))(1, 100, 0.001)
        assert 1 < len(rows) <= most, name


def test_what_is_not_known_beforehand():
    for process in (
        nengo.processes.WhiteNoise(),
        nengo.processes.Piecewise({0: np.sin}),
        nengo.processes.Piecewise({0: 0, 1: 1}, interpolation="linear"),
        Reversed(ROWS, 3),
        Holder(3),
    ):
        assert presentation(operator(process)) is None


def run(net, steps, blocks):
    with Simulator(net, progress_bar=False, seed=3) as sim:
        writes = []
        write = sim.chip.engine.write
        sim.chip.engine.write = lambda name, values: (writes.append(name), write(name, values))
        if blocks:
            sim.run_steps(steps - steps // 3)
            sim.run_steps(steps // 3)
        else:
            for _ in range(steps):
                sim.step()
    return sim, {p: np.array(sim.data[p]) for p in net.probes}, writes


def assert_same(net, steps=100):
    sim, found, writes = run(net, steps, blocks=True)
    _, expected, _ = run(net, steps, blocks=False)
    for probe in net.probes:
        np.testing.assert_array_equal(found[probe], expected[probe], err_msg=str(probe))
    return sim, writes


def neurons(*nodes, probe_nodes=True):
    """An ensemble that reads some nodes, with probes."""
    ensemble = nengo.Ensemble(30, 3, label="ensemble")
    for node in nodes:
        nengo.Connection(node, ensemble[: node.size_out])
        nengo.Connection(node, ensemble[: node.size_out], synapse=None, transform=0.5)
        if probe_nodes:
            nengo.Probe(node)
            nengo.Probe(node, synapse=0.01, sample_every=0.003)
    nengo.Probe(ensemble, synapse=0.01)
    nengo.Probe(ensemble.neurons)


def test_held_inputs_of_different_lengths():
    with nengo.Network(seed=1) as net:
        neurons(
            nengo.Node(PROCESSES["images"], label="images"),
            nengo.Node(spikeloom.Present(ROWS, 21, gap=2), label="others"),
        )
    _, writes = assert_same(net)
    # 8 and 9 presentations, and one block begins anew; each input holds where the other changes.
    assert len(writes) <= 2 * 20


def test_an_image_beside_what_changes_in_each_step():
    with nengo.Network(seed=1) as net:
        neurons(
            nengo.Node(nengo.processes.PresentInput(ROWS, 0.05), label="image"),
            nengo.Node(lambda t: np.sin(40 * t), label="wave"),
        )
    sim, writes = assert_same(net)
    image = next(name for name in sim.program.inputs if "image" in name)
    assert writes.count(image) == len(writes) == 2


def test_a_custom_process_is_not_called_in_each_step():
    process = Staircase(20)
    with nengo.Network(seed=1) as net:
        neurons(nengo.Node(process, label="stairs"), probe_nodes=False)
    sim, writes = assert_same(net)
    assert process.asked == 100  # by the single steps alone
    assert len(writes) == 5
    assert all(at_once(sim._host.conversion.placement, op) for op in sim._host._front)


def test_images_beside_a_function_behind_the_chip():
    """Showing what is known has no effect elsewhere: the function does not hold it back."""
    with nengo.Network(seed=1) as net:
        image = nengo.Node(spikeloom.Present(ROWS, 10), label="image")
        neurons(image)
        sink = nengo.Node(lambda t, x: 2 * x, size_in=3, label="sink")
        nengo.Connection(net.ensembles[0], sink)
        nengo.Probe(sink)
    sim, _ = assert_same(net, 60)
    assert sim._host.can_run_ahead and not sim._host._behind_at_once


def test_functions_of_an_image():
    """An operator in front of the chip that reads what is held is run in each step."""
    seen = []
    with nengo.Network(seed=1) as net:
        image = nengo.Node(nengo.processes.PresentInput(ROWS, 0.017), label="image")
        mean = nengo.Node(lambda t, x: seen.append(x.copy()) or x.mean(), size_in=3, label="mean")
        nengo.Connection(image, mean, synapse=None)
        neurons(image, mean)
    _, _ = assert_same(net)
    np.testing.assert_array_equal(seen[-200:-100], seen[-100:])


def test_a_function_that_raises_beside_an_image():
    def network():
        failed = []

        def wave(t):
            if round(t * 1000) == 23 and not failed:
                failed.append(t)
                raise RuntimeError("once")
            return np.sin(40 * t)

        with nengo.Network(seed=1) as net:
            image = nengo.Node(nengo.processes.PresentInput(ROWS, 0.01), label="image")
            neurons(image, nengo.Node(wave, label="wave", size_out=1))
        return net

    found = []
    for steps in (60, 1):
        net = network()
        with Simulator(net, progress_bar=False, seed=3) as sim:
            with pytest.raises(RuntimeError, match="once"):
                for _ in range(60 // steps):
                    sim.run_steps(steps)
            assert sim.n_steps == 22
            sim.run_steps(20)
            found.append([sim.data[p].copy() for p in net.probes])
            assert len(found[-1][0]) == 42
    for blocks, single in zip(*found, strict=True):
        np.testing.assert_array_equal(blocks, single)


def test_learned_weights_that_are_probed_need_no_single_steps():
    images = (RNG.uniform(size=(4, 12)) < 0.4) * 1.0
    with nengo.Network(seed=1) as net:
        image = nengo.Node(nengo.processes.PresentInput(images, 0.03), label="image")
        kind = nengo.LIF()
        a = nengo.Ensemble(12, 1, gain=np.full(12, 3.0), bias=np.zeros(12), neuron_type=kind)
        b = nengo.Ensemble(5, 1, gain=np.full(5, 0.03), bias=np.full(5, 1.1), neuron_type=kind)
        nengo.Connection(image, a.neurons, synapse=None)
        learned = nengo.Connection(
            a.neurons,
            b.neurons,
            transform=RNG.uniform(size=(5, 12)),
            learning_rule_type=spikeloom.STDP(),
        )
        nengo.Probe(b.neurons)
        nengo.Probe(learned, "weights", sample_every=0.02)
    sim, writes = assert_same(net, 120)
    assert sim._host._behind_at_once
    assert not sim._host._behind or all(hasattr(a, "names") for a in sim._host._behind)
    weights = sim.data[net.probes[1]]
    assert (weights[0] != weights[-1]).any()
    assert len(writes) == 4

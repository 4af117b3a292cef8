"""Steps run ahead in blocks give exactly what single steps give, on the machine's integers."""

import nengo
import numpy as np
import pytest
from nengo_networks import NETWORKS

from spikeloom import Simulator
from spikeloom.runtime.probes import Samples


def assert_same(network, steps=40, **kwargs):
    with Simulator(network, progress_bar=False, seed=7, **kwargs) as blocks:
        blocks.run_steps(steps // 2)
        blocks.run_steps(steps - steps // 2)
    with Simulator(network, progress_bar=False, seed=7, **kwargs) as single:
        for _ in range(steps):
            single.step()
    assert blocks.n_steps == single.n_steps == steps
    for probe in network.probes:
        np.testing.assert_array_equal(blocks.data[probe], single.data[probe], err_msg=str(probe))
    return blocks


@pytest.mark.filterwarnings("ignore:.*fixed-point format")
@pytest.mark.parametrize("name", NETWORKS)
def test_blocks_equal_single_steps(name):
    assert_same(NETWORKS[name]())


def present(inputs, time):
    with nengo.Network(seed=1) as net:
        u = nengo.Node(nengo.processes.PresentInput(inputs, time), label="u")
        a = nengo.Ensemble(20, 2, label="a")
        nengo.Connection(u, a)
        nengo.Probe(u)
        nengo.Probe(a, synapse=0.01)
        nengo.Probe(a.neurons)
    return net


@pytest.mark.parametrize("time", [0.001, 0.003, 0.017])
def test_presented_inputs_are_held(time):
    sim = assert_same(present([[0.5, 0.1], [-0.5, 0.3], [0.2, 0.2]], time), steps=60)
    assert sim.program.inputs["u"].fraction == 17  # the largest input is known: 0.5


def test_functions_behind_the_chip_only():
    seen = []
    with nengo.Network(seed=1) as net:
        noise = nengo.Node(nengo.processes.WhiteNoise(seed=3), label="noise")
        a = nengo.Ensemble(20, 1, label="a")
        sink = nengo.Node(lambda t, x: seen.append((t, x.copy())) or 2 * x, size_in=2)
        nengo.Connection(noise, a)
        nengo.Connection(a, sink[0])
        nengo.Connection(noise, sink[1], synapse=None)
        nengo.Probe(sink)
        nengo.Probe(noise)
    seen.clear()
    sim = assert_same(net, ranges={noise: 256})
    assert sim._host.can_run_ahead
    times = [round(t * 1000) for t, _ in seen]
    assert times == [*range(1, 41)] * 2
    for (_, block), (_, single) in zip(seen[:40], seen[40:], strict=True):
        np.testing.assert_array_equal(block, single)


def test_function_behind_the_chip_that_raises_can_be_gone_on_from():
    def network(fail_at):
        failed = []

        def sink(t, x):
            if round(t * 1000) == fail_at and not failed:
                failed.append(t)
                raise RuntimeError("once")
            return x

        with nengo.Network(seed=1) as net:
            noise = nengo.Node(nengo.processes.WhiteNoise(seed=3), label="noise")
            a = nengo.Ensemble(20, 1, label="a")
            out = nengo.Node(sink, size_in=1)
            nengo.Connection(noise, a)
            nengo.Connection(a, out)
            nengo.Probe(out)
            nengo.Probe(a.neurons, "voltage")
            nengo.Probe(noise)
        return net

    found = []
    for blocks in (True, False):
        net = network(21)
        with Simulator(net, progress_bar=False, ranges={"noise": 256}) as sim:
            assert sim._host.can_run_ahead
            with pytest.raises(RuntimeError, match="once"):
                if blocks:
                    sim.run_steps(50)
                else:
                    for _ in range(50):
                        sim.step()
            assert sim.n_steps == 20
            sim.step()  # number 22: as in Nengo, the step that failed is gone
            assert sim.n_steps == 22
            if blocks:
                sim.run_steps(28)
            else:
                for _ in range(28):
                    sim.step()
            assert [len(sim.data[p]) for p in net.probes] == [49] * 3
            found.append([sim.data[p].copy() for p in net.probes])
    for block, single in zip(*found, strict=True):
        np.testing.assert_array_equal(block, single)


def test_probe_of_sparse_weights():
    with nengo.Network(seed=1) as net:
        a = nengo.Ensemble(5, 1)
        b = nengo.Ensemble(5, 1)
        sparse = nengo.Sparse((5, 5), indices=[[0, 1], [4, 2]], init=[0.1, -0.2])
        conn = nengo.Connection(a.neurons, b.neurons, transform=sparse)
        probe = nengo.Probe(conn, "weights")
    with (
        nengo.Simulator(net, progress_bar=False) as expected,
        Simulator(net, progress_bar=False) as sim,
    ):
        expected.run_steps(3)
        sim.run_steps(3)
        assert len(sim.data[probe]) == len(expected.data[probe]) == 3
        for a, b in zip(sim.data[probe], expected.data[probe], strict=True):
            np.testing.assert_array_equal(a.toarray(), b.toarray())


def test_state_on_the_host_in_front_of_the_chip():
    with nengo.Network(seed=1) as net:
        u = nengo.Node(lambda t: np.sin(30 * t), label="u")
        a = nengo.Ensemble(20, 1, label="a")
        nengo.Connection(u, a, synapse=nengo.synapses.Triangle(0.005))
        nengo.Probe(a, synapse=0.01)
        nengo.Probe(u, synapse=0.01)
        nengo.Probe(net.connections[0], sample_every=0.002)
    assert_same(net)


def test_samples_come_as_blocks_or_one_by_one():
    samples = Samples()
    assert len(samples) == 0 and samples.array().shape == (0,)
    samples.append(np.array([1.0, 2.0]))
    samples.extend(np.array([[3.0, 4.0], [5.0, 6.0]]))
    samples.extend([np.array([7.0, 8.0])])
    samples.extend(np.zeros((0, 2)))
    assert len(samples) == 4
    np.testing.assert_array_equal(samples, np.arange(1.0, 9.0).reshape(4, 2))
    np.testing.assert_array_equal(samples[-1], [7, 8])
    np.testing.assert_array_equal(next(iter(samples)), [1, 2])
    copy = Samples()
    copy.extend(samples)
    np.testing.assert_array_equal(copy.array(), samples.array())

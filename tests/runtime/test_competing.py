"""Winner-take-all neurons: in Nengo as plain loops say, on the chip as in Nengo, in hardware."""

import json

import nengo
import numpy as np
import pytest
from competing import Competing, network, plain

import spikeloom
from spikeloom.boards import get
from spikeloom.boards.build import build, deliver
from spikeloom.cli import main
from spikeloom.compiler.storage import save_program

STEPS = 400


def spikes(simulator, net, **options):
    with simulator(net, progress_bar=False, **options) as sim:
        sim.run_steps(STEPS)
        return [np.array(sim.data[p]) > 0 for p in net.spikes], sim


def test_nengo_does_what_the_loops_say():
    net = network()
    found, sim = spikes(nengo.Simulator, net)
    for group, (ensemble, spiked) in enumerate(zip(net.groups, found, strict=True)):
        # nodes without a synapse in between act in the same step
        t = 0.001 * np.arange(1, STEPS + 1)[:, np.newaxis]
        currents = 1.6 + np.sin((20 + 3 * group) * t + np.arange(7))
        start = sim.model.sig[ensemble.neurons]["voltage"].initial_value
        assert np.array_equal(spiked, plain(currents, start, tau=0.015) > 0)
        assert spiked.sum() > 10
        assert spiked.sum(axis=1).max() == 1


@pytest.mark.parametrize("engine", ["golden", "native"])
def test_on_the_chip(engine):
    net = network()
    expected, _ = spikes(nengo.Simulator, net)
    found, sim = spikes(spikeloom.Simulator, net, engine=engine)
    assert sim.placement.count("ensemble", "chip") == 14
    for a, b in zip(expected, found, strict=True):
        assert b.sum(axis=1).max() == 1
        assert np.mean(a != b) < 0.002
    assert len([i for i in sim.program.instructions if i.opcode == "MAP"]) == 2


def test_rates_are_those_of_lone_neurons():
    current = np.array([0.5, 1.5, 3.0, 20.0])
    rates = Competing(tau=0.02).rates(current, 1.0, 0.0)
    whole_steps = np.ceil(-20 * np.log1p(-1 / current[1:]))
    np.testing.assert_allclose(rates[:, 0], [0, *(1000 / whole_steps)], atol=1)


@pytest.mark.hardware
def test_in_hardware_every_write_in_its_cycle(tmp_path, capsys):
    board = get("sim")
    with spikeloom.Simulator(network(), progress_bar=False, machine=board.machine) as sim:
        program = sim.program
    save_program(program, tmp_path / "program")
    deliver(build(program, board), tmp_path)
    assert main(["verify", str(tmp_path), "--steps", "60", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["differences"] == 0

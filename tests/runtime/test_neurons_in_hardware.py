"""Every neuron model in hardware: golden's integers, each memory write in its cycle."""

import json

import nengo
import numpy as np
import pytest

from spikeloom import Simulator
from spikeloom.boards import get
from spikeloom.boards.build import build, deliver
from spikeloom.cli import main
from spikeloom.compiler.storage import save_program

pytestmark = pytest.mark.hardware

KINDS = (
    nengo.AdaptiveLIF(tau_n=0.05, inc_n=0.1),
    nengo.Izhikevich(),
    nengo.LIFRate(),
    nengo.AdaptiveLIFRate(tau_n=0.05),
    nengo.Sigmoid(),
    nengo.Tanh(),
)


def network():
    with nengo.Network(seed=4) as net:
        drive = nengo.Node(lambda t: 3 * np.sin(30 * t))
        for kind in KINDS:
            scale = 20 if isinstance(kind, nengo.Izhikevich) else 3
            a = nengo.Ensemble(
                9, 1, neuron_type=kind, gain=scale * np.ones(9), bias=scale * np.linspace(-2, 4, 9)
            )
            nengo.Connection(drive, a, synapse=None)
            nengo.Probe(a.neurons)
            nengo.Probe(a, synapse=0.01)
    return net


def test_every_write_in_its_cycle(tmp_path, capsys):
    board = get("sim")
    with Simulator(network(), progress_bar=False, machine=board.machine) as sim:
        program = sim.program
        assert sim.placement.count("ensemble", "chip") == 9 * len(KINDS)
    assert len(program.kernels) >= len(KINDS)
    save_program(program, tmp_path / "program")
    deliver(build(program, board), tmp_path)
    assert main(["verify", str(tmp_path), "--steps", "60", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["differences"] == 0

"""Random networks that learn, on the hardware's engines: golden's integers, weights included.

One piece of hardware holds all the kernels and rules: each network is an upload.
"""

import dataclasses

import numpy as np
import pytest
from random_learning_networks import random_learning_network

from spikeloom.compiler.machine import Machine
from spikeloom.compiler.shape import Shape, needs
from spikeloom.runtime.hardware import generate
from spikeloom.runtime.link.board import SIMULATED
from spikeloom.runtime.simulator import Simulator
from spikeloom.sim.check import MEMORIES

pytestmark = [
    pytest.mark.hardware,
    pytest.mark.filterwarnings("ignore::spikeloom.runtime.simulator.SaturationWarning"),
]

NETWORKS = 30
STEPS = 200
BOARD_STEPS = 10  # its link is simulated bit by bit
PART = 10  # networks in one test, so that several workers can share them
MACHINE = Machine(lanes=4)


def record(seed, engine, steps=STEPS, **options):
    """Program, data of all probes, all memories and saturations after a run."""
    network = random_learning_network(seed, plain=True)
    with Simulator(network, engine=engine, machine=MACHINE, progress_bar=False, **options) as sim:
        sim.run_steps(steps)
        data = [np.array(sim.data[probe]) for probe in network.all_probes]
        memories = {name: sim.chip.engine.memory(name) for name in MEMORIES}
        return sim.program, data, memories, sim.chip.engine.saturations()


@pytest.fixture(scope="module")
def shape():
    """Hardware that all the networks fit in, also where a range was widened on the way."""
    programs = []
    for seed in range(NETWORKS):
        network = random_learning_network(seed, plain=True)
        with Simulator(network, machine=MACHINE, progress_bar=False) as sim:
            programs.append(sim.program)
    kernels, rules = {}, {}
    for program in programs:
        kernels.update(program.kernels)
        rules.update(program.rules)
    needed = [needs(program) for program in programs]
    largest = {depth: max(n[depth] for n in needed) for depth in needed[0]}
    everything = dataclasses.replace(programs[0], kernels=kernels, rules=rules)
    return Shape.for_program(everything, largest)


@pytest.fixture(scope="module")
def options(shape):
    verilog, layout = generate(shape)
    return {
        "rtl": {"verilog": verilog, "layout": layout},
        "board": {"shapes": [shape], "port": SIMULATED},
    }


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, NETWORKS, PART))
@pytest.mark.parametrize(("engine", "steps"), [("rtl", STEPS), ("board", BOARD_STEPS)])
def test_hardware_is_golden(options, engine, steps, first):
    learned = 0
    for seed in range(first, first + PART):
        program, expected, memories, saturations = record(seed, "golden", steps)
        _, found, others, limited = record(seed, engine, steps, **options[engine])
        for a, b in zip(expected, found, strict=True):
            np.testing.assert_array_equal(a, b, f"network {seed}")
        for name in MEMORIES:
            np.testing.assert_array_equal(memories[name], others[name], f"network {seed}: {name}")
        assert limited == saturations, f"network {seed}"
        learned += not np.array_equal(memories["residual"], program.residual)
    assert learned > PART // 2

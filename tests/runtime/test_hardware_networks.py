"""Random Nengo networks on the hardware's engines: golden's integers, in every probe and memory.

One piece of hardware holds the kernels of all the networks: each network is an upload. With
``--port PORT --board NAME`` the board at that port takes the place of a Verilated one; it must hold
the hardware whose fingerprint the error then names.
"""

import dataclasses

import numpy as np
import pytest
from random_networks import random_network

from spikeloom import boards
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

NETWORKS = 50
STEPS = 16
PART = 10  # networks in one test, so that several workers can share them


def record(seed, engine, **options):
    """Data of all probes, all memories and saturations after a short run."""
    network, dt = random_network(seed)
    with Simulator(network, dt=dt, engine=engine, progress_bar=False, **options) as sim:
        sim.run_steps(STEPS)
        data = [np.array(sim.data[probe]) for probe in network.all_probes]
        memories = {name: sim.chip.engine.memory(name) for name in MEMORIES}
        return sim.program, data, memories, sim.chip.engine.saturations()


@pytest.fixture(scope="module")
def real(request):
    """The board at a real port, None for a Verilated one."""
    if request.config.getoption("--port") == SIMULATED:
        return None
    return boards.get(request.config.getoption("--board"))


@pytest.fixture(scope="module")
def machine(real):
    return real.machine if real else Machine()


@pytest.fixture(scope="module")
def golden(machine):
    return [record(seed, "golden", machine=machine) for seed in range(NETWORKS)]


@pytest.fixture(scope="module")
def shape(golden, real):
    """Hardware that all the networks fit in."""
    programs = [program for program, *_ in golden]
    kernels = {}
    for program in programs:
        for name, code in program.kernels.items():
            assert kernels.setdefault(name, code) == code
    if real:
        return real.shape(kernels.values())
    needed = [needs(program) for program in programs]
    largest = {depth: max(n[depth] for n in needed) for depth in needed[0]}
    return Shape.for_program(dataclasses.replace(programs[0], kernels=kernels), largest)


@pytest.fixture(scope="module")
def options(request, shape, machine, real):
    verilog, layout = generate(shape)
    board = {"shapes": [shape], "port": request.config.getoption("--port")}
    if real:
        board["baud"] = real.baud
    rtl = {"verilog": verilog, "layout": layout}
    return {"rtl": rtl | {"machine": machine}, "board": board | {"machine": machine}}


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, NETWORKS, PART))
@pytest.mark.parametrize("engine", ["rtl", "board"])
def test_hardware_is_golden(golden, options, engine, first):
    for seed in range(first, first + PART):
        _, expected, memories, saturations = golden[seed]
        _, found, others, limited = record(seed, engine, **options[engine])
        for a, b in zip(expected, found, strict=True):
            np.testing.assert_array_equal(a, b, f"network {seed}")
        for name in MEMORIES:
            np.testing.assert_array_equal(memories[name], others[name], f"network {seed}: {name}")
        assert limited == saturations, f"network {seed}"

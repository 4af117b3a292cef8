"""Random Nengo networks: every engine gives golden's integers, in every probe and memory."""

import numpy as np
import pytest
from random_networks import random_network

from spikeloom.runtime.simulator import Simulator
from spikeloom.sim.check import MEMORIES

STEPS = 40


def record(seed, engine):
    """Data of all probes, all memories and saturations after a short run."""
    network, dt = random_network(seed)
    with Simulator(network, dt=dt, engine=engine, progress_bar=False) as sim:
        sim.run_steps(STEPS)
        data = [np.array(sim.data[probe]) for probe in network.all_probes]
        memories = {name: sim.chip.engine.memory(name) for name in MEMORIES}
        return data, memories, sim.chip.engine.saturations()


@pytest.mark.filterwarnings("ignore::spikeloom.runtime.simulator.SaturationWarning")
@pytest.mark.parametrize("seed", range(100))
def test_native_is_golden(seed):
    expected, memories, saturations = record(seed, "golden")
    found, others, limited = record(seed, "native")
    assert sum(np.any(d != 0) for d in expected) > 0
    for a, b in zip(expected, found, strict=True):
        np.testing.assert_array_equal(a, b)
    for name in MEMORIES:
        np.testing.assert_array_equal(memories[name], others[name], err_msg=name)
    assert limited == saturations

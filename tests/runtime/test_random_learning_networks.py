"""Random Nengo networks that learn: every engine gives golden's integers, weights included."""

import numpy as np
import pytest
from random_learning_networks import random_learning_network

from spikeloom.runtime.simulator import Simulator
from spikeloom.sim.check import MEMORIES

STEPS = 200


def record(seed, engine):
    network = random_learning_network(seed)
    with Simulator(network, engine=engine, progress_bar=False) as sim:
        sim.run_steps(STEPS)
        data = [np.array(sim.data[probe]) for probe in network.all_probes]
        memories = {name: sim.chip.engine.memory(name) for name in MEMORIES}
        return data, memories, sim.chip.engine.saturations(), sim.program


@pytest.mark.filterwarnings("ignore::spikeloom.runtime.simulator.SaturationWarning")
@pytest.mark.parametrize("seed", range(40))
def test_native_is_golden(seed):
    expected, memories, saturations, _ = record(seed, "golden")
    found, others, limited, _ = record(seed, "native")
    assert sum(np.any(d != 0) for d in expected) > 0
    for a, b in zip(expected, found, strict=True):
        np.testing.assert_array_equal(a, b)
    for name in MEMORIES:
        np.testing.assert_array_equal(memories[name], others[name], err_msg=name)
    assert limited == saturations


def test_they_learn_on_the_chip():
    """Most of these networks have rules on the chip, of all kinds, that change weights."""
    rules, learned = set(), 0
    for seed in range(40):
        _, memories, _, program = record(seed, "native")
        rules |= set(program.rules) if program is not None else set()
        learned += not np.array_equal(memories["residual"], program.residual)
    assert rules == {"PES", "Oja", "BCM", "Voja", "PairSTDP", "AtSpikes"}
    assert learned >= 36

"""The small board's narrow words: what they cost the LIF neuron."""

import numpy as np
import pytest

from spikeloom.boards import get
from spikeloom.compiler.kernels.neurons import LIF
from spikeloom.sim.evaluate import evaluate

SECONDS = 4


@pytest.mark.parametrize(("dt", "tau_ref"), [(0.001, 0.002), (0.001, 0.0013), (0.0005, 0.003)])
def test_lif_rates_on_the_icebreaker(dt, tau_ref):
    machine = get("icebreaker").machine
    target = np.linspace(10, 300, 59)
    current = 1 / (1 - np.exp((tau_ref - 1 / target) / 0.02))
    kernel = LIF(tau_rc=0.02, tau_ref=tau_ref)
    code = kernel.code(machine)
    registers, tables = kernel.registers(dt, machine), kernel.table_entries(dt, machine)
    u = np.rint(current * 2**code.input.fraction).astype(np.int64)
    states = [np.zeros(len(u), np.int64) for _ in code.states]
    count = np.zeros(len(u), np.int64)
    for _ in range(round(SECONDS / dt)):
        result = evaluate(code, u, states, registers, tables)
        states = [np.asarray(s) for s in result.next_state]
        count += result.output >> code.emit_fraction
    error = count / SECONDS - target
    # Counting over 4 s alone is uncertain by a quarter of a hertz.
    assert np.sqrt(np.mean(error**2)) < 0.25
    assert np.abs(error).max() < 0.75

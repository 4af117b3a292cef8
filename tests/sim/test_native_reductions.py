"""Reductions over a population in the native engine, against golden."""

import nengo
import numpy as np
import pytest
from same_memories import assert_same_memories

import spikeloom
from spikeloom import (
    Input,
    Kernel,
    State,
    max_of,
    maximum,
    neuron_type,
    select,
    sum_of,
    winner,
)
from spikeloom.compiler.machine import Machine
from spikeloom.sim.golden import GoldenEngine
from spikeloom.sim.native.engine import NativeEngine
from spikeloom.sim.native.source.c_reductions import least_winner


class Winner(Kernel):
    """Of those above the threshold only the largest may fire; then all begin again together."""

    emits, payload_bits = "events", 1
    current = Input(range=(-64, 64), fraction=16)
    voltage = State(range=(-64, 64), fraction=20)

    def step(self, state, current, dt):
        voltage = maximum(state.voltage + (current - state.voltage) * 0.125, -1)
        fires = max_of(voltage) > 1
        return fires & winner(voltage), {"voltage": select(fires, 0, voltage)}


class Always(Kernel):
    """The largest fires in each step, however small it is."""

    emits, payload_bits = "events", 1
    current = Input(range=(-64, 64), fraction=16)
    voltage = State(range=(-64, 64), fraction=20)

    def step(self, state, current, dt):
        voltage = state.voltage + (current - state.voltage) * 0.125
        return winner(voltage), {"voltage": select(winner(voltage), -1, voltage)}


class Shared(Kernel):
    """All are held back by the sum of what they have."""

    emits, payload_bits = "events", 1
    current = Input(range=(-64, 64), fraction=16)
    voltage = State(range=(-64, 64), fraction=20)

    def step(self, state, current, dt):
        voltage = maximum(state.voltage + (current - state.voltage) * 0.125, 0)
        held_back = sum_of(voltage) > 40
        return (voltage > 1) & winner(voltage), {"voltage": select(held_back, 0, voltage)}


@pytest.mark.parametrize("kernel", [Winner, Always, Shared])
@pytest.mark.parametrize("neurons", [20, 2500])
def test_inputs_that_hold_or_change(kernel, neurons):
    """A population of one block or of several, whose kept input is not in the accumulators."""
    rng = np.random.default_rng(neurons)
    with nengo.Network(seed=1) as network:
        shown = nengo.Node(nengo.processes.PresentInput(rng.uniform(0, 1, (4, 3)), 0.02))
        one = {"gain": np.ones(neurons), "bias": np.zeros(neurons)}
        competing = nengo.Ensemble(neurons, 1, **one, neuron_type=neuron_type(kernel)()).neurons
        others = nengo.Ensemble(neurons, 1, **one).neurons
        for to in (competing, others):
            weights = rng.uniform(-1, 2, (neurons, 3))
            nengo.Connection(shown, to, transform=weights, synapse=None)
            nengo.Probe(to)
    with spikeloom.Simulator(network, progress_bar=False) as sim:
        sim.run_steps(25)
        program = sim.program
    golden, native = GoldenEngine(program), NativeEngine(program)
    name, port = next(iter(program.inputs.items()))
    fired = 0
    for steps in (1, 30, 7, 41):
        values = np.rint(rng.uniform(0, 1, port.size) * 2.0**port.fraction).astype(np.int64)
        for engine in (golden, native):
            engine.write(name, values)
        for part in (1, steps):
            found = [e.run(part, {}, list(program.outputs)) for e in (golden, native)]
            for output in program.outputs:
                np.testing.assert_array_equal(found[0][output], found[1][output])
            assert_same_memories(native, golden)
            fired += sum(int((found[0][output] != 0).sum()) for output in program.outputs)
        changing = rng.uniform(0, 1, (5, port.size)) * 2.0**port.fraction
        for engine in (golden, native):
            engine.run(5, {name: np.rint(changing).astype(np.int64)}, [])
    assert fired


@pytest.mark.parametrize(
    ("kernel", "least"), [(Winner, (1 << 20) + 1), (Always, None), (Shared, None)]
)
def test_when_it_matters_who_the_winner_is(kernel, least):
    code = kernel().code(Machine())
    for number in code.reductions:
        if code.ops[number].kind == "winner":
            lowest = code.ops[code.ops[number].operands[0]].lo
            assert least_winner(code, number) == (lowest if least is None else least)

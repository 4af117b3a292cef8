"""Neurons that compete: in a step only the one with the largest voltage may fire."""

import nengo
import numpy as np

from spikeloom import (
    Input,
    Kernel,
    Parameter,
    State,
    constant,
    max_of,
    maximum,
    neuron_type,
    scaled,
    select,
    winner,
)


@neuron_type
class Competing(Kernel):
    """Leaky neurons; when one fires, the others are set to zero and held there for a while."""

    emits = "events"
    payload_bits = 1
    tau = Parameter(low=1e-3, default=0.02, unit="s")
    hold = Parameter(low=0, high=1, default=0.01, unit="s")
    current = Input(range=(-64, 64), fraction=16)
    voltage = State(range=(-64, 64), fraction=22, initial=(0, 0.5))
    held = State(range=(0, 2**12), fraction=0, unit="step")

    def step(self, state, current, dt):
        rise = scaled(-np.expm1(-dt / self.tau), bound=1)
        held = maximum(state.held - 1, 0)
        voltage = maximum(state.voltage + (current - state.voltage) * rise, -1)
        voltage = select(held > 0, 0, voltage)
        fires = max_of(voltage) > 1
        spike = fires & winner(voltage)
        hold = constant(self.hold / dt, range=(0, 2**12), fraction=0, like=current)
        return spike, {
            "voltage": select(fires, 0, voltage),
            "held": select(fires & ~spike, hold, held),
        }


def plain(currents, voltage, tau=0.02, hold=10, dt=0.001):
    """The same in loops: spikes, (steps, neurons), for currents of that shape."""
    voltage, held = [float(v) for v in voltage], [0] * len(voltage)
    spikes = np.zeros(currents.shape)
    for step, row in enumerate(currents):
        for i, current in enumerate(row):
            held[i] = max(held[i] - 1, 0)
            voltage[i] += (current - voltage[i]) * -np.expm1(-dt / tau)
            voltage[i] = 0.0 if held[i] else max(voltage[i], -1.0)
        best = max(range(len(voltage)), key=lambda i: (voltage[i], -i))
        if voltage[best] > 1:
            spikes[step, best] = 1
            held = [held[best] if i == best else hold for i in range(len(held))]
            voltage = [0.0] * len(voltage)
    return spikes


def network(neurons=7, groups=2, seed=0):
    """Groups of competing neurons of one type with currents of their own; `net.spikes`."""
    with nengo.Network(seed=seed) as net:
        kind = Competing(tau=0.015)
        net.spikes, net.voltages, net.groups = [], [], []
        for group in range(groups):
            drive = nengo.Node(
                lambda t, g=group: 1.6 + np.sin((20 + 3 * g) * t + np.arange(neurons))
            )
            ensemble = nengo.Ensemble(
                neurons, 1, neuron_type=kind, gain=np.ones(neurons), bias=np.zeros(neurons)
            )
            nengo.Connection(drive, ensemble.neurons, synapse=None)
            net.groups.append(ensemble)
            net.spikes.append(nengo.Probe(ensemble.neurons))
            net.voltages.append(nengo.Probe(ensemble.neurons, "voltage"))
    return net

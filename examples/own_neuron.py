"""A neuron of one's own: leaky, with a reset to -1 and a threshold that rises with each spike.

It is written once, as equations. Nengo runs it in floating point; on the chip it becomes integers.
"""

import nengo
import numpy as np

from spikeloom import (
    Input,
    Kernel,
    Parameter,
    State,
    constant,
    maximum,
    neuron_type,
    scaled,
    select,
)


@neuron_type
class Tired(Kernel):
    """Leaky integrate-and-fire neuron whose threshold rises by `fatigue` with each spike."""

    emits = "events"
    tau = Parameter(low=1e-3, default=0.02, unit="s")
    tau_fatigue = Parameter(low=1e-3, default=0.1, unit="s")
    fatigue = Parameter(low=0, high=1, default=0.1)
    current = Input(range=(-1024, 1024), fraction=16)
    voltage = State(range=(-16, 16), fraction=20)
    threshold = State(range=(-1, 64), fraction=20)

    def step(self, state, current, dt):
        voltage = state.voltage + (current - state.voltage) * scaled(dt / self.tau, bound=1)
        voltage = maximum(voltage, -2)
        threshold = state.threshold - state.threshold * scaled(dt / self.tau_fatigue, bound=1)
        spike = voltage > threshold + 1
        rise = constant(self.fatigue, range=(0, 1), fraction=20, like=threshold)
        return spike, {
            "voltage": select(spike, -1, voltage),
            "threshold": select(spike, threshold + rise, threshold),
        }


with nengo.Network(label="own neuron", seed=6) as model:
    stimulus = nengo.Node(lambda t: np.sin(2 * np.pi * t), label="stimulus")
    ensemble = nengo.Ensemble(
        100, 1, neuron_type=Tired(fatigue=0.05), max_rates=nengo.dists.Uniform(50, 100), label="own"
    )
    nengo.Connection(stimulus, ensemble)
    result = nengo.Probe(ensemble, synapse=0.03, label="decoded")
    spikes = nengo.Probe(ensemble.neurons, label="spikes")

if __name__ == "__main__":
    import spikeloom

    with spikeloom.Simulator(model) as sim:
        sim.run(1.0)
    error = sim.data[result][:, 0] - np.sin(2 * np.pi * sim.trange())
    print(f"{(sim.data[spikes] > 0).sum()} spikes, RMS error {np.sqrt(np.mean(error**2)):.3f}")

"""A controlled oscillator: one population holds a state in two dimensions and the speed at which it
turns; its neurons compute the product of both in their recurrent connection."""

import nengo
import numpy as np

TAU = 0.1
MOST_TURNS = 2.0  # per second, at a speed of 1


def turn(x):
    """The state a moment later: a rotation, and a pull towards the unit circle."""
    a, b, speed = x
    pull = 1.0 - (a**2 + b**2)
    angle = 2 * np.pi * MOST_TURNS * TAU * speed
    return a + 0.5 * pull * a - angle * b, b + 0.5 * pull * b + angle * a


with nengo.Network(label="oscillator", seed=5) as model:
    kick = nengo.Node(nengo.processes.Piecewise({0: 1, 0.1: 0}), label="kick")
    speed = nengo.Node(nengo.processes.Piecewise({0: 0.4, 1: 0.8, 2: -0.6}), label="speed")
    state = nengo.Ensemble(500, dimensions=3, radius=1.6, label="state")
    nengo.Connection(kick, state[0], synapse=TAU)
    nengo.Connection(speed, state[2], synapse=TAU)
    nengo.Connection(state, state[:2], function=turn, synapse=TAU)
    result = nengo.Probe(state[:2], synapse=0.02, label="position")
    spikes = nengo.Probe(state.neurons[:100], label="spikes of state")

if __name__ == "__main__":
    import spikeloom

    with spikeloom.Simulator(model) as sim:
        sim.run(3.0)
    angle = np.unwrap(np.arctan2(sim.data[result][:, 1], sim.data[result][:, 0]))
    for begin, end in ((500, 999), (1500, 1999), (2500, 2999)):
        turns = (angle[end] - angle[begin]) / (2 * np.pi) / 0.5
        print(f"at {end / 1000:.1f} s it turns {turns:+.2f} times a second")

"""A communication channel: a value travels through two populations of neurons."""

import nengo
import numpy as np

with nengo.Network(label="channel", seed=1) as model:
    stimulus = nengo.Node(lambda t: np.sin(2 * np.pi * t), label="stimulus")
    a = nengo.Ensemble(100, dimensions=1, label="a")
    b = nengo.Ensemble(100, dimensions=1, label="b")
    nengo.Connection(stimulus, a)
    nengo.Connection(a, b)
    result = nengo.Probe(b, synapse=0.02, label="b decoded")
    spikes = nengo.Probe(b.neurons, label="spikes of b")

if __name__ == "__main__":
    import spikeloom

    with spikeloom.Simulator(model) as sim:
        sim.run(1.0)
    print("decoded value at 0.25 s and 0.75 s:", sim.data[result][[249, 749], 0])

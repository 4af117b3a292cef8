"""An integrator: a population that is connected to itself remembers a sum in two dimensions."""

import nengo
import numpy as np

TAU = 0.1

with nengo.Network(label="integrator", seed=2) as model:
    stimulus = nengo.Node(
        lambda t: (np.cos(2 * np.pi * t / 5), np.sin(2 * np.pi * t / 5)), label="velocity"
    )
    memory = nengo.Ensemble(200, dimensions=2, radius=1.5, label="memory")
    nengo.Connection(stimulus, memory, transform=TAU, synapse=TAU)
    nengo.Connection(memory, memory, synapse=TAU)
    result = nengo.Probe(memory, synapse=0.02, label="memory decoded")

if __name__ == "__main__":
    import spikeloom

    with spikeloom.Simulator(model) as sim:
        sim.run(5.0)
    print("position after each second:")
    print(sim.data[result][999::1000].round(3))

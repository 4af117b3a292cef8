"""A product: a population in two dimensions computes x times y from its own curves."""

import nengo
import numpy as np

with nengo.Network(label="product", seed=3) as model:
    x = nengo.Node(lambda t: np.sin(2 * np.pi * t), label="x")
    y = nengo.Node(lambda t: np.cos(np.pi * t), label="y")
    product = nengo.networks.Product(100, dimensions=1, label="product")
    nengo.Connection(x, product.input_a, synapse=None)
    nengo.Connection(y, product.input_b, synapse=None)
    result = nengo.Probe(product.output, synapse=0.02, label="x * y")

if __name__ == "__main__":
    import spikeloom

    with spikeloom.Simulator(model) as sim:
        sim.run(2.0)
    t = sim.trange()
    error = sim.data[result][:, 0] - np.sin(2 * np.pi * t) * np.cos(np.pi * t)
    print(f"RMS error against x * y: {np.sqrt(np.mean(error**2)):.4f}")

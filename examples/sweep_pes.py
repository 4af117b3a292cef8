"""A sweep: which learning rate, and which synapse, lets PES learn the square of a signal best.

Run it, or let the command line do it:

    spikeloom sweep examples/sweep_pes.py --grid lr=1e-4:0.1:7:log tau=0.005,0.02 --seeds 3 -o out
"""

import nengo
import numpy as np

time = 1.5
"""Simulated seconds of each run."""


def build(lr=3e-4, tau=0.005, neurons=50, seed=None):
    """A network in which `pre` learns to send the square of its input to `post`."""
    with nengo.Network(label="learning", seed=seed) as model:
        stimulus = nengo.Node(lambda t: np.sin(2 * np.pi * t), label="stimulus")
        square = nengo.Node(lambda t, x: x**2, size_in=1, label="square")
        pre = nengo.Ensemble(neurons, dimensions=1, label="pre")
        post = nengo.Ensemble(neurons, dimensions=1, label="post")
        error = nengo.Node(size_in=1, label="error")
        nengo.Connection(stimulus, pre)
        nengo.Connection(stimulus, square, synapse=None)
        learned = nengo.Connection(
            pre,
            post,
            synapse=tau,
            function=lambda x: [0],
            learning_rule_type=nengo.PES(lr),
            label="learned",
        )
        nengo.Connection(post, error)
        nengo.Connection(square, error, transform=-1)
        nengo.Connection(error, learned.learning_rule)
        model.result = nengo.Probe(post, synapse=0.03)
        model.wanted = nengo.Probe(square, synapse=0.03)
    return model


def metric(sim, model):
    """RMS error in the last half second."""
    late = sim.trange() > time - 0.5
    difference = sim.data[model.result][late] - sim.data[model.wanted][late]
    return {"rms_error": np.sqrt(np.mean(difference**2))}


if __name__ == "__main__":
    import spikeloom

    grid = {"lr": np.geomspace(1e-4, 1e-1, 7), "tau": [0.005, 0.02]}
    table = spikeloom.sweep(build, grid, seeds=3, metric=metric, time=time, out="sweep_pes")
    for row in table.summary():
        lr, tau = row["setting"].values()
        error, spread = row["mean"]["rms_error"], row["spread"]["rms_error"]
        print(f"lr {lr:.1e}, tau {tau}: RMS error {error:.3f} +- {spread:.3f}")
    print("written: sweep_pes/results.csv, sweep_pes/results.png")

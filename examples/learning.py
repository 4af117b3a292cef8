"""Learning: PES teaches a connection the square of its input, on the chip."""

import nengo
import numpy as np

with nengo.Network(label="learning", seed=2) as model:
    stimulus = nengo.Node(lambda t: np.sin(2 * np.pi * t), label="stimulus")
    square = nengo.Node(lambda t, x: x**2, size_in=1, label="square")
    pre = nengo.Ensemble(100, dimensions=1, label="pre")
    post = nengo.Ensemble(100, dimensions=1, label="post")
    error = nengo.Ensemble(100, dimensions=1, label="error")
    nengo.Connection(stimulus, pre)
    nengo.Connection(stimulus, square, synapse=None)
    learned = nengo.Connection(
        pre, post, function=lambda x: [0], learning_rule_type=nengo.PES(3e-4), label="learned"
    )
    nengo.Connection(post, error)
    nengo.Connection(square, error, transform=-1)
    nengo.Connection(error, learned.learning_rule)
    result = nengo.Probe(post, synapse=0.03, label="post decoded")
    wanted = nengo.Probe(square, synapse=0.03, label="square")
    weights = nengo.Probe(learned, "weights", sample_every=0.05, label="decoders")


def draw(t, shown, ideal, decoders, path):
    """What is decoded beside what is wanted, and the decoders as they grow."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    above.plot(t, ideal, label="wanted")
    above.plot(t, shown, label="decoded on the chip")
    above.legend(loc="upper right")
    below.plot(np.linspace(0, t[-1], len(decoders)), decoders[:, 0], linewidth=0.7)
    below.set_xlabel("time (s)")
    below.set_ylabel("decoders")
    figure.savefig(path)


if __name__ == "__main__":
    import spikeloom

    with spikeloom.Simulator(model) as sim:
        sim.run(4.0)
    shown, ideal = sim.data[result][:, 0], sim.data[wanted][:, 0]
    for second in range(4):
        part = slice(1000 * second, 1000 * (second + 1))
        left = np.sqrt(np.mean((shown[part] - ideal[part]) ** 2))
        print(f"second {second + 1}: RMS error {left:.3f}")
    draw(sim.trange(), shown, ideal, sim.data[weights], "learning.png")
    print("written: learning.png")

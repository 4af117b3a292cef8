"""A classifier of hand-written digits: 64 pixels, 400 spiking neurons, 10 classes.

The decoders are the trained part: Nengo solves for them on the first 1 300 images. The network then
sees images that it was not trained on, 100 ms each.
"""

import nengo
import numpy as np
from sklearn.datasets import load_digits

NEURONS = 400
TRAINED = 1300
SHOWN = 50
PRESENTATION = 0.1

digits = load_digits()
images = (digits.data - digits.data.mean(axis=0)) / 16.0
images /= np.linalg.norm(images, axis=1).mean()
classes = np.eye(10)[digits.target]
rng = np.random.default_rng(4)

with nengo.Network(label="digits", seed=4) as model:
    shown = images[TRAINED : TRAINED + SHOWN]
    image = nengo.Node(nengo.processes.PresentInput(shown, PRESENTATION), label="image")
    hidden = nengo.Ensemble(
        NEURONS,
        dimensions=64,
        # Each neuron likes an image of its own, with some noise so that no two are alike.
        encoders=images[rng.choice(TRAINED, NEURONS, replace=False)]
        + rng.normal(size=(NEURONS, 64)) * 0.02,
        intercepts=nengo.dists.Uniform(-0.3, 0.5),
        max_rates=nengo.dists.Uniform(100, 200),
        neuron_type=nengo.LIF(),
        label="hidden",
    )
    output = nengo.Node(size_in=10, label="class")
    nengo.Connection(image, hidden, synapse=None)
    nengo.Connection(
        hidden,
        output,
        eval_points=images[:TRAINED],
        function=classes[:TRAINED],
        scale_eval_points=False,
        solver=nengo.solvers.LstsqL2(reg=0.05),
        synapse=0.02,
    )
    result = nengo.Probe(output, label="class")
    spikes = nengo.Probe(hidden.neurons[:100], label="spikes of hidden")

if __name__ == "__main__":
    import spikeloom

    with spikeloom.Simulator(model) as sim:
        sim.run(SHOWN * PRESENTATION)
    steps = round(PRESENTATION / sim.dt)
    votes = sim.data[result].reshape(SHOWN, steps, 10)[:, steps // 2 :].sum(axis=1)
    right = votes.argmax(axis=1) == digits.target[TRAINED : TRAINED + SHOWN]
    print(f"{right.sum()} of {SHOWN} digits recognised")

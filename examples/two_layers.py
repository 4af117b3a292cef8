"""Two layers of spiking neurons that can be checked by hand.

The first layer integrates a rate: at 100 Hz and steps of 1 ms its voltage rises by 0.1 a step and
reaches the threshold of 1 in step 10, 20, 30, ... Its second neuron gets 200 Hz in one step, step
15: 0.2 instead of 0.1. Its next spike comes in step 19 instead of 20.

The second layer is a LIF neuron. A spike of the first layer is worth amplitude / dt = 0.01 / 0.001,
that is 10; the synapse lets 18 % of it through at first; the weights W_2 turn that into a current.

    spikeloom explain examples/two_layers.py --neuron "layer 1[1]" --picture two_layers.png
"""

import nengo
import numpy as np

RATE = 100.0
"""Hz."""

STEPS = 50
FASTER = 15
"""In this step the second neuron gets twice the rate."""

rates = np.full((STEPS, 2), RATE)
rates[FASTER - 1, 1] = 2 * RATE

W_2 = np.array([[0.8, 0.6]])

with nengo.Network(label="two layers", seed=0) as model:
    rate = nengo.Node(nengo.processes.PresentInput(rates, 0.001), label="rate")
    first = nengo.Ensemble(
        2,
        1,
        gain=np.ones(2),
        bias=np.zeros(2),
        neuron_type=nengo.SpikingRectifiedLinear(
            amplitude=1 / RATE,
            # Ten times 0.1 is a little less than 1 in floating point, and would not be a spike.
            initial_state={"voltage": nengo.dists.Choice([1e-9])},
        ),
        label="layer 1",
    )
    second = nengo.Ensemble(
        1,
        1,
        gain=np.ones(1),
        bias=np.array([0.8]),
        neuron_type=nengo.LIF(initial_state={"voltage": nengo.dists.Choice([0])}),
        label="layer 2",
    )
    nengo.Connection(rate, first.neurons, synapse=None)
    nengo.Connection(first.neurons, second.neurons, transform=W_2, synapse=0.005)
    spikes = nengo.Probe(first.neurons, label="spikes of layer 1")
    output = nengo.Probe(second.neurons, label="spikes of layer 2")

if __name__ == "__main__":
    with nengo.Simulator(model, progress_bar=False) as sim:
        sim.run_steps(STEPS)
    for i in range(2):
        print(f"neuron {i} of layer 1 spikes in steps {np.flatnonzero(sim.data[spikes][:, i]) + 1}")
    print(f"the neuron of layer 2 spikes in steps {np.flatnonzero(sim.data[output]) + 1}")

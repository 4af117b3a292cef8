"""Memristors learn x -> x**2: each weight is a pair of devices that only pulses can change.

In each step in which an input neuron fires while the error is not small, one device of each of its
pairs gets a positive and the other a negative pulse. How far a pulse moves a device follows a power
law of its resistance, and devices differ from one to the next.
"""

import argparse

import nengo
import numpy as np

import spikeloom

SECONDS = 20.0


def network(spread=0.2, seed=2):
    """The network, with its probes as attributes; `spread` is that of the devices."""
    with nengo.Network(label="memristor", seed=seed) as model:
        source = nengo.Node(
            nengo.processes.WhiteSignal(SECONDS, high=2, rms=0.5, seed=seed), label="source"
        )
        pre = nengo.Ensemble(100, 1, label="pre")
        post = nengo.Ensemble(100, 1, label="post")
        error = nengo.Ensemble(100, 1, label="error")
        nengo.Connection(source, pre)
        learned = nengo.Connection(
            pre,
            post,
            function=lambda x: [0],
            learning_rule_type=spikeloom.VariedMPES(gain=3e-3, spread=spread),
        )
        nengo.Connection(post, error)
        nengo.Connection(pre, error, function=lambda x: -(x**2))
        nengo.Connection(error, learned.learning_rule)
        model.source = nengo.Probe(source, synapse=0.04, label="source")
        model.learned = nengo.Probe(post, synapse=0.04, label="learned")
    return model


def learned_error(model, engine):
    """RMS error in the last quarter of the run, and without learning."""
    if engine == "float":
        sim = nengo.Simulator(model, progress_bar=False)
    else:
        sim = spikeloom.Simulator(model, engine=engine, progress_bar=False)
    with sim:
        sim.run(SECONDS)
        last = slice(3 * len(sim.trange()) // 4, None)
        wanted = sim.data[model.source][last] ** 2
        error = sim.data[model.learned][last] - wanted
        return np.sqrt(np.mean(error**2)), np.sqrt(np.mean(wanted**2))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--engine", choices=["float", "native", "golden"], help="only this one")
    parser.add_argument("--spread", type=float, default=0.2, help="of the devices")
    chosen = parser.parse_args()
    for engine in [chosen.engine] if chosen.engine else ["float", "native"]:
        error, before = learned_error(network(chosen.spread), engine)
        print(f"{engine}: RMS error {error:.3f} (without learning {before:.3f})")

"""Models that the tests of sweeps run; small and quick."""

import os
import signal
import time as clock

import nengo
import numpy as np


def build(lr=1e-3, tau=0.01, n=20, seed=None):
    with nengo.Network(seed=seed, label="small") as net:
        stimulus = nengo.Node(lambda t: np.sin(6 * t), label="stimulus")
        pre = nengo.Ensemble(n, 1, label="pre")
        post = nengo.Ensemble(n, 1, label="post")
        learned = nengo.Connection(
            pre,
            post,
            synapse=tau,
            function=lambda x: 0,
            learning_rule_type=nengo.PES(lr),
            label="learned",
        )
        error = nengo.Node(size_in=1, label="error")
        nengo.Connection(stimulus, pre)
        nengo.Connection(post, error)
        nengo.Connection(stimulus, error, transform=-1)
        nengo.Connection(error, learned.learning_rule)
        net.shown = nengo.Probe(post, synapse=0.02)
    return net


def metric(sim, net):
    return np.sqrt(np.mean((sim.data[net.shown][:, 0] - np.sin(6 * sim.trange())) ** 2))


def two(sim, net):
    return {"rms": metric(sim, net), "last": sim.data[net.shown][-1]}


def counting(x=0, y="a", seed=0):
    """A network of nothing; what it measures is known."""
    with nengo.Network(seed=seed) as net:
        net.node = nengo.Node([x])
        net.x, net.y = x, y
    return net


def count(sim, net):
    return {"sum": net.x + 100 * net.seed, "length": len(net.y)}


def slowly(sim, net):
    clock.sleep(0.15)
    return {"sum": net.x + 100 * net.seed}


def failing(sim, net):
    if net.x == 2:
        raise ValueError("x must not\nbe 2")
    return net.x


def deadly(sim, net):
    if net.x == 2:
        os.kill(os.getpid(), signal.SIGSEGV)
    return net.x


def quadratic(sim, net):
    return (net.x - 3.0) ** 2 + net.seed

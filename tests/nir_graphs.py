"""Small NIR graphs, and what an importer must make of them: written down without Nengo."""

from itertools import pairwise

import nengo
import nir
import numpy as np

import spikeloom
from spikeloom.compiler.frontends.nengo.streams import Recording
from spikeloom.compiler.frontends.nir.network import import_nir

DT = 1e-3


def chain(*nodes, shape):
    """Nodes one after the other, between an input of that shape and an output."""
    named = {"input": nir.Input({"input": np.array(shape)})}
    named |= {f"n{i}": node for i, node in enumerate(nodes)}
    named["output"] = nir.Output({"output": None})
    names = list(named)
    return nir.NIRGraph(named, list(pairwise(names)), type_check=False)


def graph(nodes, edges):
    return nir.NIRGraph(nodes, edges, type_check=False)


def feed(network, values):
    """Give the network's only input these rows, one a step."""
    (node,) = [n for n in network.nodes if isinstance(n.output, Recording)]
    node.output = Recording(np.asarray(values, float).reshape(len(values), -1))


def outputs(source, values, simulator=nengo.Simulator, dt=DT, **options):
    """What the imported graph's outputs give, {name: (steps, size)}."""
    network = source
    if not isinstance(source, nengo.Network):
        network = import_nir(source, dt=dt, **options)
    feed(network, values)
    keywords = {"engine": simulator} if isinstance(simulator, str) else {}
    make = spikeloom.Simulator if keywords else simulator
    with make(network, dt=dt, progress_bar=False, **keywords) as sim:
        sim.run_steps(len(values), progress_bar=False)
        return {probe.label: np.array(sim.data[probe]) for probe in network.probes}


def output(source, values, simulator=nengo.Simulator, dt=DT, **options):
    """What the only output gives, (steps, size)."""
    (found,) = outputs(source, values, simulator, dt, **options).values()
    return found


def spikes(shape, share=0.3, seed=0):
    return (np.random.default_rng(seed).random(shape) < share).astype(float)


def lif(values, tau, r, v_leak, v_threshold, v_reset, share=None, dt=DT):
    """Spikes of LIF neurons as NIR's equations give them, stepped by forward Euler."""
    k = dt / tau if share is None else share
    v, found = np.broadcast_to(v_leak, values.shape[1:]).astype(float), []
    for x in values:
        v = v + k * (v_leak - v + r * x)
        z = v > v_threshold
        v = np.where(z, v_reset, v)
        found.append(z)
    return np.array(found, float)

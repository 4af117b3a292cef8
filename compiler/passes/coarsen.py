"""Coarsen: weights of fewer bits than the machine has, for finding out how many are needed.

A table of b bits is rounded to the finest power of two at which its largest weight fits a signed
word of b bits. It is stored in words of the machine's width all the same: what changes is what it
says, as it would be on a machine with narrower weights, while biases keep all their bits.

Tables whose weights all have one magnitude (selections, gains of synapses) are left alone: they
hold nothing that was trained, and a scale of its own would hold their one number exactly.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import networkx as nx
import numpy as np
import scipy.sparse as sp

from ..errors import InputError
from ..graph import Graph, Population
from ..machine import Machine
from .quantise import fraction_for

FEWEST = 2
"""Bits of a weight, at least: a sign and a one."""


@dataclass(frozen=True)
class WeightBits:
    """How many bits, sign included, weights shall have.

    Attributes
    ----------
    everywhere : int or None
        None: as many as the machine has.
    layers : dict of str -> int
        Other numbers for the weights that lead to some layers: names of the ensembles, of
        connections, or of what is probed.
    """

    everywhere: int | None = None
    layers: Mapping[str, int] = field(default_factory=dict)

    def check(self, machine: Machine) -> None:
        """Raise `InputError` for a number of bits that weights cannot have."""
        for bits in (self.everywhere, *self.layers.values()):
            if bits is not None and not FEWEST <= bits <= machine.weight_bits:
                raise InputError(
                    f"weights of {bits} bits: must be {FEWEST} to {machine.weight_bits}, the "
                    "machine's width"
                )


def coarsen(graph: Graph, machine: Machine, wanted: WeightBits) -> Graph:
    """Round the tables of a Graph; returns a new Graph.

    Parameters
    ----------
    graph : Graph
        As the last pass before quantisation left it.
    machine : Machine
    wanted : WeightBits

    Raises
    ------
    InputError
        If there is no layer of a name, or weights cannot have so many bits.
    """
    wanted.check(machine)
    graph = graph.copy()
    used: set[str] = set()
    known: dict[str, None] = {}
    for node in graph.nodes():
        if not graph.edges_into(node.name):
            continue
        names = layer_names(graph, node.name)
        known.update(dict.fromkeys(n for n in names if not n.endswith(".synapse")))
        chosen = [name for name in names if name in wanted.layers]
        used |= set(chosen)
        bits = wanted.layers[chosen[0]] if chosen else wanted.everywhere
        if bits is None:
            continue
        for _, _, edge in graph.edges_into(node.name):
            if edge.plasticity is None:
                edge.matrix = rounded(edge.matrix, bits)
    unknown = sorted(set(wanted.layers) - used)
    if unknown:
        raise InputError(
            f"bits of {unknown[0]!r}: no layer has that name; there are: {', '.join(known)}"
        )
    return graph


def layer_names(graph: Graph, name: str) -> list[str]:
    """Names by which the weights into a node can be called, its own ones first.

    They are those of the node and of the neurons that it leads to without neurons between.
    """
    found: dict[str, None] = {}
    todo, seen = [name], {name}
    for current in todo:
        node = graph[current]
        members = getattr(node, "members", [])
        names = [current, node.origin, *(member.name for member in members)]
        # The synapse of a connection is named after it, the connection after what it leads to.
        names += [n.removesuffix(".synapse") for n in names]
        names += [n.rpartition(" -> ")[2] for n in names]
        found.update(dict.fromkeys(n for n in names if n))
        if isinstance(node, Population) and not node.kernel.homogeneous:
            continue
        for target in nx.DiGraph(graph.nx).successors(current):
            if target not in seen:
                seen.add(target)
                todo.append(target)
    return list(found)


def rounded(matrix: Any, bits: int) -> Any:
    """A matrix whose elements are integers of `bits` bits times one power of two."""
    values = matrix.data if sp.issparse(matrix) else np.asarray(matrix)
    sizes = np.abs(values[values != 0])
    if not sizes.size or sizes.min() == sizes.max():
        return matrix
    fraction = fraction_for(float(sizes.max()), bits)
    found = np.ldexp(np.rint(np.ldexp(values, fraction)), -fraction)
    if not sp.issparse(matrix):
        return found
    entries = sp.csr_array(matrix, copy=True)
    entries.data = np.ldexp(np.rint(np.ldexp(entries.data, fraction)), -fraction)
    return entries

"""The Graph: what the chip is to compute, in floats, between the frontend and the Program.

A `networkx.MultiDiGraph` whose nodes are names with a `Node` under the attribute ``"node"`` and
whose edges carry an `Edge` under ``"edge"``. Node names are unique; use `Graph.add` and
`Graph.connect`.

Within one step a node's input is ``bias + sum over its incoming edges of matrix @ source output``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import networkx as nx
import numpy as np

from .errors import GraphError

Matrix: TypeAlias = Any
"""A dense float64 ``np.ndarray`` or a ``scipy.sparse.csr_array``, which has no type of its own."""


@dataclass
class Node:
    """Base of the nodes: a vector of `size` elements with a name in the user's model."""

    name: str
    size: int
    origin: str = ""


@dataclass
class Input(Node):
    """A vector that the host provides in each step.

    Attributes
    ----------
    requires : set of str
        Names of nodes whose outputs, inputs or states *of the same step* the host must have seen
        before it can compute this vector (empty for most).
    limit : float or None
        Largest absolute value it can take, where that is known (from the model or a calibration).
    """

    requires: set[str] = field(default_factory=set)
    limit: float | None = None


@dataclass
class Vector(Node):
    """A plain sum: ``output = bias + sum of incoming``, in the same step (no state)."""

    bias: np.ndarray = field(default_factory=lambda: np.zeros(0))
    limit: float | None = None


@dataclass(frozen=True)
class Member:
    """One of the user's populations inside a joint one: elements start..start + size - 1."""

    name: str
    start: int
    size: int


@dataclass
class Population(Node):
    """Neurons, or the state of a synapse: a kernel run over `size` elements.

    Attributes
    ----------
    kernel : Kernel
        An instance of a kernel class (`spikeloom.compiler.kernels`) with its parameters.
    bias : (size,) ndarray
        Constant part of the input.
    initial : dict of str -> (size,) ndarray
        Initial state, in the kernel's float units.
    output_unit : float
        Value of one unit of the kernel's output in the model (amplitude/dt for a spike). The fold
        pass multiplies it into the outgoing matrices and sets `folded`.
    limit : float or None
        Largest absolute output known from a calibration or assumed by the frontend, where the
        model does not prove one.
    members : list of Member
        The populations that were joined into this one; empty for a single one.
    """

    kernel: Any = None
    bias: np.ndarray = field(default_factory=lambda: np.zeros(0))
    initial: dict[str, np.ndarray] = field(default_factory=dict)
    output_unit: float = 1.0
    folded: bool = False
    limit: float | None = None
    members: list[Member] = field(default_factory=list)


@dataclass
class Plasticity:
    """What makes the matrix of an edge a learned one.

    Attributes
    ----------
    name : str
        Of the projection.
    rule : Rule
        An instance of a rule class (`spikeloom.compiler.kernels.rule`) with its parameters.
    variables : dict of str -> (node name, state name)
        Where each of the rule's variables is found: a state of a population that fits
        `Machine.value_bits`. All pre variables belong to one population as large as the edge's
        source, each post variable to one as large as its target.
    units : dict of str -> float
        For each free variable that does not belong to a homogeneous kernel, what 1 of the
        rule's normal form is worth in the user's unit.
    initial : dict of str -> (targets, sources) float64 ndarray
        Initial states of the synapses.
    limit : float
        Largest magnitude of a weight that is expected, in the user's unit.
    unit : float
        What the edge's matrix is in terms of the user's weights: ``matrix = unit * weights``.
    origin : str
    """

    name: str
    rule: Any
    variables: dict[str, tuple[str, str]]
    units: dict[str, float] = field(default_factory=dict)
    initial: dict[str, np.ndarray] = field(default_factory=dict)
    limit: float = 1.0
    unit: float = 1.0
    origin: str = ""


@dataclass
class Edge:
    """A linear map from the output of one node to the input of another.

    `matrix` has shape (target size, source size), dense or `scipy.sparse.csr_array`; it is constant
    unless there is a `plasticity`: then it is dense, the initial one.
    """

    matrix: Matrix
    origin: str = ""
    plasticity: Plasticity | None = None


@dataclass(frozen=True)
class Observation:
    """Something that the host wants to read: the `what` of node `node`.

    `what` is ``"output"``, ``"input"`` (the sum before the kernel) or the name of a state. Only
    the elements from `start` on, `size` of them, are meant; all if `size` is None.
    """

    name: str
    node: str
    what: str
    origin: str = ""
    start: int = 0
    size: int | None = None


class Graph:
    """Nodes, edges and observations; see the module's docstring."""

    def __init__(self, name: str, dt: float) -> None:
        self.name = name
        self.dt = dt
        self.nx = nx.MultiDiGraph()
        self.observations: dict[str, Observation] = {}

    def add(self, node: Node) -> Node:
        """Add a node; its name must be new."""
        if node.name in self.nx:
            raise GraphError(f"two nodes are named {node.name!r}")
        self.nx.add_node(node.name, node=node)
        return node

    def connect(
        self,
        source: str,
        target: str,
        matrix: Matrix,
        origin: str = "",
        plasticity: Plasticity | None = None,
    ) -> None:
        """Add an edge ``source -> target``."""
        self.nx.add_edge(source, target, edge=Edge(matrix, origin, plasticity))

    def observe(self, observation: Observation) -> None:
        """Ask for something to be readable by the host."""
        self.observations[observation.name] = observation

    def __getitem__(self, name: str) -> Node:
        return self.nx.nodes[name]["node"]

    def nodes(self) -> Iterator[Node]:
        """All nodes, in the order in which they were added."""
        for name in self.nx:
            yield self.nx.nodes[name]["node"]

    def edges_into(self, name: str) -> list[tuple[str, int, Edge]]:
        """``(source, key, edge)`` of all edges that end in `name`."""
        return [(u, k, d["edge"]) for u, _, k, d in self.nx.in_edges(name, keys=True, data=True)]

    def edges_from(self, name: str) -> list[tuple[str, int, Edge]]:
        """``(target, key, edge)`` of all edges that start in `name`."""
        return [(v, k, d["edge"]) for _, v, k, d in self.nx.out_edges(name, keys=True, data=True)]

    def observed(self, name: str, what: str | None = None) -> bool:
        """Whether the host reads something (or just `what`) of node `name`."""
        return any(
            o.node == name and (what is None or o.what == what) for o in self.observations.values()
        )

    def copy(self) -> Graph:
        """A copy whose nodes and edges can be changed without touching this one's."""
        other = Graph(self.name, self.dt)
        for node in self.nodes():
            other.add(replace(node))
        for u, v, d in self.nx.edges(data=True):
            other.nx.add_edge(u, v, edge=replace(d["edge"]))
        other.observations = dict(self.observations)
        return other

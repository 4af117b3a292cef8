"""NIR graphs as they are stored, flattened: nodes, edges, shapes, and which edges close cycles.

NIR's edges carry values without delay. In discrete time a cycle of them needs a place where the
value of the step before is taken: the edge that closes the cycle, seen from the inputs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np

from ...errors import ModelError
from .shapes import output_shape

NODES = (
    "Affine AvgPool2d Conv1d Conv2d CubaLI CubaLIF Delay Flatten I IF Input LI LIF Linear NIRGraph "
    "Output Scale SumPool2d Threshold"
).split()
"""The nodes of NIR 1.0.8."""

STATELESS = ("Affine AvgPool2d Conv1d Conv2d Flatten Identity Linear Scale SumPool2d").split()
"""Those whose output depends on their input of the same step alone."""

Shape = tuple[int, ...]
Edge = tuple[str, str]


@dataclass
class Item:
    """A node of a flattened graph.

    Attributes
    ----------
    name : str
        With the names of the subgraphs around it: ``layer/lif``.
    kind : str
        NIR's name of the node.
    values : dict
        Its parameters, as NIR names them.
    source, target : tuple of int
        Shapes of what enters and leaves it, without a batch dimension.
    order : int64 ndarray or None
        In which order an importer has the values that enter: their places in NIR's own order.
        None where that is NIR's.
    """

    name: str
    kind: str
    values: dict[str, Any]
    source: Shape = ()
    target: Shape = ()
    order: np.ndarray | None = None

    @property
    def label(self) -> str:
        """Name and kind, for errors."""
        return f"node {self.name!r} ({self.kind})"

    def error(self, message: str) -> ModelError:
        """An error about this node."""
        return ModelError(f"{self.label}: {message}")

    def array(self, name: str) -> np.ndarray:
        """A parameter as float64 array; raises `ModelError` unless it is there and finite."""
        value = self.values.get(name)
        if value is None:
            raise self.error(f"has no {name}; export it again with all parameters")
        try:
            array = np.asarray(value, dtype=float)
        except (TypeError, ValueError) as e:
            raise self.error(f"{name} is not made of numbers ({e})") from e
        if not np.isfinite(array).all():
            raise self.error(f"{name} is not finite everywhere; train or export it again")
        return array


@dataclass
class FlatGraph:
    """A graph without subgraphs.

    Attributes
    ----------
    items : dict of str -> Item
        In an order in which each comes after what leads to it, cycles apart.
    edges : list of (str, str)
    late : set of (str, str)
        The edges that bring the value of the step before.
    metadata : dict
        The outermost graph's.
    """

    items: dict[str, Item]
    edges: list[Edge]
    late: set[Edge] = field(default_factory=set)
    metadata: dict[str, Any] = field(default_factory=dict)

    def sources(self, name: str) -> list[str]:
        """Names of the nodes with an edge to `name`."""
        return [a for a, b in self.edges if b == name]

    def targets(self, name: str) -> list[str]:
        """Names of the nodes with an edge from `name`."""
        return [b for a, b in self.edges if a == name]


def read_file(path: str | Path) -> dict[str, Any]:
    """The outermost graph of a ``.nir`` file, as the dictionary that NIR stores.

    Raises
    ------
    ModelError
        If there is no such file, or it holds no NIR graph.
    """
    path = Path(path)
    if not path.is_file():
        raise ModelError(f"{path}: no such file; give a .nir file made with nir.write")
    try:
        import h5py
        from nir.serialization import hdf2dict
    except ImportError as e:
        raise ModelError(
            f"{path}: reading it needs the package {e.name}; pip install 'spikeloom[nir]'"
        ) from e
    try:
        with h5py.File(path, "r") as file:
            found: dict[str, Any] = hdf2dict(file["node"])
    except Exception as e:  # h5py raises many kinds for files that are not HDF5, or damaged
        reason = " ".join(str(e).split())
        raise ModelError(f"{path}: not a NIR file ({reason}); make it with nir.write") from e
    if found.get("type") != "NIRGraph":
        raise ModelError(f"{path}: holds the single node {found.get('type')}; write a nir.NIRGraph")
    return found


def flat_graph(stored: Mapping[str, Any], dt: float) -> FlatGraph:
    """Flatten a stored graph, find all shapes, and the edges that close cycles.

    A cycle that passes a Delay of a step of `dt` seconds or more needs no edge that is late.

    Raises
    ------
    ModelError
        If the graph has unknown nodes, edges to nothing, no input or output, or shapes that do not
        fit.
    """
    items: dict[str, Item] = {}
    edges: list[Edge] = []
    _flatten(stored, "", items, edges)
    for kind, what in (("Input", "input"), ("Output", "output")):
        if not any(i.kind == kind for i in items.values()):
            raise ModelError(f"the graph has no {kind} node; add one, so that its {what} is known")
    metadata = {k: _plain(v) for k, v in dict(stored.get("metadata") or {}).items()}
    slow = {
        name
        for name, item in items.items()
        if item.kind == "Delay" and item.array("delay").min(initial=np.inf) > 0.5 * dt
    }
    instant = [(a, b) for a, b in edges if b not in slow]
    kinds = {name: item.kind for name, item in items.items()}
    graph = FlatGraph(items, edges, closing_edges(kinds, instant), metadata)
    order = nx.DiGraph()
    order.add_nodes_from(items)
    order.add_edges_from(e for e in instant if e not in graph.late)
    rank = {name: i for i, name in enumerate(items)}
    graph.items = {
        name: items[name] for name in nx.lexicographical_topological_sort(order, rank.__getitem__)
    }
    _infer(graph)
    return graph


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    return value.item() if isinstance(value, np.ndarray) and value.ndim == 0 else value


def _flatten(
    stored: Mapping[str, Any], prefix: str, items: dict[str, Item], edges: list[Edge]
) -> tuple[list[str], list[str]]:
    """Add the nodes and edges of a graph; returns the names of its inputs and outputs."""
    nodes = stored.get("nodes")
    if not isinstance(nodes, Mapping) or not nodes:
        raise ModelError(f"graph {prefix.rstrip('/')!r} has no nodes; export the network again")
    ports: dict[str, tuple[list[str], list[str]]] = {}
    for key, node in nodes.items():
        name, kind = f"{prefix}{key}", str(node.get("type"))
        if kind not in NODES:
            raise ModelError(
                f"node {name!r} ({kind}) is unknown; write it with the nodes {', '.join(NODES)}"
            )
        if kind == "NIRGraph":
            ports[key] = _flatten(node, f"{name}/", items, edges)
        else:
            outer = not prefix or kind not in ("Input", "Output")
            values = {k: v for k, v in node.items() if k != "type"}
            items[name] = Item(name, kind if outer else "Identity", values)
            ports[key] = [name], [name]
    for pair in np.asarray(stored.get("edges", []), dtype=object).reshape(-1, 2):
        a, b = (e.decode() if isinstance(e, bytes) else str(e) for e in pair)
        for end in (a, b):
            if end not in ports:
                raise ModelError(
                    f"the edge {prefix}{a} -> {prefix}{b} leads to no node: {end!r} is missing"
                )
        outputs, inputs = ports[a][1], ports[b][0]
        if len(outputs) != 1 or len(inputs) != 1:
            many = prefix + (a if len(outputs) != 1 else b)
            raise ModelError(
                f"subgraph {many!r} has several inputs or outputs, or none; NIR's edges do not say "
                "which is meant: put its nodes into the graph around it"
            )
        edges.append((outputs[0], inputs[0]))
    kinds = {k: str(n.get("type")) for k, n in nodes.items()}
    ends = tuple(
        [f"{prefix}{k}" for k, kind in kinds.items() if kind == end] for end in ("Input", "Output")
    )
    return ends[0], ends[1]


def closing_edges(kinds: Mapping[str, str], edges: Iterable[Edge]) -> set[Edge]:
    """The edges that close a cycle, found depth first from the inputs, in the order of the edges.

    Where such an edge leads from layers without state, it is taken to be the one that leads to
    them: so biases of these layers count from the first step on.

    Parameters
    ----------
    kinds : mapping of node name -> kind
    edges : iterable of (str, str)
    """
    edges = list(edges)
    follow: dict[str, list[str]] = {name: [] for name in kinds}
    for a, b in edges:
        follow[a].append(b)
    closing: set[Edge] = set()
    done: set[str] = set()
    for start in sorted(kinds, key=lambda name: (kinds[name] != "Input", name)):
        if start in done:
            continue
        open_nodes, stack = {start}, [(start, iter(follow[start]))]
        while stack:
            node, rest = stack[-1]
            step = next(rest, None)
            if step is None:
                stack.pop()
                open_nodes.discard(node)
                done.add(node)
            elif step in open_nodes:
                closing.add((node, step))
            elif step not in done:
                open_nodes.add(step)
                stack.append((step, iter(follow[step])))
    return {moved_back(edge, kinds, edges) for edge in closing}


def moved_back(edge: Edge, kinds: Mapping[str, str], edges: list[Edge]) -> Edge:
    """The edge into the layers without state, one after the other, out of which `edge` leads."""
    while kinds[edge[0]] in STATELESS:
        into = [e for e in edges if e[1] == edge[0]]
        if len(into) != 1 or sum(e[0] == edge[0] for e in edges) != 1:
            break
        edge = into[0]
    return edge


def _infer(graph: FlatGraph) -> None:
    """Fill in the shapes of all nodes, and check that edges join equal ones."""
    known: set[str] = set()
    for item in graph.items.values():
        shapes = {graph.items[s].target: s for s in graph.sources(item.name) if s in known}
        if len(shapes) > 1:
            text = ", ".join(f"{shape} from {s!r}" for shape, s in shapes.items())
            raise item.error(f"gets values of different shapes: {text}; they must be equal")
        item.source, item.target = output_shape(item, next(iter(shapes), None))
        known.add(item.name)
    for a, b in graph.edges:
        if graph.items[a].target != graph.items[b].source:
            raise graph.items[b].error(
                f"takes values of shape {graph.items[b].source}, but {a!r} gives "
                f"{graph.items[a].target}"
            )

"""Matrices of the Graph as layers of NIR: scales, convolutions, and linear ones for the rest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import nir
import numpy as np
import scipy.sparse as sp
from nengo.builder import Model
from nengo.builder.transforms import ConvInc

from ...graph import Graph, Population, Vector
from ...passes.fold import add, dense
from ..nengo.linear import convolution_matrix
from .nir_words import is_delay

Shape = tuple[int, ...]
SAME = 1e-12
"""Largest difference, relative to the largest weight, of matrices that count as equal."""


@dataclass
class Wire:
    """A matrix between two nodes of the Graph, and how NIR is to say it.

    Attributes
    ----------
    source, target : str
    matrix : dense ndarray or csr_array
    convolution : nir.Conv1d or nir.Conv2d or None
    shapes : (tuple, tuple) or None
        Shapes of the convolution's input and output.
    """

    source: str
    target: str
    matrix: Any
    convolution: Any = None
    shapes: tuple[Shape, Shape] | None = None

    @property
    def diagonal(self) -> np.ndarray | None:
        """The diagonal, if there is nothing else."""
        rows, cols = self.matrix.shape
        if rows != cols:
            return None
        entries = sp.coo_array(self.matrix)
        kept = entries.data != 0
        if (entries.row[kept] != entries.col[kept]).any():
            return None
        return np.asarray(sp.csr_array(self.matrix).diagonal(), dtype=float)

    def node(self, bias: np.ndarray | None = None) -> Any:
        """The node of NIR, None for plain edges."""
        if self.convolution is not None:
            if bias is not None:
                self.convolution.bias = bias.reshape(len(self.convolution.weight), -1)[:, 0].copy()
            return self.convolution
        diagonal = self.diagonal
        if bias is not None:
            return nir.Affine(dense(self.matrix), bias)
        if diagonal is None:
            return nir.Linear(dense(self.matrix))
        return None if (diagonal == 1).all() else nir.Scale(diagonal)


def collapse(graph: Graph) -> Graph:
    """Multiply matrices through plain sums that nobody reads, where that makes no more of them."""
    graph = graph.copy()
    for vector in [n for n in graph.nodes() if isinstance(n, Vector)]:
        into, out = graph.edges_into(vector.name), graph.edges_from(vector.name)
        if graph.observed(vector.name) or (len(into) > 1 and len(out) > 1):
            continue
        if any(edge.plasticity is not None for _, _, edge in into + out):
            continue
        for target, _, behind in out:
            node: Any = graph[target]
            node.bias = node.bias + behind.matrix @ vector.bias
            for source, _, before in into:
                matrix = behind.matrix @ before.matrix
                matrix = sp.csr_array(matrix) if sp.issparse(matrix) else matrix
                graph.connect(source, target, matrix, before.origin)
        graph.nx.remove_node(vector.name)
    graph = _joined(graph)
    for node in list(graph.nodes()):
        if isinstance(node, Population) and is_delay(node.kernel):
            _delay_first(graph, node)
    return graph


def _delay_first(graph: Graph, delay: Population) -> None:
    """Let values be late before they are multiplied, so that both matrices become one."""
    into, out = graph.edges_into(delay.name), graph.edges_from(delay.name)
    if len(into) != 1 or len(out) != 1 or delay.bias.any() or graph.observed(delay.name):
        return
    (source, _, before), (target, _, behind) = into[0], out[0]
    if before.plasticity is not None or behind.plasticity is not None:
        return
    size = graph[source].size
    states = {name: np.zeros(size) for name in delay.initial}
    moved = replace(delay, size=size, bias=np.zeros(size), initial=states)
    graph.nx.remove_node(delay.name)
    graph.add(moved)
    graph.connect(source, delay.name, sp.eye_array(size, format="csr"), before.origin)
    graph.connect(delay.name, target, behind.matrix @ before.matrix, behind.origin)


def _joined(graph: Graph) -> Graph:
    for u, v in sorted(set(graph.nx.edges())):
        edges = [d["edge"] for d in graph.nx[u][v].values()]
        if len(edges) < 2 or any(e.plasticity is not None for e in edges):
            continue
        total = edges[0].matrix
        for edge in edges[1:]:
            total = add(total, edge.matrix)
        graph.nx.remove_edges_from([(u, v, k) for k in list(graph.nx[u][v])])
        graph.connect(u, v, total, edges[0].origin)
    return graph


def wires(graph: Graph, model: Model, biases: Mapping[str, np.ndarray]) -> list[Wire]:
    """All edges of a Graph; those that are convolutions of the model are found again.

    Parameters
    ----------
    graph : Graph
    model : nengo.builder.Model
    biases : mapping of node name -> (size,) ndarray
        What must be added to the input of nodes; a convolution can do so by channels only.
    """
    found = [
        Wire(u, v, d["edge"].matrix)
        for u, v, d in graph.nx.edges(data=True)
        if d["edge"].plasticity is None
    ]
    known = [
        (op, convolution_matrix(op))
        for op in model.operators
        if type(op) is ConvInc and not op.conv.channels_last
    ]
    for wire in found:
        for op, matrix in known:
            if wire.matrix.shape == matrix.shape and wire.diagonal is None:
                wire.convolution, wire.shapes = _convolution(wire.matrix, op, matrix)
            if wire.convolution is not None:
                break
        bias = biases.get(wire.target)
        if wire.shapes is not None and bias is not None:
            by_channel = bias.reshape(wire.shapes[1][0], -1)
            if (by_channel != by_channel[:, :1]).any():
                wire.convolution = wire.shapes = None
    _keep_consistent(found)
    return found


def _convolution(matrix: Any, op: Any, plain: Any) -> tuple[Any, Any]:
    """The convolution with a factor for each channel that `matrix` is, or None."""
    conv = op.conv
    padding = _padding(conv)
    if padding is None:
        return None, None
    channels = conv.output_shape.n_channels
    rows = plain.shape[0] // channels
    matrix, factors = sp.csr_array(matrix), np.zeros(channels)
    for c in range(channels):
        part = slice(c * rows, (c + 1) * rows)
        a, b = matrix[part], plain[part]
        norm = float((b.multiply(b)).sum())
        factors[c] = float((a.multiply(b)).sum()) / norm if norm else 0.0
        difference = a - factors[c] * b
        if difference.nnz and abs(difference).max() > SAME * max(abs(a).max(), 1e-300):
            return None, None
    kernel = np.moveaxis(np.asarray(op.W.initial_value, float), (-1, -2), (0, 1))
    weight = kernel * factors.reshape(-1, *(1,) * (kernel.ndim - 1))
    single = conv.dimensions == 1
    inner = conv.input_shape.spatial_shape
    node = (nir.Conv1d if single else nir.Conv2d)(
        input_shape=inner[0] if single else tuple(inner),
        weight=weight,
        stride=int(conv.strides[0]) if single else tuple(map(int, conv.strides)),
        padding=padding[0] if single else padding,
        dilation=1 if single else (1, 1),
        groups=int(conv.groups),
        bias=np.zeros(channels),
    )
    return node, (conv.input_shape.shape, conv.output_shape.shape)


def _padding(conv: Any) -> Shape | None:
    """Zeros on both sides that give what Nengo pads; None if NIR cannot say it."""
    if conv.padding == "valid":
        return (0,) * conv.dimensions
    found = []
    sizes = zip(conv.input_shape.spatial_shape, conv.kernel_size, conv.strides, strict=True)
    for size, kernel, stride in sizes:
        out = -(-size // stride)
        before = max((out - 1) * stride + kernel - size, 0) // 2
        if (size + 2 * before - kernel) // stride + 1 != out:
            return None
        found.append(int(before))
    return tuple(found)


def _keep_consistent(found: Iterable[Wire]) -> None:
    """Give up convolutions whose values would need a shape that what is around does not give."""
    found = list(found)
    while True:
        wanted = shapes(found)
        bad = {name for name, sizes in wanted.items() if len(sizes) > 1}
        bad |= {
            w.target
            for w in found
            if w.convolution is None
            and w.target in wanted
            and (w.diagonal is None or wanted.get(w.source) != wanted[w.target])
        }
        hit = [w for w in found if w.convolution is not None and {w.source, w.target} & bad]
        if not hit:
            return
        for wire in hit:
            wire.convolution = wire.shapes = None


def shapes(found: Iterable[Wire]) -> dict[str, set[Shape]]:
    """The shapes that convolutions want of nodes of the Graph."""
    wanted: dict[str, set[Shape]] = {}
    for wire in found:
        if wire.shapes is not None:
            for name, shape in zip((wire.source, wire.target), wire.shapes, strict=True):
                wanted.setdefault(name, set()).add(tuple(int(n) for n in shape))
    return wanted

"""Matrices of the Graph as layers of NIR: scales, convolutions, and linear ones for the rest."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import nir
import numpy as np
import scipy.sparse as sp
from nengo.builder import Model
from nengo.builder.transforms import ConvInc

from ...graph import Graph, Population, Vector
from ...passes.fold import add, dense
from ..nengo.linear import convolution_matrix
from ..nengo.plan import Send
from .layers import channels_last
from .words import is_delay

Shape = tuple[int, ...]
SAME = 1e-12
"""Largest difference, relative to the largest weight, of matrices that count as equal."""


@dataclass(frozen=True)
class Layout:
    """How a vector holds values with channels.

    Attributes
    ----------
    shape : tuple of int
        Channels first, as NIR has it.
    last : bool
        Whether the vector has them channels last.
    """

    shape: Shape
    last: bool = False

    @property
    def places(self) -> np.ndarray:
        """Where each element of the vector lies in NIR's order."""
        found = channels_last(self.shape) if self.last else None
        return np.arange(math.prod(self.shape)) if found is None else found

    def first(self, vector: np.ndarray) -> np.ndarray:
        """The vector in NIR's shape."""
        ordered = np.empty_like(vector)
        ordered[self.places] = vector
        return ordered.reshape(self.shape)


@dataclass
class Wire:
    """A matrix between two nodes of the Graph, and how NIR is to say it.

    Attributes
    ----------
    source, target : str
    matrix : dense ndarray or csr_array
    convolution : nir.Conv1d or nir.Conv2d or None
    shapes : (Layout, Layout) or None
        Of the convolution's input and output.
    """

    source: str
    target: str
    matrix: Any
    convolution: Any = None
    shapes: tuple[Layout, Layout] | None = None

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

    def node(self, bias: np.ndarray | None, source: Layout | None, target: Layout | None) -> Any:
        """The node of NIR, None for plain edges.

        Parameters
        ----------
        bias : (size,) ndarray or None
            Added to the result.
        source, target : Layout or None
            Of what enters and leaves, where it has channels. Without a target's, values that enter
            are flattened in NIR's order.
        """
        if self.convolution is not None and self.shapes is not None:
            if bias is not None:
                by_channel = self.shapes[1].first(bias).reshape(len(self.convolution.weight), -1)
                self.convolution.bias = by_channel[:, 0].copy()
            return self.convolution
        diagonal = self.diagonal
        if target is None and source is not None and (np.diff(source.places) != 1).any():
            diagonal = None
        if bias is not None or diagonal is None:
            weight = dense(self.matrix)
            if source is not None:
                weight = weight[:, np.argsort(source.places)]
            return nir.Linear(weight) if bias is None else nir.Affine(weight, bias)
        if (diagonal == 1).all():
            return None
        return nir.Scale(diagonal if target is None else target.first(diagonal))


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


def whole_inputs(graph: Graph, sends: Iterable[Send]) -> Graph:
    """Inputs with all elements of the nodes that they come from, those that nothing reads, too."""
    graph = graph.copy()
    first: dict[Any, str] = {}
    for send in sends:
        size = send.signal.base.size
        if len(send.elements) == size and (send.elements == np.arange(size)).all():
            continue
        place = sp.csr_array(
            (np.ones(len(send.elements)), (np.arange(len(send.elements)), send.elements)),
            shape=(len(send.elements), size),
        )
        out = graph.edges_from(send.name)
        node = replace(graph[send.name], size=size)
        graph.nx.remove_node(send.name)
        name = first.setdefault(send.signal.base, send.name)
        if name == send.name:
            graph.add(node)
        for target, _, edge in out:
            matrix = edge.matrix @ place
            matrix = sp.csr_array(matrix) if sp.issparse(matrix) else matrix
            graph.connect(name, target, matrix, edge.origin, edge.plasticity)
    return _joined(graph)


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
    known = [(op, convolution_matrix(op)) for op in model.operators if type(op) is ConvInc]
    for wire in found:
        for op, matrix in known if wire.diagonal is None else ():
            for padding, columns in _paddings(op.conv, wire.matrix.shape[1]):
                if wire.convolution is None and wire.matrix.shape[0] == matrix.shape[0]:
                    plain = matrix if columns is None else matrix[:, columns]
                    wire.convolution, wire.shapes = _convolution(wire.matrix, op, plain, padding)
        bias = biases.get(wire.target)
        if wire.shapes is not None and bias is not None:
            by_channel = wire.shapes[1].first(bias).reshape(wire.shapes[1].shape[0], -1)
            if (by_channel != by_channel[:, :1]).any():
                wire.convolution = wire.shapes = None
    _keep_consistent(found, biases)
    return found


def _convolution(matrix: Any, op: Any, plain: Any, padding: Shape) -> tuple[Any, Any]:
    """The convolution with a factor for each channel that `matrix` is, or None."""
    conv = op.conv
    ends: list[Layout] = []
    for end in (conv.input_shape, conv.output_shape):
        shape = (end.n_channels, *end.spatial_shape)
        if not ends and conv.padding == "valid":  # what is padded is the layer's, not Nengo's
            around = zip(end.spatial_shape, padding, strict=True)
            shape = (end.n_channels, *(n - 2 * p for n, p in around))
        last = conv.channels_last and channels_last(shape) is not None
        ends.append(Layout(tuple(int(n) for n in shape), last))
    matrix, factors = sp.csr_array(matrix), None
    for source in dict.fromkeys((ends[0], replace(ends[0], last=False))):
        columns = np.arange(matrix.shape[1]) if source == ends[0] else ends[0].places
        factors = _factors(matrix[:, columns], plain, ends[1])
        if factors is not None:
            ends[0] = source
            break
    if factors is None:
        return None, None
    kernel = np.moveaxis(np.asarray(op.W.initial_value, float), (-1, -2), (0, 1))
    weight = kernel * factors.reshape(-1, *(1,) * (kernel.ndim - 1))
    single = conv.dimensions == 1
    inner = ends[0].shape[1:]
    node = (nir.Conv1d if single else nir.Conv2d)(
        input_shape=inner[0] if single else inner,
        weight=weight,
        stride=int(conv.strides[0]) if single else tuple(map(int, conv.strides)),
        padding=padding[0] if single else padding,
        dilation=1 if single else (1, 1),
        groups=int(conv.groups),
        bias=np.zeros(len(weight)),
    )
    return node, tuple(ends)


def _factors(matrix: Any, plain: Any, target: Layout) -> np.ndarray | None:
    """What each channel of `plain` must be multiplied with to give `matrix`; None if nothing."""
    rows = target.first(np.arange(matrix.shape[0])).reshape(target.shape[0], -1)
    factors = np.zeros(len(rows))
    for c, part in enumerate(rows):
        a, b = matrix[part], plain[part]
        norm = float((b.multiply(b)).sum())
        factors[c] = float((a.multiply(b)).sum()) / norm if norm else 0.0
        difference = a - factors[c] * b
        if difference.nnz and abs(difference).max() > SAME * max(abs(a).max(), 1e-300):
            return None
    return factors


def _paddings(conv: Any, size: int) -> Iterator[tuple[Shape, np.ndarray | None]]:
    """Paddings with which a convolution takes `size` values, and which of its own inputs they are.

    One without padding may get its values from a smaller image, with zeros around it.
    """
    if conv.padding != "valid":
        padding = _padding(conv)
        if padding is not None and size == conv.input_shape.size:
            yield padding, None
        return
    spatial, channels = conv.input_shape.spatial_shape, conv.input_shape.n_channels
    for padding in product(
        *(range(min(k, (n + 1) // 2)) for k, n in zip(conv.kernel_size, spatial, strict=True))
    ):
        if channels * math.prod(n - 2 * p for n, p in zip(spatial, padding, strict=True)) == size:
            inner = tuple(slice(p, n - p) for n, p in zip(spatial, padding, strict=True))
            places = np.arange(conv.input_shape.size).reshape(conv.input_shape.shape)
            part = places[(*inner, slice(None)) if conv.channels_last else (slice(None), *inner)]
            yield tuple(padding), part.ravel() if any(padding) else None


def _padding(conv: Any) -> Shape | None:
    """Zeros on both sides that give what Nengo pads; None if NIR cannot say it."""
    found = []
    sizes = zip(conv.input_shape.spatial_shape, conv.kernel_size, conv.strides, strict=True)
    for size, kernel, stride in sizes:
        out = -(-size // stride)
        before = max((out - 1) * stride + kernel - size, 0) // 2
        if (size + 2 * before - kernel) // stride + 1 != out:
            return None
        found.append(int(before))
    return tuple(found)


def _keep_consistent(found: list[Wire], biases: Mapping[str, np.ndarray]) -> None:
    """Give up convolutions whose values would need a shape that what is around does not give."""
    while True:
        wanted = shapes(found)
        by_layer = {w.target for w in found if w.convolution is not None}
        biased = {n for n, b in biases.items() if b.any() and n not in by_layer}
        bad = {name for name, sizes in wanted.items() if len(sizes) > 1}
        bad |= {
            w.target
            for w in found
            if w.convolution is None
            and w.target in wanted
            and (
                w.diagonal is None or wanted.get(w.source) != wanted[w.target] or w.target in biased
            )
        }
        hit = [w for w in found if w.convolution is not None and {w.source, w.target} & bad]
        if not hit:
            return
        for wire in hit:
            wire.convolution = wire.shapes = None


def shapes(found: Iterable[Wire]) -> dict[str, set[Layout]]:
    """The layouts that convolutions want of nodes of the Graph."""
    wanted: dict[str, set[Layout]] = {}
    for wire in found:
        if wire.shapes is not None:
            for name, layout in zip((wire.source, wire.target), wire.shapes, strict=True):
                wanted.setdefault(name, set()).add(layout)
    return wanted

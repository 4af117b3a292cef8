"""Nengo's linear operators as sparse matrices between base signals.

A signal is either a base, which owns memory, or a view of one. Everything here is said in flat
(row-major) element numbers of the base, so that slices, strides and reshapes need no cases.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from nengo.builder.operator import BsrDotInc, Copy, DotInc, ElementwiseInc, Reset
from nengo.builder.signal import Signal
from nengo.builder.transforms import GeneralConvInc, conv2d_gradx, extract_sliding_windows
from nengo.transforms import SparseMatrix

LINEAR = (Copy, ElementwiseInc, DotInc, GeneralConvInc)
"""Operators that are a matrix times one signal if their other operand is constant."""

_BATCH_ELEMENTS = 1 << 24
"""Largest array (in elements) that unrolling a convolution may make at a time."""


def elements(signal: Signal) -> np.ndarray:
    """Flat element numbers of `signal` in its base, in the shape of `signal` (int64)."""
    base = signal.base
    numbers = np.arange(base.size, dtype=np.int64)
    if signal is base:
        return numbers.reshape(base.shape)
    return np.ndarray(
        shape=signal.shape,
        dtype=np.int64,
        buffer=numbers,
        offset=signal.elemoffset * 8,
        strides=tuple(stride * 8 for stride in signal.elemstrides),
    ).copy()


@dataclass(frozen=True)
class LinearMap:
    """``target[rows] (+)= matrix * source[cols]``, in elements of the two bases.

    Attributes
    ----------
    source, target : Signal
        Base signals.
    rows, cols : int64 ndarray
    data : float64 ndarray
        Either (n,), entries at the places (rows[i], cols[i]), which add up; or the dense
        (len(rows), len(cols)) between elements that are each named once.
    """

    source: Signal
    target: Signal
    rows: np.ndarray
    cols: np.ndarray
    data: np.ndarray

    def matrix(self, rows: np.ndarray, cols: np.ndarray) -> np.ndarray | sp.csr_array | None:
        """The part between some elements of the target and some of the source.

        Parameters
        ----------
        rows, cols : int64 ndarray
            Elements of target and source, in the order wanted, without repetition.

        Returns
        -------
        (len(rows), len(cols)) ndarray or csr_array, or None if no entry lies there
        """
        row_of = np.full(self.target.size, -1)
        row_of[rows] = np.arange(len(rows))
        col_of = np.full(self.source.size, -1)
        col_of[cols] = np.arange(len(cols))
        r, c = row_of[self.rows], col_of[self.cols]
        if self.data.ndim == 2:
            return _block(self.data, r, c, (len(rows), len(cols)))
        inside = (r >= 0) & (c >= 0)
        if not inside.any():
            return None
        shape = (len(rows), len(cols))
        matrix = sp.csr_array(
            sp.coo_array((self.data[inside], (r[inside], c[inside])), shape=shape)
        )
        return matrix.toarray() if matrix.nnz * 4 >= shape[0] * shape[1] else matrix

    def product(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """``(elements, values)``: what is added to, or put into, the target for the source `x`.

        Elements may be named several times, then their values add up.
        """
        if self.data.ndim == 2:
            return self.rows, self.data @ x[self.cols]
        return self.rows, self.data * x[self.cols]


def _block(
    data: np.ndarray, rows: np.ndarray, cols: np.ndarray, shape: tuple[int, int]
) -> np.ndarray | sp.csr_array | None:
    """Dense `data` moved to the given rows and columns (-1: left out) of a matrix."""
    found = np.zeros(shape)
    r, c = np.flatnonzero(rows >= 0), np.flatnonzero(cols >= 0)
    if not len(r) or not len(c):
        return None
    found[np.ix_(rows[r], cols[c])] = data[np.ix_(r, c)]
    return found if np.count_nonzero(found) * 4 >= found.size else sp.csr_array(found)


def operands(op: Any) -> tuple[Signal | None, Signal]:
    """``(matrix, source)``: the constant and the varying operand of a linear operator.

    For an `ElementwiseInc` the first operand counts as the matrix.
    """
    if isinstance(op, Copy):
        return None, op.src
    if isinstance(op, GeneralConvInc):
        return op.W, op.X
    return op.A, op.X


def linear_map(op: Any, source: Signal) -> LinearMap | None:
    """What a linear operator adds to its target, as a function of the operand `source`.

    The other operand is taken at its initial value. Returns None where the operator is not a plain
    matrix product of these shapes.
    """
    if isinstance(op, Copy):
        src, dst = elements(op.src), elements(op.dst)
        if op.src_slice is not None:
            src = src[op.src_slice]
        if op.dst_slice is not None:
            dst = dst[op.dst_slice]
        rows, cols = dst.ravel(), np.broadcast_to(src, dst.shape).ravel()
        return LinearMap(op.src.base, op.dst.base, rows, cols, np.ones(rows.size))
    if isinstance(op, ElementwiseInc):
        other = op.X if source is op.A else op.A
        dst = elements(op.Y)
        cols = np.broadcast_to(elements(source), dst.shape).ravel()
        data = np.broadcast_to(np.asarray(other.initial_value, dtype=float), dst.shape)
        return LinearMap(source.base, op.Y.base, dst.ravel(), cols, data.ravel().copy())
    matrix = _dense_or_sparse(op)
    src, dst = elements(op.X).ravel(), elements(op.Y).ravel()
    if matrix.ndim != 2:
        if matrix.size == 1 and src.size == dst.size:
            data = np.full(src.size, float(np.asarray(matrix).reshape(())))
            return LinearMap(op.X.base, op.Y.base, dst, src, data)
        matrix = np.asarray(matrix).reshape(1, -1)
    if matrix.shape != (dst.size, src.size):
        return None
    if not sp.issparse(matrix):
        return LinearMap(op.X.base, op.Y.base, dst, src, matrix)
    entries = sp.coo_array(matrix)
    return LinearMap(op.X.base, op.Y.base, dst[entries.row], src[entries.col], entries.data)


def _dense_or_sparse(op: Any) -> np.ndarray | sp.coo_array:
    if isinstance(op, GeneralConvInc):
        return convolution_matrix(op)
    value = op.A.initial_value
    if isinstance(op, BsrDotInc):
        return sp.coo_array(sp.bsr_matrix((value, op.indices, op.indptr)))
    if isinstance(value, SparseMatrix):
        rows, cols = value.indices.T
        return sp.coo_array((value.data.astype(float), (rows, cols)), shape=value.shape)
    if sp.issparse(value):
        return sp.coo_array(value)
    return np.asarray(value, dtype=float)


def convolution_matrix(op: GeneralConvInc) -> sp.csr_array:
    """The convolution of `op` unrolled: (output elements, input elements) csr_array."""
    if op.is_transpose:
        return _transposed_convolution(op)
    conv, inputs, outputs = op.conv, op.conv.input_shape, op.conv.output_shape
    kernel = np.asarray(op.W.initial_value, dtype=float)
    strides = conv.strides
    numbers = np.arange(1, inputs.size + 1).reshape(inputs.shape)
    targets = np.arange(outputs.size, dtype=np.int32).reshape(outputs.shape)
    if not conv.channels_last:
        numbers, targets = np.moveaxis(numbers, 0, -1), np.moveaxis(targets, 0, -1)
    if conv.dimensions == 1:
        kernel, strides, numbers = kernel[None], (1, *strides), numbers[None]
    # Nengo's own windows, of the pixels' numbers: 0 is what pads them.
    numbers = np.ascontiguousarray(numbers[None].astype(float))
    windows = extract_sliding_windows(numbers, kernel.shape[:2], conv.padding.upper(), strides)[0]
    sources = np.asarray(windows.astype(np.int32) - 1)
    each, filters = kernel.shape[2], kernel.shape[3] * kernel.shape[2] // inputs.n_channels
    targets = targets.reshape(-1, outputs.n_channels)
    rows, columns, data = [], [], []
    for group in range(inputs.n_channels // each):
        mine = slice(group * filters, (group + 1) * filters)
        weights = kernel[..., mine].reshape(-1, filters)
        reached = sources[..., group * each : (group + 1) * each].reshape(len(targets), -1)
        position, tap = np.nonzero(reached >= 0)
        rows.append(targets[position, mine].ravel())
        columns.append(reached[position, tap].repeat(filters))
        data.append(weights[tap].ravel())
    entries = (np.concatenate(data), (np.concatenate(rows), np.concatenate(columns)))
    matrix = sp.csr_array(sp.coo_array(entries, shape=(outputs.size, inputs.size)))
    matrix.eliminate_zeros()
    return matrix


def _transposed_convolution(op: GeneralConvInc) -> sp.csr_array:
    """The same of a transposed one, which Nengo is asked for column by column."""
    conv = op.conv
    kernel = np.asarray(op.W.initial_value, dtype=float)
    stride, pad = conv.strides, conv.padding.upper()
    inputs, outputs = conv.input_shape, conv.output_shape
    spatial = outputs.spatial_shape
    if conv.dimensions == 1:
        kernel, stride, spatial = kernel[None], (1, *stride), (1, *spatial)
    window = int(np.prod(kernel.shape[:2])) * inputs.n_channels
    widest = max(int(np.prod(spatial)), int(np.prod(inputs.spatial_shape))) * window
    batch = max(1, _BATCH_ELEMENTS // max(widest, 1))
    blocks = []
    for start in range(0, inputs.size, batch):
        n = min(batch, inputs.size - start)
        x = np.zeros((n, inputs.size))
        x[np.arange(n), start + np.arange(n)] = 1.0
        x = x.reshape((n, *inputs.shape))
        if not conv.channels_last:
            x = np.moveaxis(x, 1, -1)
        if conv.dimensions == 1:
            x = x[:, None]
        x = np.ascontiguousarray(x)
        y = conv2d_gradx(kernel, x, xsize=spatial, pad=pad, stride=stride)
        y = y.reshape((n, *outputs.spatial_shape, outputs.n_channels))
        if not conv.channels_last:
            y = np.moveaxis(y, -1, 1)
        blocks.append(sp.csr_array(y.reshape(n, -1)))
    return sp.csr_array(sp.vstack(blocks).T)


def constant_part(ops: list, size: int) -> np.ndarray:
    """What operators with only constant operands leave in a base signal of `size` elements.

    Parameters
    ----------
    ops : list of `Reset` and linear operators
        All must write that base; sets are applied before increments.
    size : int

    Returns
    -------
    (size,) float64 ndarray
        Zero where nothing is written.
    """
    value = np.zeros(size)
    for op in sorted(ops, key=lambda op: len(op.incs)):
        if isinstance(op, Reset):
            value[elements(op.dst).ravel()] = op.value
            continue
        _, source = operands(op)
        part = linear_map(op, source)
        if part is None:
            continue
        rows, added = part.product(np.asarray(source.base.initial_value, dtype=float).ravel())
        if op.sets:
            value[rows] = added
        else:
            np.add.at(value, rows, added)
    return value

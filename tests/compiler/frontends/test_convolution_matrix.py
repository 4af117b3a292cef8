"""Nengo's convolutions as matrices, against what Nengo itself computes."""

import itertools

import nengo
import numpy as np
import pytest
from nengo.builder import Model
from nengo.builder.signal import SignalDict
from nengo.builder.transforms import GeneralConvInc

from spikeloom.compiler.frontends.nengo.linear import convolution_matrix

CASES = list(itertools.product(("valid", "same"), (1, 2, 3), (1, 2, 4), (1, 2, 4)))


def operator(transform):
    """The operator that Nengo builds for a connection with this transform, and its model."""
    with nengo.Network(seed=0) as network:
        source = nengo.Node(np.zeros(transform.size_in))
        target = nengo.Node(size_in=transform.size_out)
        nengo.Connection(source, target, transform=transform, synapse=None)
    model = Model()
    model.build(network)
    return next(op for op in model.operators if isinstance(op, GeneralConvInc))


def run(op, x):
    """What the operator adds to zeros for the input `x`."""
    signals = SignalDict()
    for signal in (op.W, op.X, op.Y):
        signals.init(signal)
    signals[op.X] = x
    signals[op.Y] = np.zeros(op.Y.shape)
    op.make_step(signals, 0.001, np.random.RandomState(0))()
    return signals[op.Y]


@pytest.mark.parametrize("dimensions", [1, 2])
@pytest.mark.parametrize("channels_last", [True, False])
def test_convolutions(dimensions, channels_last):
    rng = np.random.default_rng(dimensions)
    for padding, stride, size, groups in CASES:
        spatial = tuple(rng.integers(4, 9, dimensions).tolist())
        shape = (*spatial, 4) if channels_last else (4, *spatial)
        kernel = rng.normal(size=(size,) * dimensions + (4 // groups, 8))
        kernel[rng.random(kernel.shape) < 0.1] = 0
        op = operator(
            nengo.Convolution(
                8,
                shape,
                strides=(stride,) * dimensions,
                kernel_size=(size,) * dimensions,
                padding=padding,
                groups=groups,
                channels_last=channels_last,
                init=kernel,
            )
        )
        matrix = convolution_matrix(op)
        assert np.all(matrix.data != 0)
        x = rng.normal(size=matrix.shape[1])
        assert np.allclose(matrix @ x, run(op, x), rtol=0, atol=1e-12)


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("dimensions", [1, 2])
def test_transposed_convolutions(padding, dimensions):
    rng = np.random.default_rng(3)
    shape = (*(5, 6)[:dimensions], 4)
    op = operator(
        nengo.transforms.ConvolutionTranspose(
            3,
            shape,
            strides=(2,) * dimensions,
            kernel_size=(3,) * dimensions,
            padding=padding,
            init=rng.normal(size=(3,) * dimensions + (4, 3)),
        )
    )
    matrix = convolution_matrix(op)
    x = rng.normal(size=matrix.shape[1])
    assert np.allclose(matrix @ x, run(op, x), rtol=0, atol=1e-12)

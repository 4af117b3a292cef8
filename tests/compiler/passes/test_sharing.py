"""Blocks that recur are found, exactly; each accumulator word keeps to its slot."""

import numpy as np
import pytest
import scipy.sparse as sp
from plain_convolution import GEOMETRIES, Geometry

from spikeloom.compiler.machine import Machine
from spikeloom.compiler.passes.sharing import Shared, choose, may_recur
from spikeloom.compiler.timing import ConvolutionTiming

DT = 0.001

MATRICES = {}


def matrix_of(name):
    """The unrolled convolution, made once."""
    if name not in MATRICES:
        MATRICES[name] = GEOMETRIES[name].unrolled(kernel_of(GEOMETRIES[name]))
    return MATRICES[name]


def kernel_of(geometry, seed=0):
    kernel = np.random.default_rng(seed).integers(-500, 500, geometry.kernel_shape)
    if geometry.groups == geometry.filters and geometry.kernel == (2, 2):
        kernel[:] = 25  # a pooling
    return kernel


def multiplied_out(shared: Shared, targets: int, sources: int, lanes: int) -> np.ndarray:
    """The matrix that a stencil and its blocks mean."""
    found = np.zeros((-(-targets // lanes) * lanes, sources), np.int64)
    stencil = shared.stencil.reshape(shared.slots, -1, 2)
    for k in range(sources):
        for target, weights in stencil[:, k >> shared.shift]:
            if target >= 0:
                word = (shared.first_word + target) * lanes
                row = shared.weights[weights + k % (1 << shared.shift)]
                found[word : word + lanes, k] += row
    assert not found[targets:].any()
    return found[:targets]


@pytest.mark.parametrize("name", GEOMETRIES)
def test_matrices_are_convolutions(name):
    geometry = GEOMETRIES[name]
    image = np.random.default_rng(1).integers(-9, 9, geometry.image)
    expected = geometry.convolve(image, kernel_of(geometry))
    assert np.array_equal(matrix_of(name) @ image.ravel(), expected.ravel())


@pytest.mark.parametrize("lanes", [4, 16])
@pytest.mark.parametrize("name", GEOMETRIES)
@pytest.mark.parametrize("events", [True, False])
def test_shared_exactly(name, lanes, events):
    matrix = matrix_of(name)
    choice = choose(matrix, Machine(lanes=lanes), events, DT)
    shared = choice.shared
    if shared is None:
        assert choice.reason
        return
    targets, sources = matrix.shape
    assert np.array_equal(multiplied_out(shared, targets, sources, lanes), matrix.toarray())
    assert len(shared.weights) * 4 <= choice.unrolled_words
    stencil = shared.stencil.reshape(shared.slots, -1, 2)
    reached = [set(s[s[:, 0] >= 0, 0].tolist()) for s in stencil]
    for n, words in enumerate(reached):
        assert not words & set().union(*reached[:n])


def test_most_are_shared():
    """All that a spike reaches sparsely enough; sixteen lanes, events."""
    shared = {
        name for name in GEOMETRIES if choose(matrix_of(name), Machine(lanes=16), True, DT).shared
    }
    assert set(GEOMETRIES) - shared <= {"3 channels to 10"}


@pytest.mark.parametrize("lanes", [4, 16])
def test_a_kernel_is_stored_once(lanes):
    geometry = Geometry((9, 9, 8), 16, (3, 3), (2, 2))
    choice = choose(geometry.unrolled(kernel_of(geometry)), Machine(lanes=lanes), True, DT)
    shared = choice.shared
    assert shared.shift == 3
    assert len(shared.weights) == 3 * 3 * 8 * 16 // lanes
    assert shared.slots == 4 * 16 // lanes  # two rows and two columns of outputs reach a pixel
    assert choice.unrolled_words == 9 * 9 * 8 * 4 * 4 * 16 // lanes


def test_eight_channels_on_sixteen_lanes():
    """A word holds two positions: blocks have both their taps, or one at either half."""
    geometry = Geometry((9, 17, 4), 8, (3, 3), (1, 1), ((1, 1), (1, 1)))
    kernel = kernel_of(geometry)
    choice = choose(geometry.unrolled(kernel), Machine(lanes=16), True, DT)
    halves = choice.shared.weights.reshape(-1, 4, 2, 8).transpose(0, 2, 1, 3)
    taps = kernel.reshape(9, 4, 8)
    for both in halves:
        for half in both:
            assert not half.any() or (taps == half).all(axis=(1, 2)).any()
    assert len(choice.shared.weights) < choice.unrolled_words / 50


def test_gains_by_channel_are_shared_and_by_neuron_are_not():
    geometry = Geometry((9, 9, 8), 16, (3, 3), (2, 2))
    matrix = geometry.unrolled(kernel_of(geometry))
    rng = np.random.default_rng(3)
    by_channel = np.tile(rng.integers(1, 50, 16), 16)
    scaled = sp.csr_array(matrix.multiply(by_channel[:, None]))
    assert len(choose(scaled, Machine(), True, DT).shared.weights) == 72
    by_neuron = sp.csr_array(matrix.multiply(rng.integers(1, 50, 256)[:, None]))
    choice = choose(by_neuron, Machine(), True, DT)
    assert choice.shared is None
    assert choice.reason == "too little of it recurs"


def test_pooling_behind_a_convolution_is_one_convolution():
    first = Geometry((12, 12, 4), 16, (3, 3))
    pool = Geometry((10, 10, 16), 16, (2, 2), (2, 2), ((0, 0), (0, 0)), 16)
    product = pool.unrolled(np.ones(pool.kernel_shape, int)) @ first.unrolled(kernel_of(first))
    shared = choose(sp.csr_array(product), Machine(), True, DT).shared
    assert len(shared.weights) == 4 * 4 * 4  # a kernel of 4 x 4


def test_what_is_left_alone():
    machine = Machine()
    rng = np.random.default_rng(0)
    assert not may_recur(rng.normal(size=(40, 40)))
    assert may_recur(np.eye(40))
    empty = choose(sp.csr_array(np.zeros((50, 60), np.int64)), machine, True, DT)
    assert (empty.shared, empty.reason) == (None, "it is empty")
    small = choose(sp.csr_array(np.eye(50, dtype=np.int64)), machine, True, DT)
    assert (small.shared, small.reason) == (None, "it is small")
    scattered = sp.random_array((400, 400), density=0.05, rng=rng, format="csr")
    scattered.data = rng.integers(-1000, 1000, scattered.nnz)
    other = choose(sp.csr_array(scattered).astype(np.int64), machine, True, DT)
    assert (other.shared, other.reason) == (None, "too little of it recurs")
    narrow = Machine(index_bits=5)
    geometry = Geometry((9, 9, 8), 16, (3, 3), (2, 2))
    many = choose(geometry.unrolled(kernel_of(geometry)), narrow, True, DT)
    assert (many.shared, many.reason) == (None, "it has more than 32 sources")


def test_a_slow_way_is_not_taken():
    """Each value alone takes a period: a diagonal is faster as it is."""
    diagonal = sp.csr_array(7 * sp.eye_array(8000, dtype=np.int64))
    choice = choose(diagonal, Machine(), False, DT)
    assert choice.shared is None
    assert "times as long" in choice.reason
    assert ConvolutionTiming(Machine()).period(1) == 4

"""Rounded products put together from narrow ones."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from spikeloom.sim.native.products import split_product

WORD = st.integers(-(1 << 31), (1 << 31) - 1)


def fits(value):
    assert -(1 << 31) <= value < 1 << 31, value
    return value


@given(st.integers(1, 31), st.integers(1, 31), st.integers(1, 40), st.booleans(), st.data())
def test_two_narrow_products_give_the_rounded_one(a_bits, b_bits, n, rounds, data):
    ranges = [(-(1 << bits), (1 << bits) - 1) for bits in (a_bits, b_bits)]
    half = 1 << (n - 1) if rounds else 0
    split = split_product(*ranges, n, half)
    assume(split is not None)
    a, b = (data.draw(st.one_of(st.sampled_from(r), st.integers(*r))) for r in ranges)
    expected = (a * b + half) >> n
    if split.first:
        a, b = b, a
    assert split.bits <= n
    lower = fits(fits(a * (b & ((1 << split.bits) - 1)) + half)) >> split.bits
    assert fits(fits(a * (b >> split.bits)) + lower) >> (n - split.bits) == expected


@pytest.mark.parametrize(
    ("a", "b", "n"),
    [
        ((0, (1 << 15) - 1), (-(1 << 31), (1 << 31) - 1), 17),  # a decay times any word
        ((-(1 << 31), (1 << 31) - 1), (0, (1 << 15) - 1), 17),
        ((-(1 << 20), 1 << 20), (-(1 << 20), 1 << 20), 20),
    ],
)
def test_small_factors_can_be_split(a, b, n):
    assert split_product(a, b, n, 1 << (n - 1)) is not None


@pytest.mark.parametrize(
    ("a", "b", "n"),
    [
        ((0, 1 << 20), (-(1 << 31), (1 << 31) - 1), 17),
        ((0, 1), (0, 1 << 31), 17),  # not a word
        ((0, 1), (0, 1), 33),  # what is added before is not one
    ],
)
def test_large_ones_cannot(a, b, n):
    assert split_product(a, b, n, 1 << (n - 1)) is None

"""Rounded products put together from narrow ones."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from spikeloom.compiler.kernels.code import Op
from spikeloom.sim.native.source.products import only_cut, split_of, split_product, upper_of

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


@given(
    st.integers(1, 13),
    st.integers(32, 34),
    st.integers(1, 30),
    st.integers(4, 8),
    st.sampled_from(["add", "sub", "swapped"]),
    st.data(),
)
def test_a_wide_factor_is_cut_without_being_made(a_bits, bits, d_bits, shift, kind, data):
    """a * (c * 2**shift +- d), of which only the products' words are ever made."""
    n, half = 17, 1 << 16

    def op(kind, args, lo, hi):
        return Op(kind, args, lo, hi, 0)

    ends = [(1 << bits) - 1 for bits in (a_bits, bits - shift, d_bits)]
    c_end, total = ends[1] << shift, (ends[1] << shift) + ends[2]
    product = ends[0] * total
    most = (product + half) >> n
    sum_of = (3, 2) if kind != "swapped" else (2, 3)
    ops = [
        op("param", ("a",), 0, ends[0]),
        op("state", ("c",), -ends[1], ends[1]),
        op("state", ("d",), -ends[2], ends[2]),
        op("shl", (1, shift), -c_end, c_end),
        op("sub" if kind == "sub" else "add", sum_of, -total, total),
        op("mul", (0, 4), -product, product),
        op("round", (5, n), -most, most),
    ]
    split = split_of(ops, ops[6])
    assume(split is not None)
    assert only_cut(ops) >= {4, 5} and not split.first
    upper = upper_of(ops, 4)
    assert (upper.a, upper.b, upper.shift, upper.minus) == (1, 2, shift, kind == "sub")
    a, c, d = (data.draw(st.one_of(st.sampled_from([-e, e]), st.integers(-e, e))) for e in ends)
    a = abs(a)
    wide = (c << shift) + (-d if kind == "sub" else d)
    word = (wide + (1 << 31)) % (1 << 32) - (1 << 31)
    high = fits(c + ((-d if kind == "sub" else d) >> shift)) >> (split.bits - shift)
    lower = fits(fits(a * (word & ((1 << split.bits) - 1))) + half) >> split.bits
    assert fits(fits(a * high) + lower) >> (n - split.bits) == (a * wide + half) >> n


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


@pytest.mark.parametrize(
    ("end", "there"), [((1 << 31) - 1 - (1 << 20), True), ((1 << 31) - 1, False)]
)
def test_the_upper_part_has_to_fit_a_word(end, there):
    d = 1 << 24
    ops = [
        Op("state", ("c",), 0, end, 0),
        Op("state", ("d",), -d, d, 0),
        Op("shl", (0, 4), 0, end << 4, 0),
        Op("sub", (2, 1), -d, (end << 4) + d, 0),
    ]
    assert (upper_of(ops, 3) is not None) == there

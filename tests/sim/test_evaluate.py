"""The meaning of each kernel operation: by hand, against plain Python, and as generated C."""

import ctypes
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spikeloom.compiler.errors import KernelError
from spikeloom.compiler.kernels.code import KernelCode, Op, Parameter, Port, Table
from spikeloom.compiler.kernels.pipeline import SOURCES
from spikeloom.sim.evaluate import divide, evaluate, fit, rounded
from spikeloom.sim.native import build as native_build


def one_op(kind, args, operands):
    """A kernel with three states a, b, c, and one operation on them."""
    wide = 1 << 50
    ops = [Op("state", (name,), -wide, wide, 0) for name in "abc"]
    ops.append(Op(kind, (*range(operands), *args), -(1 << 62), (1 << 62) - 1, 0))
    return KernelCode(
        name="one",
        input=Port("u", -wide, wide, 0),
        states=tuple(Port(name, -wide, wide, 0) for name in "abc"),
        parameters=(Parameter("m", True, -wide, wide, 0), Parameter("p", False, -wide, wide, 0)),
        tables=(Table("t", -2, 5, -99, 99, 0),),
        ops=tuple(ops),
        next_state=(3, 3, 3),
        emit=3,
        emits="value",
        emit_fraction=0,
        delayed=False,
    )


def run_op(kind, args, *vectors, m=(1, 1), p=0):
    vectors = [np.array(v, np.int64) for v in vectors]
    states = [*vectors, *[np.zeros_like(vectors[0])] * (3 - len(vectors))]
    table = np.array([10, 20, 30, 40, 50], np.int64)
    code = one_op(kind, args, 0 if kind in SOURCES else len(vectors))
    return evaluate(code, 7 * np.ones_like(states[0]), states, {"m": m, "p": p}, {"t": table})


CASES = [
    ("add", (), ([1, -5], [2, -6]), [3, -11]),
    ("sub", (), ([1, -5], [2, -6]), [-1, 1]),
    ("neg", (), ([3, -4, 0],), [-3, 4, 0]),
    ("abs", (), ([3, -4, 0],), [3, 4, 0]),
    ("mul", (), ([3, -4], [-7, -5]), [-21, 20]),
    ("shl", (3,), ([3, -4],), [24, -32]),
    # add half, then shift: halves go up, also the negative ones
    ("round", (1,), ([1, -1, 3, -3, 2],), [1, 0, 2, -1, 1]),
    ("round", (2,), ([1, 2, -1, -2, -3, -6],), [0, 1, 0, 0, -1, -1]),
    ("floor", (1,), ([1, -1, 3, -3],), [0, -1, 1, -2]),
    ("floor", (0,), ([1, -1],), [1, -1]),
    ("min", (), ([1, -5], [2, -6]), [1, -6]),
    ("max", (), ([1, -5], [2, -6]), [2, -5]),
    ("gt", (), ([1, 2, 3], [2, 2, 2]), [0, 0, 1]),
    ("ge", (), ([1, 2, 3], [2, 2, 2]), [0, 1, 1]),
    ("eq", (), ([1, 2, 3], [2, 2, 2]), [0, 1, 0]),
    ("and", (), ([0, 0, 1, 1], [0, 1, 0, 1]), [0, 0, 0, 1]),
    ("or", (), ([0, 0, 1, 1], [0, 1, 0, 1]), [0, 1, 1, 1]),
    ("not", (), ([0, 1],), [1, 0]),
    ("select", (), ([1, 0], [5, 6], [7, 8]), [5, 8]),
    ("sat", (-3, 4), ([-4, -3, 0, 4, 5],), [-3, -3, 0, 4, 4]),
    ("table", ("t",), ([-2, 0, 2],), [10, 30, 50]),
    # 1/3 * 4 = 1.33, 2/3 * 4 = 2.67, 3/8 * 4 = 1.5 (up)
    ("divide", (2,), ([1, 2, 3], [3, 3, 8]), [1, 3, 2]),
    # nothing above: 0; denominator not larger, or not positive: 1
    ("divide", (2,), ([0, -1, -1, 3, 4, 1, 1], [3, 3, -3, 3, 3, 0, -5]), [0, 0, 0, 4, 4, 4, 4]),
    ("any_of", (), ([0, -2, 0],), [1, 1, 1]),
    ("any_of", (), ([0, 0],), [0, 0]),
    ("sum_of", (), ([1, -5, 7],), [3, 3, 3]),
    ("max_of", (), ([1, -5, 7],), [7, 7, 7]),
    ("max_of", (), ([-4, -5],), [-4, -4]),
    # the first of equals
    ("winner", (), ([1, 7, 7],), [0, 1, 0]),
    ("winner", (), ([-9],), [1]),
]


@pytest.mark.parametrize(("kind", "args", "vectors", "expected"), CASES)
def test_operation_by_hand(kind, args, vectors, expected):
    assert run_op(kind, args, *vectors).output.tolist() == expected


def test_sources():
    assert run_op("input", ("u",), [1, 2]).output.tolist() == [7, 7]
    assert run_op("const", (-9,), [1, 2]).output.tolist() == [-9, -9]
    assert run_op("param", ("p",), [1, 2], p=12).output.tolist() == [12, 12]
    assert run_op("state", ("a",), [1, 2]).output.tolist() == [1, 2]


def test_scale_rounds_half_up():
    # 3 * 5 / 4 = 3.75, -3 * 5 / 4 = -3.75, 2 * 5 / 4 = 2.5, -2 * 5 / 4 = -2.5
    assert run_op("scale", ("m",), [3, -3, 2, -2], m=(5, 2)).output.tolist() == [4, -4, 3, -2]


def test_saturations_are_counted_once_each():
    assert run_op("sat", (-3, 4), [-9, -3, 0, 4, 5, 6]).saturations == 3
    assert run_op("min", (), [-9, 5], [0, 0]).saturations == 0


def test_unknown_operation():
    with pytest.raises(KernelError, match="unknown operation 'xor'"):
        run_op("xor", (), [1], [2])


@pytest.mark.parametrize(
    ("shift", "expected", "limited"),
    [
        (0, [-9, 0, 9, 10, 10], 2),
        (1, [-4, 0, 5, 6, 10], 1),
        (-1, [-10, 0, 10, 10, 10], 4),
    ],
)
def test_fit(shift, expected, limited):
    values, count = fit(np.array([-9, 0, 9, 11, 1 << 39]), shift, -10, 10)
    assert values.tolist() == expected
    assert count == limited


INT40 = st.integers(-(1 << 39), (1 << 39) - 1)


@given(INT40, st.integers(-62, 62), INT40, INT40)
def test_fit_equals_plain_integers(a, shift, x, y):
    lo, hi = min(x, y), max(x, y)
    exact = (a + (1 << shift >> 1)) >> shift if shift > 0 else a << -shift
    values, limited = fit(np.array([a]), shift, lo, hi)
    assert values.tolist() == [min(max(exact, lo), hi)]
    assert limited == (not lo <= exact <= hi)


@given(INT40, st.integers(1, 40))
def test_rounded_is_the_nearest(a, n):
    result = int(rounded(np.array([a]), n)[0])
    assert -(1 << n) <= 2 * ((result << n) - a) <= 1 << n


def plain_divide(a, b, n):
    if a <= 0:
        return 0
    if b <= a:
        return 1 << n
    return ((a << (n + 1)) // b + 1) >> 1


@given(INT40, INT40, st.integers(0, 20))
def test_divide_equals_plain_integers(a, b, n):
    assert divide(np.array([a]), np.array([b]), n).tolist() == [plain_divide(a, b, n)]


# -- the divisions of the native engine --------------------------------------------------------


@pytest.fixture(scope="module")
def divisions():
    """Those of loom.h as functions of (a, b, n); of many in single precision, as in vectors."""
    header = (Path(native_build.__file__).parent / "c" / "loom.h").read_text()
    source = (
        "#define VALUE_LO -1\n#define VALUE_HI 1\n#include <stdint.h>\ntypedef int32_t state_t;\n"
        + header
        + "int64_t in_double(int64_t a, int64_t b, int64_t n)"
        + "{ return divide_double((double)a, (double)b, (int)n); }\n"
        + "int64_t in_whole(int64_t a, int64_t b, int64_t n)"
        + "{ return divide_whole(a, b, (int)n); }\n"
        + "void all_in_single(const int32_t *a, const int32_t *b, int32_t *to, int64_t count,"
        + " int n) { for (int64_t i = 0; i < count; i++) to[i] = divide_single(a[i], b[i], n); }\n"
    )
    library = ctypes.CDLL(str(native_build.build(source)))
    for function in (library.in_double, library.in_whole):
        function.argtypes = [ctypes.c_int64] * 3
        function.restype = ctypes.c_int64
    return library


@settings(max_examples=2000, deadline=None)
@given(data=st.data())
def test_double_division_is_exact_up_to_its_bound(divisions, data):
    n = data.draw(st.integers(0, 29))
    most = (1 << (53 - n)) - 1  # b * 2**n < 2**53
    b = data.draw(st.integers(1, most))
    a = data.draw(st.integers(-2, b + 1))
    assert divisions.in_double(a, b, n) == plain_divide(a, b, n)


def test_double_division_just_below_whole_numbers(divisions):
    # Quotients as close below a whole number as they come: where rounding would do harm first.
    rng = np.random.default_rng(1)
    for n in range(0, 30):
        most = (1 << (53 - n)) - 1
        for b in [most, most - 1, *rng.integers(most // 2, most, 30).tolist()]:
            for k in rng.integers(1, 2 << n, 10).tolist():
                a = (k * b - 1) // (2 << n)
                for near in (a - 1, a, a + 1):
                    assert divisions.in_double(near, b, n) == plain_divide(near, b, n), (near, b)


@settings(max_examples=500, deadline=None)
@given(a=INT40, b=INT40, n=st.integers(0, 20))
def test_whole_division(divisions, a, b, n):
    assert divisions.in_whole(a, b, n) == plain_divide(a, b, n)


@pytest.mark.parametrize("n", [1, 8, 12])
def test_single_division_is_exact_up_to_its_bound(divisions, n):
    """Quotients that are whole numbers or next to one, of numbers of all sizes."""
    rng = np.random.default_rng(n)
    count, most = 400_000, 3 << 29
    b = np.minimum(np.rint(2.0 ** rng.uniform(0, 31, count)).astype(np.int64), most)
    b[: count // 4] = most - rng.integers(0, 1000, count // 4)
    quotient = rng.integers(0, 2 << n, count)
    a = (quotient * b >> (n + 1)) + rng.integers(-1, 2, count)
    a[::9] = rng.integers(-(1 << 31), 1 << 31, len(a[::9]))
    a = np.clip(a, -(1 << 31), (1 << 31) - 1)
    words = [x.astype(np.int32) for x in (a, b, np.zeros(count))]
    pointers = [ctypes.c_void_p(x.ctypes.data) for x in words]
    divisions.all_in_single(*pointers, ctypes.c_int64(count), ctypes.c_int(n))
    np.testing.assert_array_equal(words[2], divide(a, b, n))

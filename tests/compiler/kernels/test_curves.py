"""Curves: smooth functions by tables with straight lines between their entries."""

import numpy as np
import pytest

from spikeloom import Input, Kernel, Parameter, clip, curve, maximum, rounded
from spikeloom.compiler.errors import KernelError
from spikeloom.compiler.machine import Machine
from spikeloom.sim.evaluate import evaluate

MACHINE = Machine()


def kernel(step, limits=(-8, 8)):
    def whole(self, state, x, dt):
        return step(self, x), {}

    body = {
        "x": Input(range=limits, fraction=18),
        "sharpness": Parameter(default=2.0),
        "step": whole,
    }
    return type("Curved", (Kernel,), body)


def errors(cls, x):
    """Of the integers against the function itself, at the same arguments."""
    model = cls()
    code = cls.code(MACHINE)
    integers = np.clip(np.rint(x * 2.0**code.input.fraction), code.input.lo, code.input.hi)
    integers = integers.astype(np.int64)
    tables = model.table_entries(0.001, MACHINE)
    found = evaluate(code, integers, [], model.registers(0.001, MACHINE), tables)
    for op, result in zip(code.ops, found.results, strict=True):
        assert op.lo <= result.min() and result.max() <= op.hi, op
    exact, _ = model.step_float({}, integers / 2.0**code.input.fraction, 0.001)
    return np.abs(found.output / 2.0**code.emit_fraction - exact)


@pytest.mark.parametrize("points", [2, 64, 100, 512, 4096])
def test_evenly_spread_points(points):
    smooth = kernel(lambda self, x: curve(np.sin, x, (-1, 1 - 2**-17), 17, points))
    (table, slopes) = smooth.code(MACHINE).tables
    assert table.entries == slopes.entries <= points
    spacing = 16 / (table.entries - 1)
    assert table.entries > points / 2
    found = errors(smooth, np.linspace(-8, 8, 20011))
    assert found.max() < spacing**2 / 8 + 1e-4


def test_few_values_need_no_more_points_than_there_are():
    few = kernel(lambda self, x: curve(np.sin, rounded(clip(x, 0, 2), 3), (-1, 1), 12, 4096))
    assert few.code(MACHINE).tables[0].entries == 17


def test_points_that_lie_closer_near_zero():
    def root(self, x):
        return curve(np.sqrt, maximum(x, 0), (0, 63.9), 10, geometric=True)

    steep = kernel(root, (-4096, 4096))
    x = np.concatenate([np.geomspace(2.0**-18, 4095, 5000), np.linspace(-1, 4095, 9973), [0]])
    found = errors(steep, x)
    assert found.max() < 0.004
    # between any x and 2 x there are at least 32 points: a relative error of less than 1e-4
    assert (found / np.sqrt(np.maximum(x, 1)) < 1e-3).all()


def test_curves_may_use_parameters():
    logistic = kernel(
        lambda self, x: curve(lambda v: 1 / (1 + np.exp(-v * self.sharpness)), x, (0, 0.9999), 17)
    )
    assert errors(logistic, np.linspace(-8, 8, 5003)).max() < 2e-4
    entries = logistic(sharpness=4.0).table_entries(0.001, MACHINE)["table0"]
    assert not np.array_equal(
        entries, logistic(sharpness=1.0).table_entries(0.001, MACHINE)["table0"]
    )


def test_more_bits_than_entries_have():
    fine = kernel(lambda self, x: curve(np.tanh, x, (-1, 1 - 2**-17), 24, 512))
    code = fine.code(MACHINE)
    assert code.emit_fraction == 24
    x = np.arange(0, 2000, dtype=np.int64)
    found = evaluate(code, x, [], {}, fine().table_entries(0.001, MACHINE)).output
    assert len(np.unique(found)) > 1900  # one count of the input makes a difference


def test_rounded():
    assert rounded(np.array([0.3]), 2).tolist() == [0.3]
    coarse = kernel(lambda self, x: rounded(x, 4))
    assert coarse.code(MACHINE).emit_fraction == 4
    finer = kernel(lambda self, x: rounded(x, 30))
    assert finer.code(MACHINE).emit_fraction == 18


def test_mistakes():
    with pytest.raises(KernelError, match="5000 points; 2 to 4096"):
        kernel(lambda self, x: curve(np.sin, x, (-1, 1), 12, 5000)).code(MACHINE)
    with pytest.raises(KernelError, match="may be negative; use maximum"):
        kernel(lambda self, x: curve(np.sqrt, x, (0, 3), 12, geometric=True)).code(MACHINE)

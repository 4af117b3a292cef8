"""Weights that lie otherwise than row by row give the same sums."""

import numpy as np
from random_programs import FAMILY, random_inputs, random_program

from spikeloom.compiler.instructions import Evt
from spikeloom.sim.check import MEMORIES
from spikeloom.sim.golden import GoldenEngine
from spikeloom.sim.native.engine import NativeEngine
from spikeloom.sim.native.tables.layouts import SPARSE_BITS, paired, sparse
from spikeloom.sim.native.tables.table import EVT_SPARSE, Builder

STEPS = 30


def test_events_of_nearly_empty_rows():
    rng = np.random.default_rng(0)
    entries = []
    for number in range(8 * FAMILY):
        program = random_program(number)
        for i in program.instructions:
            if isinstance(i, Evt):
                rows = program.weight[i.weights : i.weights + i.rows * i.words]
                rows = rows.reshape(i.rows, -1)
                kept = rng.integers(0, i.length, (i.rows, rng.integers(1, 3)))
                found = np.zeros_like(rows)
                np.put_along_axis(found, kept, np.take_along_axis(rows, kept, 1), 1)
                found[rng.random(i.rows) < 0.2] = 0
                rows[...] = found
        records = Builder(program).build().records
        entries += records["entries"][records["opcode"] == EVT_SPARSE].tolist()
        native, golden = NativeEngine(program), GoldenEngine(program)
        inputs = random_inputs(number, program, STEPS)
        names = list(program.outputs)
        found, expected = (e.run(STEPS, inputs, names) for e in (native, golden))
        for name in names:
            np.testing.assert_array_equal(found[name], expected[name])
        for memory in MEMORIES:
            np.testing.assert_array_equal(native.memory(memory), golden.memory(memory))
    assert min(entries.count(1), entries.count(2)) > 5


def test_sparse_rows():
    rows = np.array([[0, 0, 7, 0], [0, 0, 0, 0], [3, 0, 0, -4]])
    found, entries = sparse(rows)
    assert entries == 2
    again = np.zeros_like(rows)
    longest = 1 << SPARSE_BITS
    for row, pairs in zip(again, found, strict=True):
        for entry in pairs:
            row[entry % longest] += entry >> SPARSE_BITS
    assert np.array_equal(again, rows)
    assert sparse(np.eye(longest, dtype=int))[1] == 1
    assert sparse(np.eye(longest + 1, dtype=int)) is None
    assert sparse(np.array([[0, 1 << 25]])) is None  # 32 bits would not hold the entry
    assert sparse(np.array([[0, 1 - (1 << 25)]])) is not None
    assert sparse(np.ones((2, 3))) is None


def test_pairs_of_rows():
    rows = np.array([[-1, 2], [3, -(1 << 15) + 1], [5, 6]])
    found = paired(rows).astype(np.int32)
    assert found.shape == (2, 16)
    low, high = found.astype(np.int16), found >> 16
    assert np.array_equal(low[:, :2], rows[::2])
    assert np.array_equal(high[:, :2], [[3, -(1 << 15) + 1], [0, 0]])
    assert not found[:, 2:].any()

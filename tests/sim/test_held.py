"""`Held` is the array of all steps, said shorter."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from spikeloom.sim.held import Held, together

BLOCKS = st.lists(st.tuples(st.integers(0, 3), st.integers(1, 4)), min_size=1, max_size=6)


def block(runs, size=2):
    """Values (steps, size) in which each of some numbers is held for some steps."""
    return np.concatenate([np.full((n, size), value + 0.5) for value, n in runs])


def as_given(runs):
    """The same as a `Held` whose rows may repeat."""
    first = np.cumsum([0, *(n for _, n in runs)])
    return Held(int(first[-1]), np.array([[v + 0.5] * 2 for v, _ in runs]), first[:-1])


@given(BLOCKS)
def test_dense_and_back(runs):
    values = block(runs)
    assert Held.found(values).dense.tolist() == as_given(runs).dense.tolist() == values.tolist()
    assert np.asarray(Held.each(values)).tolist() == values.tolist()
    found = Held.found(values)
    assert found is Held.found(found)
    assert len(found) == len(values)
    assert (np.diff(found.first) > 0).all() and found.first[0] == 0
    assert (found.rows[1:] != found.rows[:-1]).any(axis=1).all()


@given(BLOCKS, st.data())
def test_parts(runs, data):
    values, held = block(runs), as_given(runs)
    begin = data.draw(st.integers(0, len(values)))
    end = data.draw(st.integers(begin, len(values)))
    part = held.part(begin, end)
    assert part.steps == end - begin
    assert part.dense.tolist() == values[begin:end].tolist()
    assert held.part(0, end).joined(held.part(end, len(values))).dense.tolist() == values.tolist()
    if end > begin:
        assert part.first[0] == 0
        steps = np.arange(end - begin)
        assert part.at(steps).tolist() == values[begin:end].tolist()


@given(BLOCKS, BLOCKS)
def test_operations(runs, others):
    values, held = block(runs), as_given(runs)
    before = np.array([7.0, 8.0])
    delayed = np.concatenate([before[None], values[:-1]])
    assert held.delayed(before).dense.tolist() == delayed.tolist()
    assert held.map(lambda rows: 2 * rows).dense.tolist() == (2 * values).tolist()
    assert held.columns(np.array([1])).dense.tolist() == values[:, [1]].tolist()
    assert held.columns(None) is held
    steps = min(held.steps, as_given(others).steps)
    a, b = held.part(0, steps), as_given(others).part(0, steps)
    first = together(a.first, b.first)
    total = Held(steps, a.on(first) + b.on(first), first)
    assert total.dense.tolist() == (a.dense + b.dense).tolist()


def test_the_same_in_all_steps():
    held = Held.constant(3, np.array([1.0, 2.0]))
    assert held.dense.tolist() == [[1, 2]] * 3
    copy = np.array(held)
    copy[:] = 0
    assert held.rows.tolist() == [[1, 2]]

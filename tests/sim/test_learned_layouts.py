"""Learned weights lie as suits their updates; nobody can tell from the results."""

import sys

import numpy as np
import pytest
from random_rules import driven, random_learning_program
from same_memories import assert_same_memories

from spikeloom.compiler.instructions import Evt, Upd
from spikeloom.sim.golden import GoldenEngine
from spikeloom.sim.native.engine import NativeEngine
from spikeloom.sim.native.tables.table import Builder

LAYOUTS = (0, 64, sys.maxsize)
STEPS = 8


def run(program, seed, *engines):
    names = list(program.outputs)
    given = driven(seed, program, STEPS)
    found = [engine.run(STEPS, given, names) for engine in engines]
    for name in names:
        np.testing.assert_array_equal(found[0][name], found[1][name])
    assert_same_memories(*engines)


@pytest.mark.parametrize("number", range(12))
@pytest.mark.parametrize("few_posts", LAYOUTS)
def test_a_layout_changes_no_result(number, few_posts):
    program = random_learning_program(number)
    golden, native = GoldenEngine(program), NativeEngine(program, few_posts=few_posts)
    run(program, 1, golden, native)
    for name in ("weight", "residual", "synapse"):  # the host writes in the middle of a run
        content = golden.memory(name)
        for p in program.projections.values():
            rows = content[..., p.weights : p.weights + p.rows * p.words, :]
            rows[...] = np.where(rows % 3 == 0, rows // 2, rows)
        for engine in (golden, native):
            engine.load_memory(name, content)
    run(program, 2, golden, native)
    other = native.twin()
    golden.reset()
    run(program, 3, golden, other)
    golden.reset()
    native.reset()
    run(program, 4, golden, native)


def test_short_rows_that_always_learn_lie_by_post_neuron():
    seen = set()
    for number in range(60):
        program = random_learning_program(number)
        places = Builder(program).learned
        for name, p in program.projections.items():
            users = [
                i for i in program.instructions
                if getattr(i, "weights", None) == p.weights and not isinstance(i, Upd)
            ]  # fmt: skip
            gates = {
                (i.gate, i.skip < 0)
                for i in program.instructions
                if isinstance(i, Upd) and i.projection == name
            }
            events = all(isinstance(i, Evt) for i in users)
            expected = events and (
                {gate for gate, _ in gates} == {"post"}
                or (gates == {("always", True)} and p.length < 16)
            )
            assert places[name].transposed == expected
            seen.add((expected, *(gate for gate, _ in gates)))
    assert {(True, "always"), (True, "post"), (False, "pre")} <= seen

"""What is the same in all copies is done once, and gives what each copy alone gives."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_programs import random_inputs, random_program
from random_rules import driven, random_learning_program

from spikeloom.compiler.instructions import Evt, Map
from spikeloom.sim.check import MEMORIES
from spikeloom.sim.golden import GoldenEngine
from spikeloom.sim.native.batch import NativeBatch
from spikeloom.sim.native.together import FRONT_SOURCE, divide

COPIES, STEPS = 4, 6


def program_of(seed, learns):
    return random_learning_program(seed) if learns else random_program(seed)


def run_inputs(program, seed):
    """Inputs of a run: each port is the same for all copies, or not, or left as it is."""
    rng = np.random.default_rng(seed)
    make = driven if program.rules else random_inputs
    each = [make(int(rng.integers(1 << 30)), program, STEPS) for _ in range(COPIES)]
    found = {}
    for name in sorted(set.intersection(*(set(run) for run in each))):
        values = np.stack([run[name] for run in each])
        kind = rng.integers(4)
        if kind < 3:
            found[name] = values[: COPIES if kind == 0 else 1, : STEPS if rng.integers(2) else 1]
    return found


@settings(max_examples=60, deadline=None)
@given(
    number=st.integers(0, 11),
    learns=st.booleans(),
    seed=st.integers(0, 2**30),
    loads=st.booleans(),
)
def test_runs_of_all_kinds_give_what_copies_alone_give(number, learns, seed, loads):
    program = program_of(number, learns)
    rng = np.random.default_rng(seed)
    batch = NativeBatch(program, COPIES, threads=int(rng.integers(1, 3)))
    alone = [GoldenEngine(program) for _ in range(COPIES)]
    names = list(program.outputs)
    for part in range(3):
        if loads and part == 1:
            state = alone[2].memory("state")
            state = np.roll(state, 1, axis=1) if not program.rules else state
            for engine in (batch, alone[2]):
                copy = (2,) if engine is batch else ()
                engine.load_memory("state", *copy, np.clip(state, -3, 3))
        given_now = run_inputs(program, seed + part)
        found = batch.run(STEPS, given_now, names)
        for copy, engine in enumerate(alone):
            own = {
                name: np.broadcast_to(v[min(copy, len(v) - 1)], (STEPS, v.shape[2])).copy()
                for name, v in given_now.items()
            }
            expected = engine.run(STEPS, own, names)
            for name in names:
                np.testing.assert_array_equal(found[name][copy], expected[name])
            for memory in MEMORIES:
                np.testing.assert_array_equal(
                    batch.memory(memory, copy), engine.memory(memory), err_msg=memory
                )
            assert batch.saturations(copy) == engine.saturations()


@pytest.mark.parametrize("number", range(8))
def test_the_way_from_equal_inputs_to_learned_weights_is_done_once(number):
    program = random_learning_program(number)
    division = divide(program, (), ())
    maps = {n for n, i in enumerate(program.instructions) if isinstance(i, Map)}
    learned = {p.weights for p in program.projections.values()}
    for n, i in enumerate(program.instructions):
        if isinstance(i, Evt) and i.weights in learned:
            fired = {m for m in maps if program.instructions[m].list == i.list}
            assert n not in division.shared
            assert bool(division.operands[n] & FRONT_SOURCE) == (fired <= division.shared)
    everything = divide(program, set(program.inputs), maps)
    assert not everything.shared & maps


@pytest.mark.parametrize("number", [1, 3, 5])
def test_all_is_done_once_where_nothing_differs(number):
    program = random_program(number)
    unseen = {n: p for n, p in program.outputs.items() if p.memory != "accumulator"}
    program = replace(program, outputs=unseen)
    maps = {n for n, i in enumerate(program.instructions) if isinstance(i, Map)}
    division = divide(program, (), ())
    assert maps <= division.shared
    assert division.outputs == set(unseen)

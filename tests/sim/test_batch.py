"""Copies that run side by side give what each gives alone."""

import numpy as np
import pytest
from example_program import example_program
from random_programs import random_inputs, random_program
from random_rules import driven, random_learning_program

from spikeloom.compiler.errors import InputError
from spikeloom.sim.check import MEMORIES
from spikeloom.sim.golden import GoldenEngine
from spikeloom.sim.native.batch import NativeBatch
from spikeloom.sim.native.engine import NativeEngine

COPIES, STEPS = 5, 12


def different_inputs(program, seed):
    """For each port (copies or 1, steps or 1, size), all four kinds among them."""
    rng = np.random.default_rng(seed)
    runs = [
        (driven if program.rules else random_inputs)(seed + k, program, STEPS)
        for k in range(COPIES)
    ]
    given = {}
    for number, name in enumerate(sorted(set.intersection(*(set(run) for run in runs)))):
        values = np.stack([run[name] for run in runs])
        kind = (number + rng.integers(4)) % 4
        given[name] = values[: 1 if kind % 2 else COPIES, : 1 if kind > 1 else STEPS]
    return given


def of_copy(given, copy):
    return {
        name: np.broadcast_to(v[min(copy, len(v) - 1)], (STEPS, v.shape[2])).copy()
        for name, v in given.items()
    }


def programs():
    yield from (random_program(seed) for seed in range(12))
    yield from (random_learning_program(seed) for seed in range(8))


@pytest.mark.parametrize("number", range(20))
def test_each_copy_alone_gives_the_same(number):
    program = list(programs())[number]
    given = different_inputs(program, 100 + number)
    names = list(program.outputs)
    batch = NativeBatch(program, COPIES, threads=2)
    found = [batch.run(STEPS, given, names), batch.run(STEPS, {}, names)]
    for copy in range(COPIES):
        alone = GoldenEngine(program)
        expected = [
            alone.run(STEPS, of_copy(given, copy), names),
            alone.run(STEPS, {}, names),
        ]
        for part, run in zip(found, expected, strict=True):
            for name in names:
                np.testing.assert_array_equal(part[name][copy], run[name])
        for memory in MEMORIES:
            np.testing.assert_array_equal(batch.memory(memory, copy), alone.memory(memory))
        assert batch.saturations(copy) == alone.saturations()


def test_reset_forgets_inputs_and_learning():
    program = random_learning_program(3)
    batch = NativeBatch(program, 3)
    given = {n: v[None] for n, v in driven(1, program, STEPS).items()}
    names = list(program.outputs)
    first = batch.run(STEPS, given, names)
    weight = batch.memory("weight", 2)
    batch.reset()
    again = batch.run(STEPS, given, names)
    for name in names:
        np.testing.assert_array_equal(first[name], again[name])
    assert np.array_equal(weight, batch.memory("weight", 2))
    assert np.any(weight != program.weight)


def test_a_memory_of_one_copy_is_loaded_alone():
    program = random_learning_program(5)
    batch = NativeBatch(program, 2)
    batch.run(STEPS, {}, [])
    learned = batch.memory("weight", 0), batch.memory("residual", 0)
    batch.reset()
    batch.load_memory("weight", 1, learned[0])
    batch.load_memory("residual", 1, learned[1])
    batch.learning(False)
    batch.run(1, {}, [])
    np.testing.assert_array_equal(batch.memory("weight", 1), learned[0])
    np.testing.assert_array_equal(batch.memory("weight", 0), program.weight)


def test_sums_of_held_inputs_follow_every_change():
    """Native keeps sums while their inputs hold; golden makes each anew."""
    program = example_program()
    native, golden = NativeEngine(program), GoldenEngine(program)
    rng = np.random.default_rng(0)
    port = next(iter(program.inputs.values()))
    value = np.zeros(port.size, np.int64)
    for step in range(60):
        if step % 7 == 0:
            value = rng.integers(-1000, 1000, port.size)
        if step == 30:
            content = golden.memory("value")
            content[port.base : port.base + port.size] = 77
            native.load_memory("value", content)
            golden.load_memory("value", content)
        elif step == 45:
            native.reset()
            golden.reset()
        elif step % 3:
            native.write(port.name, value)
            golden.write(port.name, value)
        native.step()
        golden.step()
        for memory in MEMORIES:
            np.testing.assert_array_equal(native.memory(memory), golden.memory(memory))


def test_progress_counts_all_steps():
    program = random_program(1)
    done = []
    NativeBatch(program, COPIES).run(STEPS, {}, [], progress=done.append)
    assert sum(done) == COPIES * STEPS


@pytest.mark.parametrize("shape", [(2, STEPS, 1), (COPIES, 2, 1), (COPIES, STEPS), (1, 1, 999)])
def test_wrong_shapes_are_refused(shape):
    program = example_program()
    name = next(iter(program.inputs))
    with pytest.raises(InputError, match=f"{COPIES} or 1, {STEPS} or 1"):
        NativeBatch(program, COPIES).run(STEPS, {name: np.zeros(shape, np.int64)}, [])


def test_other_mistakes():
    program = example_program()
    with pytest.raises(InputError, match="give 1 or more"):
        NativeBatch(program, 0)
    batch = NativeBatch(program, 2)
    with pytest.raises(InputError, match="no copy 2"):
        batch.memory("state", 2)
    name = next(iter(program.inputs))
    size = program.inputs[name].size
    with pytest.raises(InputError, match="out of range"):
        batch.run(1, {name: np.full((1, 1, size), 1 << 40)}, [])


@pytest.mark.parametrize("seed", range(4))
def test_twins_share_tables_and_nothing_that_changes(seed):
    program = random_learning_program(seed)
    first, names = NativeEngine(program), list(program.outputs)
    second = first.twin()
    runs = [driven(seed + k, program, STEPS) for k in range(2)]
    found = [e.run(STEPS, run, names) for e, run in zip((first, second), runs, strict=True)]
    for engine, run, outputs in zip((first, second), runs, found, strict=True):
        alone = GoldenEngine(program)
        expected = alone.run(STEPS, run, names)
        for name in names:
            np.testing.assert_array_equal(outputs[name], expected[name])
        for memory in MEMORIES:
            np.testing.assert_array_equal(engine.memory(memory), alone.memory(memory))

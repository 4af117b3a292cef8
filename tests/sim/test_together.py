"""What is the same in all copies is done once, and gives what each copy alone gives."""

import random
from dataclasses import replace
from functools import cache

import nengo
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_programs import random_inputs, random_program
from random_rules import driven, random_learning_program

import spikeloom
from spikeloom.compiler.instructions import Evt, Mac, Map
from spikeloom.sim.check import MEMORIES
from spikeloom.sim.golden import GoldenEngine
from spikeloom.sim.native.batch import NativeBatch
from spikeloom.sim.native.division import FRONT_SOURCE, divide

COPIES, STEPS = 4, 6


def program_of(seed, learns, parted=False):
    """A random Program; if `parted`, each product reaches only some of the neurons behind it."""
    program = random_learning_program(seed) if learns else random_program(seed)
    if not parted:
        return program
    rng, weight = np.random.default_rng(seed), program.weight.copy()
    for i in program.instructions:
        if isinstance(i, Mac | Evt) and i.weights >= program.plastic_words:
            rows = weight[i.weights : i.weights + i.rows * i.words].reshape(i.rows, -1)
            rows[:, rng.random(rows.shape[1]) < 0.5] = 0
    return replace(program, weight=weight)


def network(seed):
    """A network in which all filters are one ``MAP``, and some see only inputs."""
    rng, pick = np.random.default_rng(seed), random.Random(seed)
    with nengo.Network(seed=seed) as net:
        sizes = rng.integers(1, 4, 3)
        shown = [nengo.processes.PresentInput(rng.uniform(-1, 1, (5, n)), 0.002) for n in sizes]
        nodes = [nengo.Node(images, label=f"in{k}") for k, images in enumerate(shown)]
        ensembles = [nengo.Ensemble(12, int(rng.integers(1, 3))) for _ in range(4)]
        pairs = [(node, e) for node in nodes for e in pick.sample(ensembles, 2)]
        pairs += [tuple(pick.sample(ensembles, 2)) for _ in range(3)]
        for a, b in pairs:
            nengo.Connection(a, b, transform=rng.uniform(-1, 1, (b.size_in, a.size_out)))
        a, b = pick.sample(ensembles, 2)
        learned = nengo.Connection(
            a, b, function=lambda x: np.zeros(b.dimensions), learning_rule_type=nengo.PES(1e-3)
        )
        nengo.Connection(b, learned.learning_rule)
        nengo.Probe(b, synapse=0.01)
    return net


@cache
def compiled(seed):
    with spikeloom.Simulator(network(seed), engine="golden", progress_bar=False) as sim:
        return sim.program


@pytest.mark.parametrize("seed", range(8))
def test_filters_of_which_some_are_the_same(seed):
    for k in range(3):
        check_runs(compiled(seed), 10 * seed + k, loads=k == 2)


def test_some_are_done_once_and_in_each_copy():
    found = 0
    for seed in range(8):
        program = compiled(seed)
        division = divide(program, (), {}, twice=True)
        assert not division.shared & division.twice
        for n in division.twice:
            i = program.instructions[n]
            if isinstance(i, Map):
                found += 1
                assert not division.own[n].all()
                read = [m for m in division.shared if m in division_reads(program, i)]
                assert read
        assert not divide(program, (), {}).twice
        assert divide(program, (), {}).shared <= division.shared
    assert found > 3


def division_reads(program, i):
    """Numbers of the products that read values of a ``MAP``."""
    return {
        n
        for n, m in enumerate(program.instructions)
        if isinstance(m, Mac) and m.source < i.target + i.length and i.target < m.source + m.rows
    }


def run_inputs(program, seed):
    """Inputs of a run: each port is the same for all copies, or not, or left as it is."""
    rng = np.random.default_rng(seed)
    make = driven if "drive" in program.inputs else random_inputs
    each = [make(int(rng.integers(1 << 30)), program, STEPS) for _ in range(COPIES)]
    found = {}
    for name in sorted(set.intersection(*(set(run) for run in each))):
        values = np.stack([run[name] for run in each])
        kind = rng.integers(4)
        if kind < 3:
            found[name] = values[: COPIES if kind == 0 else 1, : STEPS if rng.integers(2) else 1]
    return found


@settings(max_examples=80, deadline=None)
@given(
    number=st.integers(0, 11),
    learns=st.booleans(),
    seed=st.integers(0, 2**30),
    loads=st.booleans(),
    parted=st.booleans(),
)
def test_runs_of_all_kinds_give_what_copies_alone_give(number, learns, seed, loads, parted):
    check_runs(program_of(number, learns, parted), seed, loads)


def check_runs(program, seed, loads):
    """Some runs of a batch and of each copy alone; all memories are the same whenever one looks."""
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
        looks = part == 2 or rng.random() < 0.5
        for copy, engine in enumerate(alone):
            own = {
                name: np.broadcast_to(v[min(copy, len(v) - 1)], (STEPS, v.shape[2])).copy()
                for name, v in given_now.items()
            }
            expected = engine.run(STEPS, own, names)
            for name in names:
                np.testing.assert_array_equal(found[name][copy], expected[name])
            if not looks:
                continue
            assert batch.saturations(copy) == engine.saturations()
            for memory in MEMORIES:
                np.testing.assert_array_equal(
                    batch.memory(memory, copy), engine.memory(memory), err_msg=memory
                )


@pytest.mark.parametrize("number", range(8))
def test_the_way_from_equal_inputs_to_learned_weights_is_done_once(number):
    program = random_learning_program(number)
    division = divide(program, (), {})
    maps = {n for n, i in enumerate(program.instructions) if isinstance(i, Map)}
    learned = {p.weights for p in program.projections.values()}
    for n, i in enumerate(program.instructions):
        if isinstance(i, Evt) and i.weights in learned:
            fired = {m for m in maps if program.instructions[m].list == i.list}
            assert n not in division.shared
            assert bool(division.operands[n] & FRONT_SOURCE) == (fired <= division.shared)
    all_neurons = {n: np.ones(program.instructions[n].length, bool) for n in maps}
    everything = divide(program, set(program.inputs), all_neurons)
    assert not everything.shared & maps


@pytest.mark.parametrize("number", [1, 3, 5])
def test_all_is_done_once_where_nothing_differs(number):
    program = random_program(number)
    unseen = {n: p for n, p in program.outputs.items() if p.memory != "accumulator"}
    program = replace(program, outputs=unseen)
    maps = {n for n, i in enumerate(program.instructions) if isinstance(i, Map)}
    division = divide(program, (), {})
    assert maps <= division.shared
    assert division.outputs == set(unseen)

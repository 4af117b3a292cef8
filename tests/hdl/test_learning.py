"""The hardware learns as golden predicts: every write of random Programs, in its cycle."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from cores import generate, shape_for, side_by_side
from random_programs import FAMILY
from random_rules import SummingMaker, driven, mixed_program, random_learning_program

from spikeloom.compiler.instructions import Cnv, Evt, Mac, Map, Upd
from spikeloom.compiler.kernels.pipeline import rounded_later
from spikeloom.sim.compare import compare
from spikeloom.sim.predict import PredictingEngine
from spikeloom.sim.rtl.engine import RtlEngine

pytestmark = pytest.mark.hardware

FAMILIES = 12
STEPS = 6
OPERATIONS_PER_STAGE = (1, 2, 3)
LEARNED = ("weight", "residual", "synapse")


def family_of(family, operations_per_stage):
    programs = {}
    for seed in range(family * FAMILY, (family + 1) * FAMILY):
        program = random_learning_program(seed)
        machine = replace(program.machine, operations_per_stage=operations_per_stage)
        programs[seed] = replace(program, machine=machine)
    return programs


@pytest.mark.parametrize("family", range(FAMILIES))
def test_every_write_in_its_cycle(family):
    programs = family_of(family, OPERATIONS_PER_STAGE[family % len(OPERATIONS_PER_STAGE)])
    core = generate(shape_for(list(programs.values())))
    for seed, program in programs.items():
        comparison, wrong = side_by_side(program, *core, STEPS, driven(seed, program, STEPS))
        assert not comparison.differences, f"seed {seed}: {comparison.first}"
        assert not wrong, f"seed {seed}: {wrong}"


SUMMING = {35: 1, 4: 2, 6: 3}
"""Families whose rules add up what they scale, and operations per stage."""


def summing(family):
    """Programs of a family, by seed."""
    programs = {}
    for seed in range(family * FAMILY, (family + 1) * FAMILY):
        program = SummingMaker(seed, None, 63).make()
        machine = replace(program.machine, operations_per_stage=SUMMING[family])
        programs[seed] = replace(program, machine=machine)
    return programs


def test_rules_that_add_up_have_all_kinds_of_sums():
    found = set()
    for family in SUMMING:
        for code in next(iter(summing(family).values())).rules.values():
            for number, scaled in rounded_later(code).items():
                found.add((code.ops[number].kind, code.ops[number].operands.index(scaled)))
    assert found == {("add", 0), ("add", 1), ("sub", 1)}


@pytest.mark.parametrize("family", SUMMING)
def test_sums_round_what_was_scaled(family):
    programs = summing(family)
    core = generate(shape_for(list(programs.values())))
    for seed, program in programs.items():
        comparison, wrong = side_by_side(program, *core, STEPS, driven(seed, program, STEPS))
        assert not comparison.differences, f"seed {seed}: {comparison.first}"
        assert not wrong, f"seed {seed}: {wrong}"


MIXED = range(6)


def mixed(seed):
    machine = random_learning_program(seed * FAMILY).machine
    stages = OPERATIONS_PER_STAGE[seed % len(OPERATIONS_PER_STAGE)]
    return mixed_program(seed * FAMILY, replace(machine, operations_per_stage=stages))


def test_mixed_programs_have_everything_beside_updates():
    pairs = set()
    for seed in MIXED:
        kinds = [type(i) for i in mixed(seed).phases[-1]]
        pairs |= set(pairwise(kinds))
    assert {(kind, Upd) for kind in (Mac, Evt, Map, Cnv, Upd)} <= pairs
    assert {(Upd, kind) for kind in (Mac, Evt, Map, Cnv, Upd)} <= pairs


@pytest.mark.parametrize("seed", MIXED)
def test_before_and_behind_everything(seed):
    """Parameters are loaded while the instruction before runs; what follows comes at once."""
    program = mixed(seed)
    inputs = driven(seed, program, STEPS)
    comparison, wrong = side_by_side(program, *generate(shape_for([program])), STEPS, inputs)
    assert not comparison.differences, comparison.first
    assert not wrong


@pytest.fixture(scope="module")
def learning():
    """A Program whose weights change, its core, and its inputs."""
    program = random_learning_program(5)
    return program, generate(shape_for([program])), driven(5, program, STEPS)


def test_learning_can_be_switched_off(learning):
    program, core, inputs = learning
    golden, rtl = PredictingEngine(program), RtlEngine(program, *core)
    rtl.trace(True)
    for on in (False, True, False):
        for engine in (golden, rtl):
            engine.learning(on)
            engine.run(STEPS, inputs, [])
        a, b = golden.take_trace(), rtl.take_trace()
        assert np.array_equal(a.cycles, b.cycles)
        assert (len(b.writes["weight"]) > 0) == on
        for name in LEARNED:
            assert np.array_equal(golden.memory(name), rtl.memory(name)), name
    golden.reset()
    rtl.reset()
    for name in LEARNED:
        assert np.array_equal(rtl.memory(name), getattr(program, name)), name
    for engine in (golden, rtl):  # still off
        engine.run(STEPS, inputs, [])
    assert np.array_equal(rtl.memory("weight"), program.weight)


def test_learned_memories_can_be_carried_over(learning):
    program, core, inputs = learning
    first, second = RtlEngine(program, *core), RtlEngine(program, *core)
    first.run(STEPS, inputs, [])
    for name in (*LEARNED, "state", "value"):
        second.load_memory(name, first.memory(name))
    for engine in (first, second):
        engine.run(STEPS, inputs, [])
    for name in LEARNED:
        assert np.array_equal(first.memory(name), second.memory(name)), name


def test_an_update_costs_little_beside_its_words(learning):
    """One word of all lanes per cycle, and at most 32 more for a rule as deep as PES's."""
    program, _, _ = learning
    clock = PredictingEngine(program)._clock
    for i in program.instructions:
        if not isinstance(i, Upd):
            continue
        timing = clock.update_timing(i.rule)
        fired = np.arange(0, min(i.length, i.rows), 3)
        updates = timing.updates(i, 0, fired)
        assert timing.write - timing.depth <= 10
        if i.gate == "post":
            words = len(np.unique(fired // program.machine.lanes))
            assert len(updates.rows) == words * i.rows
            assert updates.busy <= words * (i.rows + timing.prepare + 3) + 4 * len(fired)
            assert updates.busy <= timing.busy(i, len(fired))
        else:
            assert updates.busy == len(updates.rows)


@pytest.mark.parametrize("memory", ["weight", "residual", "post0"])
def test_a_divergence_names_both_neurons(learning, memory):
    """A wrong word is traced back to its instruction, projection, pre and post neuron."""
    program, _, inputs = learning
    traces = []
    for _ in range(2):
        golden = PredictingEngine(program)
        golden.run(STEPS, inputs, [])
        traces.append(golden.take_trace())
    writes = traces[1].writes[memory]
    place = len(writes) // 2
    writes.data[place, 0] += 1
    address = int(writes.address[place])
    comparison = compare(program, *traces)
    assert comparison.differences == 1
    first = comparison.first
    if memory == "post0":
        assert "MAP" in first.instruction and "captured drive of s" in first.signal
        return
    p = next(p for p in program.projections.values() if _holds(p, address))
    word, row = divmod(address - p.weights, p.rows)
    assert first.signal.startswith(memory)
    assert f"from pre neuron {row} of {p.name}" in first.signal
    assert first.element == word * program.machine.lanes and "UPD" in first.instruction


def _holds(projection, address):
    return 0 <= address - projection.weights < projection.rows * projection.words

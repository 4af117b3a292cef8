"""Engines that do what others have done only once give what each alone gives."""

import threading
from dataclasses import replace

import numpy as np
import pytest
from random_programs import random_program
from random_rules import driven, random_learning_program
from same_memories import assert_same_memories

from spikeloom.compiler.instructions import Upd
from spikeloom.sim.golden import GoldenEngine
from spikeloom.sim.native import follow
from spikeloom.sim.native.engine import NativeEngine
from spikeloom.sim.native.fronts import UNUSED_STEPS, FrontPlan, Fronts

STEPS = 40


def equal(engine, alone, found, expected):
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values)
    assert_same_memories(engine, alone)


def worthwhile(program):
    engine = NativeEngine(program)
    engine.share_fronts(Fronts())
    return engine._plan.worthwhile


@pytest.mark.parametrize("part", [512, 17])
@pytest.mark.parametrize("number", range(10))
def test_engines_with_other_weights(number, part, monkeypatch):
    monkeypatch.setattr(follow, "PART", part)
    program = random_learning_program(number)
    names, fronts = list(program.outputs), Fronts()
    first = NativeEngine(program)
    engines = [first, first.twin(), NativeEngine(program)]
    shared = driven(number, program, STEPS)
    for k, engine in enumerate(engines):
        engine.share_fronts(fronts)
        alone = GoldenEngine(program)
        for run in range(3):
            for each in (engine, alone):
                each.learning(run != k)  # so each learns something else
            # What is written stays; then other steps with the same inputs, and with own ones.
            inputs = shared if run < 2 else driven(100 + k, program, STEPS)
            found = engine.run(STEPS, inputs, names)
            equal(engine, alone, found, alone.run(STEPS, inputs, names))
        for name, port in program.inputs.items():
            held = np.full(port.size, 3 * k)
            engine.write(name, held)
            alone.write(name, held)
        found = engine.run(STEPS, {}, names)
        equal(engine, alone, found, alone.run(STEPS, {}, names))
        engine.step()
        alone.step()
        equal(engine, alone, {}, {})
    if worthwhile(program):
        assert fronts.found >= 2 * len(engines) - 2 and fronts.done


def test_programs_that_differ_behind():
    program = random_learning_program(5)
    assert worthwhile(program)

    def changed(i):
        if not isinstance(i, Upd):
            return i
        values = {
            name: (value[0] // 2, value[1]) if isinstance(value, tuple) else value
            for name, value in i.parameters.items()
        }
        return replace(i, parameters=values)

    other = replace(program, phases=[[changed(i) for i in phase] for phase in program.phases])
    fronts, inputs = Fronts(), driven(1, program, STEPS)
    for each in (program, other):
        engine, alone = NativeEngine(each), GoldenEngine(each)
        engine.share_fronts(fronts)
        names = list(each.outputs)
        found = engine.run(STEPS, inputs, names)
        equal(engine, alone, found, alone.run(STEPS, inputs, names))
    assert (fronts.done, fronts.found) == (1, 1)


def test_programs_that_differ_in_front_share_nothing():
    program = random_learning_program(5)
    signature = plan_of(program).signature
    state = program.state + 1
    assert plan_of(replace(program, state=state)).signature == signature  # states are compared
    weight = np.where(program.weight != 0, program.weight ^ 1, 0)
    for p in program.projections.values():
        learned = slice(p.weights, p.weights + p.rows * p.words)
        weight[learned] = program.weight[learned]
    heavier = replace(program, weight=weight)
    assert plan_of(heavier).signature != signature
    fronts, inputs = Fronts(), driven(1, program, STEPS)
    for each in (program, replace(program, state=state), heavier):
        engine, alone = NativeEngine(each), GoldenEngine(each)
        engine.share_fronts(fronts)
        names = list(each.outputs)
        found = engine.run(STEPS, inputs, names)
        equal(engine, alone, found, alone.run(STEPS, inputs, names))
    assert fronts.found == 0


def plan_of(program):
    engine = NativeEngine(program)
    return FrontPlan(program, engine._builder, engine._table, engine._memories)


def test_the_oldest_is_dropped_where_there_is_no_room():
    program = random_learning_program(5)
    engine = NativeEngine(program)
    most = 4 * follow.PART * plan_of(program).step_bytes()
    fronts = Fronts(most)
    engine.share_fronts(fronts)
    names = list(program.outputs)
    for seed in range(6):
        engine.run(4 * follow.PART, driven(seed, program, 4 * follow.PART), names)
    assert sum(front.bytes for kept in fronts._kept.values() for front in kept) <= most
    assert len(fronts._kept) < 24
    small = NativeEngine(program)
    small.share_fronts(Fronts(1000))
    assert small._follower is None


def test_what_nobody_uses_is_not_kept_for_ever():
    program = random_learning_program(5)
    fronts, names = Fronts(), list(program.outputs)
    engine, alone = NativeEngine(program), GoldenEngine(program)
    engine.share_fronts(fronts)
    engine._follower.fronts._unused[engine._plan.signature] = UNUSED_STEPS - STEPS
    for seed in range(3):
        inputs = driven(seed, program, STEPS)
        found = engine.run(STEPS, inputs, names)
        equal(engine, alone, found, alone.run(STEPS, inputs, names))
    assert fronts.done == 1
    twin = engine.twin()  # finds what there is, and then there is a use for more
    twin.share_fronts(fronts)
    twin.run(STEPS, driven(0, program, STEPS), names)
    twin.run(STEPS, driven(9, program, STEPS), names)
    assert (fronts.done, fronts.found) == (2, 1)


def test_without_learning_there_is_nothing_behind():
    assert not worthwhile(random_program(3))


def test_threads():
    program = random_learning_program(5)
    first, fronts = NativeEngine(program), Fronts()
    engines = [first, *(first.twin() for _ in range(7))]
    inputs, names = driven(1, program, STEPS), list(program.outputs)
    for engine in engines:
        engine.share_fronts(fronts)
    found = [None] * len(engines)

    def work(k):
        found[k] = engines[k].run(STEPS, inputs, names)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(len(engines))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    alone = GoldenEngine(program)
    expected = alone.run(STEPS, inputs, names)
    for engine, outputs in zip(engines, found, strict=True):
        equal(engine, alone, outputs, expected)


@pytest.mark.parametrize("fails", [False, True])
def test_what_two_come_to_at_once_is_done_once(fails, monkeypatch):
    """The other one waits for it; where the first one fails it does it itself."""
    number = next(n for n in range(20) if worthwhile(random_learning_program(n)))
    program = random_learning_program(number)
    names, fronts = list(program.outputs), Fronts()
    inputs = driven(number, program, STEPS)
    engines = [NativeEngine(program)]
    engines.append(engines[0].twin())
    lead, begun, leads = follow.Follower._lead, threading.Barrier(2, timeout=10), []

    def slow(self, *args):
        leads.append(self)
        if len(leads) == 1:
            waiting.wait(10)
            if fails:
                raise RuntimeError("out of order")
        return lead(self, *args)

    waiting = threading.Event()
    wait = threading.Event.wait

    def noted(event, timeout=None):
        if timeout is None:
            waiting.set()
        return wait(event, timeout)

    monkeypatch.setattr(follow.Follower, "_lead", slow)
    monkeypatch.setattr(threading.Event, "wait", noted)
    found, errors = [None, None], []

    def run(k):
        engines[k].share_fronts(fronts)
        begun.wait()
        try:
            found[k] = engines[k].run(STEPS, inputs, names)
        except RuntimeError as e:
            errors.append(e)

    threads = [threading.Thread(target=run, args=(k,)) for k in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert waiting.is_set()
    assert len(leads) == 1 + fails and len(errors) == fails and fronts.done == 1
    alone = GoldenEngine(program)
    expected = alone.run(STEPS, inputs, names)
    for k, engine in enumerate(engines):
        if found[k] is not None:
            equal(engine, alone, found[k], expected)
    assert not fronts._begun

"""The clock of ``UPD`` against schedules worked out by hand; its encoding."""

from dataclasses import replace

import numpy as np
import pytest
from random_rules import random_learning_program

from spikeloom.compiler.clock import PhaseClock
from spikeloom.compiler.encoding import Encoding, memories
from spikeloom.compiler.errors import CapacityError, ProgramError
from spikeloom.compiler.image import from_hardware, to_hardware
from spikeloom.compiler.instructions import Mac, Upd
from spikeloom.compiler.kernels.code import Op, Port
from spikeloom.compiler.kernels.rule_code import RuleCode
from spikeloom.compiler.machine import Machine
from spikeloom.compiler.shape import Shape
from spikeloom.compiler.timing import latencies

MACHINE = Machine(lanes=4)
LARGEST = (1 << 35) - (1 << 18)
LOAD = 3 + 1  # the next word is fetched, one extension word
WRITE = 2 + 2 + 2 + 1 + 1 + 1  # memory, address, memory, sources, the rule, the full weight in two
END = 1 + 1  # saturations are counted, drain


def decay() -> RuleCode:
    """The weight becomes half of it."""
    ops = (
        Op("weight", (), -LARGEST, LARGEST, 0),
        Op("round", (0, 1), -LARGEST >> 1, LARGEST >> 1, 0),
    )
    weight = Port("weight", -LARGEST, LARGEST, 0)
    return RuleCode("decay", weight, (), (), (), (), ops, 1, (), "always")


def update(rows: int, words: int, gate: str) -> Upd:
    return Upd("decay", "p", 0, rows, words, 4 * words, gate, 0, 0, -1, 0, (), (), 0, {})


def clock() -> PhaseClock:
    return PhaseClock(MACHINE, {}, {"decay": decay()})


def test_always():
    c = clock()
    handover = c.hand_over(update(5, 2, "always"))
    assert handover == latencies(MACHINE).first_handover
    assert c.begins == handover + LOAD
    found = c.update_timing("decay").updates(update(5, 2, "always"), c.begins, np.zeros(0, int))
    assert found.rows.tolist() == [0, 1, 2, 3, 4] * 2
    assert found.words.tolist() == [0] * 5 + [1] * 5
    assert found.cycles[0] == handover + LOAD + 1 + WRITE
    assert c.finish() == handover + LOAD + 10 + WRITE + END + 1


def test_pre():
    fired = np.array([1, 7])
    c = clock()
    handover = c.hand_over(update(9, 3, "pre"), 2)
    found = c.update_timing("decay").updates(update(9, 3, "pre"), c.begins, fired)
    assert found.rows.tolist() == [1, 7] * 3
    assert c.finish() == handover + LOAD + 6 + WRITE + END + 1


def test_post():
    """Events 0 and 3 share a word; the next word is looked for while it is streamed."""
    i = update(50, 4, "post")
    timing = clock().update_timing("decay")
    found = timing.updates(i, 0, np.array([0, 3, 9]))
    first = 1 + 2 + 1 + 1  # an address, the event, its word, the first issue
    assert found.words.tolist() == [0] * 50 + [2] * 50
    assert (found.cycles == first + np.arange(100) + WRITE).all()
    assert found.busy == first - 1 + 100
    # Of few rows, looking takes longer than streaming.
    found = timing.updates(update(1, 4, "post"), 0, np.array([0, 3, 9]))
    assert found.cycles.tolist() == [first + WRITE, first + 2 + 3 + 1 + WRITE]


def test_an_event_behind_the_last_word_delays_the_end():
    timing = clock().update_timing("decay")
    alone = timing.updates(update(1, 4, "post"), 0, np.array([0]))
    both = timing.updates(update(1, 4, "post"), 0, np.array([0, 1, 2]))
    assert both.cycles.tolist() == alone.cycles.tolist()
    assert both.busy == alone.busy + 4


def test_parameters_are_loaded_while_the_instruction_before_runs():
    c = clock()
    mac = Mac(0, 0, 9, 0, 3, 12, True, True)
    before = c.hand_over(mac)
    drained = before + 27 + latencies(MACHINE).row + latencies(MACHINE).drain
    assert c.hand_over(update(5, 2, "always")) == before + latencies(MACHINE).period
    assert c.begins == drained - 1
    # So are those of another update while this one runs; what waits comes a cycle after that would.
    end = c.begins + 10 + WRITE + END
    assert c.hand_over(update(5, 2, "always")) == drained - 1 + latencies(MACHINE).period
    assert c.begins == end - 1
    assert c.hand_over(mac) == c.begins + 10 + WRITE + END


def test_many_events_in_a_word_are_looked_at_while_it_is_streamed():
    i = update(50, 2, "post")
    timing = clock().update_timing("decay")
    assert timing.busy(i, 8) == timing.updates(i, 0, np.arange(8)).busy == 4 + 100


@pytest.mark.parametrize("gate", ["pre", "post"])
def test_nothing_selected_costs_little(gate):
    c = clock()
    handover = c.hand_over(update(9, 3, gate), 0, np.zeros(0, int))
    assert c.finish() == handover + LOAD + latencies(MACHINE).period + 1


def test_switched_off():
    c = clock()
    c.learning = False
    handover = c.hand_over(update(9, 3, "always"))
    assert c.finish() == handover + LOAD + latencies(MACHINE).period + 1


def test_counts_alone_give_the_most():
    rng = np.random.default_rng(0)
    timing = clock().update_timing("decay")
    for _ in range(200):
        i = update(int(rng.integers(1, 40)), int(rng.integers(1, 9)), "post")
        fired = np.flatnonzero(rng.random(i.length) < rng.random())
        assert timing.updates(i, 0, fired).busy <= timing.busy(i, len(fired))
        counts = np.array([len(fired), 0])
        assert timing.busy(i, counts).tolist() == [timing.busy(i, len(fired)), 0]


# -- shape and encoding --------------------------------------------------------------------------


def test_shapes_without_rules_know_nothing_of_learning():
    program = random_learning_program(5)
    shape = Shape.for_program(program)
    assert Shape.from_json(shape.to_json()) == shape
    plain = replace(shape, rules=(), plastic_words=0, post_memories=0, post_words=0)
    assert "rules" not in plain.to_json() and Shape.from_json(plain.to_json()) == plain
    assert {"residual", "control"} <= set(memories(shape)) - set(memories(plain))
    with pytest.raises(ProgramError, match="build hardware with this rule"):
        plain.check(program)
    with pytest.raises(CapacityError, match="plastic words"):
        replace(shape, plastic_words=1).check(program)


def test_words_go_to_the_hardware_and_back():
    program = random_learning_program(5)
    for content in (program.weight, program.residual, *program.synapse):
        elements = to_hardware(program, content)
        assert np.array_equal(from_hardware(program, elements), content)
    p = next(iter(program.projections.values()))
    words = to_hardware(program, program.weight).reshape(-1, program.machine.lanes)
    for row in range(p.rows):
        for word in range(p.words):
            expected = program.weight[p.weights + row * p.words + word]
            assert np.array_equal(words[p.weights + word * p.rows + row], expected)


def test_one_post_memory_is_read_in_one_place():
    program = random_learning_program(5)
    shape = Shape.for_program(program)
    i = next(i for i in program.instructions if isinstance(i, Upd) and len(i.post) == 2)
    (memory, base), _ = i.post
    wrong = replace(i, post=((memory, base), (memory, base + 1)))
    with pytest.raises(ProgramError, match="two places of post memory"):
        Encoding(shape)._update(wrong, program.rules[i.rule], 0)

"""The engine ``board`` learns as golden does, over the serial line of Verilated hardware."""

import numpy as np
import pytest
from cores import shape_for
from random_rules import driven, random_learning_program

from spikeloom.runtime.link.board import BoardEngine
from spikeloom.sim.check import MEMORIES
from spikeloom.sim.predict import PredictingEngine

pytestmark = pytest.mark.hardware

STEPS = 4
SEEDS = (4, 5)
LEARNED = ("weight", "residual", "synapse")


def assert_same(board, golden, what):
    for name in MEMORIES:
        np.testing.assert_array_equal(board.memory(name), golden.memory(name), f"{what}: {name}")
    assert board.saturations() == golden.saturations(), what


@pytest.mark.parametrize("seed", SEEDS)
def test_learning_over_the_link(seed):
    programs = [random_learning_program(s) for s in SEEDS]
    program = programs[SEEDS.index(seed)]
    inputs = driven(seed, program, STEPS)
    board = BoardEngine(program, shapes=[shape_for(programs)])
    golden = PredictingEngine(program)
    changed = []
    for on in (True, False, True):
        for engine in (board, golden):
            engine.learning(on)
            engine.run(STEPS, inputs, [])
        assert_same(board, golden, f"learning {on}")
        changed.append(board.memory("residual"))
    assert not np.array_equal(changed[0], program.residual)
    assert np.array_equal(changed[1], changed[0])
    assert board.cycles() == golden.take_trace().cycles.sum()

    learned = {name: golden.memory(name) for name in (*LEARNED, "state", "value")}
    for engine in (board, golden):
        engine.reset()
    assert_same(board, golden, "reset")
    for name, content in learned.items():
        for engine in (board, golden):
            engine.load_memory(name, content)
    assert_same(board, golden, "loaded")
    board.close()

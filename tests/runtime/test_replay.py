import numpy as np
from example_program import example_program

from spikeloom.compiler.cost import step_cycles
from spikeloom.runtime.replay import replay


def test_replay_of_the_example():
    program = example_program()
    # Neuron 0 gets 40 + 64 * 3 = 232 a step and fires in every second one; neuron 1 gets
    # 10 + 256 * 3 = 778 and fires always.
    seen = replay(program, 6, {"stimulus": np.array([1.0, 4.0])}, "golden")
    np.testing.assert_array_equal(seen.events["leaky"], [1, 2, 1, 2, 1, 2])
    assert set(seen.events) == {"leaky"}
    one, two = (step_cycles(program, {0: n}).total for n in (1, 2))
    np.testing.assert_array_equal(seen.cycles, [one, two] * 3)
    # From the initial 5: 5 * 0.9 + 232 rounds to 237, which stays below the threshold of 256.
    assert seen.largest["leaky"] == {"voltage": 237 / 256}
    # 93 - 7 a spike of both, -7 of neuron 1 alone: -7, 86, 79, 172, 165, 258 quarters.
    assert seen.largest["sum"] == {"total": 258 / 4, "output": 258 / 4}
    assert seen.saturations == {}


def test_a_list_that_is_read_before_it_is_filled_counts_the_step_before():
    program = example_program()
    mac, leaky, evt, total = program.phases[0]
    program.phases = [[evt, total, mac, leaky]]
    now, before = {0: np.array([2, 1])}, {0: np.array([0, 2])}
    one, two = (step_cycles(program, {0: n}).total for n in (1, 2))
    np.testing.assert_array_equal(step_cycles(program, now, before).total, [one, two])

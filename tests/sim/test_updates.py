"""``UPD`` against rules written out in Python's own integers, synapse by synapse."""

import numpy as np
import pytest
from learning_program import LIMIT, POST, PRE, WORDS, learning_program, rule, seen, spike_timing

from spikeloom.compiler.kernels.code import Parameter, Port, Table
from spikeloom.compiler.projections import full_weights, synapse_states
from spikeloom.sim import create_engine
from spikeloom.sim.golden import GoldenEngine

STEPS = 60


class Cells:
    """The neurons of `learning_program` in Python."""

    def __init__(self, size):
        self.trace = [0] * size

    def step(self, level):
        self.level = [int(u) for u in level]
        self.fired = [u > 100 for u in self.level]
        self.trace = [
            min(t - t // 4 + (200 if f else 0), 1023)
            for t, f in zip(self.trace, self.fired, strict=True)
        ]


def drive(seed):
    """Inputs in which about every fifth neuron fires, (steps, neurons)."""
    rng = np.random.default_rng(seed)
    levels = rng.integers(-1500, 100, (STEPS, PRE + POST))
    fires = rng.random(levels.shape) < 0.2
    levels[fires] = rng.integers(101, 2000, np.count_nonzero(fires), endpoint=True)
    levels[7] = 0  # nobody fires
    levels[8] = 150  # all of them do
    return levels


def follow(engine_name, made, levels, learn):
    """Step the engine and the synapses of `learn`; after each step everything is the same.

    ``learn(full, states, pre, post, k, j)`` gives a synapse's new full weight before it is limited,
    and its new states, or None where it is left alone.
    """
    engine = create_engine(engine_name, made)
    pre, post = Cells(PRE), Cells(POST)
    full = full_weights(made, "P", made.weight, made.residual).tolist()
    slots = len(made.rules["R"].synapses)
    states = [[[0] * slots for _ in range(PRE)] for _ in range(POST)]
    limited = 0
    for step, row in enumerate(levels):
        engine.write("drive", row)
        engine.step()
        pre.step(row[:PRE])
        post.step(row[PRE:])
        # Events meet the weights as they were before this step: whole counts of them.
        arriving = [
            sum((full[j][k] + 32) // 64 for k in range(PRE) if pre.fired[k]) for j in range(POST)
        ]
        assert engine.memory("accumulator")[4:].reshape(-1)[:POST].tolist() == arriving, step
        for j in range(POST):
            for k in range(PRE):
                new = learn(full[j][k], states[j][k], pre, post, k, j)
                if new is not None:
                    full[j][k] = max(-LIMIT, min(new[0], LIMIT))
                    limited += full[j][k] != new[0]
                    states[j][k] = list(new[1:])
        weight, residual = engine.memory("weight"), engine.memory("residual")
        assert full_weights(made, "P", weight, residual).tolist() == full, step
        assert residual.min() >= -32 and residual.max() < 32
        for slot in range(slots):
            found = synapse_states(made, "P", slot, engine.memory("synapse"))
            assert found.tolist() == [[s[slot] for s in row] for row in states], step
        assert not weight[: PRE * WORDS].reshape(PRE, -1)[:, POST:].any()
        assert np.array_equal(weight[PRE * WORDS :], made.weight[PRE * WORDS :])
    assert engine.saturations() == ({"P": limited} if limited else {})
    return limited, full


engines = pytest.mark.parametrize("engine", ["golden", "native"])


@engines
@pytest.mark.parametrize("rate", [(700, 14), (-2048, 11), (3, 12), (0, 1)])
def test_error_times_activity(engine, rate):
    """As PES does it, for each synapse in each step."""
    mantissa, shift = rate
    reach = 2000 * 1023
    code = rule(
        [
            ("weight", (), -LIMIT, LIMIT),
            ("pre", ("pre_trace",), 0, 1023),
            ("post", ("post_level",), -2000, 2000),
            ("mul", (1, 2), -reach, reach),
            ("scale", (3, "rate"), -reach, reach),
            ("sub", (0, 4), -LIMIT - reach, LIMIT + reach),
            ("sat", (5, -LIMIT, LIMIT), -LIMIT, LIMIT),
        ],
        (seen("pre_trace", "trace"), seen("post_level", "level")),
        "always",
        parameters=(Parameter("rate", True, -2048, 2047, 0),),
        results=(6,),
    )

    def learn(full, _, pre, post, k, j):
        product = pre.trace[k] * post.level[j] * mantissa
        return [full - (2 * product + 2**shift) // 2 ** (shift + 1)]

    made = learning_program(code, ["always"], {"rate": rate}, seed=1)
    limited, full = follow(engine, made, drive(1), learn)
    before = full_weights(made, "P", made.weight, made.residual).tolist()
    assert (limited > 0) == (abs(mantissa) > 3)
    assert (full != before) == (mantissa != 0)


@engines
@pytest.mark.parametrize("gate", ["either", "pre", "post"])
@pytest.mark.parametrize("seed", range(3))
def test_spike_timing(engine, gate, seed):
    """Each synapse is done once, also where both neurons fire in the same step."""

    def learn(full, states, pre, post, k, j):
        fired = {"pre": pre.fired[k], "post": post.fired[j]}
        if not (fired[gate] if gate in fired else any(fired.values())):
            return None
        up = pre.trace[k] if post.fired[j] else 0
        down = post.trace[j] if pre.fired[k] else 0
        return [full + 16 * (up - down), min(states[0] + 1, 5)]

    updates = ["pre", "post"] if gate == "either" else [gate]
    made = learning_program(spike_timing(gate), updates, {}, seed)
    limited, _ = follow(engine, made, drive(seed), learn)
    assert limited > 0


@engines
def test_a_table_of_the_weight(engine):
    """A step that depends on the weight, by a table, and a state that runs over time."""
    coarse = LIMIT >> 10
    code = rule(
        [
            ("weight", (), -LIMIT, LIMIT),
            ("floor", (0, 10), -coarse - 1, coarse),
            ("table", (1, "step"), -300, 300),
            ("synapse", ("age",), -9, 1000),
            ("const", (-1,), -1, -1),
            ("sub", (3, 4), -8, 1001),  # 5
            ("sat", (5, -9, 30), -8, 30),
            ("mul", (2, 6), -9000, 9000),
            ("add", (0, 7), -LIMIT - 9000, LIMIT + 9000),
            ("sat", (8, -LIMIT, LIMIT), -LIMIT, LIMIT),
        ],
        (),
        "always",
        synapses=(Port("age", -9, 1000, 0),),
        tables=(Table("step", -coarse - 1, 2 * coarse + 2, -300, 300, 0),),
        results=(9, 6),
    )
    entries = np.random.default_rng(5).integers(-300, 300, (1, 2 * coarse + 2), endpoint=True)
    made = learning_program(code, ["always"], {}, 2, {"R.step": entries})
    engine = create_engine(engine, made)
    full = full_weights(made, "P", made.weight, made.residual).astype(object)
    limited, age = 0, 0
    for _ in range(40):
        engine.step()
        limited += full.size * (age + 1 > 30)
        age = min(age + 1, 30)
        new = full + np.vectorize(lambda w: int(entries[0, w // 1024 + coarse + 1]))(full) * age
        limited += int(np.count_nonzero(abs(new) > LIMIT))
        full = np.clip(new, -LIMIT, LIMIT)
    weight, residual = engine.memory("weight"), engine.memory("residual")
    assert full_weights(made, "P", weight, residual).tolist() == full.tolist()
    assert np.all(synapse_states(made, "P", 0, engine.memory("synapse")) == 30)
    assert engine.saturations() == {"P": limited}


def test_captures_fill_whole_words():
    """Post memories hold what was captured, the rest of the last word is 0."""
    engine = GoldenEngine(learning_program(spike_timing("either"), ["pre", "post"], {}, 0))
    engine.run(1, {"drive": drive(3)[8:9]}, [])
    post = engine._post
    assert post[0].tolist() == [[0] * 4, [200] * 4, [200] * 3 + [0]]
    assert post[1].tolist() == [[1] * 4, [1] * 3 + [0], [0] * 4]
    assert not post[2].any()
    assert post[3].tolist() == [[0] * 4, [150] * 4, [150] * 3 + [0]]


@engines
def test_learning_off_and_on_again(engine):
    made = learning_program(spike_timing("either"), ["pre", "post"], {}, 4)
    running, fresh = create_engine(engine, made), create_engine(engine, made)
    levels = drive(4)
    running.learning(False)
    running.run(20, {"drive": levels[:20]}, [])
    for name in ("weight", "residual", "synapse"):
        assert np.array_equal(running.memory(name), getattr(made, name))
    running.reset()  # leaves the switch alone
    running.run(1, {"drive": levels[8:9]}, [])
    assert np.array_equal(running.memory("weight"), made.weight)
    running.reset()
    running.learning(True)
    for one in (running, fresh):
        one.run(STEPS, {"drive": levels}, [])
    assert not np.array_equal(running.memory("weight"), made.weight)
    for name in ("weight", "residual", "synapse", "state"):
        assert np.array_equal(running.memory(name), fresh.memory(name))
    assert running.saturations() == fresh.saturations()


@pytest.mark.parametrize("gate", ["either", "post"])
def test_few_and_many_post_neurons_learn_alike(gate):
    """Columns of those that fired, or whole rows: native gives the same either way."""
    updates = ["pre", "post"] if gate == "either" else [gate]
    made = learning_program(spike_timing(gate), updates, {}, 6)
    runs = [create_engine("native", made) for _ in range(2)]
    for run, dense in zip(runs, (0, 1 << 32), strict=True):
        run.rows_learn_densely(dense)
        run.run(STEPS, {"drive": drive(6)}, [])
    for name in ("weight", "residual", "synapse"):
        assert np.array_equal(runs[0].memory(name), runs[1].memory(name))
    assert runs[0].saturations() == runs[1].saturations() != {}

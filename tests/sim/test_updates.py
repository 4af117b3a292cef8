"""``UPD`` against rules written out in Python's own integers, synapse by synapse."""

import numpy as np
import pytest

from spikeloom.compiler.instructions import Evt, Mac, Map, Upd
from spikeloom.compiler.kernels.code import KernelCode, Op, Parameter, Port, Table
from spikeloom.compiler.kernels.rule_code import RuleCode, Variable
from spikeloom.compiler.machine import Machine
from spikeloom.compiler.program import InputPort, PopulationInfo, Program, ProjectionInfo
from spikeloom.compiler.projections import full_weights, synapse_states
from spikeloom.sim import create_engine
from spikeloom.sim.golden import GoldenEngine

MACHINE = Machine(
    lanes=4,
    weight_bits=10,
    value_bits=12,
    accumulator_bits=32,
    state_bits=16,
    parameter_bits=12,
    index_bits=8,
    residual_bits=6,
)
PRE, POST = 5, 7
WORDS = 2
STEPS = 60
LIMIT = 511 << 6
"""The largest full weight."""

# A neuron that fires above 100, keeps a trace of its spikes, and shows its input as its level.
CELL = KernelCode(
    name="Cell",
    input=Port("u", -2000, 2000, 0),
    states=(Port("trace", 0, 1023, 0), Port("fired", 0, 1, 0), Port("level", -2000, 2000, 0)),
    parameters=(),
    tables=(),
    ops=(
        Op("input", ("u",), -2000, 2000, 0),
        Op("const", (100,), 100, 100, 0),
        Op("gt", (0, 1), 0, 1, 0),
        Op("state", ("trace",), 0, 1023, 0),
        Op("floor", (3, 2), 0, 255, 0),
        Op("sub", (3, 4), -255, 1023, 0),
        Op("const", (200,), 200, 200, 0),
        Op("const", (0,), 0, 0, 0),
        Op("select", (2, 6, 7), 0, 200, 0),
        Op("add", (5, 8), -255, 1223, 0),
        Op("const", (1023,), 1023, 1023, 0),
        Op("min", (9, 10), -255, 1023, 0),
        Op("max", (11, 7), 0, 1023, 0),
    ),
    next_state=(12, 2, 0),
    emit=2,
    emits="events",
    emit_fraction=0,
    delayed=False,
)
SLOT = {"trace": 0, "fired": 1, "level": 2}


class Cells:
    """The same neurons in Python."""

    def __init__(self, size):
        self.trace = [0] * size

    def step(self, level):
        self.level = [int(u) for u in level]
        self.fired = [u > 100 for u in self.level]
        self.trace = [
            min(t - t // 4 + (200 if f else 0), 1023)
            for t, f in zip(self.trace, self.fired, strict=True)
        ]


def rule(ops, variables, gate, synapses=(), parameters=(), tables=(), results=()):
    return RuleCode(
        name="R",
        weight=Port("weight", -LIMIT, LIMIT, 0),
        synapses=synapses,
        variables=variables,
        parameters=parameters,
        tables=tables,
        ops=tuple(Op(kind, args, lo, hi, 0) for kind, args, lo, hi in ops),
        next_weight=results[0],
        next_synapses=tuple(results[1:]),
        gate=gate,
    )


def seen(name, of):
    lo, hi = {"trace": (0, 1023), "fired": (0, 1), "level": (-2000, 2000)}[of]
    return Variable(name, name.split("_")[0], lo, hi, 0, False, of == "fired")


def program(code, updates, parameters, seed, tables=None):
    """Five cells onto seven through learned weights, driven by the host; `updates` are gates."""
    rng = np.random.default_rng(seed)
    full = np.zeros((PRE, WORDS * 4), np.int64)
    full[:, :POST] = rng.integers(-LIMIT, LIMIT, (PRE, POST), endpoint=True)
    full = full.reshape(-1, 4)
    learned = (full + 32) >> 6
    synapse = np.zeros((len(code.synapses), PRE * WORDS, 4), np.int64)
    drives = np.zeros((PRE + POST, WORDS * 4), np.int64)
    drives[:PRE, :PRE] = np.eye(PRE)
    drives[PRE:, :POST] = np.eye(POST)
    first = PRE * WORDS

    def cells(name, source, rows, target, state, events, number):
        at = first + source * WORDS
        captures = ((0, 0, 1), (1, 1, 0), (2, 3, 1)) if name == "post" else ()
        return [
            Mac(at, source, rows, target, WORDS, rows, True, True, f"drive of {name}"),
            Map(
                kernel="Cell",
                population=name,
                length=rows,
                source=target,
                input_shift=0,
                state=state,
                target=events,
                list=number,
                output_shift=0,
                table_set=0,
                parameters={},
                captures=captures,
                comment=name,
            ),
        ]

    post = {"trace": (0, 1), "fired": (1, 0), "level": (3, 1)}
    of = {v.name: v.name.split("_")[1] for v in code.variables}
    names = [v.name for v in code.pre]
    phase = [
        *cells("pre", 0, PRE, 0, 1, 2, 0),
        *cells("post", PRE, POST, 2, 1 + PRE, 2 + PRE, 1),
        Evt(0, 2, 0, PRE, 4, WORDS, POST, True, True, "pre -> post"),
    ]
    for gate in updates:
        phase.append(
            Upd(
                rule="R",
                projection="P",
                weights=0,
                rows=PRE,
                words=WORDS,
                length=POST,
                gate=gate,
                source={"always": 0, "pre": 2, "post": 2 + PRE}[gate],
                list={"always": 0, "pre": 0, "post": 1}[gate],
                skip=names.index("pre_fired") if gate == "post" and len(updates) > 1 else -1,
                pre=1,
                pre_slots=tuple(SLOT[of[name]] for name in names),
                post=tuple(post[of[v.name]] for v in code.post),
                table_set=0,
                parameters=parameters,
                comment=f"learning by {gate}",
            )
        )
    return Program(
        name="updates",
        machine=MACHINE,
        dt=0.001,
        kernels={"Cell": CELL},
        phases=[phase],
        weight=np.concatenate([learned, drives.reshape(-1, 4)]).astype(np.int32),
        value=np.zeros(PRE + POST, np.int64),
        state=np.zeros((3, 1 + PRE + POST), np.int64),
        tables=tables or {},
        accumulator_words=6,
        event_words=2 + PRE + POST,
        event_lists=2,
        inputs={"drive": InputPort("drive", 0, 0, PRE + POST, 0)},
        outputs={},
        populations={
            "pre": PopulationInfo("pre", "Cell", PRE, "", 1.0, (1.0,) * 3, 1.0),
            "post": PopulationInfo("post", "Cell", POST, "", 1.0, (1.0,) * 3, 1.0),
        },
        rules={"R": code},
        projections={
            "P": ProjectionInfo("P", "R", 0, PRE, WORDS, POST, 1.0, (1.0,) * len(code.synapses))
        },
        residual=(full - (learned << 6)).astype(np.int32),
        synapse=synapse,
        post_memories=4,
        post_words=3,
    )


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

    made = program(code, ["always"], {"rate": rate}, seed=1)
    limited, full = follow(engine, made, drive(1), learn)
    before = full_weights(made, "P", made.weight, made.residual).tolist()
    assert (limited > 0) == (abs(mantissa) > 3)
    assert (full != before) == (mantissa != 0)


def spike_timing(gate):
    """Up by the pre trace at post spikes, down by the post trace at pre spikes; counts changes."""
    variables = [seen("pre_trace", "trace"), seen("pre_fired", "fired")]
    variables += [seen("post_trace", "trace"), seen("post_fired", "fired")]
    return rule(
        [
            ("weight", (), -LIMIT, LIMIT),  # 0
            ("pre", ("pre_trace",), 0, 1023),
            ("pre", ("pre_fired",), 0, 1),
            ("post", ("post_trace",), 0, 1023),
            ("post", ("post_fired",), 0, 1),
            ("const", (0,), 0, 0),  # 5
            ("select", (4, 1, 5), 0, 1023),
            ("select", (2, 3, 5), 0, 1023),
            ("sub", (6, 7), -1023, 1023),
            ("shl", (8, 4), -16368, 16368),
            ("or", (2, 4), 0, 1),  # 10
            ("select", ({"either": 10, "pre": 2, "post": 4}[gate], 9, 5), -16368, 16368),
            ("add", (0, 11), -LIMIT - 16368, LIMIT + 16368),
            ("sat", (12, -LIMIT, LIMIT), -LIMIT, LIMIT),
            ("synapse", ("changes",), 0, 5),
            ("const", (1,), 1, 1),  # 15
            ("add", (14, 15), 1, 6),
            ("const", (5,), 5, 5),
            ("min", (16, 17), 1, 5),
            ("select", ({"either": 10, "pre": 2, "post": 4}[gate], 18, 14), 0, 5),
        ],
        tuple(variables),
        gate,
        synapses=(Port("changes", 0, 5, 0),),
        results=(13, 19),
    )


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
    made = program(spike_timing(gate), updates, {}, seed)
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
    made = program(code, ["always"], {}, 2, {"R.step": entries})
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
    engine = GoldenEngine(program(spike_timing("either"), ["pre", "post"], {}, 0))
    engine.run(1, {"drive": drive(3)[8:9]}, [])
    post = engine._post
    assert post[0].tolist() == [[0] * 4, [200] * 4, [200] * 3 + [0]]
    assert post[1].tolist() == [[1] * 4, [1] * 3 + [0], [0] * 4]
    assert not post[2].any()
    assert post[3].tolist() == [[0] * 4, [150] * 4, [150] * 3 + [0]]


@engines
def test_learning_off_and_on_again(engine):
    made = program(spike_timing("either"), ["pre", "post"], {}, 4)
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

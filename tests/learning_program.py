"""A small Program that learns, written by hand: five neurons onto seven, all driven by the host.

Four lanes, so that a row of weights takes two words, the last one with an element to spare.
"""

import numpy as np

from spikeloom.compiler.instructions import Evt, Mac, Map, Upd
from spikeloom.compiler.kernels.code import KernelCode, Op, Port
from spikeloom.compiler.kernels.rule_code import RuleCode, Variable
from spikeloom.compiler.machine import Machine
from spikeloom.compiler.program import InputPort, PopulationInfo, Program, ProjectionInfo

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
    """The variable `name`, such as ``pre_trace``."""
    lo, hi = {"trace": (0, 1023), "fired": (0, 1), "level": (-2000, 2000)}[of]
    return Variable(name, name.split("_")[0], lo, hi, 0, False, of == "fired")


def learning_program(code, updates, parameters, seed, tables=None):
    """The Program with a rule.

    Parameters
    ----------
    code : RuleCode
        Its variables are named as `seen` needs them.
    updates : list of str
        Gates of its ``UPD`` instructions; behind another one, ``"post"`` leaves out what that did.
    parameters : dict
    seed : int
        Of the initial weights.
    tables : dict or None
    """
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

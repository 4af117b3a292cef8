"""The built-in rules as integers: gates, cost, and agreement with their own float equations."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spikeloom.compiler.kernels.parametrised import Parameter
from spikeloom.compiler.kernels.rule import Synapse
from spikeloom.compiler.kernels.rules.bcm import BCM
from spikeloom.compiler.kernels.rules.memristor import MPES, VariedMPES
from spikeloom.compiler.kernels.rules.oja import Oja
from spikeloom.compiler.kernels.rules.pes import PES
from spikeloom.compiler.kernels.rules.stdp import STDP
from spikeloom.compiler.kernels.rules.vdsp import VDSP
from spikeloom.compiler.kernels.rules.voja import Voja
from spikeloom.compiler.machine import Machine
from spikeloom.sim.evaluate import operations

MACHINE = Machine()
DT = 0.001
MOST_MULTIPLIERS = 8
"""DSP blocks of a lane."""

RATES = {"activity": 500.0, "theta": 500.0, "error": 2.0, "learning": 2.0, "gain": 4.0}
"""What 1 of the normal form of a free variable is worth here."""

RULES = [
    (PES(learning_rate=1e-3, neurons=50), "always", 2e-3),
    (Oja(learning_rate=1e-6, beta=2.0), "always", 1.0),
    (BCM(learning_rate=1e-9), "always", 1e-2),
    (Voja(learning_rate=1e-2), "always", 4.0),
    (STDP(), "either", None),
    (VDSP(learning_rate=0.05), "post", None),
    (MPES(gain=0.02), "pre", 1.0),
    (VariedMPES(gain=0.02, spread=0.4), "pre", 1.0),
]

each = pytest.mark.parametrize(
    "rule, gate, unit", RULES, ids=[type(rule).__name__ for rule, _, _ in RULES]
)


def width(op):
    return max(op.lo.bit_length(), op.hi.bit_length()) + 1


@each
def test_gates_and_cost(rule, gate, unit):
    code = rule.code(MACHINE)
    assert code.gate == gate
    of_pre = set()
    for number, op in enumerate(code.ops):
        own = op.kind in ("pre", "const", "param")
        if own or (op.operands and all(i in of_pre for i in op.operands)):
            of_pre.add(number)  # computed once for all lanes
    blocks = 0
    for number, op in enumerate(code.ops):
        if number in of_pre or op.kind not in ("mul", "scale"):
            continue
        widths = [width(code.ops[i]) for i in op.operands]
        # The other factor of a scaled one is a parameter; zeros behind a number take no block.
        product = 1
        for bits, i in zip(widths, op.operands, strict=True):
            zeros = int(code.ops[i].args[1]) if code.ops[i].kind == "shl" else 0
            product *= -(-(bits - zeros) // MACHINE.parameter_bits)
        blocks += product
    assert blocks <= MOST_MULTIPLIERS
    tables = [op for n, op in enumerate(code.ops) if op.kind == "table" and n not in of_pre]
    assert len(tables) <= 2
    assert all(table.entries <= 1024 for table in code.tables)


def unit_of(name, variable, unit):
    if not variable.free:
        return 1.0
    return next(
        (worth for kind, worth in RATES.items() if kind in name), unit if unit is not None else 1.0
    )


def compare(rule, unit, seed):
    """Largest error of the integers, as a fraction of the largest change, for each result."""
    code = rule.code(MACHINE)
    rng = np.random.default_rng(seed)
    post, pre = 7, 11
    full = 1.0 if unit is None else unit
    units = {v.name: unit_of(v.name, v, unit) for v in code.variables}
    units["weight"] = full
    sources, now = {}, {}

    def put(kind, name, port, fraction, worth, shape, low=None):
        lowest = port.lo if low is None else low
        integers = rng.integers(lowest, port.hi, shape, endpoint=True)
        sources[kind, name if kind != "weight" else ""] = integers
        now[name] = integers / 2.0**fraction * worth

    inner = MACHINE.weight_bits + MACHINE.residual_bits - 1
    fraction = inner if code.weight.fraction is None else code.weight.fraction
    put("weight", "weight", code.weight, fraction, full, (post, pre))
    for port in code.synapses:
        put("synapse", port.name, port, port.fraction, 1.0, (post, pre))
    for v in code.variables:
        shape = (1, pre) if v.side == "pre" else (post, 1)
        low = 0 if v.name in ("pre_activity", "post_activity", "activity", "theta") else None
        put(v.side, v.name, v, v.fraction, units[v.name], shape, low)
    for v in code.variables:
        if v.spike:
            now[v.name] = now[v.name] > 0
    parameters = rule.registers(DT, MACHINE, units)
    tables = rule.table_entries(DT, MACHINE)
    results, _ = operations(code, sources, parameters, tables)
    wanted = rule.step_float(now, DT)
    errors = {}
    port = code.weight
    limit = port.hi * 2.0**-fraction * full
    stored = [
        ("weight", code.next_weight, fraction, full),
        *(
            (p.name, n, p.fraction, 1.0)
            for p, n in zip(code.synapses, code.next_synapses, strict=True)
        ),
    ]
    for name, number, bits, worth in stored:
        found = np.broadcast_to(results[number], (post, pre)) / 2.0**bits * worth
        expected = wanted.get(name, now[name])
        if name == "weight" and port.fraction is None:
            expected = np.clip(expected, -limit, limit)
        change = np.abs(expected - now[name]).max()
        difference = np.abs(found - expected)
        same = expected == now[name]
        # What does not change does not change by a single bit.
        if code.gate != "always":
            assert np.array_equal(found[same], expected[same]), name
        errors[name] = difference.max() / change if change > 0 else difference.max()
    return errors


TOLERANCE = {
    PES: 1e-4,
    Oja: 1e-4,
    BCM: 1e-4,
    Voja: 1e-4,
    STDP: 1e-4,
    # Half a step of what the tables see (2**-10 of the weight, 2**-9 of the voltage) times their
    # steepest slopes, where the largest change drawn is at least half of the largest possible.
    VDSP: 2 * (3 * 2**-10 + 1.6 * 2**-9),
    # The same for half a step of a conductance; the steepest is a fall from a large one.
    MPES: 2 * 16 * 2**-11,
    VariedMPES: 2 * 16 * 2**-11,
}


@each
@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_integers_are_the_equations(rule, gate, unit, seed):
    for name, error in compare(rule, unit, seed).items():
        assert error < TOLERANCE[type(rule)], name


@each
def test_everything_is_said(rule, gate, unit):
    kind = type(rule)
    assert kind.__doc__
    assert all(p.default is not None for p in kind.declared(Parameter).values())
    assert set(kind.declared(Synapse)) == {p.name for p in kind.code(MACHINE).synapses}

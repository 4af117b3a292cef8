"""Whole kernels: golden against plain Python integers, native against golden."""

from functools import cache

import numpy as np
import pytest
from competing import Competing
from hypothesis import given, settings
from hypothesis import strategies as st
from random_programs import FAMILY, random_kernel, random_machine, random_parameters, random_program

from spikeloom.compiler.kernels.adaptive import AdaptiveLIF
from spikeloom.compiler.kernels.code import OPERANDS
from spikeloom.compiler.kernels.filters import Alpha, Lowpass, Resonance
from spikeloom.compiler.kernels.izhikevich import Izhikevich
from spikeloom.compiler.kernels.neurons import LIF, RectifiedLinear, SpikingRectifiedLinear
from spikeloom.compiler.kernels.rates import AdaptiveLIFRate, LIFRate, Sigmoid, Tanh
from spikeloom.compiler.machine import Machine
from spikeloom.sim import create_engine
from spikeloom.sim.check import MEMORIES
from spikeloom.sim.evaluate import evaluate
from spikeloom.sim.native.rehearse import rehearsal

NEURONS = 7


# Of the operands, then the integers written in; scale gets mantissa and shift.
MEANING = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "neg": lambda a: -a,
    "abs": lambda a: abs(a),
    "mul": lambda a, b: a * b,
    "shl": lambda a, n: a * 2**n,
    "round": lambda a, n: (a + 2 ** (n - 1)) // 2**n,
    "floor": lambda a, n: a // 2**n,
    "scale": lambda a, m, s: (a * m + 2 ** (s - 1)) // 2**s,
    "min": lambda a, b: min(a, b),
    "max": lambda a, b: max(a, b),
    "gt": lambda a, b: int(a > b),
    "ge": lambda a, b: int(a >= b),
    "eq": lambda a, b: int(a == b),
    "and": lambda a, b: int(a and b),
    "or": lambda a, b: int(a or b),
    "not": lambda a: int(not a),
    "select": lambda c, a, b: a if c else b,
    "sat": lambda a, lo, hi: max(lo, min(hi, a)),
    "divide": lambda a, b, n: 0 if a <= 0 else 2**n if b <= a else (a * 2 ** (n + 1) // b + 1) // 2,
}


REDUCED = {
    "any_of": lambda all_a, n: int(any(all_a)),
    "sum_of": lambda all_a, n: sum(all_a),
    "max_of": lambda all_a, n: max(all_a),
    "winner": lambda all_a, n: int(all_a.index(max(all_a)) == n),
}
"""Of the operand of every neuron, and the neuron's index."""


def plain(code, u, states, parameters, tables, reduced):
    """One neuron in Python's own integers, straight from the table in `kernels.code`.

    `reduced` holds the results of the reductions.
    """
    sources = {code.input.name: u} | {s.name: x for s, x in zip(code.states, states, strict=True)}
    first = {t.name: t.first for t in code.tables}
    results, saturations = [], 0
    for number, op in enumerate(code.ops):
        count = OPERANDS.get(op.kind, 0)
        inner, rest = [results[r] for r in op.args[:count]], op.args[count:]
        if op.kind in ("input", "state"):
            x = sources[rest[0]]
        elif op.kind == "param":
            x = parameters[rest[0]]
        elif op.kind == "const":
            x = rest[0]
        elif op.kind == "table":
            x = int(tables[rest[0]][inner[0] - first[rest[0]]])
        elif op.kind in REDUCED:
            x = reduced.get(number, op.lo)
        elif op.kind == "scale":
            x = MEANING["scale"](*inner, *parameters[rest[0]])
        else:
            x = MEANING[op.kind](*inner, *rest)
        saturations += op.kind == "sat" and x != inner[0]
        results.append(x)
    return [results[r] for r in code.next_state], results[code.emit], saturations, results


def numbers(rng, lo, hi):
    """Random numbers of a range, with its ends among them."""
    found = rng.integers(lo, hi, NEURONS, endpoint=True)
    found[rng.random(NEURONS) < 0.3] = lo
    found[rng.random(NEURONS) < 0.3] = hi
    return found


def check(code, parameters, tables, rng):
    u = numbers(rng, code.input.lo, code.input.hi)
    states = [numbers(rng, s.lo, s.hi) for s in code.states]
    found = evaluate(code, u, states, parameters, tables)
    saturations = 0

    def one_neuron(n, reduced):
        return plain(code, int(u[n]), [int(s[n]) for s in states], parameters, tables, reduced)

    first = [one_neuron(n, {})[3] for n in range(NEURONS)]
    for n in range(NEURONS):
        reduced = {}
        for number in code.reductions:
            op = code.ops[number]
            reduced[number] = REDUCED[op.kind]([r[op.operands[0]] for r in first], n)
        one = one_neuron(n, reduced)
        assert [int(s[n]) for s in found.next_state] == one[0]
        assert int(found.output[n]) == one[1]
        saturations += one[2]
        for number, (op, x) in enumerate(zip(code.ops, one[3], strict=True)):
            assert op.lo <= x <= op.hi, f"result {number} leaves its declared range"
    assert found.saturations == saturations


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_random_kernels_equal_plain_integers(seed):
    rng = np.random.default_rng(seed)
    machine = random_machine(rng)
    code = random_kernel(rng, "k", machine)
    parameters = random_parameters(rng, code, machine)
    tables = {t.name: rng.integers(t.lo, t.hi, t.entries, endpoint=True) for t in code.tables}
    check(code, parameters, tables, rng)


@pytest.mark.parametrize(
    "kernel",
    [
        LIF(tau_rc=0.02, tau_ref=0.002),
        AdaptiveLIF(tau_rc=0.02, tau_ref=0.002),
        Izhikevich(),
        LIFRate(tau_rc=0.02, tau_ref=0.002),
        AdaptiveLIFRate(tau_rc=0.02, tau_ref=0.002),
        Sigmoid(),
        Tanh(),
        Competing.kernel_class(),
        LIF(tau_rc=0.001, tau_ref=0.0, min_voltage=-1.0, reset=-0.5),
        SpikingRectifiedLinear(),
        RectifiedLinear(),
        Lowpass(pole=0.9, gain=0.1),
        Alpha(pole1=0.9, pole2=0.8, feed=0.5, direct=0.1, gain=1.0),
        Resonance(real=0.5, imag=0.5, b1=0.1, b2=-0.2, gain=1.0),
    ],
    ids=repr,
)
@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_built_in_kernels_equal_plain_integers(kernel, seed):
    machine = Machine()
    code = kernel.code(machine)
    check(
        code,
        kernel.registers(0.001, machine),
        kernel.table_entries(0.001, machine),
        np.random.default_rng(seed),
    )


@cache
def engines(family):
    program = rehearsal(random_program(family * FAMILY))
    return [create_engine(name, program) for name in ("golden", "native")]


@settings(max_examples=150, deadline=None)
@given(family=st.integers(0, 11), seed=st.integers(0, 2**32 - 1))
def test_native_equals_golden_on_any_state(family, seed):
    golden, native = engines(family)
    program = golden.program
    rng = np.random.default_rng(seed)
    limit = 1 << (program.machine.value_bits - 1)
    value = rng.integers(-limit, limit, len(program.value))
    state = np.zeros_like(program.state)
    for i in program.phases[0]:
        if i.opcode == "MAP":
            for slot, port in enumerate(program.kernels[i.kernel].states):
                span = slice(i.state, i.state + i.length)
                state[slot, span] = rng.integers(port.lo, port.hi, i.length, endpoint=True)
    for engine in (golden, native):
        engine.load_memory("value", value)
        engine.load_memory("state", state)
        engine.step()
    for name in MEMORIES:
        assert np.array_equal(golden.memory(name), native.memory(name)), name
    assert golden.saturations() == native.saturations()

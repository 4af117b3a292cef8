"""Definitions that cannot be traced: each error names the line at fault and the remedy."""

import math
import re
from pathlib import Path

import numpy as np
import pytest

from spikeloom import Input, Kernel, Parameter, State, any_of, neuron_type, scaled, select, table
from spikeloom.compiler.errors import KernelError
from spikeloom.compiler.machine import Machine

HERE = Path(__file__)


class Sound(Kernel):
    """What the mistakes below begin with."""

    emits = "events"
    payload_bits = 1
    tau = Parameter(low=1e-3, default=0.02, unit="s")
    current = Input(range=(-8, 8))
    v = State(range=(-8, 8))

    def step(self, state, current, dt):
        v = state.v + (current - state.v) * scaled(dt / self.tau)
        spike = v > 1
        return spike, {"v": select(spike, 0, v)}


class Branch(Sound):
    def step(self, state, current, dt):
        v = state.v + current
        if v > 1:  # <- Branch
            v = 0
        return v > 1, {"v": v}


class BranchOnParameter(Sound):
    def step(self, state, current, dt):
        if self.tau > 0.01:  # <- BranchOnParameter
            current = 2 * current
        return current > 1, {"v": state.v}


class And(Sound):
    def step(self, state, current, dt):
        return current > 1 and state.v > 1, {"v": current}  # <- And


class Smallest(Sound):
    def step(self, state, current, dt):
        return current > 1, {"v": min(state.v, current)}  # <- Smallest


class UnknownFunction(Sound):
    def step(self, state, current, dt):
        v = np.exp(-state.v)  # <- UnknownFunction
        return v > 1, {"v": v}


class MathFunction(Sound):
    def step(self, state, current, dt):
        v = math.exp(state.v)  # <- MathFunction
        return current > 1, {"v": v}


class MathOfParameter(Sound):
    def step(self, state, current, dt):
        decay = math.exp(-dt / self.tau)  # <- MathOfParameter
        return current > 1, {"v": state.v * scaled(decay)}


class Where(Sound):
    def step(self, state, current, dt):
        return current > 1, {"v": np.where(current > 1, 0, current)}  # <- Where


class Loop(Sound):
    def step(self, state, current, dt):
        total = 0
        for v in state.v:  # <- Loop
            total += v
        return current > 1, {"v": total}


class Index(Sound):
    def step(self, state, current, dt):
        return current > 1, {"v": state.v[0]}  # <- Index


class Count(Sound):
    def step(self, state, current, dt):
        n = len(state.v)  # <- Count
        return current > n, {"v": state.v}


class Assign(Sound):
    def step(self, state, current, dt):
        v = state.v
        v[current > 1] = 0  # <- Assign
        return current > 1, {"v": v}


class Division(Sound):
    def step(self, state, current, dt):
        return current > 1, {"v": current / state.v}  # <- Division


class Reciprocal(Sound):
    def step(self, state, current, dt):
        return current > 1, {"v": 1 / current}  # <- Reciprocal


class ByParameter(Sound):
    def step(self, state, current, dt):
        return current > 1, {"v": current / self.tau}  # <- ByParameter


class ByZero(Sound):
    def step(self, state, current, dt):
        return current > 1, {"v": current / 0}  # <- ByZero


class Power(Sound):
    def step(self, state, current, dt):
        return current > 1, {"v": current**0.5}  # <- Power


class Misspelt(Sound):
    def step(self, state, current, dt):
        return current > 1, {"v": state.voltage}  # <- Misspelt


class LargeTable(Sound):
    def step(self, state, current, dt):
        return current > 1, {"v": table(np.sin, current, (-1, 1), 12)}  # <- LargeTable


class Twice(Sound):
    def step(self, state, current, dt):
        any_spike = any_of(state.v > 1)
        return any_of(any_spike & (current > 1)), {"v": current}  # <- Twice


class Alone(Sound):
    def step(self, state, current, dt):  # <- Alone
        return current > 1


class Forgotten(Sound):
    w = State(range=(0, 1))

    def step(self, state, current, dt):  # <- Forgotten
        return current > 1, {"v": current}


class HalfSpike(Sound):
    def step(self, state, current, dt):  # <- HalfSpike
        return current, {"v": current}


class Unbounded(Sound):
    v = State(range=(-np.inf, 1))  # <- Unbounded


class NoRange(Sound):
    v = State(fraction=12)  # <- NoRange


class Empty(Sound):
    current = Input(range=(1, -1))  # <- Empty


class Wide(Sound):
    v = State(range=(-(2**40), 2**40))  # <- Wide


class Outside(Sound):
    v = State(range=(-1, 1), initial=(0, 2))  # <- Outside


MISTAKES = [
    (Branch, r"`if`.* on a traced value; use select\(condition, a, b\)"),
    (BranchOnParameter, r"`if`.*parameter expression.*select"),
    (And, "use select.*&"),
    (Smallest, r"min\(\).*use select\(condition, a, b\), minimum"),
    (UnknownFunction, r"np\.exp of a traced value; use table\(np\.exp, x, range, fraction\)"),
    (MathFunction, r"math module.* of a traced value; use table\(f, x, range, fraction\)"),
    (MathOfParameter, "math module of the parameter expression.*use NumPy's function"),
    (Where, r"np\.where of a traced value; use select\(condition, a, b\)"),
    (Loop, "a loop over.*equations are for one neuron, any_of"),
    (Index, "an index into a traced value; use select"),
    (Count, r"len\(\) of a traced value"),
    (Assign, r"an assignment into a traced value; use select"),
    (Division, r"`/` by, or of, a traced value; use divide\(a, b, bits\)"),
    (Reciprocal, r"use divide\(a, b, bits\).*or table\(lambda x: 1 / x"),
    (ByParameter, r"use x \* scaled\(1 / parameter, bound\)"),
    (ByZero, "a division by zero"),
    (Power, r"this power of a traced value; use table"),
    (Misspelt, "no attribute 'voltage'"),
    (LargeTable, "clip or round its argument first"),
    (Twice, r"any_of\(\) of something that depends on any_of\(\) itself"),
    (Alone, r"step must return \(output, \{state name: new value\}\)"),
    (Forgotten, r"step returns the states \['v'\], declared are \['v', 'w'\]"),
    (HalfSpike, r"must be whole, use floor\(\)"),
    (Unbounded, r"state v has the unbounded range \(-inf, 1\); give both ends"),
    (NoRange, r"state v has no range; declare one, such as range=\(-1, 1\)"),
    (Empty, r"input current has the empty range \(1, -1\)"),
    (Wide, "state v does not fit 32 bits; declare a smaller range"),
    (Outside, r"state v begins at \(0, 2\), outside its range"),
]


def marked(name):
    """Number of the line with the mark of a class."""
    lines = HERE.read_text().splitlines()
    (number,) = (n for n, line in enumerate(lines, 1) if line.endswith(f"# <- {name}"))
    return number


def test_the_sound_one():
    assert Sound.code(Machine()).emits == "events"


@pytest.mark.parametrize(("kernel", "remedy"), MISTAKES, ids=lambda m: getattr(m, "__name__", ""))
def test_a_mistake_is_named(kernel, remedy):
    with pytest.raises(KernelError, match=remedy) as caught:
        kernel.code(Machine())
    assert str(caught.value).startswith(f"{HERE}:{marked(kernel.__name__)}: ")
    assert "\n" not in str(caught.value)
    with pytest.raises(KernelError, match=re.escape(str(caught.value))):
        neuron_type(kernel)  # when the type is defined


def test_a_table_that_is_not_finite():
    class Singular(Sound):
        def step(self, state, current, dt):
            whole = select(current > 1, 1, 0)
            return current > 1, {
                "v": table(lambda x: self.tau / x, whole, (-8, 8), 12),  # <- Singular
            }

    with pytest.raises(KernelError, match="not finite everywhere") as caught:
        Singular().table_entries(0.001, Machine())
    assert str(caught.value).startswith(f"{HERE}:{marked('Singular')}: ")


def test_functions_of_numpy_that_the_language_has():
    class Fine(Sound):
        def step(self, state, current, dt):
            v = np.maximum(np.minimum(current, 1), -1) + np.float64(2) * np.square(state.v / 4)
            spike = np.greater(np.abs(v), 1) & (v != 2)
            return spike, {"v": select(v == 0, 1, v - np.floor(v))}

    kinds = {op.kind for op in Fine.code(Machine()).ops}
    assert {"max", "min", "mul", "abs", "gt", "eq", "not", "floor"} <= kinds


def test_powers():
    class Cubed(Sound):
        def step(self, state, current, dt):
            return current**3 > 1, {"v": current**2 - state.v**1}

    assert sum(op.kind == "mul" for op in Cubed.code(Machine()).ops) == 2

"""A lower bound on the time of a step: the bytes that it has to touch, at the speed of a copy.

What is counted belongs to the Program, whatever runs it: states, read and written; weights of rows
whose neuron fires; dense weights other than 0, unless all they are multiplied with is held; learned
weights where their rule's gate opens. Each number takes the smallest integer type that holds its
range. Arithmetic, instructions, the host and the probes are not counted, so a real step is slower.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from schedule import Schedule

from spikeloom.compiler.instructions import Cnv, Evt, Mac, Map, Upd
from spikeloom.compiler.program import Program
from spikeloom.sim.native.engine import NativeEngine

COPIED = 1 << 24
"""Bytes of a copy whose time is taken."""

SMALLEST = 1 << 14
"""Bytes of the smallest copy: those of smaller ones lie in the same cache."""


@dataclass(frozen=True)
class Bound:
    """The bound of one model.

    Attributes
    ----------
    touched : float
        Bytes a step.
    resident : int
        Bytes of states and weights, which decide in which cache they lie.
    bandwidth : float
        Bytes a second that a copy of as many bytes reads and writes.
    """

    touched: float
    resident: int
    bandwidth: float

    @property
    def microseconds(self) -> float:
        """The bound for one step of one model."""
        return self.touched / self.bandwidth * 1e6


def bound(program: Program, schedule: Schedule, steps: int) -> Bound:
    """The bound of a Program, with the spikes of its first steps."""
    fired = mean_events(program, schedule, steps)
    touched = sum(_bytes(program, i, fired, schedule) for i in program.instructions)
    states = sum(
        i.length * width(s.lo, s.hi)
        for i in program.instructions
        if isinstance(i, Map)
        for s in program.kernels[i.kernel].states
    )
    weights = int(np.count_nonzero(program.weight)) * _of(program.weight)
    resident = states + weights
    return Bound(touched, resident, bandwidth(resident))


def mean_events(program: Program, schedule: Schedule, steps: int) -> dict[int, float]:
    """Events a step in each event list."""
    engine = NativeEngine(program)
    total = np.zeros(program.event_lists)
    for length, inputs in schedule.segments(steps):
        for step in range(length):
            for name, values in inputs.items():
                engine.write(name, values[0, min(step, values.shape[1] - 1)])
            engine.step()
            total += engine.memory("count")
    return dict(enumerate((total / steps).tolist()))


def width(lo: int, hi: int) -> int:
    """Bytes of the smallest integer type that holds a range."""
    bits = max(int(hi).bit_length(), int(-lo - 1).bit_length() if lo < 0 else 0) + 1
    return next(n for n in (1, 2, 4, 8) if bits <= 8 * n)


def _of(values: np.ndarray) -> int:
    return width(int(values.min(initial=0)), int(values.max(initial=0)))


def _bytes(program: Program, i: object, fired: Mapping[int, float], schedule: Schedule) -> float:
    if isinstance(i, Map):
        code = program.kernels[i.kernel]
        states = sum(2 * width(s.lo, s.hi) for s in code.states)
        value = width(-(1 << (program.machine.value_bits - 1)), 0) if i.list < 0 else 0
        return float(i.length * (states + value))
    if isinstance(i, Mac):
        held = [(p.base, p.base + p.size) for p in program.inputs.values()]
        constant = _is_constant(program, i)
        if constant or (
            schedule.is_held and any(a <= i.source and i.source + i.rows <= b for a, b in held)
        ):
            return 0.0
        rows = _rows(program, i)
        return float(np.count_nonzero(rows) * _of(rows))
    if isinstance(i, Evt):
        rows = _rows(program, i)
        return fired[i.list] * np.count_nonzero(rows) / i.rows * _of(rows)
    if isinstance(i, Cnv):
        reached = program.stencil[i.stencil : i.stencil + i.stencil_words, 0] >= 0
        sources = fired[i.list] if i.list >= 0 else 0.0
        return sources * float(np.count_nonzero(reached)) / i.positions
    if isinstance(i, Upd):
        return _update(program, i, fired)
    return 0.0


def _is_constant(program: Program, i: Mac) -> bool:
    """Whether nothing writes what a ``MAC`` multiplies with: a bias."""
    end = i.source + i.rows
    spans = [(p.base, p.base + p.size) for p in program.inputs.values()]
    spans += [
        (m.target, m.target + m.length)
        for m in program.instructions
        if isinstance(m, Map) and m.list < 0
    ]
    return not any(first < end and i.source < last for first, last in spans)


def _rows(program: Program, i: Mac | Evt) -> np.ndarray:
    return program.weight[i.weights : i.weights + i.rows * i.words]


def _update(program: Program, i: Upd, fired: Mapping[int, float]) -> float:
    """Learned weights and states of synapses, read and written; what the pre neurons show."""
    rule = program.rules[i.rule]
    each = 2 * width(rule.weight.lo, rule.weight.hi)
    each += sum(2 * width(s.lo, s.hi) for s in rule.synapses)
    pre = sum(width(v.lo, v.hi) for v in rule.pre)
    if i.skip >= 0:
        return 0.0  # how many rows are left out depends on the states
    if i.gate == "pre":
        return fired[i.list] * (i.length * each + pre)
    if i.gate == "post":
        return fired[i.list] * i.rows * (each + pre)
    return float(i.rows * (i.length * each + pre))


def bandwidth(resident: int) -> float:
    """Bytes a second that a copy reads and writes, with source and target of so many together."""
    half = max(resident // 2, SMALLEST)
    times = max(16, COPIED // half)
    source, target = np.ones(half, np.uint8), np.zeros(half, np.uint8)
    places = target.ctypes.data, source.ctypes.data

    def seconds(size: int) -> float:
        spent = []
        for _ in range(5):
            began = time.perf_counter()
            for _ in range(times):
                ctypes.memmove(*places, size)
            spent.append(time.perf_counter() - began)
        return min(spent)

    return 2 * half * times / (seconds(half) - seconds(0))  # calling costs nothing

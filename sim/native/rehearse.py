"""Trying out freshly compiled kernels against their meaning, before anything relies on them.

Compilers have faults, and vectorisers most of all: GCC 12.2 was seen to miscompile a comparison of
a comparison. So a new library is first run on numbers that reach the ends of all ranges.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ...compiler.instructions import Instruction, Mac, Map
from ...compiler.program import Program
from ..check import MEMORIES, signed_range
from ..golden import GoldenEngine

if TYPE_CHECKING:
    from .engine import NativeEngine

NEURONS = 203
"""Not a multiple of anything: whole vectors and what is left over are both tried."""

STEPS = 3


def rehearsal(program: Program) -> Program:
    """A Program that runs each kernel of `program` once a step, on random inputs and states.

    Kernels, parameters and tables are those of `program`.
    """
    rng = np.random.default_rng(0)
    machine = program.machine
    maps = {i.kernel: i for i in program.instructions if isinstance(i, Map)}
    n = min(NEURONS, 1 << machine.index_bits)
    words = machine.words(n)
    weight = np.zeros((len(maps), words * machine.lanes), np.int32)
    slots = max((len(program.kernels[name].states) for name in maps), default=0)
    state = np.zeros((slots, len(maps) * n), np.int64)
    least, most = signed_range(machine.state_bits)
    phase: list[Instruction] = []
    populations = {}
    for k, (name, actual) in enumerate(maps.items()):
        code = program.kernels[name]
        weight[k, :n] = _numbers(rng, *signed_range(machine.weight_bits), n)
        for slot, port in enumerate(code.states):
            lo, hi = max(port.lo, least), min(port.hi, most)
            state[slot, k * n : (k + 1) * n] = _numbers(rng, lo, hi, n)
        phase.append(Mac(k * words, 0, 1, k * words, words, n, True, True, f"input of {name}"))
        phase.append(
            replace(
                actual,
                population=name,
                length=n,
                source=k * words,
                # twice the input's range, so that some are limited
                input_shift=machine.weight_bits - 2 - max(code.input.hi, 1).bit_length(),
                state=k * n,
                target=k * n if code.emits == "events" else 1 + k * n,
                list=k if code.emits == "events" else -1,
            )
        )
        info = program.populations[actual.population]
        populations[name] = replace(info, name=name, size=n, members=())
    return Program(
        name=f"rehearsal of {program.name}",
        machine=machine,
        dt=program.dt,
        kernels=program.kernels,
        phases=[phase],
        weight=weight.reshape(-1, machine.lanes),
        value=np.concatenate([[1], np.zeros(len(maps) * n, np.int64)]),
        state=state,
        tables=program.tables,
        accumulator_words=len(maps) * words,
        event_words=len(maps) * n,
        event_lists=len(maps),
        inputs={},
        outputs={},
        populations=populations,
    )


def _numbers(rng: np.random.Generator, lo: int, hi: int, n: int) -> np.ndarray:
    """Numbers of all magnitudes within lo..hi, some of them the ends."""
    signs = rng.choice([-1, 1], n)
    sizes = np.exp2(rng.uniform(0, max(-lo, hi, 1).bit_length(), n))
    numbers = np.clip((signs * sizes).astype(np.int64), lo, hi)
    return np.where(rng.random(n) < 0.05, rng.choice([lo, hi], n), numbers)


def agrees(native: NativeEngine) -> bool:
    """Whether an engine with a rehearsal loaded does what golden does."""
    golden = GoldenEngine(native.program)
    for _ in range(STEPS):
        golden.step()
        native.step()
        if golden.saturations() != native.saturations() or not all(
            np.array_equal(golden.memory(name), native.memory(name)) for name in MEMORIES
        ):
            return False
    return True

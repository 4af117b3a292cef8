"""Trying out freshly compiled kernels against their meaning, before anything relies on them.

Compilers have faults, and vectorisers most of all: GCC 12.2 was seen to miscompile a comparison of
a comparison. So a new library is first run on numbers that reach the ends of all ranges.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ...compiler.instructions import Instruction, Mac, Map, Upd
from ...compiler.program import InputPort, Program, ProjectionInfo
from ..check import MEMORIES, signed_range
from ..golden import GoldenEngine

if TYPE_CHECKING:
    from .engine import NativeEngine

NEURONS = 203
"""Not a multiple of anything: whole vectors and what is left over are both tried."""

STEPS = 3

PORTS = ("left", "right")
"""Input ports of a rehearsal with live inputs."""

LIVE = 6
"""Values of these that inputs depend on: more than are multiplied in one pass."""

DENSE = 20
"""Values that they have together; their products with small weights are summed up, too."""


def rehearsal(program: Program, live: bool = False) -> Program:
    """A Program that runs each kernel of `program` once a step, on random inputs and states.

    Kernels, parameters and tables are those of `program`.

    Parameters
    ----------
    program : Program
    live : bool
        Inputs are not constant, but depend on the values of input ports, too; each of these reaches
        some of the neurons.
    """
    rng = np.random.default_rng(0)
    machine = program.machine
    maps = {i.kernel: i for i in program.instructions if isinstance(i, Map)}
    n = min(NEURONS, 1 << machine.index_bits)
    words = machine.words(n)
    rows = 1 + LIVE * live  # of weights for each kernel, the first one for the constant
    weight = np.zeros((len(maps) * rows + DENSE * live, words * machine.lanes), np.int32)
    slots = max((len(program.kernels[name].states) for name in maps), default=0)
    state = np.zeros((slots, len(maps) * n), np.int64)
    least, most = signed_range(machine.state_bits)
    phase: list[Instruction] = []
    populations = {}
    for k, (name, actual) in enumerate(maps.items()):
        code = program.kernels[name]
        first = k * rows
        weight[first, :n] = _numbers(rng, *signed_range(machine.weight_bits), n)
        for row in range(1, rows):
            reach = slice(n * row // 20, n * (row + 8) // 20)
            weight[first + row, reach] = _numbers(
                rng, *signed_range(machine.weight_bits), reach.stop - reach.start
            )
        for slot, port in enumerate(code.states):
            lo, hi = max(port.lo, least), min(port.hi, most)
            state[slot, k * n : (k + 1) * n] = _numbers(rng, lo, hi, n)
        target = k * words
        # twice the input's range, so that some are limited
        input_shift = machine.weight_bits - 2 - max(code.input.hi, 1).bit_length()
        phase.append(Mac(first * words, 0, 1, target, words, n, True, True, f"input of {name}"))
        if live:
            place = 1 + len(maps) * n + DENSE // 2 - LIVE // 2  # of both ports
            phase.append(
                Mac((first + 1) * words, place, LIVE, target, words, n, False, False, "live")
            )
            input_shift += machine.value_bits
        phase.append(
            replace(
                actual,
                population=name,
                length=n,
                source=target,
                input_shift=input_shift,
                state=k * n,
                target=k * n if code.emits == "events" else 1 + k * n,
                list=k if code.emits == "events" else -1,
            )
        )
        info = program.populations[actual.population]
        populations[name] = replace(info, name=name, size=n, members=())
    if live:
        first, small = len(maps) * rows, min(machine.weight_bits - 1, 12)
        weight[first:, :n] = rng.integers(-(1 << small), 1 << small, (DENSE, n))
        place = 1 + len(maps) * n
        target = len(maps) * words
        phase.append(Mac(first * words, place, DENSE, target, words, n, True, True, "dense"))
    learning = _Learning(program, maps, n)
    phase = [
        replace(i, captures=learning.captures(i.kernel)) if isinstance(i, Map) else i for i in phase
    ]
    learned, residual, synapse = learning.memories(rng)
    shift = len(learned)
    phase = [replace(i, weights=i.weights + shift) if isinstance(i, Mac) else i for i in phase]
    phase += learning.updates()
    return Program(
        name=f"rehearsal of {program.name}",
        machine=machine,
        dt=program.dt,
        kernels=program.kernels,
        phases=[phase],
        weight=np.vstack([learned, weight.reshape(-1, machine.lanes)]),
        value=np.concatenate([[1], np.zeros(len(maps) * n + DENSE * live, np.int64)]),
        state=state,
        tables=program.tables,
        accumulator_words=(len(maps) + live) * words,
        event_words=len(maps) * n,
        event_lists=len(maps),
        inputs={
            name: InputPort(name, 0, 1 + len(maps) * n + k * (DENSE // 2), DENSE // 2, 0)
            for k, name in enumerate(PORTS if live else ())
        },
        outputs={},
        populations=populations,
        rules=program.rules,
        projections=learning.projections,
        residual=residual,
        synapse=synapse,
        post_memories=learning.post_memories,
        post_words=len(maps) * words,
    )


class _Learning:
    """Each ``UPD`` of a Program once, between the neurons of a rehearsal.

    Kernel number k runs over the states, events and words that begin at k times the neurons.
    """

    def __init__(self, program: Program, maps: dict[str, Map], n: int) -> None:
        self.program, self.n = program, n
        self.words = program.machine.words(n)
        self.number = {name: k for k, name in enumerate(maps)}
        every = [
            i
            for i in program.instructions
            if isinstance(i, Map) and program.kernels[i.kernel].states
        ]
        emitters = [i for i in program.instructions if isinstance(i, Map) and i.list >= 0]
        self._seen: dict[str, list[int]] = {name: [] for name in maps}
        self._updates: list[Upd] = []
        self.projections: dict[str, ProjectionInfo] = {}
        done = set()
        for i in program.instructions:
            if not isinstance(i, Upd) or (i.rule, i.gate, i.skip) in done:
                continue
            done.add((i.rule, i.gate, i.skip))
            pre = next((m for m in every if m.state <= i.pre < m.state + m.length), None)
            fired = next((m for m in emitters if m.list == i.list), None)
            name = f"{i.rule} {i.gate}"
            first = len(self._updates) * n * self.words
            post = [self._capture(every, memory, base) for memory, base in i.post]
            self._updates.append(
                replace(
                    i,
                    projection=name,
                    weights=first,
                    rows=n,
                    words=self.words,
                    length=n,
                    pre=self.number[pre.kernel] * n if pre is not None else 0,
                    post=tuple(post),
                    source=self.number[fired.kernel] * n if fired and i.gate != "always" else 0,
                    list=self.number[fired.kernel] if fired and i.gate != "always" else 0,
                )
            )
            self.projections[name] = replace(
                program.projections[i.projection],
                name=name,
                weights=first,
                rows=n,
                words=self.words,
                length=n,
            )

    def _capture(self, every: list[Map], memory: int, base: int) -> tuple[int, int]:
        kernel, slot = next(
            (m.kernel, slot)
            for m in every
            for slot, to, first in m.captures
            if (to, first) == (memory, base)
        )
        seen = self._seen[kernel]
        if slot not in seen:
            seen.append(slot)
        return seen.index(slot), self.number[kernel] * self.words

    @property
    def post_memories(self) -> int:
        return max((len(slots) for slots in self._seen.values()), default=0)

    def captures(self, kernel: str) -> tuple[tuple[int, int, int], ...]:
        """What the ``MAP`` of a kernel captures."""
        base = self.number[kernel] * self.words
        return tuple((slot, memory, base) for memory, slot in enumerate(self._seen[kernel]))

    def updates(self) -> list[Upd]:
        """The updates, in order."""
        return self._updates

    def memories(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Random learned weights, residuals and states of synapses."""
        machine = self.program.machine
        size = self.n * self.words
        words = len(self._updates) * size
        full = np.zeros((words, machine.lanes), np.int64)
        slots = self.program.synapse.shape[0]
        synapse = np.zeros((slots, words, machine.lanes), np.int64)
        for i in self._updates:
            place = slice(i.weights, i.weights + size)
            code = self.program.rules[i.rule]
            full[place] = self._random(rng, code.weight.lo, code.weight.hi)
            for slot, port in enumerate(code.synapses):
                synapse[slot, place] = self._random(rng, port.lo, port.hi)
        bits = machine.residual_bits
        weight = (full + (1 << (bits - 1))) >> bits
        return weight.astype(np.int32), (full - (weight << bits)).astype(np.int32), synapse

    def _random(self, rng: np.random.Generator, lo: int, hi: int) -> np.ndarray:
        padded = np.zeros((self.n, self.words * self.program.machine.lanes), np.int64)
        padded[:, : self.n] = _numbers(rng, lo, hi, self.n * self.n).reshape(self.n, self.n)
        return padded.reshape(-1, self.program.machine.lanes)


def _numbers(rng: np.random.Generator, lo: int, hi: int, n: int) -> np.ndarray:
    """Numbers of all magnitudes within lo..hi, some of them the ends."""
    signs = rng.choice([-1, 1], n)
    sizes = np.exp2(rng.uniform(0, max(-lo, hi, 1).bit_length(), n))
    numbers = np.clip((signs * sizes).astype(np.int64), lo, hi)
    return np.where(rng.random(n) < 0.05, rng.choice([lo, hi], n), numbers)


def agrees(native: NativeEngine) -> bool:
    """Whether an engine with a rehearsal loaded does what golden does.

    If something learns, both ways of going through synapses of post neurons are tried.
    """
    limit = signed_range(native.program.machine.value_bits)[1]
    for dense in (0, 1 << 32) if native.program.rules else (0,):
        golden = GoldenEngine(native.program)
        native.reset()
        native.rows_learn_densely(dense)
        # Live inputs first so small that nothing is limited.
        for steps, scale in ((0, 64), (0, 1), (STEPS, 64), (STEPS, 1)):
            for name, port in native.program.inputs.items():
                values = np.linspace(-limit, limit // 2, port.size).astype(np.int64) // scale
                for engine in (golden, native):
                    engine.write(name, values)
            for _ in range(max(steps, 1)):
                golden.step()
            if steps:
                native.run(steps, {}, [])
            else:
                native.step()
            if golden.saturations() != native.saturations() or not all(
                np.array_equal(golden.memory(name), native.memory(name)) for name in MEMORIES
            ):
                return False
    return True

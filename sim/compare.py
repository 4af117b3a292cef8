"""Two traces side by side: whether they are the same, and if not, where and when they part."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..compiler.instructions import Cnv, Evt, Mac, Map, Upd
from ..compiler.program import PopulationInfo, Program
from .trace import Trace, Writes


@dataclass(frozen=True)
class Divergence:
    """The first place where a trace departs from the expected one.

    Attributes
    ----------
    step, phase, cycle : int
    memory : str
    address : int
    signal : str
        Name of what is written, in the names of the user's model.
    instruction : str
        The instruction that writes there, ``phase P instruction N OPCODE comment``.
    element : int
        Which neuron, or element of a vector; -1 where none is concerned.
    expected, found : str
        The writes, or what is missing.
    """

    step: int
    phase: int
    cycle: int
    memory: str
    address: int
    signal: str
    instruction: str
    element: int
    expected: str
    found: str

    def __str__(self) -> str:
        neuron = f", neuron {self.element}" if self.element >= 0 else ""
        return (
            f"step {self.step}, phase {self.phase}, cycle {self.cycle}: "
            f"{self.instruction}{neuron}, {self.signal} at {self.memory}[{self.address}]: "
            f"expected {self.expected}, found {self.found}"
        )


@dataclass(frozen=True)
class Comparison:
    """Result of `compare`.

    Attributes
    ----------
    steps, cycles, writes, differences : int
        `writes` were compared; `differences` among them, missing and surplus ones included.
    first : Divergence or None
    """

    steps: int
    cycles: int
    writes: int
    differences: int
    first: Divergence | None

    def __str__(self) -> str:
        verdict = "verified" if not self.differences else "NOT verified"
        return (
            f"{verdict}: {self.steps} steps, {self.cycles} cycles, "
            f"{self.writes} memory writes compared, {self.differences} differences"
        )


def compare(program: Program, expected: Trace, found: Trace) -> Comparison:
    """Compare every write (run, cycle, address, data) of two traces of whole steps.

    Parameters
    ----------
    program : Program
        Whose traces they are.
    expected, found : Trace

    Returns
    -------
    Comparison
    """
    runs = min(len(expected.cycles), len(found.cycles))
    unequal = np.flatnonzero(expected.cycles[:runs] != found.cycles[:runs])
    differences = len(unequal) + abs(len(expected.cycles) - len(found.cycles))
    first: tuple[int, int, str, int] | None = None
    if len(unequal):
        run = int(unequal[0])
        first = (run, int(min(expected.cycles[run], found.cycles[run])), "", -1)
    total = 0
    for memory in sorted(set(expected.writes) | set(found.writes)):
        a, b = expected.writes.get(memory), found.writes.get(memory)
        if a is None or b is None:
            present = b if a is None else a
            assert present is not None
            place = 0 if len(present) else None
            wrong = len(present)
        else:
            place, wrong = _first_difference(a, b)
        total += max(len(w) for w in (a, b) if w is not None)
        differences += wrong
        if place is not None:
            times = [
                (int(w.run[place]), int(w.cycle[place])) for w in (a, b) if w and _has(w, place)
            ]
            candidate = (*min(times), memory, place)
            if first is None or candidate[:2] < first[:2]:
                first = candidate
    steps = -(-len(expected.cycles) // max(1, len(program.phases)))
    divergence = None if first is None else _locate(program, expected, found, first)
    return Comparison(steps, int(expected.cycles.sum()), total, differences, divergence)


def _has(writes: Writes | None, place: int) -> bool:
    return writes is not None and place < len(writes)


def _first_difference(a: Writes, b: Writes) -> tuple[int | None, int]:
    """Place of the first write that differs, and how many differ."""
    n = min(len(a), len(b))
    same = (a.run[:n] == b.run[:n]) & (a.cycle[:n] == b.cycle[:n])
    same &= (a.address[:n] == b.address[:n]) & (a.data[:n] == b.data[:n]).all(axis=1)
    wrong = np.flatnonzero(~same)
    count = len(wrong) + abs(len(a) - len(b))
    if not count:
        return None, 0
    return (int(wrong[0]) if len(wrong) else n), count


def _locate(
    program: Program, expected: Trace, found: Trace, first: tuple[int, int, str, int]
) -> Divergence:
    run, cycle, memory, place = first
    phases = max(1, len(program.phases))
    step, phase = divmod(run, phases)
    if not memory:
        took = [f"{t.cycles[run]} cycles" for t in (expected, found)]
        return Divergence(step, phase, cycle, "-", 0, "end of the phase", "END", -1, *took)
    a, b = expected.writes.get(memory), found.writes.get(memory)
    writer = a if a is not None and _has(a, place) else b
    assert writer is not None
    address = int(writer.address[place])
    texts = []
    for writes in (a, b):
        if writes is None or not _has(writes, place):
            texts.append("no write")
            continue
        _, when, where, data = writes.row(place)
        shown = _differing(data, a, b, place, writes)
        texts.append(f"{shown} at [{where}] in cycle {when}")
    lane = _lane(a, b, place)
    instruction, element, signal = _owner(program, phase, memory, address, lane)
    return Divergence(
        step, phase, cycle, memory, address, signal, instruction, element, texts[0], texts[1]
    )


def _lane(a: Writes | None, b: Writes | None, place: int) -> int:
    """First column in which the two writes differ."""
    if a is None or b is None or not (_has(a, place) and _has(b, place)):
        return 0
    unequal = np.flatnonzero(a.data[place] != b.data[place])
    return int(unequal[0]) if len(unequal) else 0


def _differing(
    data: tuple[int, ...], a: Writes | None, b: Writes | None, place: int, writes: Writes
) -> str:
    if len(data) <= 2:
        return ", ".join(map(str, data))
    lane = _lane(a, b, place)
    return f"{data[lane]} in lane {lane}"


def _owner(
    program: Program, phase: int, memory: str, address: int, lane: int
) -> tuple[str, int, str]:
    """The instruction of a phase that writes an address: its text, the element, the signal."""
    lanes = program.machine.lanes
    for n, i in reversed(list(enumerate(program.phases[phase]))):
        text = f"phase {phase} instruction {n} {i.opcode} {getattr(i, 'comment', '')}".rstrip()
        if isinstance(i, Mac | Evt | Cnv):
            if memory == "accumulator" and i.target <= address < i.target + i.words:
                return text, (address - i.target) * lanes + lane, "accumulator"
        elif isinstance(i, Upd):
            if signal := _learned(program, i, memory, address):
                word = (address - i.weights) // i.rows
                return text, word * lanes + lane, signal
        elif isinstance(i, Map):
            code = program.kernels[i.kernel]
            owner = program.populations[i.population]
            origin = owner.origin or owner.name
            events = code.emits == "events"
            if memory == "count" and events and address == i.list:
                return text, -1, f"event count of {origin}"
            if memory == "event" and events and 0 <= address - i.target < i.length:
                return text, -1, f"event of {origin}"
            if memory == "value" and not events and 0 <= address - i.target < i.length:
                name, element = _member(owner, address - i.target)
                return text, element, f"output of {name}"
            for slot, number, base in i.captures:
                words = program.machine.words(i.length)
                if memory == f"post{number}" and 0 <= address - base < words:
                    name, element = _member(owner, (address - base) * lanes + lane)
                    return text, element, f"captured {code.states[slot].name} of {name}"
            if memory.startswith("state") and 0 <= address - i.state < i.length:
                slot = int(memory.removeprefix("state"))
                if slot < len(code.states):
                    name, element = _member(owner, address - i.state)
                    return text, element, f"{code.states[slot].name} of {name}"
    return f"phase {phase}, no instruction", -1, "nothing that the Program writes"


def _learned(program: Program, i: Upd, memory: str, address: int) -> str:
    """What an ``UPD`` writes at an address, by name; empty if it writes nothing there."""
    projection = program.projections[i.projection]
    names = {"weight": "weight", "residual": "residual of the weight"}
    for slot, port in enumerate(program.rules[i.rule].synapses):
        names[f"synapse{slot}"] = port.name
    if memory not in names or not 0 <= address - i.weights < i.rows * i.words:
        return ""
    row = (address - i.weights) % i.rows
    return f"{names[memory]} from pre neuron {row} of {projection.origin or projection.name}"


def _member(population: PopulationInfo, element: int) -> tuple[str, int]:
    """Which of the user's populations an element of a joint one belongs to, and as which neuron."""
    for name, first, size in population.members:
        if first <= element < first + size:
            return name, element - first
    return population.origin or population.name, element

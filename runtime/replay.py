"""A run watched from inside: events, clock cycles and extreme values, step by step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ..compiler.cost import step_cycles
from ..compiler.instructions import Cnv, Instruction, Map
from ..compiler.program import Program
from ..compiler.timing import ConvolutionTiming
from .engines import create_engine
from .standalone import match_inputs, quantise


@dataclass(frozen=True)
class Replay:
    """What was seen.

    Attributes
    ----------
    events : dict of population name -> (steps,) int64 ndarray
        Events that the population emitted in each step.
    cycles, multiplying : (steps,) int64 ndarray
        Clock cycles of each step, and those among them in which the lanes multiply.
    largest : dict of population name -> dict of signal name -> float
        Largest absolute value, in the model's units, of each state and of the value that readers
        see (under ``output``), at the ends of the steps.
    saturations : dict of population name -> int
    spikes : dict of population name -> (size,) float64 ndarray
        How often each neuron fired in all steps together.
    """

    events: dict[str, np.ndarray]
    cycles: np.ndarray
    multiplying: np.ndarray
    largest: dict[str, dict[str, float]]
    saturations: dict[str, int]
    spikes: dict[str, np.ndarray]


def replay(
    program: Program, steps: int, inputs: Mapping[str, np.ndarray], engine: str = "native"
) -> Replay:
    """Run `program` from its initial state and look into its memories after each step.

    Parameters
    ----------
    program : Program
    steps : int
    inputs : mapping of input name -> (steps, size) or (size,) float ndarray
    engine : str

    Raises
    ------
    InputError
        If an input is missing, unknown, of the wrong shape or not finite.
    """
    given = {
        name: quantise(program, program.inputs[name], values)[0]
        for name, values in match_inputs(program, inputs, steps).items()
    }
    machine = create_engine(engine, program)
    counts = np.zeros((steps + 1, program.event_lists), np.int64)
    maps = [i for i in program.instructions if isinstance(i, Map)]
    fired = {i: np.zeros(i.length) for i in maps if i.list >= 0}
    looks = [_Look(program, i, steps) for i in program.instructions if isinstance(i, Cnv)]
    looks = [look for look in looks if look.instruction.list < 0]
    value = machine.memory("value")
    peak = {memory: _magnitude(machine.memory(memory)) for memory in ("value", "state")}
    for step in range(steps):
        for phase in range(len(program.phases)):
            for name, values in given.items():
                if program.inputs[name].phase == phase:
                    machine.write(name, values[step])
            machine.step(phase)
        counts[step + 1] = machine.memory("count")
        _count_spikes(fired, machine.memory("event"), counts[step + 1])
        for memory, most in peak.items():
            np.maximum(most, _magnitude(machine.memory(memory)), out=most)
        if looks:
            before, value = value, machine.memory("value")
            for look in looks:
                look.at(step, before, value)
    now, earlier = (
        {number: rows[:, number] for number in range(program.event_lists)}
        for rows in (counts[1:], counts[:-1])
    )
    seen = {look.instruction: (look.others, look.busy) for look in looks}
    cycles = step_cycles(program, now, earlier, seen)
    return Replay(
        events={i.population: counts[1:, i.list] for i in maps if i.list >= 0},
        cycles=np.broadcast_to(np.asarray(cycles.total, np.int64), (steps,)),
        multiplying=np.broadcast_to(np.asarray(cycles.multiplying, np.int64), (steps,)),
        largest={i.population: _largest(program, i, peak) for i in maps},
        saturations=machine.saturations(),
        spikes={
            i.population: payloads * 2.0 ** -(program.kernels[i.kernel].emit_fraction or 0)
            for i, payloads in fired.items()
        },
    )


class _Look:
    """How long a ``CNV`` of values takes in each step.

    Attributes
    ----------
    others, busy : (steps,) int64 ndarray
        Values that are not 0; `ConvolutionTiming.busy`.
    """

    def __init__(self, program: Program, instruction: Cnv, steps: int) -> None:
        self.instruction = instruction
        self.others, self.busy = np.zeros(steps, np.int64), np.zeros(steps, np.int64)
        self._timing = ConvolutionTiming(program.machine)
        following = program.instructions[program.instructions.index(instruction) :]
        # What is written later in the step is seen by the next one.
        self._delayed = any(self._is_written(i) for i in following)

    def _is_written(self, i: Instruction) -> bool:
        first, end = self.instruction.source, self.instruction.source + self.instruction.rows
        return isinstance(i, Map) and i.list < 0 and i.target < end and first < i.target + i.length

    def at(self, step: int, before: np.ndarray, after: np.ndarray) -> None:
        """Take note of a step, with the value memory before and after it."""
        i = self.instruction
        seen = (before if self._delayed else after)[i.source : i.source + i.rows]
        fired = np.flatnonzero(seen)
        self.others[step] = len(fired)
        self.busy[step] = self._timing.busy(i, 0, fired)


def _count_spikes(fired: dict[Map, np.ndarray], event: np.ndarray, count: np.ndarray) -> None:
    """Add the payloads of a step's events to those of each neuron."""
    for i, payloads in fired.items():
        found = event[i.target : i.target + count[i.list]]
        payloads[found[:, 0]] += found[:, 1]


def _magnitude(words: np.ndarray) -> np.ndarray:
    return np.abs(words.astype(np.int64))


def _largest(program: Program, i: Map, peak: dict[str, np.ndarray]) -> dict[str, float]:
    population = program.populations[i.population]
    found = {}
    names = [port.name for port in program.kernels[i.kernel].states]
    for slot, (name, unit) in enumerate(zip(names, population.state_units, strict=True)):
        words = peak["state"][slot, i.state : i.state + i.length]
        found[name] = float(words.max(initial=0) * unit)
    if i.list < 0:
        words = peak["value"][i.target : i.target + i.length]
        found["output"] = float(words.max(initial=0) * population.output_unit)
    return found

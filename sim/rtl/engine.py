"""The engine ``rtl``: the hardware's own Verilog, simulated cycle by cycle."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...compiler.clock import most_events, phase_cycles
from ...compiler.image import constant_memories, from_hardware, image, to_hardware
from ...compiler.instructions import Instruction
from ...compiler.program import OutputPort, Program
from ..check import (
    check_content,
    check_inputs,
    check_memory,
    check_phase,
    check_program,
    check_values,
    output_port,
)
from ..trace import Trace
from .core import VerilatedCore


class RtlEngine:
    """A core in simulation with a Program loaded; see `spikeloom.sim.engine.Engine` for its calls.

    Parameters
    ----------
    program : Program
    verilog : str
        Text of a core that the Program fits.
    layout : dict
        The description that the hardware generator gives with the core.

    Raises
    ------
    ProgramError, CapacityError
        If the Program is malformed, or does not suit the core.
    ToolError
        If Verilator or the C++ compiler is missing.
    """

    def __init__(self, program: Program, verilog: str, layout: dict[str, Any]) -> None:
        check_program(program)
        self.program = program
        self.core = VerilatedCore(verilog, layout)
        self._image, self._starts = image(program, self.core.shape)
        self._limits = [self._limit(phase) for phase in program.phases]
        for name in constant_memories(program):
            self.core.write(name, 0, self._image[name])
        self.learning(True)
        self.reset()

    def _limit(self, phase: Sequence[Instruction]) -> int:
        """Clock cycles after which a phase counts as hanging: twice what it takes at most."""
        p = self.program
        counts = [most_events(i) for i in phase]
        return 2 * phase_cycles(p.machine, p.kernels, phase, counts, p.rules)

    def reset(self) -> None:
        """Put all memories and counters back to the Program's initial content."""
        posts = [f"post{r}" for r in range(self.core.shape.post_memories)]
        for name in ("accumulator", "event", "count", "saturation", *posts):
            self.core.clear(name)
        for name in self._learned:
            self.core.write(name, 0, self._image[name][: self._learned[name]])
        self.core.write("value", 0, self._image["value"])
        for slot in range(self._slots):
            self.core.write(f"state{slot}", 0, self._image[f"state{slot}"])

    @property
    def _slots(self) -> int:
        """State memories that both the Program and the core have."""
        return min(len(self.program.state), self.core.shape.slots)

    @property
    def _learned(self) -> dict[str, int]:
        """Memories of learned weights, and their elements."""
        p = self.program
        if not p.plastic_words:
            return {}
        slots = min(len(p.synapse), self.core.shape.synapse_slots)
        names = ["weight", "residual", *(f"synapse{k}" for k in range(slots))]
        return dict.fromkeys(names, p.plastic_words * p.machine.lanes)

    def write(self, name: str, values: np.ndarray) -> None:
        """Write input port `name`; raises `InputError`."""
        port, vector = check_values(self.program, name, values)
        self.core.write("value", port.base, vector)

    def step(self, phase: int | None = None) -> None:
        """Run one phase of a step, or all of them."""
        for number in range(len(self.program.phases)) if phase is None else [phase]:
            check_phase(self.program, number)
            self.core.run(self._starts[number], self._limits[number])

    def read(self, name: str) -> np.ndarray:
        """Read output port `name`."""
        return self._read(output_port(self.program, name))

    def _read(self, port: OutputPort) -> np.ndarray:
        if port.memory == "event":
            count = int(self.core.read("count", port.slot, 1, signed=False)[0])
            return port.from_events(*self._events(port.base, count))
        memory = f"state{port.slot}" if port.memory == "state" else port.memory
        first = port.first_element(self.program.machine.lanes)
        return self.core.read(memory, first, port.size)

    def _events(self, first: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Indices and payloads of events."""
        word = self.core.read("event", first, count, signed=False)
        spare = 64 - self.program.machine.value_bits
        return word >> self.program.machine.value_bits, word << spare >> spare

    def run(
        self, steps: int, inputs: Mapping[str, np.ndarray], record: Sequence[str]
    ) -> dict[str, np.ndarray]:
        """Run `steps` whole steps; see `spikeloom.sim.engine.Engine.run`."""
        given = check_inputs(self.program, steps, inputs)
        ports = {name: output_port(self.program, name) for name in record}
        outputs = {name: np.zeros((steps, port.size), np.int64) for name, port in ports.items()}
        for step in range(steps):
            for number, start in enumerate(self._starts):
                for port, values in given:
                    if port.phase == number:
                        self.core.write("value", port.base, values[step])
                self.core.run(start, self._limits[number])
            for name, output in ports.items():
                outputs[name][step] = self._read(output)
        return outputs

    def memory(self, name: str) -> np.ndarray:
        """A copy of a whole memory; see `spikeloom.sim.engine.Engine.memory`."""
        check_memory(name)
        p = self.program
        if name == "accumulator":
            elements = self.core.read(name, 0, p.accumulator_words * p.machine.lanes)
            return elements.reshape(-1, p.machine.lanes)
        if name == "value":
            return self.core.read(name, 0, p.value.size)
        if name == "state":
            content = p.state.astype(np.int64)
            for slot in range(self._slots):
                content[slot] = self.core.read(f"state{slot}", 0, p.state.shape[1])
            return content
        if name == "event":
            return np.stack(self._events(0, p.event_words), axis=1)
        if name == "count":
            return self.core.read(name, 0, p.event_lists, signed=False)
        if name == "synapse":
            states = p.synapse.astype(np.int64)
            for k in range(len(states)):
                if f"synapse{k}" in self._learned:
                    states[k] = self._words(f"synapse{k}")
            return states
        content = getattr(p, name).astype(np.int64)
        if name in self._learned:
            content[: p.plastic_words] = self._words(name)
        return content

    def _words(self, name: str) -> np.ndarray:
        """A memory of learned weights, int64 (words, lanes)."""
        return from_hardware(self.program, self.core.read(name, 0, self._learned[name]))

    def load_memory(self, name: str, content: np.ndarray) -> None:
        """Overwrite a memory; see `spikeloom.sim.engine.Engine.load_memory`."""
        checked = check_content(self.program, name, content)
        if name == "value":
            self.core.write("value", 0, checked)
        elif name == "state":
            for slot in range(self._slots):
                self.core.write(f"state{slot}", 0, checked[slot])
        elif name == "synapse":
            for k, states in enumerate(checked):
                if f"synapse{k}" in self._learned:
                    self.core.write(f"synapse{k}", 0, to_hardware(self.program, states))
        elif name in self._learned:
            words = checked[: self.program.plastic_words]
            self.core.write(name, 0, to_hardware(self.program, words))

    def learning(self, on: bool) -> None:
        """Run the ``UPD`` instructions from now on, or skip them."""
        if self.core.shape.rules:
            self.core.write("control", 0, np.array([int(on)]))

    def saturations(self) -> dict[str, int]:
        """Times that something was limited since `reset`, per population and projection."""
        names = [*self.program.populations, *self.program.projections]
        counts = self.core.read("saturation", 0, len(names), signed=False).tolist()
        found: Counter[str] = Counter()
        for name, count in zip(names, counts, strict=True):
            found[name] += count
        return {name: count for name, count in found.items() if count}

    def trace(self, on: bool) -> None:
        """Start a new trace, or stop tracing."""
        self.core.trace(on)

    def take_trace(self) -> Trace:
        """All writes since the trace began or was last taken."""
        return self.core.take_trace()

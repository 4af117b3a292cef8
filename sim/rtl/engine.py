"""The engine ``rtl``: the hardware's own Verilog, simulated cycle by cycle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...compiler.encoding import image
from ...compiler.instructions import Evt, Instruction
from ...compiler.program import OutputPort, Program
from ...compiler.timing import phase_cycles
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
        for name in ("weight", "instruction", *program.tables):
            self.core.write(name, 0, self._image[name])
        self.reset()

    def _limit(self, phase: Sequence[Instruction]) -> int:
        """Clock cycles after which a phase counts as hanging: twice what it takes at most."""
        counts = [i.rows if isinstance(i, Evt) else 0 for i in phase]
        return 2 * phase_cycles(self.program.machine, self.program.kernels, phase, counts)

    def reset(self) -> None:
        """Put all memories and counters back to the Program's initial content."""
        for name in ("accumulator", "event", "count", "saturation"):
            self.core.clear(name)
        self.core.write("value", 0, self._image["value"])
        for slot in range(self._slots):
            self.core.write(f"state{slot}", 0, self._image[f"state{slot}"])

    @property
    def _slots(self) -> int:
        """State memories that both the Program and the core have."""
        return min(len(self.program.state), self.core.shape.slots)

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
        return self.core.read(name, 0, p.event_lists, signed=False)

    def load_memory(self, name: str, content: np.ndarray) -> None:
        """Overwrite ``"value"`` or ``"state"``; raises `InputError`."""
        checked = check_content(self.program, name, content)
        if name == "value":
            self.core.write("value", 0, checked)
        else:
            for slot in range(self._slots):
                self.core.write(f"state{slot}", 0, checked[slot])

    def saturations(self) -> dict[str, int]:
        """Times that something was limited since `reset`, per population."""
        names = list(self.program.populations)
        counts = self.core.read("saturation", 0, len(names), signed=False).tolist()
        return {name: count for name, count in zip(names, counts, strict=True) if count}

    def trace(self, on: bool) -> None:
        """Start a new trace, or stop tracing."""
        self.core.trace(on)

    def take_trace(self) -> Trace:
        """All writes since the trace began or was last taken."""
        return self.core.take_trace()

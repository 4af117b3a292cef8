"""The golden engine: what a Program means, in plain NumPy.

Everything else (generated C, RTL, netlist, board) is compared with this. It is written to be read,
not to be fast: each instruction is a few lines that say what `compiler.instructions` says.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from ..compiler.errors import ProgramError
from ..compiler.instructions import Cnv, Evt, Instruction, Mac, Map, Upd
from ..compiler.program import Program
from .check import (
    check_content,
    check_inputs,
    check_memory,
    check_phase,
    check_program,
    check_values,
    output_port,
    signed_range,
)
from .check_learning import check_full_weights
from .evaluate import evaluate, fit, operations, rounded


class GoldenEngine:
    """The reference engine; see `spikeloom.sim.engine.Engine` for its calls.

    Parameters
    ----------
    program : Program
        Raises `ProgramError` if an instruction points outside a memory, or a table is malformed.
    """

    def __init__(self, program: Program) -> None:
        check_program(program)
        self.program = program
        self._learning = True
        self._value_range = signed_range(program.machine.value_bits)
        self._state_range = signed_range(program.machine.state_bits)
        self.reset()

    def reset(self) -> None:
        """Put all memories and counters back to the Program's initial content."""
        p = self.program
        self._accumulator = np.zeros((p.accumulator_words, p.machine.lanes), np.int64)
        self._value = p.value.astype(np.int64)
        self._state = p.state.astype(np.int64)
        self._event = np.zeros((p.event_words, 2), np.int64)
        self._count = np.zeros(p.event_lists, np.int64)
        self._weight = p.weight.astype(np.int64)
        self._residual = p.residual.astype(np.int64)
        self._synapse = p.synapse.astype(np.int64)
        self._post = np.zeros((p.post_memories, p.post_words, p.machine.lanes), np.int64)
        self._saturations: Counter[str] = Counter()
        self._loaded = False  # weights that have not been checked yet

    # -- the instructions ------------------------------------------------------------------------

    def _mac(self, i: Mac) -> None:
        vector = self._value[i.source : i.source + i.rows]
        self._accumulate(i, vector @ self._rows(i))

    def _evt(self, i: Evt) -> None:
        events = self._event[i.source : i.source + self._count[i.list]]
        self._accumulate(i, events[:, 1] @ self._rows(i)[events[:, 0]])

    def _rows(self, i: Mac | Evt) -> np.ndarray:
        return self._weight[i.weights : i.weights + i.rows * i.words].reshape(i.rows, -1)

    def _accumulate(self, i: Mac | Evt, total: np.ndarray) -> None:
        words = total.reshape(i.words, -1)
        target = self._accumulator[i.target : i.target + i.words]
        target[:] = words if i.clear else target + words

    def _cnv(self, i: Cnv) -> None:
        if i.list < 0:
            index, x = np.arange(i.rows), self._value[i.source : i.source + i.rows]
        else:
            index, x = self._event[i.source : i.source + self._count[i.list]].T
        position, channel = index >> i.shift, index % (1 << i.shift)
        stencil = self.program.stencil[i.stencil : i.stencil + i.stencil_words]
        for target, weights in stencil.reshape(i.slots, i.positions, 2)[:, position].swapaxes(1, 2):
            there = target >= 0
            rows = self._weight[i.weights + (weights + channel)[there]]
            np.add.at(self._accumulator, i.target + target[there], rows * x[there, None])

    def _map(self, i: Map) -> None:
        code = self.program.kernels[i.kernel]
        neurons = slice(i.state, i.state + i.length)
        elements = self._accumulator[i.source :].reshape(-1)[: i.length]
        value, limited = fit(elements, i.input_shift, code.input.lo, code.input.hi)
        tables = {
            t.name: self.program.tables[f"{i.kernel}.{t.name}"][i.table_set] for t in code.tables
        }
        states = list(self._state[: len(code.states), neurons].copy())
        evaluation = evaluate(code, value, states, i.parameters, tables)
        for slot, state in enumerate(evaluation.next_state):
            self._state[slot, neurons] = np.clip(state, *self._state_range)
        if code.emits == "events":
            payload, cut = fit(evaluation.output, 0, *self._value_range)
            index = np.flatnonzero(payload)
            self._event[i.target : i.target + len(index)] = np.stack(
                [index, payload[index]], axis=1
            )
            self._count[i.list] = len(index)
        else:
            output, cut = fit(evaluation.output, i.output_shift, *self._value_range)
            self._value[i.target : i.target + i.length] = output
        self._saturations[i.population] += limited + evaluation.saturations + cut
        for slot, memory, base in i.captures:
            padded = np.zeros(self.program.machine.words(i.length) * self._post.shape[2], np.int64)
            padded[: i.length] = self._state[slot, neurons]
            words = padded.reshape(-1, self._post.shape[2])
            self._post[memory, base : base + len(words)] = words

    def _upd(self, i: Upd) -> None:
        code = self.program.rules[i.rule]
        rows, words = self._selected(i)
        if not len(rows) or not len(words):
            return
        lanes = self.program.machine.lanes
        bits = self.program.machine.residual_bits
        place = i.weights + rows[:, None] * i.words + words  # (rows, words)
        sources: dict[tuple[str, str], np.ndarray] = {
            ("weight", ""): (self._weight[place] << bits) + self._residual[place]
        }
        for slot, port in enumerate(code.synapses):
            sources["synapse", port.name] = self._synapse[slot][place]
        for variable, slot in zip(code.pre, i.pre_slots, strict=True):
            sources["pre", variable.name] = self._state[slot, i.pre + rows][:, None, None]
        for variable, (memory, base) in zip(code.post, i.post, strict=True):
            sources["post", variable.name] = self._post[memory, base + words]
        tables = {
            t.name: self.program.tables[f"{i.rule}.{t.name}"][i.table_set] for t in code.tables
        }
        results, limited = operations(code, sources, i.parameters, tables)
        inside = words[:, None] * lanes + np.arange(lanes) < i.length  # (words, lanes)
        shape = (len(rows), len(words), lanes)
        changed = np.broadcast_to(inside, shape)

        def keep(new: np.ndarray, old: np.ndarray) -> np.ndarray:
            return np.where(changed, new, old)

        full = keep(results[code.next_weight], sources["weight", ""])
        self._weight[place] = rounded(full, bits)
        self._residual[place] = full - (self._weight[place] << bits)
        for slot, (port, number) in enumerate(zip(code.synapses, code.next_synapses, strict=True)):
            self._synapse[slot][place] = keep(results[number], sources["synapse", port.name])
        self._saturations[i.projection] += sum(
            int(np.count_nonzero(np.broadcast_to(flags, shape) & changed)) for flags in limited
        )

    def _selected(self, i: Upd) -> tuple[np.ndarray, np.ndarray]:
        """Rows and words that an update goes through."""
        rows, words = np.arange(i.rows), np.arange(i.words)
        fired = self._event[i.source : i.source + self._count[i.list], 0]
        if i.gate == "pre":
            rows = fired
        elif i.gate == "post":
            words = np.unique(fired // self.program.machine.lanes)
        if i.skip >= 0:
            rows = rows[self._state[i.pre_slots[i.skip], i.pre + rows] == 0]
        return rows, words

    def _execute(self, instruction: Instruction) -> None:
        if isinstance(instruction, Mac):
            self._mac(instruction)
        elif isinstance(instruction, Evt):
            self._evt(instruction)
        elif isinstance(instruction, Cnv):
            self._cnv(instruction)
        elif isinstance(instruction, Map):
            self._map(instruction)
        elif isinstance(instruction, Upd):
            if self._learning:
                self._upd(instruction)
        else:
            raise ProgramError(f"golden has no instruction {instruction.opcode!r}")

    # -- the calls that every engine offers ------------------------------------------------------

    def write(self, name: str, values: np.ndarray) -> None:
        """Write input port `name`; raises `InputError`."""
        port, vector = check_values(self.program, name, values)
        self._value[port.base : port.base + port.size] = vector

    def step(self, phase: int | None = None) -> None:
        """Run one phase of a step, or all of them."""
        if self._loaded:
            check_full_weights(self.program, self._weight, self._residual)
            self._loaded = False
        for number in range(len(self.program.phases)) if phase is None else [phase]:
            for instruction in check_phase(self.program, number):
                self._execute(instruction)

    def read(self, name: str) -> np.ndarray:
        """Read output port `name`."""
        port = output_port(self.program, name)
        if port.memory == "event":
            events = self._event[port.base : port.base + self._count[port.slot]]
            return port.from_events(events[:, 0], events[:, 1])
        first = port.first_element(self.program.machine.lanes)
        span = slice(first, first + port.size)
        if port.memory == "accumulator":
            return self._accumulator.reshape(-1)[span].copy()
        if port.memory == "value":
            return self._value[span].copy()
        return self._state[port.slot, span].copy()

    def run(
        self, steps: int, inputs: Mapping[str, np.ndarray], record: Sequence[str]
    ) -> dict[str, np.ndarray]:
        """Run `steps` whole steps; see `spikeloom.sim.engine.Engine.run`."""
        given = check_inputs(self.program, steps, inputs)
        outputs = {
            name: np.zeros((steps, output_port(self.program, name).size), np.int64)
            for name in record
        }
        for step in range(steps):
            for number, _ in enumerate(self.program.phases):
                for port, values in given:
                    if port.phase == number:
                        self._value[port.base : port.base + port.size] = values[step]
                self.step(number)
            for name, rows in outputs.items():
                rows[step] = self.read(name)
        return outputs

    def memory(self, name: str) -> np.ndarray:
        """A copy of a whole memory; see `spikeloom.sim.engine.Engine.memory`."""
        return self._memory(name).copy()

    def _memory(self, name: str) -> np.ndarray:
        memories = {
            "accumulator": self._accumulator,
            "value": self._value,
            "state": self._state,
            "event": self._event,
            "count": self._count,
            "weight": self._weight,
            "residual": self._residual,
            "synapse": self._synapse,
        }
        check_memory(name)
        return memories[name]

    def load_memory(self, name: str, content: np.ndarray) -> None:
        """Overwrite a memory; see `spikeloom.sim.engine.Engine.load_memory`."""
        self._memory(name)[:] = check_content(self.program, name, content)
        self._loaded |= name in ("weight", "residual")

    def learning(self, on: bool) -> None:
        """Run the ``UPD`` instructions from now on, or skip them."""
        self._learning = on

    def saturations(self) -> dict[str, int]:
        """Times that something was limited since `reset`, per population and projection."""
        return {name: count for name, count in self._saturations.items() if count}

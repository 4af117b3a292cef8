"""The engine ``board``: hardware behind a serial line, a real one or Verilated."""

from __future__ import annotations

import time
import weakref
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from itertools import pairwise
from typing import Any

import numpy as np

from ...compiler.clock import most_events, phase_cycles
from ...compiler.encoding import memories
from ...compiler.errors import LinkError, SpikeloomError
from ...compiler.image import constant_memories, from_hardware, image, to_hardware
from ...compiler.instructions import Map
from ...compiler.program import InputPort, OutputPort, Program
from ...compiler.protocol import LINK_FIELDS
from ...compiler.shape import Shape
from ...sim.check import (
    check_content,
    check_inputs,
    check_memory,
    check_phase,
    check_program,
    check_values,
    output_port,
)
from ...sim.held import Held
from ..hardware import simulated_shape
from . import requests
from .exchange import ATTEMPTS, Link, LinkCounts, Port
from .requests import Read, elements_to_bytes
from .serial_port import SerialPort

SIMULATED = "sim"
"""The port of a board that is Verilated for the purpose."""

DEFAULT_BAUD = 3_000_000
SIMULATED_SPEED = 100_000.0
"""Clock cycles per second that a Verilated board can be relied upon to do."""

SIMULATED_TIMEOUT = 20.0
TIMEOUT = 0.25
LONGEST_REQUEST = 4096
"""Bytes of the longest request or reply, which have to go over the line within the timeout."""

LONGEST_RUN = 0.1
"""Seconds that the board may be kept busy by what was not sent yet."""

MOST_PENDING = 1 << 16
SPARE_EVENTS = 4
"""Events that are read beyond as many as there were in the last step."""

_in_use: weakref.WeakValueDictionary[str, BoardEngine] = weakref.WeakValueDictionary()


class BoardEngine:
    """A board with a Program loaded; see `spikeloom.sim.engine.Engine` for its calls.

    What changes the board is collected and sent, in order, with the next call that reads from it,
    or when it amounts to `LONGEST_RUN`: a step of a host that writes, steps and reads costs one
    exchange. The board holds its inputs: values that it has already are not sent again.

    Parameters
    ----------
    program : Program
    port : str or Port
        Serial port of the board; ``"sim"`` starts a Verilated one.
    baud : int
        Speed of the serial line.
    shapes : sequence of Shape
        The hardware that the board may hold. Left out, that of each known board for this Program.
    timeout : float, optional
        Seconds until a reply counts as lost, beside the time that the request takes.
    attempts : int
        Times that a request is sent before the board counts as gone.

    Attributes
    ----------
    identity : Identity
        What the board says about itself.
    shape : Shape
        Its hardware.
    upload : LinkCounts; upload_seconds : float
        What loading the Program cost.

    Raises
    ------
    LinkError
        If the board does not answer, or holds other hardware.
    ProgramError, CapacityError
        If the Program is malformed, or does not suit the hardware.
    ToolError
        If a package or tool is missing.
    """

    def __init__(
        self,
        program: Program,
        port: str | Port = SIMULATED,
        baud: int = DEFAULT_BAUD,
        shapes: Sequence[Shape] = (),
        timeout: float | None = None,
        attempts: int = ATTEMPTS,
    ) -> None:
        check_program(program)
        self.program = program
        self.link = self._open(port, baud, shapes, timeout)
        self.link.attempts = attempts
        self._pending: list[bytes] = []
        self._pending_bytes = self._pending_cycles = 0
        self._last_count: dict[str, int] = {}
        self._held: dict[str, np.ndarray] = {}
        self._holds = _ports_that_hold(program)
        try:
            self._start(shapes, port == SIMULATED)
        except BaseException:
            self.close()
            raise
        if isinstance(port, str):
            _in_use[self.link.port.name] = self

    def _open(
        self, port: str | Port, baud: int, shapes: Sequence[Shape], timeout: float | None
    ) -> Link:
        self._simulated = None
        if not isinstance(port, str):
            return Link(port, TIMEOUT if timeout is None else timeout)
        if port == SIMULATED:
            from .simulated_board import BAUD, SimulatedBoard

            shape = shapes[0] if shapes else simulated_shape(self.program)
            shape.check(self.program)
            self._simulated = SimulatedBoard(shape)
            port, baud = self._simulated.path, BAUD
            timeout = SIMULATED_TIMEOUT if timeout is None else timeout
        if port in _in_use:
            _in_use.pop(port).close()
        if timeout is None:
            timeout = TIMEOUT + 10 * LONGEST_REQUEST / baud
        return Link(SerialPort(port, baud), timeout)

    def _start(self, shapes: Sequence[Shape], simulated: bool) -> None:
        program = self.program
        self.identity = self.link.identify()
        if not shapes:
            shapes = [simulated_shape(program)] if simulated else known_shapes(program)
        self.shape = self._choose(shapes)
        self.shape.check(program)
        self.memories = memories(self.shape)
        self._image, self._starts = image(program, self.shape)
        self._speed = SIMULATED_SPEED if simulated else float(self.identity.clock_hz)
        self._cycles = [
            int(
                phase_cycles(
                    program.machine,
                    program.kernels,
                    phase,
                    [most_events(i) for i in phase],
                    program.rules,
                )
            )
            for phase in program.phases
        ]
        before, begin = self.link.counts.copy(), time.perf_counter()
        for name in constant_memories(program):
            self._put(name, 0, self._image[name])
        self.learning(True)
        self.reset()
        self._flush()
        self.upload = self.link.counts - before
        self.upload_seconds = time.perf_counter() - begin

    def _choose(self, shapes: Sequence[Shape]) -> Shape:
        """The shape that the board has."""
        by_fingerprint = {shape.fingerprint(): shape for shape in shapes}
        if self.identity.fingerprint in by_fingerprint:
            return by_fingerprint[self.identity.fingerprint]
        wanted = " or ".join(sorted(by_fingerprint)) or "one with its kernels"
        raise LinkError(
            f"the board at {self.link.port.name} holds the hardware {self.identity.fingerprint}, "
            f"Program {self.program.name!r} needs {wanted}: flash that (spikeloom flash DIR)"
        )

    # -- what is sent later ----------------------------------------------------------------------

    def _queue(self, commands: list[bytes], cycles: int = 0) -> None:
        self._pending += commands
        self._pending_bytes += sum(map(len, commands))
        self._pending_cycles += cycles
        if self._pending_cycles > LONGEST_RUN * self._speed or self._pending_bytes > MOST_PENDING:
            self._flush()

    def _flush(self, reads: Sequence[Read] = ()) -> list[bytes]:
        pending, self._pending = self._pending, []
        allowance = self._pending_cycles / self._speed
        self._pending_bytes = self._pending_cycles = 0
        try:
            return self.link.perform(pending, reads, allowance)
        except BaseException:
            self._held.clear()  # nobody knows how much of it was done
            raise

    def _put(self, memory: str, first: int, values: np.ndarray) -> None:
        info = self.memories[memory]
        self._queue(requests.write(info, first, elements_to_bytes(values, info.bits)))

    def _get(self, memory: str, first: int, count: int, signed: bool = True) -> np.ndarray:
        read = Read(self.memories[memory], first, count, signed)
        return read.elements(self._flush([read])[0])

    # -- the calls that every engine offers ------------------------------------------------------

    def reset(self) -> None:
        """Put all memories and counters back to the Program's initial content."""
        posts = [f"post{r}" for r in range(self.shape.post_memories)]
        for name in ("accumulator", "event", "count", "saturation", *posts):
            info = self.memories[name]
            self._queue(requests.fill(info, 0, info.elements), info.elements)
        for name, elements in self._learned.items():
            self._put(name, 0, self._image[name][:elements])
        self._put("value", 0, self._image["value"])
        self._held.clear()
        for slot in range(self._slots):
            self._put(f"state{slot}", 0, self._image[f"state{slot}"])

    @property
    def _slots(self) -> int:
        """State memories that both the Program and the hardware have."""
        return min(len(self.program.state), self.shape.slots)

    @property
    def _learned(self) -> dict[str, int]:
        """Memories of learned weights, and their elements."""
        p = self.program
        if not p.plastic_words:
            return {}
        slots = min(len(p.synapse), self.shape.synapse_slots)
        names = ["weight", "residual", *(f"synapse{k}" for k in range(slots))]
        return dict.fromkeys(names, p.plastic_words * p.machine.lanes)

    def write(self, name: str, values: np.ndarray) -> None:
        """Write input port `name`; raises `InputError`."""
        self._give(*check_values(self.program, name, values))

    def _give(self, port: InputPort, values: np.ndarray) -> None:
        """Send values to an input, if it does not hold them already."""
        held = self._held.get(port.name)
        if held is not None and np.array_equal(held, values):
            return
        self._put("value", port.base, values)
        if port.name in self._holds:
            self._held[port.name] = values.copy()

    def step(self, phase: int | None = None) -> None:
        """Run one phase of a step, or all of them."""
        for number in range(len(self.program.phases)) if phase is None else [phase]:
            check_phase(self.program, number)
            self._queue(requests.run(self._starts[number]), self._cycles[number])

    def read(self, name: str) -> np.ndarray:
        """Read output port `name`."""
        port = output_port(self.program, name)
        reads = self._reads(name, port)
        return self._vector(name, port, reads, self._flush(reads))

    def _reads(self, name: str, port: OutputPort) -> list[Read]:
        """What has to be read for an output."""
        if port.memory != "event":
            memory = f"state{port.slot}" if port.memory == "state" else port.memory
            first = port.first_element(self.program.machine.lanes)
            return [Read(self.memories[memory], first, port.size)]
        largest = self.program.event_words - port.base
        guess = min(self._last_count.get(name, 0) + SPARE_EVENTS, largest)
        return [
            Read(self.memories["count"], port.slot, 1, signed=False),
            Read(self.memories["event"], port.base, guess, signed=False),
        ]

    def _vector(
        self, name: str, port: OutputPort, reads: list[Read], results: list[bytes]
    ) -> np.ndarray:
        """An output from what was read; if there were more events than guessed, their rest too."""
        values = [read.elements(raw) for read, raw in zip(reads, results, strict=True)]
        if port.memory != "event":
            return values[0]
        count, words = int(values[0][0]), values[1]
        if count > len(words):
            first = port.base + len(words)
            rest = self._get("event", first, count - len(words), signed=False)
            words = np.concatenate([words, rest])
        self._last_count[name] = count
        return port.from_events(*self._events(words[:count]))

    def _events(self, words: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Indices and payloads of events."""
        spare = 64 - self.program.machine.value_bits
        return words >> self.program.machine.value_bits, words << spare >> spare

    def run(
        self, steps: int, inputs: Mapping[str, np.ndarray], record: Sequence[str]
    ) -> dict[str, np.ndarray]:
        """Run `steps` whole steps; see `spikeloom.sim.engine.Engine.run`."""
        due: dict[int, list[tuple[InputPort, np.ndarray]]] = defaultdict(list)
        for port, values in check_inputs(self.program, steps, inputs):
            held = Held.found(values) if port.name in self._holds else Held.each(values)
            for step, row in zip(held.first.tolist(), held.rows, strict=True):
                due[step].append((port, row))
        ports = {name: output_port(self.program, name) for name in record}
        outputs = {name: np.zeros((steps, port.size), np.int64) for name, port in ports.items()}
        if not ports and len(self._starts) == 1:
            self._run_unwatched(steps, due)
            return outputs
        for step in range(steps):
            for number, start in enumerate(self._starts):
                for port, row in due.get(step, ()):
                    if port.phase == number:
                        self._give(port, row)
                self._queue(requests.run(start), self._cycles[number])
            if ports:
                self._record(ports, outputs, step)
        return outputs

    def _run_unwatched(
        self, steps: int, due: Mapping[int, list[tuple[InputPort, np.ndarray]]]
    ) -> None:
        """Run steps of a single phase, with what has to be given in front of some of them."""
        most = max(1, int(LONGEST_RUN * self._speed / self._cycles[0]))
        for begin, end in pairwise(sorted({0, steps, *due})):
            for port, row in due.get(begin, ()):
                self._give(port, row)
            for first in range(begin, end, most):
                times = min(most, end - first)
                self._queue(requests.run(self._starts[0], times), times * self._cycles[0])

    def _record(
        self, ports: Mapping[str, OutputPort], outputs: Mapping[str, np.ndarray], step: int
    ) -> None:
        """Read outputs in one exchange."""
        reads = {name: self._reads(name, port) for name, port in ports.items()}
        results = iter(self._flush([read for some in reads.values() for read in some]))
        found = {name: [next(results) for _ in some] for name, some in reads.items()}
        for name, port in ports.items():
            outputs[name][step] = self._vector(name, port, reads[name], found[name])

    def memory(self, name: str) -> np.ndarray:
        """A copy of a whole memory; see `spikeloom.sim.engine.Engine.memory`."""
        check_memory(name)
        p = self.program
        if name == "accumulator":
            elements = self._get(name, 0, p.accumulator_words * p.machine.lanes)
            return elements.reshape(-1, p.machine.lanes)
        if name == "value":
            return self._get(name, 0, p.value.size)
        if name == "state":
            content = p.state.astype(np.int64)
            for slot in range(self._slots):
                content[slot] = self._get(f"state{slot}", 0, p.state.shape[1])
            return content
        if name == "event":
            return np.stack(self._events(self._get(name, 0, p.event_words, False)), axis=1)
        if name == "count":
            return self._get(name, 0, p.event_lists, signed=False)
        if name == "synapse":
            states = p.synapse.astype(np.int64)
            for k in range(len(states)):
                if f"synapse{k}" in self._learned:
                    states[k] = self._words(f"synapse{k}")
            return states
        weights = getattr(p, name).astype(np.int64)
        if name in self._learned:
            weights[: p.plastic_words] = self._words(name)
        return weights

    def _words(self, name: str) -> np.ndarray:
        """A memory of learned weights, int64 (words, lanes)."""
        return from_hardware(self.program, self._get(name, 0, self._learned[name]))

    def load_memory(self, name: str, content: np.ndarray) -> None:
        """Overwrite a memory; see `spikeloom.sim.engine.Engine.load_memory`."""
        checked = check_content(self.program, name, content)
        if name == "value":
            self._put("value", 0, checked)
            self._held.clear()
        elif name == "state":
            for slot in range(self._slots):
                self._put(f"state{slot}", 0, checked[slot])
        elif name == "synapse":
            for k, states in enumerate(checked):
                if f"synapse{k}" in self._learned:
                    self._put(f"synapse{k}", 0, to_hardware(self.program, states))
        elif name in self._learned:
            words = checked[: self.program.plastic_words]
            self._put(name, 0, to_hardware(self.program, words))

    def learning(self, on: bool) -> None:
        """Run the ``UPD`` instructions from now on, or skip them."""
        if self.shape.rules:
            self._put("control", 0, np.array([int(on)]))

    def saturations(self) -> dict[str, int]:
        """Times that something was limited since `reset`, per population and projection."""
        names = [*self.program.populations, *self.program.projections]
        counts = self._get("saturation", 0, len(names), signed=False).tolist()
        found: Counter[str] = Counter()
        for name, count in zip(names, counts, strict=True):
            found[name] += count
        return {name: count for name, count in found.items() if count}

    # -- beyond what every engine offers ---------------------------------------------------------

    def cycles(self) -> int:
        """Clock cycles that the board has spent in phases since the Program was loaded."""
        self._flush()
        spent = self.link.identify().cycles - self.identity.cycles
        return spent % (1 << 8 * LINK_FIELDS["cycles"][1])

    def statistics(self) -> dict[str, Any]:
        """What went over the link so far, and what loading the Program took of it.

        Returns
        -------
        dict
            JSON: ``fingerprint``, ``clock_hz``, ``upload`` and ``total`` (fields of `LinkCounts`),
            ``upload_seconds``.
        """
        return {
            "fingerprint": self.identity.fingerprint,
            "clock_hz": self.identity.clock_hz,
            "upload": asdict(self.upload),
            "upload_seconds": self.upload_seconds,
            "total": asdict(self.link.counts),
        }

    def close(self) -> None:
        """Do what is pending, and give the port back; once is enough."""
        if self._pending:
            with suppress(SpikeloomError):
                self._flush()
        self.link.close()
        if self._simulated is not None:
            self._simulated.close()


def _ports_that_hold(program: Program) -> set[str]:
    """The inputs whose place in the value memory nothing writes but the host."""
    written = np.zeros(program.value.size, np.int64)
    for port in program.inputs.values():
        written[port.base : port.base + port.size] += 1
    for i in program.instructions:
        if isinstance(i, Map) and program.kernels[i.kernel].emits != "events":
            written[i.target : i.target + i.length] += 1
    return {
        name
        for name, port in program.inputs.items()
        if (written[port.base : port.base + port.size] == 1).all()
    }


def known_shapes(program: Program) -> list[Shape]:
    """The hardware that each known board would have for `program`, where it fits."""
    from ...boards import BOARDS

    shapes = []
    for board in BOARDS.values():
        shape = board.shape_for(program)
        with suppress(SpikeloomError):
            shape.check(program)
            shapes.append(shape)
    return shapes


__all__ = ["SIMULATED", "BoardEngine", "LinkCounts", "known_shapes"]

"""The native engine: the Program in flat arrays, run by C that was generated for its kernels."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np

from ...compiler.program import InputPort, OutputPort, Program
from ..check import (
    check_content,
    check_inputs,
    check_memory,
    check_phase,
    check_program,
    check_values,
    output_port,
)
from ..check_learning import check_full_weights
from .build import build
from .c import C
from .generate import generate
from .rehearse import agrees, rehearsal
from .table import CACHE_LINE, Builder, aligned_zeros

LONGEST_CALL = 0.2
"""Seconds, roughly: a long run is done in parts, between which an interrupt is heeded."""

DENSE = 16
"""Where one in so many post neurons fired, updates go along whole rows: vectors are fast there."""

FIRST_PART = 64
"""Steps of the first part."""

_PORT_MEMORIES = ("accumulator", "value", "state", "event")
"""`port_memory_t` of loom.h."""


class _Context(ctypes.Structure):
    """`context_t` of loom.h."""

    _fields_ = [
        *((name, ctypes.c_void_p) for name in (
            "accumulator", "value", "state", "event_index", "event_payload", "count",
            "saturations", "weight", "residual", "synapse", "post", "parameters", "table_32",
            "table_64",
        )),
        ("state_stride", ctypes.c_int64),
        ("synapse_stride", ctypes.c_int64),
        ("post_stride", ctypes.c_int64),
        ("learning", ctypes.c_int64),
        ("one", ctypes.c_int64),
        ("dense", ctypes.c_int64),
    ]  # fmt: skip


class _Port(ctypes.Structure):
    """`port_t` of loom.h."""

    _fields_ = [
        *(
            (name, ctypes.c_int64)
            for name in ("memory", "phase", "base", "start", "size", "slot", "shift")
        ),
        ("data", ctypes.c_void_p),
    ]


@cache
def _load(path: str) -> ctypes.CDLL:
    library = ctypes.CDLL(path)
    pointer, number = ctypes.c_void_p, ctypes.c_int64
    library.loom_run.argtypes = [
        pointer, pointer, pointer, number, number, number, pointer, number, pointer, number,
    ]  # fmt: skip
    library.loom_execute.argtypes = [pointer, pointer, number, number]
    library.loom_read.argtypes = [pointer, pointer]
    library.loom_write.argtypes = [pointer, number, number, pointer]
    library.loom_write.restype = ctypes.c_int
    for function in (library.loom_run, library.loom_execute, library.loom_read):
        function.restype = None
    return library


def _build(program: Program) -> Path:
    def accept(library: Path) -> bool:
        return agrees(NativeEngine(rehearsal(program), library))

    return build(generate(program.kernels, program.rules, program.machine, C()), accept)


class NativeEngine:
    """The fast engine; see `spikeloom.sim.engine.Engine` for its calls.

    Parameters
    ----------
    program : Program
        Raises `ProgramError` if it is malformed, `ToolError` without a C compiler.
    library : Path or None
        A library that was built for the Program's kernels; None to build or find it.

    Attributes
    ----------
    compiled : Path
        The compiled library; its source lies beside it.
    """

    def __init__(self, program: Program, library: Path | None = None) -> None:
        check_program(program)
        self.program = program
        self.compiled = library or _build(program)
        self._c = _load(str(self.compiled))
        self._builder = Builder(program)
        self._table = table = self._builder.build()
        words, lanes = program.accumulator_words, program.machine.lanes
        narrow = program.machine.state_bits <= 32
        # One spare element each: an empty array has no address.
        self._accumulator = aligned_zeros(words * lanes + 1, np.int64)
        self._value = aligned_zeros(program.value.size + 1, np.int32)
        # Each slot begins on a cache line.
        slots, neurons = program.state.shape
        stride = -(-neurons // CACHE_LINE) * CACHE_LINE
        states = aligned_zeros(slots * stride + 1, np.int32 if narrow else np.int64)
        self._state = states[:-1].reshape(slots, stride)
        self._event_index = aligned_zeros(program.event_words + 1, np.int32)
        self._event_payload = aligned_zeros(program.event_words + 1, np.int32)
        self._count = aligned_zeros(program.event_lists + 1, np.int64)
        self._saturations = aligned_zeros(len(table.populations) + 1, np.int64)
        learned, slots_there = table.learned_size, program.synapse.shape[0]
        self._residual = aligned_zeros(learned + 1, np.int32)
        synapses = aligned_zeros(slots_there * learned + 1, states.dtype)
        self._synapse = synapses[:-1].reshape(slots_there, learned)
        self._post = aligned_zeros(program.post_memories * program.post_words * lanes + 1, np.int32)
        self._context = _Context(
            *(
                array.ctypes.data
                for array in (
                    self._accumulator,
                    self._value,
                    self._state,
                    self._event_index,
                    self._event_payload,
                    self._count,
                    self._saturations,
                    table.weight,
                    self._residual,
                    synapses,
                    self._post,
                    table.parameters,
                    table.table_32,
                    table.table_64,
                )
            ),
            stride,
            learned,
            program.post_words * lanes,
            1,
            1,
            DENSE,
        )
        self._context_at = ctypes.addressof(self._context)
        self._records_at = table.records.ctypes.data
        ends = [0, *table.phase_end.tolist()]
        # Buffers at known addresses: a host that steps one by one calls for each port each time.
        self._gates: dict[str, tuple[InputPort, np.ndarray, int]] = {}
        for name, port in program.inputs.items():
            data = np.zeros(port.size, np.int64)
            self._gates[name] = (port, data, data.ctypes.data)
        self._taps: dict[str, tuple[_Port, int, np.ndarray]] = {}
        self._length = len(table.records)
        self._spans = list(pairwise(ends))
        self.reset()

    def reset(self) -> None:
        """Put all memories and counters back to the Program's initial content."""
        for array in (
            self._accumulator,
            self._event_index,
            self._event_payload,
            self._count,
            self._saturations,
            self._post,
        ):
            array[:] = 0
        self._load_learned("weight", self.program.weight)
        self._load_learned("residual", self.program.residual)
        self._load_learned("synapse", self.program.synapse)
        self._value[:-1] = self.program.value
        self._state[:, : self.program.state.shape[1]] = self.program.state
        self._loaded = False  # weights that have not been checked yet

    def _check_loaded(self) -> None:
        check_full_weights(self.program, self._learned("weight"), self._learned("residual"))
        self._loaded = False

    def write(self, name: str, values: np.ndarray) -> None:
        """Write input port `name`; raises `InputError`."""
        gate = self._gates.get(name)
        if gate is not None and type(values) is np.ndarray and values.dtype == np.int64:
            port, data, address = gate
            if values.shape == data.shape:
                data[...] = values
                if self._c.loom_write(self._context_at, port.base, port.size, address) == 0:
                    return
        port, vector = check_values(self.program, name, values)
        self._value[port.base : port.base + port.size] = vector

    def step(self, phase: int | None = None) -> None:
        """Run one phase of a step, or all of them."""
        if self._loaded:
            self._check_loaded()
        if phase is None:
            begin, end = 0, self._length
        else:
            check_phase(self.program, phase)
            begin, end = self._spans[phase]
        self._c.loom_execute(self._context_at, self._records_at, begin, end)

    def _port(self, port: OutputPort, data: np.ndarray) -> _Port:
        memory = _PORT_MEMORIES.index(port.memory)
        base, start = port.base, port.start
        if port.memory != "event":
            base, start = port.first_element(self.program.machine.lanes), 0
        shift = self._builder.payload_shift(port.slot) if port.memory == "event" else 0
        address = data.ctypes.data
        return _Port(memory, port.phase, base, start, port.size, port.slot, shift, address)

    def read(self, name: str) -> np.ndarray:
        """Read output port `name`."""
        if name not in self._taps:
            port = output_port(self.program, name)
            data = np.zeros(port.size, np.int64)
            record = self._port(port, data)
            self._taps[name] = (record, ctypes.addressof(record), data)
        _, address, data = self._taps[name]
        self._c.loom_read(self._context_at, address)
        return data.copy()

    def run(
        self, steps: int, inputs: Mapping[str, np.ndarray], record: Sequence[str]
    ) -> dict[str, np.ndarray]:
        """Run `steps` whole steps; see `spikeloom.sim.engine.Engine.run`."""
        given = check_inputs(self.program, steps, inputs)
        given.sort(key=lambda pair: pair[0].phase)
        if self._loaded:
            self._check_loaded()
        value = _PORT_MEMORIES.index("value")
        sources = (_Port * len(given))(
            *(_Port(value, p.phase, p.base, 0, p.size, 0, 0, v.ctypes.data) for p, v in given)
        )
        ports = {name: output_port(self.program, name) for name in record}
        outputs = {name: np.empty((steps, port.size), np.int64) for name, port in ports.items()}
        sinks = (_Port * len(ports))(
            *(self._port(port, outputs[name]) for name, port in ports.items())
        )
        first, part = 0, FIRST_PART
        while first < steps:
            last = min(steps, first + part)
            began = time.perf_counter()
            self._c.loom_run(
                self._context_at,
                self._records_at,
                self._table.phase_end.ctypes.data,
                len(self._table.phase_end),
                first,
                last,
                ctypes.addressof(sources),
                len(sources),
                ctypes.addressof(sinks),
                len(sinks),
            )
            if time.perf_counter() - began < LONGEST_CALL / 2:
                part *= 2
            first = last
        return outputs

    def memory(self, name: str) -> np.ndarray:
        """A copy of a whole memory; see `spikeloom.sim.engine.Engine.memory`."""
        check_memory(name)
        if name == "accumulator":
            return self._accumulator[:-1].reshape(-1, self.program.machine.lanes).copy()
        if name == "value":
            return self._value[:-1].astype(np.int64)
        if name == "state":
            return self._state[:, : self.program.state.shape[1]].astype(np.int64)
        if name in ("weight", "residual", "synapse"):
            return self._learned(name)
        if name == "event":
            payload = self._event_payload[:-1] * self._builder.payload_units()
            return np.stack([self._event_index[:-1].astype(np.int64), payload], axis=1)
        return self._count[:-1].copy()

    def load_memory(self, name: str, content: np.ndarray) -> None:
        """Overwrite a memory; see `spikeloom.sim.engine.Engine.load_memory`."""
        checked = check_content(self.program, name, content)
        if name == "value":
            self._value[:-1] = checked
        elif name == "state":
            self._state[:, : checked.shape[1]] = checked
        else:
            self._load_learned(name, checked)
            self._loaded |= name != "synapse"

    def learning(self, on: bool) -> None:
        """Run the ``UPD`` instructions from now on, or skip them."""
        self._context.learning = int(on)

    def rows_learn_densely(self, dense: int) -> None:
        """Do updates along whole rows if one in `dense` post neurons fired; changes no result."""
        self._context.dense = dense

    def _learned_memories(self, name: str) -> np.ndarray:
        """The engine's own learned weights, residuals or states of synapses, (slots, n)."""
        size = self._table.learned_size
        if name == "weight":
            return self._table.weight[:size].reshape(1, -1)
        return self._residual[:size].reshape(1, -1) if name == "residual" else self._synapse

    def _learned(self, name: str) -> np.ndarray:
        """Learned memory `name` in the Program's layout."""
        found: np.ndarray = getattr(self.program, name).astype(np.int64)
        views = found if name == "synapse" else found[None]
        for own, theirs in zip(self._learned_memories(name), views, strict=True):
            for projection, (place, stride) in self._table.learned.items():
                p = self.program.projections[projection]
                rows = theirs[p.weights : p.weights + p.rows * p.words].reshape(p.rows, -1)
                rows[:, :stride] = own[place : place + p.rows * stride].reshape(p.rows, stride)
        return found

    def _load_learned(self, name: str, content: np.ndarray) -> None:
        """The inverse of `_learned`."""
        views = content if name == "synapse" else content[None]
        for own, theirs in zip(self._learned_memories(name), views, strict=True):
            for projection, (place, stride) in self._table.learned.items():
                p = self.program.projections[projection]
                rows = theirs[p.weights : p.weights + p.rows * p.words].reshape(p.rows, -1)
                own[place : place + p.rows * stride] = rows[:, :stride].reshape(-1)

    def saturations(self) -> dict[str, int]:
        """Times that something was limited since `reset`, per population."""
        counts = zip(self._table.populations, self._saturations.tolist(), strict=False)
        return {name: count for name, count in counts if count}

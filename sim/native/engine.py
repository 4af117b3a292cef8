"""The native engine: the Program in flat arrays, run by C that was generated for its kernels."""

from __future__ import annotations

import ctypes
import sys
import time
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from ...compiler.program import InputPort, Program
from ..check import (
    check_content,
    check_inputs,
    check_memory,
    check_phase,
    check_program,
    check_values,
    output_port,
)
from .bindings import Port, input_ports, input_record, load, output_record
from .build import build
from .follow import FEWEST_STEPS, Follower, follower
from .fronts import FrontPlan, Fronts
from .memories import Memories
from .rehearse import agrees, rehearsal
from .source.c import C
from .source.generate import generate
from .tables.registers import with_registers
from .tables.table import FEW_POSTS, Builder, Table

LONGEST_CALL = 0.2
"""Seconds, roughly: a long run is done in parts, between which an interrupt is heeded."""

FIRST_PART = 64
"""Steps of the first part."""


def compiled_library(program: Program) -> Path:
    """Build or find the library for the kernels of `program`; raises `ToolError`."""

    def accept(library: Path) -> bool:
        # Both layouts of learned weights are tried, with inputs that are kept or made anew.
        ways = ((0, False), (sys.maxsize if program.rules else 0, True))
        return all(
            agrees(NativeEngine(rehearsal(program, live), library, few_posts=few))
            for few, live in ways
        )

    return build(generate(program.kernels, program.rules, program.machine, C()), accept)


class NativeEngine:
    """The fast engine; see `spikeloom.sim.engine.Engine` for its calls.

    Parameters
    ----------
    program : Program
        Raises `ProgramError` if it is malformed, `ToolError` without a C compiler.
    library : Path or None
        A library that was built for the Program's kernels; None to build or find it.
    twin : NativeEngine or None
        An engine of the same Program, or of one that differs in parameters of kernels and rules
        alone, to share what does not change with; see `twin`.
    few_posts : int
        Decides how learned weights are laid out, see `Builder`.

    Attributes
    ----------
    compiled : Path
        The compiled library; its source lies beside it.
    """

    def __init__(
        self,
        program: Program,
        library: Path | None = None,
        twin: NativeEngine | None = None,
        few_posts: int = FEW_POSTS,
    ) -> None:
        self.program: Program = program
        self._shared: tuple[Path, Builder, Table]
        same = twin is not None and twin.program is program
        made = None if twin is None or same else twin._with_registers_of(program)
        if twin is not None and (same or made is not None):
            self._shared = (*twin._shared[:2], made or twin._shared[2])
        else:
            check_program(program)
            builder = Builder(program, few_posts)
            self._shared = library or compiled_library(program), builder, builder.build()
        self.compiled, self._builder, self._table = self._shared
        self._c = load(self.compiled)
        table = self._table
        self._memories = Memories(program, self._builder, table, copies=1)
        self._plan: FrontPlan | None = twin._plan if twin is not None and same else None
        self._follower: Follower | None = None
        self._context_at = self._memories.address
        self._records_at = table.records.ctypes.data
        ends = [0, *table.phase_end.tolist()]
        # Buffers at known addresses: a host that steps one by one calls for each port each time.
        self._gates: dict[str, tuple[int, InputPort, np.ndarray, int]] = {}
        for name, number in input_ports(program).items():
            data = np.zeros(program.inputs[name].size, np.int64)
            self._gates[name] = (number, program.inputs[name], data, data.ctypes.data)
        self._taps: dict[str, tuple[Port, int, np.ndarray]] = {}
        self._length = len(table.records)
        self._spans = list(pairwise(ends))
        self.reset()

    def twin(self, program: Program | None = None) -> NativeEngine:
        """Another engine of the same Program, at its start.

        The two share code, tables and fixed weights; each has states and learned weights of its
        own.

        Parameters
        ----------
        program : Program, optional
            Another one. With it is shared what is the same.
        """
        mine, program = self.program, self.program if program is None else program
        alike = (program.kernels, program.rules) == (mine.kernels, mine.rules)
        library = self.compiled if alike and program.machine == mine.machine else None
        return NativeEngine(program, library, twin=self)

    def _with_registers_of(self, program: Program) -> Table | None:
        return with_registers(self._builder, self._table, program)

    def reset(self) -> None:
        """Put all memories and counters back to the Program's initial content."""
        self._memories.reset()
        self._loaded = False  # weights that have not been checked yet

    def share_fronts(self, fronts: Fronts) -> None:
        """Do what engines that share the same `Fronts` have done only once from now on.

        No result depends on it. It pays where engines see the same inputs and differ behind the
        neurons that these reach, as in a sweep over learning rates.
        """
        if self._plan is None:
            self._plan = FrontPlan(self.program, self._builder, self._table, self._memories)
        self._follower = follower(self._plan, fronts, self._c, self._memories)

    def _check_loaded(self) -> None:
        self._memories.check_weights(0)
        self._loaded = False

    def write(self, name: str, values: np.ndarray) -> None:
        """Write input port `name`; raises `InputError`."""
        gate = self._gates.get(name)
        if gate is not None and type(values) is np.ndarray and values.dtype == np.int64:
            number, port, data, address = gate
            if values.shape == data.shape:
                data[...] = values
                if self._c.loom_write(self._context_at, number, port.base, port.size, address) == 0:
                    return
        port, vector = check_values(self.program, name, values)
        number, _, data, address = self._gates[name]
        data[...] = vector
        self._c.loom_write(self._context_at, number, port.base, port.size, address)

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

    def _payload_shift(self, port: str) -> int:
        found = output_port(self.program, port)
        return self._builder.payload_shift(found.slot) if found.memory == "event" else 0

    def read(self, name: str) -> np.ndarray:
        """Read output port `name`."""
        if name not in self._taps:
            port = output_port(self.program, name)
            data = np.zeros(port.size, np.int64)
            record = output_record(self.program, port, self._payload_shift(name), data.ctypes.data)
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
        if self._follower is not None and steps >= FEWEST_STEPS:
            return self._follower.run(
                steps,
                {port.name: values for port, values in given},
                {n: (output_port(self.program, n), self._payload_shift(n)) for n in record},
            )
        sources = (Port * len(given))(
            *(input_record(self.program, p.name, v.ctypes.data, p.size, 0) for p, v in given)
        )
        ports = {name: output_port(self.program, name) for name in record}
        outputs = {name: np.empty((steps, port.size), np.int64) for name, port in ports.items()}
        sinks = (Port * len(ports))(
            *(
                output_record(
                    self.program, port, self._payload_shift(name), outputs[name].ctypes.data
                )
                for name, port in ports.items()
            )
        )
        first, part = 0, FIRST_PART
        while first < steps:
            last = min(steps, first + part)
            began = time.perf_counter()
            self._c.loom_run(
                self._context_at,
                0,
                1,
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
        return self._memories.read(name, 0)

    def load_memory(self, name: str, content: np.ndarray) -> None:
        """Overwrite a memory; see `spikeloom.sim.engine.Engine.load_memory`."""
        self._memories.load(name, 0, check_content(self.program, name, content))
        self._loaded |= name in ("weight", "residual")

    def learning(self, on: bool) -> None:
        """Run the ``UPD`` instructions from now on, or skip them."""
        self._memories.contexts[0].learning = int(on)

    def rows_learn_densely(self, dense: int) -> None:
        """Do updates along whole rows if one in `dense` post neurons fired; changes no result."""
        self._memories.contexts[0].dense = dense

    def saturations(self) -> dict[str, int]:
        """Times that something was limited since `reset`, per population."""
        counts = zip(self._table.populations, self._memories.saturations[0].tolist(), strict=True)
        return {name: count for name, count in counts if count}

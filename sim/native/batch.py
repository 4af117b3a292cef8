"""Many copies of a Program at once on the native engine.

Copies share the Program's instructions, parameters, tables and fixed weights; each has its own
inputs, states and learned weights, and gives the same integers as an engine of its own would. Each
core works on other copies, one copy after the other: a copy's memories then stay in its caches.
What is the same in all copies, such as a layer of neurons that all see the same images, is done
once for all copies of a core.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...compiler.errors import InputError
from ...compiler.instructions import Map
from ...compiler.program import InputPort, Program
from ..check import (
    check_batch_inputs,
    check_content,
    check_memory,
    check_program,
    output_port,
)
from .bindings import Port, Region, Segment, input_record, load, output_record
from .division import Division, divide
from .engine import compiled_library
from .follow import TO_BOTH, TO_COPIES, TO_FRONT
from .memories import Memories
from .tables.table import Builder
from .together import Results, prepare, regions, results, segments, spread

PART = 4096
"""Steps that are done in one call, so that an interrupt is heeded."""

CALLS = 8
"""Calls that each thread makes for a part, so that none is left with all the work at the end."""


AHEAD = 32
"""Steps that what is the same in all copies is ahead of them: a copy's weights then stay in the
caches for so many steps."""


@dataclass(frozen=True)
class _Common:
    """What is done once for all copies, and the memories for that."""

    division: Division
    records: np.ndarray
    segments: ctypes.Array[Segment]
    regions: ctypes.Array[Region]
    results: Results
    rings: list[Memories]


class NativeBatch:
    """Copies of one Program that run side by side.

    Parameters
    ----------
    program : Program
        Raises `ProgramError` if it is malformed, `ToolError` without a C compiler.
    copies : int
    threads : int or None
        At most so many at a time; None for the processor's cores.

    Attributes
    ----------
    copies : int
    """

    def __init__(self, program: Program, copies: int, threads: int | None = None) -> None:
        if copies < 1:
            raise InputError(f"a batch of {copies} copies; give 1 or more")
        check_program(program)
        self.program = program
        self.copies = copies
        self.threads = min(copies, threads or len(os.sched_getaffinity(0)))
        self._c = load(compiled_library(program))
        self._builder = Builder(program)
        self._table = self._builder.build()
        # Behind the copies, for each thread, a place for what is the same in all.
        self._memories = Memories(program, self._builder, self._table, copies + self.threads)
        self._all = {
            number: np.ones(i.length, bool)
            for number, i in enumerate(program.instructions)
            if isinstance(i, Map)
        }
        self._divisions: dict[Any, _Common] = {}
        self._ahead: _Common | None = None
        """What was done once in the last run, if the copies' memories do not have it yet."""
        self.reset()

    def reset(self) -> None:
        """Put all copies back to the Program's initial content."""
        self._ahead = None
        self._memories.reset()
        self._unchecked: set[int] = set()
        self._own_ports: set[str] = set()
        self._own: dict[int, np.ndarray] = {}

    def run(
        self,
        steps: int,
        inputs: Mapping[str, np.ndarray],
        record: Sequence[str],
        progress: Callable[[int], None] | None = None,
    ) -> dict[str, np.ndarray]:
        """Run `steps` whole steps of every copy.

        Parameters
        ----------
        steps : int
        inputs : mapping of port name -> int64 (copies or 1, steps or 1, size)
            What all copies share has 1 in the place of `copies`, what is held during all steps has
            1 in the place of `steps`. Ports not named keep their value.
        record : sequence of output port names
        progress : callable, optional
            Called now and then with the number of steps done, all copies together.

        Returns
        -------
        dict of name -> int64 (copies, steps, size)

        Raises
        ------
        InputError
            If a port is unknown, or values have the wrong shape or lie out of range.
        """
        for copy in sorted(self._unchecked):
            self._memories.check_weights(copy)
            self._unchecked.discard(copy)
        given = check_batch_inputs(self.program, self.copies, steps, inputs)
        if not steps:
            return self._empty(record, 0)
        self._own_ports.update(port.name for port, values in given if len(values) > 1)
        self._own_ports.difference_update(port.name for port, values in given if len(values) == 1)
        common = self._common()
        division = common.division
        together = len(division.shared) > 0 and self.copies > self.threads
        outputs = self._empty(record, steps)
        sources = (Port * len(given))(*(self._source(*pair) for pair in given))
        sinks = (Port * len(outputs))(*(self._sink(*item) for item in outputs.items()))
        if together:
            for (port, values), source in zip(given, sources, strict=True):
                both = TO_FRONT if port.name in division.ports else TO_BOTH
                source.front = both if len(values) == 1 else TO_COPIES
            for name, sink in zip(outputs, sinks, strict=True):
                sink.front = name in division.outputs
        ports = (ctypes.addressof(sources), len(sources), ctypes.addressof(sinks), len(sinks))
        table = self._table

        def alone(begin: int, end: int, first: int, last: int) -> None:
            self._c.loom_run(
                *(self._memories.address, begin, end, table.records.ctypes.data),
                *(table.phase_end.ctypes.data, len(table.phase_end), first, last, *ports),
            )

        def side_by_side(begin: int, end: int, first: int, last: int) -> None:
            thread = begin // chunk
            ring = common.rings[thread]
            self._c.loom_run_together(
                *(self._memories.address, self.copies + thread, begin, end),
                *(ring.address, ring.copies, ctypes.addressof(common.regions)),
                *(len(common.regions), common.records.ctypes.data),
                *(ctypes.addressof(common.segments), len(common.segments), first, last, *ports),
            )

        def work(call: tuple[int, int, int, int]) -> int:
            begin, end, first, last = call
            (side_by_side if together else alone)(*call)
            return (end - begin) * (last - first)

        chunk = self._share() if together else -(-self.copies // (self.threads * CALLS))
        part = PART // 8 if together else PART
        begins = range(0, self.copies, chunk)
        if not together or self._ahead is not common:
            self._settle()
        if together and self._ahead is None:
            for thread, begin in enumerate(begins):
                prepare(common.results, self._memories, begin, self.copies + thread)
            self._ahead = common
        with ExitStack() as stack:
            each: Callable[..., Iterable[int]] = map
            if self.threads > 1:
                each = stack.enter_context(ThreadPoolExecutor(self.threads)).map
            for first in range(0, steps, part):
                last = min(first + part, steps)
                calls = [(b, min(b + chunk, self.copies), first, last) for b in begins]
                for done in each(work, calls):
                    if progress:
                        progress(done)
        self._own |= division.own if together else self._all
        return outputs

    def _share(self) -> int:
        """Copies of each thread, of which something is done once."""
        return -(-self.copies // self.threads)

    def _settle(self) -> None:
        """Write what was done once into the copies' memories.

        That waits until somebody looks: a run after the other goes on where it is done once.
        """
        if self._ahead is None:
            return
        for thread, begin in enumerate(range(0, self.copies, self._share())):
            copies = slice(begin, min(begin + self._share(), self.copies))
            spread(self._ahead.results, self._memories, self.copies + thread, copies)
        self._ahead = None

    def _empty(self, record: Sequence[str], steps: int) -> dict[str, np.ndarray]:
        return {
            name: np.empty((self.copies, steps, output_port(self.program, name).size), np.int64)
            for name in record
        }

    def _common(self) -> _Common:
        """What is the same in all copies, as the compiled code wants it."""
        own = frozenset((n, neurons.tobytes()) for n, neurons in self._own.items())
        key = frozenset(self._own_ports), own
        if key not in self._divisions:
            division = divide(self.program, self._own_ports, self._own, twice=True)
            begins = self._table.begins
            records = self._table.records.copy()
            for number, operands in division.operands.items():
                records["front"][begins[number] : begins[number + 1]] = operands
            found = segments(self.program, division, begins)
            read = regions(self.program, division, self._memories)
            rings = [
                Memories(self.program, self._builder, self._table, AHEAD)
                for _ in range(self.threads if division.shared else 0)
            ]
            self._divisions[key] = _Common(
                division,
                records,
                (Segment * len(found))(*found),
                (Region * len(read))(*read),
                results(self.program, division, self._memories),
                rings,
            )
        return self._divisions[key]

    def memory(self, name: str, copy: int) -> np.ndarray:
        """A memory of one copy; see `spikeloom.sim.engine.Engine.memory`."""
        check_memory(name)
        self._settle()
        return self._memories.read(name, self._number(copy))

    def load_memory(self, name: str, copy: int, content: np.ndarray) -> None:
        """Overwrite a memory of one copy; see `spikeloom.sim.engine.Engine.load_memory`."""
        checked = check_content(self.program, name, content)
        self._settle()
        self._memories.load(name, self._number(copy), checked)
        if name in ("value", "state"):  # what is learned belongs to each copy anyway
            self._own |= self._all
        if name in ("weight", "residual"):
            self._unchecked.add(copy)

    def learning(self, on: bool) -> None:
        """Run the ``UPD`` instructions of all copies from now on, or skip them."""
        for context in self._memories.contexts:
            context.learning = int(on)

    def saturations(self, copy: int) -> dict[str, int]:
        """Times that something of one copy was limited since `reset`, per population."""
        self._settle()
        counts = self._memories.saturations[self._number(copy)].tolist()
        pairs = zip(self._table.populations, counts, strict=True)
        return {name: count for name, count in pairs if count}

    def _number(self, copy: int) -> int:
        if not 0 <= copy < self.copies:
            raise InputError(f"there is no copy {copy}: the batch has {self.copies}")
        return copy

    def _source(self, port: InputPort, values: np.ndarray) -> Port:
        copies, steps, size = values.shape
        return input_record(
            self.program,
            port.name,
            values.ctypes.data,
            size if steps > 1 else 0,
            steps * size if copies > 1 else 0,
        )

    def _sink(self, name: str, data: np.ndarray) -> Port:
        port = output_port(self.program, name)
        shift = self._builder.payload_shift(port.slot) if port.memory == "event" else 0
        return output_record(self.program, port, shift, data.ctypes.data, data.shape[1])

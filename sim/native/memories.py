"""The memories of one or more copies of a Program in the native engine.

Copies share instructions, parameters, tables and fixed weights; states, learned weights and all
else that changes belongs to each. Each array has the copies along its first axis.
"""

from __future__ import annotations

import ctypes

import numpy as np

from ...compiler.program import Program
from ..check_learning import check_full_weights
from .bindings import Context
from .source.usual import most_remembered
from .tables.packing import CACHE_LINE, aligned_zeros
from .tables.table import Builder, Table

DENSE = 16
"""Where one in so many post neurons fired, updates go along whole rows: vectors are fast there."""


class Memories:
    """All memories of `copies` copies, and the contexts that the compiled code works on.

    Parameters
    ----------
    program : Program
    builder : Builder
    table : Table
        What `builder` has built.
    copies : int

    Attributes
    ----------
    contexts : ctypes array of Context
    stride : int
        Elements from one slot of a copy's states to the next.
    accumulator, value, state, event_index, event_payload, count, saturations, learned, residual,
    synapse, post, held, held_version, version, unusual, known,
    remembered : (copies, ...) ndarray
    """

    def __init__(self, program: Program, builder: Builder, table: Table, copies: int) -> None:
        self.program = program
        self.table = table
        self.copies = copies
        self._units = builder.payload_units()
        words, lanes = program.accumulator_words, program.machine.lanes
        slots, self._neurons = program.state.shape
        state = np.int32 if program.machine.state_bits <= 32 else np.int64
        learned = table.learned_size
        post = program.post_memories * program.post_words * lanes
        synapses = program.synapse.shape[0]
        # Each slot begins on a cache line.
        self.stride = -(-self._neurons // CACHE_LINE) * CACHE_LINE
        self.accumulator = self._zeros(words * lanes, np.int64)
        self.value = self._zeros(program.value.size, np.int32)
        self.state = self._zeros(slots * self.stride, state)
        self.event_index = self._zeros(program.event_words, np.int32)
        self.event_payload = self._zeros(program.event_words, np.int32)
        self.count = self._zeros(program.event_lists, np.int64)
        self.saturations = self._zeros(len(table.populations), np.int64)
        self.learned = self._zeros(learned, np.int32)
        self.residual = self._zeros(learned, np.int32)
        self.synapse = self._zeros(synapses * learned, state)
        self.post = self._zeros(post, np.int32)
        self.held = self._zeros(table.held_size, np.int64)
        self.held_version = self._zeros(table.held_sums, np.int64)
        self.version = self._zeros(len(program.inputs) + 1, np.int64)
        self.unusual = self._zeros(len(table.populations), np.int64)
        self.known = self._zeros(len(table.populations), np.int64)
        remembered = most_remembered(program.kernels.values())
        self.remembered = self._zeros(remembered * self.stride, np.int32)
        own = (
            *(self.accumulator, self.value, self.state, self.event_index, self.event_payload),
            *(self.count, self.saturations, None, self.learned, self.residual, self.synapse),
            *(self.post, None, None, None, self.held, self.held_version, self.version),
            *(None, self.unusual, self.known, self.remembered),
        )
        tables = (table.weight, table.parameters, table.table_32, table.table_64)
        shared = iter((*tables, table.weight))  # the last is `front`, set below
        begins = [next(shared).ctypes.data if a is None else a.ctypes.data for a in own]
        steps = [0 if a is None else a.strides[0] for a in own]
        numbers = (self.stride, learned, program.post_words * lanes, 1, 1, 0, 0, DENSE)
        self.contexts = (Context * copies)(
            *(
                Context(*(b + k * s for b, s in zip(begins, steps, strict=True)), *numbers)
                for k in range(copies)
            )
        )
        self.address = ctypes.addressof(self.contexts)
        for k, context in enumerate(self.contexts):
            context.front = self.address + k * ctypes.sizeof(Context)
        self._start = {name: self._own_layout(name) for name in ("weight", "residual", "synapse")}

    def _zeros(self, size: int, dtype: type) -> np.ndarray:
        """Zeros (copies, size) whose rows begin on a cache line, with at least one to spare."""
        row = CACHE_LINE // np.dtype(dtype).itemsize
        padded = (size // row + 1) * row  # an empty array has no address
        return aligned_zeros(self.copies * padded, dtype).reshape(self.copies, padded)[:, :size]

    def reset(self, copies: slice | int = slice(None)) -> None:
        """Put the memories and counters of some copies back to the Program's initial content."""
        for array in (
            *(self.accumulator, self.event_index, self.event_payload, self.count),
            *(self.saturations, self.post),
        ):
            array[copies] = 0
        self.learned[copies] = self._start["weight"]
        self.residual[copies] = self._start["residual"]
        self.synapse[copies] = self._start["synapse"]
        self.value[copies] = self.program.value
        self.version[copies] += 1
        self._states(copies)[..., : self._neurons] = self.program.state

    def _states(self, copies: slice | int) -> np.ndarray:
        slots = self.program.state.shape[0]
        part = self.state[copies]
        return part.reshape(*part.shape[:-1], slots, self.stride)

    def check_weights(self, copy: int) -> None:
        """Check what learned weights and residuals are together; raises `InputError`."""
        check_full_weights(self.program, self.read("weight", copy), self.read("residual", copy))

    def read(self, name: str, copy: int) -> np.ndarray:
        """A memory of one copy, as `spikeloom.sim.engine.Engine.memory` says."""
        if name == "accumulator":
            return self.accumulator[copy].reshape(-1, self.program.machine.lanes).copy()
        if name == "value":
            return self.value[copy].astype(np.int64)
        if name == "state":
            return self._states(copy)[:, : self._neurons].astype(np.int64)
        if name == "event":
            payload = self.event_payload[copy] * self._units
            return np.stack([self.event_index[copy].astype(np.int64), payload], axis=1)
        if name == "count":
            return self.count[copy].copy()
        return self._program_layout(name, copy)

    def load(self, name: str, copy: int, content: np.ndarray) -> None:
        """Overwrite a memory of one copy with checked content."""
        if name == "value":
            self.value[copy] = content
            self.version[copy] += 1
        elif name == "state":
            self._states(copy)[:, : content.shape[1]] = content
        else:
            self._learned_memory(name)[copy] = self._own_layout(name, content)

    # -- what rules change: rows with less padding than in the Program -----------------------

    def _learned_memory(self, name: str) -> np.ndarray:
        return {"weight": self.learned, "residual": self.residual, "synapse": self.synapse}[name]

    def _program_layout(self, name: str, copy: int) -> np.ndarray:
        found: np.ndarray = getattr(self.program, name).astype(np.int64)
        views = found if name == "synapse" else found[None]
        own = self._learned_memory(name)[copy].reshape(len(views), self.table.learned_size)
        for mine, theirs in zip(own, views, strict=True):
            for projection, place in self.table.learned.items():
                p = self.program.projections[projection]
                rows = theirs[p.weights : p.weights + p.rows * p.words].reshape(p.rows, -1)
                place.put(mine[place.first : place.first + place.size], rows)
        return found

    def _own_layout(self, name: str, content: np.ndarray | None = None) -> np.ndarray:
        """The inverse; of the Program's own content if none is given."""
        content = getattr(self.program, name) if content is None else content
        views = content if name == "synapse" else content[None]
        own = np.zeros((len(views), self.table.learned_size), np.int64)
        for mine, theirs in zip(own, views, strict=True):
            for projection, place in self.table.learned.items():
                p = self.program.projections[projection]
                rows = theirs[p.weights : p.weights + p.rows * p.words].reshape(p.rows, -1)
                mine[place.first : place.first + place.size] = place.given(rows)
        return own.reshape(-1)

"""What populations that are the same in several engines do, done once and kept for the others.

In a sweep many engines see the same images with the same input neurons, and differ behind these: in
what they have learned, or in a learning rate. The first engine that does some steps keeps what the
others read of the populations from which no learned weight is reached (`division.py`); an engine
that begins with the same states and gets the same inputs does only the rest. Whether two are the
same is decided by comparing numbers, all of them.
"""

from __future__ import annotations

import hashlib
import pickle
import threading
from collections import Counter, OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ...compiler.instructions import Cnv, Evt, Mac, Map
from ...compiler.program import Program
from .bindings import Context, Region, Segment
from .division import Division, divide
from .memories import Memories
from .tables.table import Builder, Table
from .together import Part, parts, regions, saturating, segments

MOST_BYTES = 1 << 28
"""What is kept for others takes no more than this; the oldest goes first."""

KEY_BYTES = 4096
"""So many bytes of what engines begin with are looked at to find candidates."""

UNUSED_STEPS = 8000
"""Of so many steps more may be kept than were found, before it is taken to be in vain."""

_Key = tuple[bytes, int, int]

FIELDS = [field[0] for field in Context._fields_]


class FrontPlan:
    """How the engines of a Program do what is the same in all of them apart from the rest.

    Parameters
    ----------
    program : Program
    builder : Builder
    table : Table
        What `builder` has built.
    memories : Memories
        Of any engine of the Program.
    """

    def __init__(
        self, program: Program, builder: Builder, table: Table, memories: Memories
    ) -> None:
        self.program, self.builder, self.table = program, builder, table
        self.division: Division = divide(program, (), {})
        begins = table.begins
        self.records = table.records.copy()
        for number, operands in self.division.operands.items():
            self.records["front"][begins[number] : begins[number + 1]] = operands
        found = segments(program, self.division, begins)
        self.segments = (Segment * len(found))(*found)
        read = regions(program, self.division, memories)
        self.regions = (Region * len(read))(*read)
        self.parts: list[Part] = parts(program, self.division, memories)
        self.spans = self._spans(read)
        self.saturating = saturating(program, self.division, memories)
        self.touched = [n for n, name in enumerate(program.inputs) if name in self.division.ports]

    @property
    def worthwhile(self) -> bool:
        """Whether there is a population that can be done once, and something else."""
        maps = {n for n, i in enumerate(self.program.instructions) if isinstance(i, Map)}
        return bool(maps & self.division.shared) and bool(self.division.operands)

    def _spans(self, read: list[Region]) -> dict[str, tuple[int, int]]:
        """For each array, where what is read of it begins and ends."""
        found: dict[str, tuple[int, int]] = {}
        for region in read:
            names = (("value",), ("state",), ("event_index", "event_payload"), ("post",))
            for name in names[region.memory - 1]:
                begin, end = found.get(name, (region.begin, region.begin))
                found[name] = min(begin, region.begin), max(end, region.begin + region.size)
        lists = [r.list for r in read if r.memory == 3]
        if lists:
            found["count"] = min(lists), max(lists) + 1
        return found

    def step_bytes(self) -> int:
        """Bytes that are kept for each step."""
        return sum(8 * (end - begin) for begin, end in self.spans.values()) + 8 * len(FIELDS)

    @cached_property
    def signature(self) -> bytes:
        """The same for Programs that do the same, in the same places."""
        program = self.program
        content: list[object] = [program.machine, program.phases and len(program.phases)]
        for number in sorted(self.division.shared):
            i = program.instructions[number]
            content.append((number, i.opcode, {**vars(i), "comment": ""}))
            if isinstance(i, Map):
                code = program.kernels[i.kernel]
                tables = [program.tables[f"{code.name}.{t.name}"][i.table_set] for t in code.tables]
                content.append((code, tables))
            elif isinstance(i, Mac | Evt):
                content.append(program.weight[i.weights : i.weights + i.rows * i.words])
            elif isinstance(i, Cnv):
                content.append(program.weight[i.weights : i.weights + i.kernel])
                content.append(program.stencil[i.stencil : i.stencil + i.stencil_words])
        content.append([(r.memory, r.begin, r.size, r.list) for r in self.regions])
        content.append([(p.name, p.begin, p.size) for p in self.parts])
        content.append(sorted((n, p.base, p.size, p.phase) for n, p in program.inputs.items()))
        content.append((sorted(self.division.ports), sorted(self.division.outputs)))
        content.append((program.post_words, program.value.size, program.state.shape))
        return hashlib.sha256(pickle.dumps(content)).digest()

    def places(self, memories: Memories, ports: bool) -> list[np.ndarray]:
        """Views of what is the same in several engines; with all input ports, or some of them."""
        found = [getattr(memories, p.name)[0, p.begin : p.begin + p.size] for p in self.parts]
        if ports:
            inputs = self.program.inputs.values()
            found += [memories.value[0, p.base : p.base + p.size] for p in inputs]
        return found


@dataclass
class Front:
    """Some steps of what is the same in several engines.

    Attributes
    ----------
    inputs : dict of port name -> (steps or 1, size) int64 ndarray
    start : bytes
        What the populations, and all input ports, were before.
    end : list of ndarray
        What they have come to, by the plan's parts.
    saturations : (populations,) int64 ndarray
        What was limited in these steps.
    outputs : dict of port name -> (steps, size) int64 ndarray
    ring : (steps, fields) int64 ndarray
        A context for each step.
    stored : list of ndarray
        What these point to.
    """

    inputs: dict[str, np.ndarray]
    start: bytes
    end: list[np.ndarray]
    saturations: np.ndarray
    outputs: dict[str, np.ndarray]
    ring: np.ndarray
    stored: list[np.ndarray]

    @property
    def bytes(self) -> int:
        """Memory that it takes, at most."""
        arrays = [self.ring, *self.stored, *self.end, *self.inputs.values(), *self.outputs.values()]
        return len(self.start) + sum(a.nbytes for a in arrays)


class Fronts:
    """Keeps what was done for engines that do the same; may be used by many threads.

    Parameters
    ----------
    most_bytes : int
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self.most_bytes = most_bytes
        self.done = self.found = 0
        """How often something was done and kept, and found."""
        self._kept: OrderedDict[_Key, list[Front]] = OrderedDict()
        self._unused: Counter[bytes] = Counter()
        self._begun: dict[object, threading.Event] = {}
        self._lock = threading.Lock()
        self._bytes = 0

    @staticmethod
    def _key(signature: bytes, steps: int, start: bytes) -> _Key:
        return signature, steps, hash(start[:KEY_BYTES])

    def find(
        self,
        signature: bytes,
        steps: int,
        start: bytes,
        inputs: Mapping[str, np.ndarray],
        outputs: set[str],
    ) -> Front | None:
        """What was kept of exactly this, with these outputs."""
        with self._lock:
            candidates = list(self._kept.get(self._key(signature, steps, start), ()))
        for front in candidates:
            if (
                outputs <= set(front.outputs)
                and front.inputs.keys() == inputs.keys()
                and front.start == start
                and all(np.array_equal(v, inputs[name]) for name, v in front.inputs.items())
            ):
                with self._lock:
                    self.found += 1
                    self._unused[signature] -= steps
                return front
        return None

    @contextmanager
    def doing(
        self, signature: bytes, steps: int, start: bytes, inputs: Mapping[str, np.ndarray]
    ) -> Iterator[None]:
        """Wait for one who is doing this already; else let others wait in the meantime.

        So what two engines come to at the same time is done once. Whether it is the same is seen
        by `find`; so that few wait in vain, the inputs are looked at, at their ends.
        """
        ends = [(name, hash(v[0].tobytes()), hash(v[-1].tobytes())) for name, v in inputs.items()]
        key = (*self._key(signature, steps, start), *ends)
        with self._lock:
            begun = self._begun.get(key)
            if begun is None:
                self._begun[key] = threading.Event()
        if begun is not None:
            begun.wait()
            yield
            return
        try:
            yield
        finally:
            with self._lock:
                self._begun.pop(key).set()

    def wants(self, signature: bytes) -> bool:
        """Whether to keep more of this: not where nobody has used what there is."""
        with self._lock:
            return self._unused[signature] < UNUSED_STEPS

    def keep(self, signature: bytes, steps: int, front: Front) -> None:
        """Keep it for others, as long as there is room."""
        with self._lock:
            self.done += 1
            self._unused[signature] += steps
            self._kept.setdefault(self._key(signature, steps, front.start), []).append(front)
            self._bytes += front.bytes
            while self._bytes > self.most_bytes and len(self._kept) > 1:
                _, oldest = self._kept.popitem(last=False)
                self._bytes -= sum(f.bytes for f in oldest)


def make_ring(
    plan: FrontPlan, memories: Memories, steps: int
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Contexts for some steps, and the arrays for what is read of them."""
    ring = np.zeros((steps, len(FIELDS)), np.int64)
    stored = []
    for name, (begin, end) in plan.spans.items():
        array = np.empty((steps, end - begin), getattr(memories, name).dtype)
        stored.append(array)
        places = array.ctypes.data + np.arange(steps) * array.strides[0]
        ring[:, FIELDS.index(name)] = places - begin * array.itemsize
    context = memories.contexts[0]
    for name in ("state_stride", "synapse_stride", "post_stride"):
        ring[:, FIELDS.index(name)] = getattr(context, name)
    return ring, stored

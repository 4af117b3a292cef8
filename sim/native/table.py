"""A Program as the flat arrays that the compiled engine walks over.

Weights are packed without more padding than vectors need, and transposed where rows are short; the
parameters of each ``MAP`` are laid out as its kernel's source expects.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import DTypeLike

from ...compiler.errors import ProgramError
from ...compiler.instructions import Cnv, Evt, Instruction, Mac, Map, Upd
from ...compiler.kernels.code import KernelCode
from ...compiler.kernels.rule_code import RuleCode
from ...compiler.program import Program, ProjectionInfo
from .bounds import largest_payload, largest_sums, largest_weights
from .generate import payload_source
from .kept import Kept, kept_inputs
from .learned_place import LearnedPlace
from .walk import parameter_slots

(
    MAC_ROWS, MAC_COLUMNS, EVT_WIDE, EVT_NARROW, MAP, UPD, CNV, MAC_DIAGONAL, KEEP, EVT_COLUMNS,
) = range(10)  # fmt: skip
"""`opcode_t` of loom.h."""

FIELDS = (
    "opcode kernel clear weights source list rows target length padding input_shift "
    "input_fits output_shift state parameters population payload_shift "
    "captures capture_count gate skip shift stencil reach learned watched held held_number "
    "kept kept_number ports port_count front transposed"
).split()
"""`instruction_t` of loom.h."""

RECORD = np.dtype([(name, np.int64) for name in FIELDS])

GATES = ("always", "pre", "post")
"""`gate_t` of loom.h."""

SHORT_ROW = 12
"""Rows of up to this many elements are worked on as columns, if there are more rows than that."""


FEW_COLUMNS = 4
"""Rows of events up to this long are summed in registers (`evt` in loom.c)."""

FEW_POSTS = 64
"""Where post spikes gate all learning and there are up to so many post neurons, the synapses of
each lie together: so that vectors can work on them."""

HELD_ROWS = 8
"""A product with fewer rows is no cheaper when its sums are kept."""

KEPT_HEAD = 16
"""Words in front of the numbers of a kept input, as in loom.h."""

VECTOR = 16
"""Elements of the widest vectors."""

CACHE_LINE = 64
"""Bytes; also the width of the widest vectors. What begins on a line is read twice as fast."""


def aligned_zeros(size: int, dtype: DTypeLike) -> np.ndarray:
    """Zeros, (size,), that begin on a cache line."""
    item = np.dtype(dtype).itemsize
    raw = np.zeros(size * item + CACHE_LINE, np.uint8)
    begin = -raw.ctypes.data % CACHE_LINE
    return raw[begin : begin + size * item].view(dtype)


@dataclass
class Table:
    """The constant part of a Program in the native engine.

    Attributes
    ----------
    records : (instructions,) ndarray of `RECORD`
    phase_end : (phases,) int64 ndarray
        Number of the record after the last one of each phase.
    begins : (instructions + 1,) int64 ndarray
        Number of the first record of each of the Program's instructions.
    weight : (n,) int32 ndarray
    parameters : (n,) int64 ndarray
    table_32, table_64 : int32, int64 ndarray
    populations : list of str
        The saturation counters' names: populations, then projections.
    learned : dict of projection name -> LearnedPlace
        Where its learned weights lie in a memory of their own.
    learned_size : int
        Elements of that memory.
    held_size, held_sums : int
        Elements of all sums that are kept while what they read does not change, and how many such
        sums there are.
    """

    records: np.ndarray
    phase_end: np.ndarray
    begins: np.ndarray
    weight: np.ndarray
    parameters: np.ndarray
    table_32: np.ndarray
    table_64: np.ndarray
    populations: list[str]
    learned: dict[str, LearnedPlace]
    learned_size: int
    held_size: int
    held_sums: int


class _Packer:
    """Puts arrays one behind the other, each different one once."""

    def __init__(self, dtype: type) -> None:
        self.dtype = dtype
        self.parts: list[np.ndarray] = []
        self.size = 0
        self.places: dict[object, int] = {}

    def add(self, key: object, content: np.ndarray) -> int:
        """Where `content` begins; arrays with the same `key` share their place."""
        if key not in self.places:
            self.places[key] = self.size
            self.parts.append(np.ascontiguousarray(content, self.dtype).reshape(-1))
            self.size += content.size
        return self.places[key]

    def array(self) -> np.ndarray:
        """All of it; never empty, so that it has an address."""
        whole = aligned_zeros(self.size + 1, self.dtype)
        np.concatenate([*self.parts, np.zeros(1, self.dtype)], out=whole)
        return whole


def _is_diagonal(padded: np.ndarray, i: Mac) -> bool:
    """Whether each value of a product goes to the accumulator element of its own number."""
    if i.rows != i.length:
        return False
    rows = padded.reshape(i.rows, -1)[:, : i.length]
    return bool(np.count_nonzero(rows) == np.count_nonzero(rows.diagonal()))


class Builder:
    """Turns a checked Program into a `Table`.

    Parameters
    ----------
    program : Program
    few_posts : int
        See `FEW_POSTS`; the results do not depend on it.
    """

    def __init__(self, program: Program, few_posts: int = FEW_POSTS) -> None:
        self.program = program
        self.lanes = program.machine.lanes
        self.kernel_number = {name: k for k, name in enumerate(sorted(program.kernels))}
        self.rule_number = {name: k for k, name in enumerate(sorted(program.rules))}
        self.populations = [*program.populations, *program.projections]
        self.weight = _Packer(np.int32)
        self.parameters = _Packer(np.int64)
        self.tables = {32: _Packer(np.int32), 64: _Packer(np.int64)}
        self.sums = largest_sums(program)
        self.learned: dict[str, LearnedPlace] = {}
        self.learned_at: dict[int, LearnedPlace] = {}
        self.learned_size = self.held_size = self.held_sums = 0
        for name, p in program.projections.items():
            place = self._place(p, few_posts)
            self.learned[name] = self.learned_at[p.weights] = place
            self.learned_size += place.size

    def _place(self, p: ProjectionInfo, few_posts: int) -> LearnedPlace:
        """Where the weights of a projection lie."""
        users = [
            i
            for i in self.program.instructions
            if isinstance(i, Mac | Evt | Upd) and i.weights == p.weights
        ]
        gated = all(i.gate == "post" if isinstance(i, Upd) else isinstance(i, Evt) for i in users)
        if gated and p.length <= few_posts:
            stride = -(-p.rows // VECTOR) * VECTOR
            return LearnedPlace(self.learned_size, stride, p.length, True)
        few = p.length <= FEW_COLUMNS and any(isinstance(i, Evt) for i in users)
        stride = p.length if few else self._vector_length(p)
        return LearnedPlace(self.learned_size, stride, p.rows, False)

    def build(self) -> Table:
        """The whole table."""
        instructions = self.program.instructions
        records = np.zeros(len(instructions), RECORD)
        for number, instruction in enumerate(instructions):
            record = records[number : number + 1]
            if isinstance(instruction, Map):
                self._map(record, instruction)
            elif isinstance(instruction, Mac | Evt):
                self._product(record, instruction)
            elif isinstance(instruction, Upd):
                self._update(record, instruction)
            elif isinstance(instruction, Cnv):
                self._convolution(record, instruction)
            else:
                raise ProgramError(f"the native engine has no instruction {instruction.opcode!r}")
        records, begins = self._keep(records)
        ends = np.cumsum([0, *(len(p) for p in self.program.phases)])[1:]
        return Table(
            records=records,
            phase_end=begins[ends],
            begins=begins,
            weight=self.weight.array(),
            parameters=self.parameters.array(),
            table_32=self.tables[32].array(),
            table_64=self.tables[64].array(),
            populations=self.populations,
            learned=self.learned,
            learned_size=self.learned_size,
            held_size=self.held_size,
            held_sums=self.held_sums,
        )

    def _keep(self, records: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Keep inputs that seldom change, see `kept_inputs`; with `Table.begins`."""
        records["kept"] = -1
        kept = kept_inputs(self.program, [self._watched(i) for i in self.program.instructions])
        fed = {k.first: number for number, k in kept.items()}
        found, begins = [np.zeros(0, RECORD)], []
        for number in range(len(records)):
            begins.append(len(found) - 1)
            if number in fed:
                last = fed[number]
                self._kept(records[last : last + 1], self.program.instructions[last], kept[last])
                keep = np.zeros(1, RECORD)
                keep["opcode"], keep["length"], keep["kept"] = KEEP, last - number, -1
                for name in ("kept_number", "ports", "port_count"):
                    keep[name] = records[name][last]
                found.append(keep)
            found.append(records[number : number + 1])
        begins.append(len(found) - 1)
        return np.concatenate(found), np.array(begins, np.int64)

    def _kept(self, record: np.ndarray, i: Instruction, kept: Kept) -> None:
        assert isinstance(i, Map)
        record["kept"] = self.held_size
        record["kept_number"] = self.held_sums
        record["ports"] = self.parameters.add(("ports", *kept.ports), np.array(kept.ports))
        record["port_count"] = len(kept.ports)
        self.held_size += KEPT_HEAD + -(-i.length // VECTOR) * VECTOR
        self.held_sums += 1

    def _product(self, record: np.ndarray, i: Mac | Evt) -> None:
        padded = self.program.weight[i.weights : i.weights + i.rows * i.words]
        learned = self.learned_at.get(i.weights)
        columns = learned is None and isinstance(i, Mac) and i.length <= SHORT_ROW < i.rows
        few = isinstance(i, Evt) and i.length <= FEW_COLUMNS
        length = i.length if columns or few else self._vector_length(i)
        diagonal = learned is None and isinstance(i, Mac) and _is_diagonal(padded, i)
        if learned is not None:
            length = i.length if learned.transposed else learned.stride
        elif diagonal:
            length = i.length
        rows = padded.reshape(i.rows, -1)[:, :length]
        if diagonal:
            rows = rows.diagonal()
            record["opcode"] = MAC_DIAGONAL
        elif isinstance(i, Mac):
            record["opcode"] = MAC_COLUMNS if columns else MAC_ROWS
        else:
            record["opcode"] = EVT_NARROW if self._fits_32_bits(i) else EVT_WIDE
            if learned is not None and learned.transposed:
                record["opcode"] = EVT_COLUMNS
            record["list"] = i.list
            record["payload_shift"] = self.payload_shift(i.list)
        record["clear"] = i.clear
        key = (i.weights, i.rows, i.words, length, columns, diagonal)
        record["watched"] = -1
        if learned is not None:
            record["learned"] = 1
            record["weights"] = learned.first
        else:
            transposed = columns and not diagonal
            record["weights"] = self.weight.add(key, rows.T if transposed else rows)
            if isinstance(i, Mac):
                self._hold(record, i, length)
        record["source"] = i.source
        record["rows"] = learned.stride if learned and learned.transposed else i.rows
        record["target"] = i.target * self.lanes
        record["length"] = length
        record["padding"] = i.words * self.lanes - length

    def _watched(self, i: Instruction) -> int:
        """Number of the input port that is all a product reads, of the constants, or -1."""
        if not isinstance(i, Mac | Cnv) or i.weights in self.learned_at:
            return -1
        if isinstance(i, Cnv) and i.list >= 0:
            return -1
        end = i.source + i.rows
        made = [m for m in self.program.instructions if isinstance(m, Map) and m.list < 0]
        if any(m.target < end and i.source < m.target + m.length for m in made):
            return -1
        ports = list(self.program.inputs.values())
        read = [k for k, p in enumerate(ports) if p.base < end and i.source < p.base + p.size]
        return -1 if len(read) > 1 else read[0] if read else len(ports)

    def _hold(self, record: np.ndarray, i: Mac | Cnv, length: int) -> None:
        """Keep the sums of a product that reads one input port, or constants, and nothing else."""
        watched = self._watched(i)
        if watched < 0 or (watched < len(self.program.inputs) and i.rows < HELD_ROWS):
            return
        record["watched"] = watched
        record["held"] = self.held_size
        record["held_number"] = self.held_sums
        self.held_size += -(-length // VECTOR) * VECTOR
        self.held_sums += 1

    def _convolution(self, record: np.ndarray, i: Cnv) -> None:
        kernel = self.program.weight[i.weights : i.weights + i.kernel]
        entries = self.program.stencil[i.stencil : i.stencil + i.stencil_words]
        by_position = entries.reshape(i.slots, i.positions, 2).swapaxes(0, 1)
        there = by_position[..., 0] >= 0
        ends = i.positions + 1 + 2 * np.cumsum(there.sum(axis=1))
        packed = np.concatenate(
            [[i.positions + 1], ends, by_position[there].astype(np.int64).reshape(-1) * self.lanes]
        )
        record["opcode"] = CNV
        record["weights"] = self.weight.add((i.weights, i.kernel, "kernel"), kernel)
        record["source"] = i.source
        record["list"] = i.list
        record["rows"] = i.rows
        record["target"] = i.target * self.lanes
        record["length"] = self.lanes
        record["reach"] = i.words * self.lanes
        record["shift"] = i.shift
        record["watched"] = -1
        if i.list < 0:
            self._hold(record, i, i.words * self.lanes)
        record["payload_shift"] = self.payload_shift(i.list) if i.list >= 0 else 0
        record["stencil"] = self.parameters.add((i.stencil, i.positions, i.slots), packed)

    def _vector_length(self, i: Mac | Evt | ProjectionInfo) -> int:
        """The row with so much of its padding that whole vectors can work on it."""
        return min(i.words * self.lanes, -(-i.length // VECTOR) * VECTOR)

    def payload_shift(self, number: int) -> int:
        """Bits by which the stored payloads of an event list are to be shifted."""
        for m in self.program.instructions:
            if isinstance(m, Map) and m.list == number:
                return payload_source(self.program.kernels[m.kernel], self.program.machine)[1]
        return 0

    def payload_units(self) -> np.ndarray:
        """What one count of each stored payload is worth, int64 (event_words,)."""
        units = np.ones(self.program.event_words, np.int64)
        for m in self.program.instructions:
            if isinstance(m, Map) and self.program.kernels[m.kernel].emits == "events":
                units[m.target : m.target + m.length] = 1 << self.payload_shift(m.list)
        return units

    def _fits_32_bits(self, i: Evt) -> bool:
        """Whether no sum over any set of events can leave 32 bits."""
        largest = largest_payload(self.program, i.list) >> self.payload_shift(i.list)
        sums = largest_weights(self.program, i).sum(axis=0)
        return int(sums.max()) * largest < 1 << 31

    def _input_fits(self, i: Map) -> bool:
        port = self.program.kernels[i.kernel].input
        begin = i.source * self.lanes
        largest = self.sums[begin : begin + i.length].max() * 2.0**-i.input_shift
        return bool(largest * 1.001 + 1 <= min(port.hi, -port.lo))

    def _map(self, record: np.ndarray, i: Map) -> None:
        code = self.program.kernels[i.kernel]
        block = self._parameters(code, i)
        record["opcode"] = MAP
        record["kernel"] = self.kernel_number[i.kernel]
        record["source"] = i.source * self.lanes
        record["list"] = i.list
        record["target"] = i.target
        record["length"] = i.length
        record["input_shift"] = i.input_shift
        record["input_fits"] = self._input_fits(i)
        record["output_shift"] = i.output_shift
        record["state"] = i.state
        record["parameters"] = self.parameters.add(tuple(block), np.array(block, np.int64))
        record["population"] = self.populations.index(i.population)
        captures = [
            number
            for slot, memory, base in i.captures
            for number in (slot, self._post_element(memory, base))
        ]
        record["capture_count"] = len(i.captures)
        record["captures"] = self.parameters.add(("captures", *captures), np.array(captures))

    def _parameters(self, code: KernelCode | RuleCode, i: Map | Upd) -> list[int]:
        """The parameter block that the function of a kernel or rule expects."""
        block: list[int] = []
        for slot in parameter_slots(code):
            if slot.kind == "table":
                key = (code.name, slot.name, i.table_set)
                entries = self.program.tables[f"{code.name}.{slot.name}"][i.table_set]
                block.append(self.tables[slot.width].add(key, entries))
            elif slot.kind == "scaled":
                block.extend(int(number) for number in i.parameters[slot.name])
            else:
                block.append(int(i.parameters[slot.name]))
        return block

    def _post_element(self, memory: int, base: int) -> int:
        """Place in the engine's post memories."""
        return (memory * self.program.post_words + base) * self.lanes

    def _update(self, record: np.ndarray, i: Upd) -> None:
        code = self.program.rules[i.rule]
        block = self._parameters(code, i)
        block += i.pre_slots
        block += [self._post_element(memory, base) for memory, base in i.post]
        place = self.learned[i.projection]
        record["opcode"] = UPD
        record["kernel"] = self.rule_number[i.rule]
        record["weights"] = place.first
        record["target"] = place.stride
        record["transposed"] = place.transposed
        record["rows"] = i.rows
        record["length"] = i.length
        record["gate"] = GATES.index(i.gate)
        record["source"] = i.source
        record["list"] = i.list
        record["skip"] = i.skip
        record["state"] = i.pre
        record["parameters"] = self.parameters.add(tuple(block), np.array(block, np.int64))
        record["population"] = self.populations.index(i.projection)

"""A Program as the flat arrays that the compiled engine walks over.

Weights are packed without more padding than vectors need, and transposed where rows are short; the
parameters of each ``MAP`` are laid out as its kernel's source expects.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from ....compiler.errors import ProgramError
from ....compiler.instructions import Cnv, Evt, Instruction, Mac, Map, Upd
from ....compiler.kernels.code import KernelCode
from ....compiler.kernels.rule_code import RuleCode
from ....compiler.program import Program, ProjectionInfo
from ..source.generate import payload_source
from ..source.late import late_maps
from ..source.walk import parameter_slots
from .bounds import largest_payload, largest_sums, largest_weights
from .joined import Joined, joined_products
from .kept import Kept, kept_inputs
from .layouts import VECTOR, in_pairs, is_diagonal, paired, sparse
from .learned_place import LearnedPlace
from .packing import Packer

(
    MAC_ROWS, MAC_COLUMNS, EVT_WIDE, EVT_NARROW, MAP, UPD, CNV, MAC_DIAGONAL, KEEP, EVT_COLUMNS,
    SUM, MAC_PAIRS, EVT_SPARSE,
) = range(13)  # fmt: skip
"""`opcode_t` of loom.h."""

FIELDS = (
    "opcode kernel clear weights source list rows target length padding input_shift "
    "input_fits output_shift state parameters population payload_shift "
    "captures capture_count gate skip shift stencil reach learned watched held held_number "
    "kept kept_number ports port_count front transposed late "
    "segments segment_count offset bits lo hi entries"
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
each lie together: so that vectors can work on them. If all synapses learn in each step, rows of a
quarter of that are long enough for vectors."""

HELD_ROWS = 8
"""A product with fewer rows is no cheaper when its sums are kept."""

KEPT_HEAD = 16
"""Words in front of the numbers of a kept input, as in loom.h."""


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
        self.weight = Packer(np.int32)
        self.parameters = Packer(np.int64)
        self.tables = {32: Packer(np.int32), 64: Packer(np.int64)}
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
        events = not any(isinstance(i, Mac) for i in users)
        updates = [i for i in users if isinstance(i, Upd)]
        gated = events and all(i.gate == "post" for i in updates)
        entire = events and all(i.gate == "always" and i.skip < 0 for i in updates)
        if (gated and p.length <= few_posts) or (entire and p.length < few_posts // 4):
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
        records, begins = self._together(records)
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

    def _together(self, records: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Put in front of products what is done with all of them; with `Table.begins`.

        Inputs that seldom change are kept (`kept_inputs`), and others are summed up in one pass
        (`joined_products`).
        """
        records["kept"] = -1
        instructions = self.program.instructions
        watched = [self._watched(i) for i in instructions]
        kept = kept_inputs(self.program, watched)
        headed = {k.first: self._keep(records, last, k) for last, k in kept.items()}
        held = {n: port for n, port in enumerate(watched) if self._holds(instructions[n], port)}
        live = {
            int(n): int(records["rows"][n])
            for n in np.flatnonzero((records["opcode"] == MAC_ROWS) & (records["learned"] == 0))
            if n not in held
        }
        groups = [range(k.first, last) for last, k in kept.items()]
        joined = joined_products(self.program, held, live, groups)
        inputs = self._made_inputs(j.last for j in joined if j.makes)
        for j in joined:
            headed[j.first] = self._join(records, j, inputs)
        inside = {n for j in joined for n in range(j.first, j.last)}
        for number, port in held.items():
            records["watched"][number] = port
            if number not in inside:
                self._hold(records[number : number + 1])
        found, begins = [np.zeros(0, RECORD)], []
        for number in range(len(records)):
            begins.append(len(found) - 1)
            if number in headed:
                found.append(headed[number])
            found.append(records[number : number + 1])
        begins.append(len(found) - 1)
        joined_records, places = np.concatenate(found), np.array(begins, np.int64)
        for number, readers in late_maps(self.program).items():
            at = places[number + 1] - 1
            joined_records["late"][at] = 1
            for reader in readers:
                joined_records["late"][places[reader + 1] - 1] = at - (places[reader + 1] - 1)
        return joined_records, places

    def _keep(self, records: np.ndarray, last: int, kept: Kept) -> np.ndarray:
        """Let a ``MAP`` keep its input; returns what is to stand before the products."""
        i = self.program.instructions[last]
        assert isinstance(i, Map)
        records["kept"][last] = self.held_size
        records["kept_number"][last] = self.held_sums
        records["ports"][last] = self._ports(kept.ports)
        records["port_count"][last] = len(kept.ports)
        self.held_size += KEPT_HEAD + -(-i.length // VECTOR) * VECTOR
        self.held_sums += 1
        record = np.zeros(1, RECORD)
        record["opcode"], record["length"], record["kept"] = KEEP, last - kept.first, -1
        for name in ("kept_number", "ports", "port_count"):
            record[name] = records[name][last]
        return record

    def _ports(self, ports: tuple[int, ...]) -> int:
        return self.parameters.add(("ports", *ports), np.array(ports, np.int64))

    def _made_inputs(self, maps: Iterable[int]) -> tuple[int, int]:
        """A place for inputs that are used at once, and a number whose version is always right."""
        made = [self.program.instructions[number] for number in maps]
        lengths = [i.length for i in made if isinstance(i, Map)]
        place = self.held_size, self.held_sums
        if lengths:
            self.held_size += KEPT_HEAD + -(-max(lengths) // VECTOR) * VECTOR + VECTOR
            self.held_sums += 1
        return place

    def _join(self, records: np.ndarray, joined: Joined, inputs: tuple[int, int]) -> np.ndarray:
        """What is to stand before products that are summed in one pass."""
        record = np.zeros(1, RECORD)
        record["opcode"] = SUM
        record["length"] = joined.last - joined.first
        record["target"] = joined.target * self.lanes
        record["reach"] = joined.words * self.lanes
        places = joined.places()
        record["segments"] = self.parameters.add(("segments", *places), np.array(places, np.int64))
        record["segment_count"] = len(joined.segments)
        record["weights"] = self.weight.add(("joined", joined.first), joined.weights())
        record["kept"] = -1
        record["ports"] = self._ports(joined.ports)
        record["port_count"] = len(joined.ports)
        record["held"], record["held_number"] = self.held_size, self.held_sums
        if joined.ports:
            self.held_size += -(-int(record["reach"][0]) // VECTOR) * VECTOR + VECTOR
            self.held_sums += 1
        if joined.makes:
            i = self.program.instructions[joined.last]
            assert isinstance(i, Map)
            port = self.program.kernels[i.kernel].input
            middle = 1 << (min(-port.lo, port.hi + 1).bit_length() - 1)
            record["bits"] = middle.bit_length() + i.input_shift
            record["offset"] = (middle << i.input_shift) + (1 << i.input_shift >> 1)
            record["lo"], record["hi"] = port.lo, port.hi
            record["kept"], records["kept"][joined.last] = inputs[0], inputs[0]
            records["kept_number"][joined.last] = inputs[1]
        return record

    def _product(self, record: np.ndarray, i: Mac | Evt) -> None:
        padded = self.program.weight[i.weights : i.weights + i.rows * i.words]
        learned = self.learned_at.get(i.weights)
        columns = learned is None and isinstance(i, Mac) and i.length <= SHORT_ROW < i.rows
        few = isinstance(i, Evt) and i.length <= FEW_COLUMNS
        length = i.length if columns or few else self._vector_length(i)
        diagonal = learned is None and isinstance(i, Mac) and is_diagonal(padded, i)
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
            if not columns and learned is None and in_pairs(rows, self.program.machine.value_bits):
                record["opcode"] = MAC_PAIRS
                rows = paired(rows)
        else:
            record["opcode"] = EVT_NARROW if self._fits_32_bits(i) else EVT_WIDE
            if learned is not None and learned.transposed:
                record["opcode"] = EVT_COLUMNS
            elif learned is None and not few and (found := sparse(rows[:, : i.length])) is not None:
                rows, record["entries"] = found
                record["opcode"], length = EVT_SPARSE, i.length
            record["list"] = i.list
            record["payload_shift"] = self.payload_shift(i.list)
        record["clear"] = i.clear
        layout = int(record["opcode"][0])
        if layout not in (MAC_COLUMNS, MAC_DIAGONAL, MAC_PAIRS, EVT_SPARSE):
            layout = MAC_ROWS
        key = (i.weights, i.rows, i.words, length, layout)
        record["watched"] = -1
        if learned is not None:
            record["learned"] = 1
            record["weights"] = learned.first
        else:
            transposed = columns and not diagonal
            record["weights"] = self.weight.add(key, rows.T if transposed else rows)
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

    def _holds(self, i: Instruction, watched: int) -> bool:
        """Whether to hold the sums of a product that reads one input port, or constants."""
        return watched == len(self.program.inputs) or (
            watched >= 0 and isinstance(i, Mac | Cnv) and i.rows >= HELD_ROWS
        )

    def _hold(self, record: np.ndarray) -> None:
        """Keep the sums of a product until what it reads changes."""
        record["held"] = self.held_size
        record["held_number"] = self.held_sums
        length = int(record["reach" if record["opcode"][0] == CNV else "length"][0])
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
        block = self.parameter_block(code, i)
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

    def parameter_block(self, code: KernelCode | RuleCode, i: Map | Upd) -> list[int]:
        """The parameter block that the function of a kernel or rule expects."""
        block: list[int] = []
        for slot in parameter_slots(code):
            if slot.kind == "table":
                key = (code.name, slot.name, i.table_set)
                entries = self.program.tables[f"{code.name}.{slot.name}"][i.table_set]
                block.append(self.tables[slot.width].add(key, entries))
                block.append(int(np.abs(entries.astype(np.int64)).max()).bit_length())
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
        block = self.parameter_block(code, i)
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

"""Allocate: give every vector its addresses, and write the Program."""

from __future__ import annotations

import math
import textwrap
from typing import Any

import numpy as np
import scipy.sparse as sp

from ..errors import CapacityError
from ..graph import Graph, Input, Observation, Population, Vector
from ..instructions import Cnv, Evt, Instruction, Mac, Map
from ..kernels.neurons import Relay
from ..machine import Machine
from ..program import InputPort, OutputPort, PopulationInfo, Program
from .blocks import Block, blocks
from .plasticity import Plastic
from .quantise import NodeFormat, bias_constants, bias_rows, integers, node_code
from .schedule import Schedule, Task, has_map
from .sharing import LARGE, Choice, Shared, choose, may_recur
from .tables import TableSets

LONGEST_NAME = 80
"""Letters of a name in the report; that of many joined populations has more."""


class Allocator:
    """Builds one Program; `program` is its only result."""

    def __init__(
        self, graph: Graph, machine: Machine, formats: dict[str, NodeFormat], order: Schedule
    ) -> None:
        self.graph = graph
        self.machine = machine
        self.formats = formats
        self.order = order
        self.codes = {n: c for n in graph.nx if (c := node_code(graph, n, machine)) is not None}
        self.plastic = Plastic(graph, machine, formats, self.codes)
        learned, self.residual = self.plastic.weights()
        self.weights: list[np.ndarray] = [learned]
        self.weight_words = len(learned)
        self.places: dict[tuple[int, bytes], int] = {}  # where equal matrices stand
        self.stencils: list[np.ndarray] = [np.zeros((0, 2), np.int32)]
        self.stencil_words = 0
        self.sharing: list[dict[str, Any]] = []
        self.value_base: dict[str, int] = {}
        self.state_base: dict[str, int] = {}
        self.event_base: dict[str, int] = {}
        self.event_list: dict[str, int] = {}
        self.tables = TableSets(graph.dt, machine)
        self.accumulator_base, self.accumulator_words = self._accumulators()

    def program(self) -> Program:
        """Allocate everything and emit the instructions."""
        values = self._values()
        state = self._states()
        events = self._events()
        phases = [self._instructions(tasks) for tasks in self.order.phases]
        # Behind everything that a rule looks at, and everything that reads its weights.
        places = {n: (self.event_base[n], number) for n, number in self.event_list.items()}
        phases[-1] += self.plastic.updates(self.state_base, places, self.tables.number)
        kernels = {c.name: c for c in self.codes.values()}
        return Program(
            name=self.graph.name,
            machine=self.machine,
            dt=self.graph.dt,
            kernels=dict(sorted(kernels.items())),
            phases=phases,
            weight=np.vstack(self.weights).astype(np.int32),
            value=values,
            state=state,
            tables=self.tables.tables(),
            accumulator_words=self.accumulator_words,
            event_words=events,
            event_lists=len(self.event_list),
            inputs=self._inputs(),
            outputs={o.name: self._output(o) for o in self.graph.observations.values()},
            populations={n: self._info(n) for n in self.codes},
            rules=dict(sorted(self.plastic.rules.items())),
            projections=self.plastic.projections(),
            residual=self.residual,
            synapse=self.plastic.synapses(),
            post_memories=self.plastic.post_memories,
            post_words=self.plastic.post_words,
            stencil=np.vstack(self.stencils),
            notes={"sharing": self.sharing} if self.sharing else {},
        )

    # -- memories ----------------------------------------------------------------------------

    def _accumulators(self) -> tuple[dict[str, int], int]:
        """Share accumulators between nodes whose lives in a step do not overlap (first fit)."""
        tasks = [task for phase in self.order.phases for task in phase]
        position = {task: i for i, task in enumerate(tasks)}
        placed: list[tuple[int, int, int, int]] = []  # begin, end of life, first, last + 1
        base: dict[str, int] = {}
        total = 0
        for task in tasks:
            if task.kind != "sum":
                continue
            name = task.node
            begin, end = position[task], position.get(Task("map", name), position[task])
            observed = self.graph.observed(name, "input") or (
                isinstance(self.graph[name], Vector) and self.graph.observed(name)
            )
            if observed:
                begin, end = -1, len(tasks)
            words = self.machine.words(self.graph[name].size)
            busy = sorted(p[2:] for p in placed if p[0] <= end and begin <= p[1])
            address = 0
            for first, stop in busy:
                if address + words <= first:
                    break
                address = max(address, stop)
            base[name] = address
            placed.append((begin, end, address, address + words))
            total = max(total, address + words)
        return base, total

    def _values(self) -> np.ndarray:
        content = bias_constants(self.machine)
        for node in self.graph.nodes():
            form = self.formats[node.name]
            code = self.codes.get(node.name)
            if isinstance(node, Input):
                self.value_base[node.name] = len(content)
                content += [0] * node.size
            elif code is not None and code.emits == "value":
                self.value_base[node.name] = len(content)
                content += self._initial_output(node, code, form).tolist()
        return np.array(content, np.int64)

    def _initial_output(self, node: Any, code: Any, form: NodeFormat) -> np.ndarray:
        """What readers of a synapse see before its first update: its initial state."""
        start = np.zeros(node.size)
        if isinstance(node, Population) and code.emit in code.next_state:
            start = node.initial[code.states[code.next_state.index(code.emit)].name]
        assert form.value is not None
        largest = 1 << (self.machine.value_bits - 1)
        return np.clip(np.rint(np.ldexp(start, form.value)), -largest, largest - 1).astype(np.int64)

    def _states(self) -> np.ndarray:
        slots = max((len(c.states) for c in self.codes.values()), default=0)
        columns: list[np.ndarray] = []
        used = 0
        for name, code in self.codes.items():
            node = self.graph[name]
            self.state_base[name] = used
            if not code.states:
                continue
            assert isinstance(node, Population)
            units = node.kernel.state_units(self.graph.dt)
            column = np.zeros((slots, node.size), np.int64)
            for slot, port in enumerate(code.states):
                exact = node.initial[port.name] / units[port.name]
                scaled = np.rint(np.ldexp(exact, self.formats[name].states[slot]))
                column[slot] = np.clip(scaled, port.lo, port.hi).astype(np.int64)
            columns.append(column)
            used += node.size
        return np.hstack(columns) if columns else np.zeros((slots, 0), np.int64)

    def _events(self) -> int:
        used = 0
        for name, code in self.codes.items():
            if code.emits == "events":
                size = self.graph[name].size
                if size > 1 << self.machine.index_bits:
                    raise CapacityError(
                        f"population {name!r} has {size} neurons, more than the "
                        f"{1 << self.machine.index_bits} that an event can address; split it"
                    )
                self.event_base[name] = used
                self.event_list[name] = len(self.event_list)
                used += size
        return used

    def _weight_block(self, rows: np.ndarray, words: int) -> int:
        """Where a matrix stands: equal ones have one place."""
        key = (words, np.ascontiguousarray(rows).tobytes())
        if key not in self.places:
            self.places[key] = self.weight_words
            self.weights.append(rows.reshape(len(rows) * words, self.machine.lanes))
            self.weight_words += len(rows) * words
        return self.places[key]

    def _stencil(self, entries: np.ndarray) -> int:
        base = self.stencil_words
        self.stencils.append(entries)
        self.stencil_words += len(entries)
        return base

    # -- instructions ------------------------------------------------------------------------

    def _instructions(self, tasks: list[Task]) -> list[Instruction]:
        found: list[Instruction] = []
        for task in tasks:
            found += self._sum(task.node) if task.kind == "sum" else [self._map(task.node)]
        after_map = True
        for i, instruction in enumerate(found):
            if isinstance(instruction, (Mac, Evt)):
                found[i] = type(instruction)(**{**vars(instruction), "wait": after_map})
            after_map = isinstance(instruction, Map | Cnv)
        return found

    def _sum(self, name: str) -> list[Instruction]:
        node, form = self.graph[name], self.formats[name]
        assert isinstance(node, (Vector, Population)) and form.accumulator is not None
        words = self.machine.words(node.size)
        parts: list[tuple[str, str, Block]] = []
        convolutions: list[Instruction] = []
        address: dict[int, int] = {}  # of the learned ones
        for source, _, edge in self.graph.edges_into(name):
            value = self.formats[source].value
            assert value is not None
            if edge.plasticity is not None:
                learned = self.plastic.block(source, name, edge)
                address[id(learned)] = self.plastic.address(edge.plasticity)
                parts.append((source, f"{edge.origin or source} (learned)", learned))
                continue
            weights, clipped = integers(edge.matrix, form.accumulator - value, self.machine)
            form.clipped += clipped
            events = source in self.event_base
            comment = edge.origin or f"{source} -> {name}"
            if may_recur(weights):
                choice = choose(weights, self.machine, events, self.graph.dt)
                self._note(source, name, comment, choice)
                if choice.shared is not None:
                    convolutions.append(self._convolve(source, name, comment, choice.shared))
                    continue
            weights = weights.toarray() if sp.issparse(weights) else weights
            for block in blocks(weights, self.machine.lanes, events):
                parts.append((source, comment, block))
        # the accumulators begin with the bias, or with a block that covers all of them
        bias = np.rint(np.ldexp(node.bias, form.accumulator)).astype(np.int64)
        whole = [p for p in parts if p[2].first_word == 0 and p[2].words == words]
        found: list[Instruction] = []
        if np.any(bias) or not whole:
            rows = bias_rows(bias, self.machine)
            padded = np.zeros((len(rows), words * self.machine.lanes), np.int64)
            padded[:, : node.size] = rows
            block = Block(0, 0, padded, words, node.size)
            found.append(self._multiply(name, None, f"bias of {node.origin or name}", block, True))
            first = None
        else:
            first = next((p for p in whole if p[0] not in self.event_base), whole[0])
            found.append(self._multiply(name, *first, True, address.get(id(first[2]))))
        for part in parts:
            if part is not first:
                found.append(self._multiply(name, *part, False, address.get(id(part[2]))))
        return found + convolutions

    def _note(self, source: str, target: str, comment: str, choice: Choice) -> None:
        """For the report: how much a convolution saved, or why it was unrolled."""
        expected = choice.shared is not None or "Convolution" in comment
        if choice.unrolled_words < LARGE or not expected:
            return
        ends = [self.graph[name].origin or name for name in (source, target)]
        note: dict[str, Any] = {
            "matrix": " into ".join(textwrap.shorten(end, LONGEST_NAME) for end in ends),
            "unrolled_words": choice.unrolled_words,
        }
        if choice.shared is None:
            note["unrolled_because"] = choice.reason
        else:
            note["words"] = len(choice.shared.weights)
            note["stencil_words"] = len(choice.shared.stencil)
        self.sharing.append(note)

    def _convolve(self, source: str, target: str, comment: str, shared: Shared) -> Cnv:
        events = source in self.event_base
        size = self.graph[target].size
        return Cnv(
            weights=self._weight_block(shared.weights, 1),
            kernel=len(shared.weights),
            source=self.event_base[source] if events else self.value_base[source],
            list=self.event_list[source] if events else -1,
            rows=self.graph[source].size,
            shift=shared.shift,
            stencil=self._stencil(shared.stencil),
            slots=shared.slots,
            target=self.accumulator_base[target] + shared.first_word,
            words=shared.words,
            length=min(
                shared.words * self.machine.lanes, size - shared.first_word * self.machine.lanes
            ),
            comment=comment,
        )

    def _multiply(
        self,
        target: str,
        source: str | None,
        comment: str,
        block: Block,
        clear: bool,
        address: int | None = None,
    ) -> Instruction:
        if address is None:
            address = self._weight_block(block.weights, block.words)
        common: dict[str, Any] = {
            "weights": address,
            "rows": block.rows,
            "target": self.accumulator_base[target] + block.first_word,
            "words": block.words,
            "length": block.length,
            "clear": clear,
            "wait": False,
            "comment": comment,
        }
        if source is None:
            return Mac(source=len(bias_constants(self.machine)) - block.rows, **common)
        if source in self.event_base:
            return Evt(source=self.event_base[source], list=self.event_list[source], **common)
        return Mac(source=self.value_base[source] + block.first_source, **common)

    def _map(self, name: str) -> Map:
        node, form, code = self.graph[name], self.formats[name], self.codes[name]
        kernel = node.kernel if isinstance(node, Population) else Relay()
        assert form.accumulator is not None and form.input is not None and form.value is not None
        events = code.emits == "events"
        return Map(
            kernel=code.name,
            population=name,
            length=node.size,
            source=self.accumulator_base[name],
            input_shift=form.accumulator - form.input,
            state=self.state_base[name],
            target=self.event_base[name] if events else self.value_base[name],
            list=self.event_list[name] if events else -1,
            output_shift=0 if events else form.emit - form.value,
            table_set=self.tables.number(kernel, code),
            parameters=kernel.registers(self.graph.dt, self.machine),
            captures=self.plastic.captures(name),
            comment=f"{code.name} {node.origin or name}",
        )

    # -- ports -------------------------------------------------------------------------------

    def _inputs(self) -> dict[str, InputPort]:
        found = {}
        for node in self.graph.nodes():
            if isinstance(node, Input):
                value = self.formats[node.name].value
                assert value is not None
                found[node.name] = InputPort(
                    node.name,
                    self.order.input_phase[node.name],
                    self.value_base[node.name],
                    node.size,
                    value,
                    node.origin,
                )
        return found

    def _output(self, observation: Observation) -> OutputPort:
        name = observation.node
        node, form, code = self.graph[name], self.formats[name], self.codes.get(name)
        worth, entering = 1.0, 1.0
        if isinstance(node, Population):
            worth, entering = node.output_unit, node.kernel.input_gain(self.graph.dt) or 1.0

        def port(memory: str, base: int, slot: int, unit: float, task: str) -> OutputPort:
            phase = 0 if task == "input" else self.order.phase_of(Task(task, name))
            if task == "input":
                phase = self.order.input_phase[name]
            size = node.size if observation.size is None else observation.size
            return OutputPort(
                observation.name,
                memory,
                base,
                size,
                slot,
                unit,
                phase,
                observation.origin,
                observation.start,
            )

        if isinstance(node, Input):
            assert form.value is not None
            return port("value", self.value_base[name], 0, 2.0**-form.value, "input")
        assert form.accumulator is not None
        if observation.what == "input" or isinstance(node, Vector):
            unit = math.ldexp(1 / entering, -form.accumulator)
            return port("accumulator", self.accumulator_base[name], 0, unit, "sum")
        assert code is not None and isinstance(node, Population) and has_map(self.graph, name)
        names = [s.name for s in code.states]
        if observation.what == "output":
            if code.emits == "events":
                assert form.value is not None
                unit = math.ldexp(worth, -form.value)
                return port("event", self.event_base[name], self.event_list[name], unit, "map")
            if code.emit not in code.next_state:
                assert form.value is not None
                unit = math.ldexp(worth, -form.value)
                return port("value", self.value_base[name], 0, unit, "map")
            slot = code.next_state.index(code.emit)
        else:
            slot = names.index(observation.what)
            worth = node.kernel.state_units(self.graph.dt)[observation.what]
        unit = math.ldexp(worth, -form.states[slot])
        return port("state", self.state_base[name], slot, unit, "map")

    def _info(self, name: str) -> PopulationInfo:
        node, form, code = self.graph[name], self.formats[name], self.codes[name]
        assert form.input is not None and form.value is not None
        kernel = node.kernel if isinstance(node, Population) else Relay()
        units = kernel.state_units(self.graph.dt)
        output = node.output_unit if isinstance(node, Population) else 1.0
        return PopulationInfo(
            name=name,
            kernel=code.name,
            size=node.size,
            origin=node.origin,
            input_unit=2.0**-form.input / (kernel.input_gain(self.graph.dt) or 1.0),
            state_units=tuple(
                math.ldexp(units[s.name], -f) for s, f in zip(code.states, form.states, strict=True)
            ),
            output_unit=math.ldexp(output, -form.value),
            members=tuple((m.name, m.start, m.size) for m in node.members)
            if isinstance(node, Population)
            else (),
        )

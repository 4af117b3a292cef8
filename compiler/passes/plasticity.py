"""Plasticity: places of learned matrices, what ``MAP`` captures for rules, and the updates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..errors import GraphError
from ..graph import Edge, Graph, Plasticity, Population
from ..instructions import Upd
from ..kernels.code import KernelCode
from ..kernels.observed import captured_unit
from ..kernels.rule import unit_of
from ..kernels.rule_code import RuleCode, Variable
from ..machine import Machine
from ..program import ProjectionInfo
from .blocks import Block
from .learned import learned_edges
from .quantise import NodeFormat


class Plastic:
    """All learned matrices of a Graph.

    Parameters
    ----------
    graph : Graph
    machine : Machine
    formats : mapping of node name -> NodeFormat
    codes : mapping of node name -> KernelCode

    Attributes
    ----------
    words : int
        Words of the weight memory that are learned.
    post_memories, post_words : int
        As in `Program`.
    rules : dict of str -> RuleCode
    """

    def __init__(
        self,
        graph: Graph,
        machine: Machine,
        formats: Mapping[str, NodeFormat],
        codes: Mapping[str, KernelCode],
    ) -> None:
        self.graph, self.machine, self.formats, self.codes = graph, machine, formats, codes
        self._edges = learned_edges(graph)
        self._base: dict[str, int] = {}
        self.words = 0
        self.rules: dict[str, RuleCode] = {}
        for source, target, _, learned in self._edges:
            self._base[learned.name] = self.words
            self.words += graph[source].size * machine.words(graph[target].size)
            code = self._code(learned)
            if self.rules.setdefault(code.name, code) != code:
                raise GraphError(
                    f"two different learning rules are named {code.name!r}: rename one"
                )
        self._captured = self._post_places()
        ends: dict[int, int] = {}
        for node, states in self._captured.items():
            for memory, base in states.values():
                end = base + machine.words(graph[node].size)
                ends[memory] = max(ends.get(memory, 0), end)
        self.post_memories = max(ends, default=-1) + 1
        self.post_words = max(ends.values(), default=0)

    def _post_places(self) -> dict[str, dict[str, tuple[int, int]]]:
        """Post memory and first word of each captured state, by node.

        A memory is written once for a neuron, and read once for a rule: what one population shows,
        and what one rule sees, lies in different memories.
        """
        rules = [
            [learned.variables[v.name] for v in self._code(learned).post]
            for _, _, _, learned in self._edges
        ]
        wanted = list(dict.fromkeys(place for places in rules for place in places))
        memory_of: dict[tuple[str, str], int] = {}
        used: dict[int, int] = {}
        found: dict[str, dict[str, tuple[int, int]]] = {}
        for place in wanted:
            node, state = place
            near = {other for places in rules if place in places for other in places}
            near |= {other for other in wanted if other[0] == node}
            taken = {memory_of[other] for other in near if other in memory_of}
            memory = next(m for m in range(len(wanted)) if m not in taken)
            memory_of[place] = memory
            found.setdefault(node, {})[state] = memory, used.get(memory, 0)
            words = self.machine.words(self.graph[node].size)
            used[memory] = used.get(memory, 0) + words
        return found

    def _code(self, learned: Plasticity) -> RuleCode:
        return learned.rule.code(self.machine)  # type: ignore[no-any-return]

    # -- the matrices ------------------------------------------------------------------------

    def fraction(self, source: str, target: str) -> int:
        """Fraction bits of the weights of an edge, without residual."""
        value, total = self.formats[source].value, self.formats[target].accumulator
        assert value is not None and total is not None
        return total - value

    def address(self, learned: Plasticity) -> int:
        """First word of a learned matrix."""
        return self._base[learned.name]

    def _full(self, source: str, target: str, edge: Edge) -> tuple[np.ndarray, int]:
        """Full weights, int64 (rows, words, lanes), and how many had to be limited."""
        learned = edge.plasticity
        assert learned is not None
        fraction = self.fraction(source, target) + self.machine.residual_bits
        weight = self._code(learned).weight
        exact = np.rint(np.ldexp(np.asarray(edge.matrix, float), fraction))
        limited = np.clip(exact, weight.lo, weight.hi)
        return self._rows(limited.astype(np.int64)), int(np.count_nonzero(limited != exact))

    def _rows(self, matrix: np.ndarray) -> np.ndarray:
        """(targets, sources) as (sources, words, lanes), padded with zeros."""
        targets, sources = matrix.shape
        words = self.machine.words(targets)
        padded = np.zeros((sources, words * self.machine.lanes), np.int64)
        padded[:, :targets] = matrix.T
        return padded.reshape(sources, words, self.machine.lanes)

    def weights(self) -> tuple[np.ndarray, np.ndarray]:
        """Weight and residual memory of all learned words, int32 (words, lanes) each."""
        lanes = self.machine.lanes
        weight = np.zeros((self.words, lanes), np.int32)
        residual = np.zeros((self.words, lanes), np.int32)
        bits = self.machine.residual_bits
        for source, target, edge, learned in self._edges:
            full, clipped = self._full(source, target, edge)
            self.formats[target].clipped += clipped
            flat = full.reshape(-1, lanes)
            rounded = (flat + (1 << (bits - 1))) >> bits
            place = slice(self.address(learned), self.address(learned) + len(flat))
            weight[place] = rounded
            residual[place] = flat - (rounded << bits)
        return weight, residual

    def block(self, source: str, target: str, edge: Edge) -> Block:
        """The matrix as a block of an ``EVT`` or ``MAC``; its weights are those of `weights`."""
        size = self.graph[target].size
        rows = np.zeros((self.graph[source].size, 0), np.int64)
        return Block(0, 0, rows, self.machine.words(size), size)

    def synapses(self) -> np.ndarray:
        """Initial states of all synapses, int64 (slots, words, lanes)."""
        slots = max((len(code.synapses) for code in self.rules.values()), default=0)
        states = np.zeros((slots, self.words, self.machine.lanes), np.int64)
        for source, target, _, learned in self._edges:
            first = self.address(learned)
            for slot, port in enumerate(self._code(learned).synapses):
                shape = self.graph[target].size, self.graph[source].size
                start = np.broadcast_to(learned.initial.get(port.name, 0.0), shape)
                exact = np.rint(np.ldexp(start, port.fraction or 0))
                rows = self._rows(np.clip(exact, port.lo, port.hi).astype(np.int64))
                flat = rows.reshape(-1, self.machine.lanes)
                states[slot, first : first + len(flat)] = flat
        return states

    # -- instructions ------------------------------------------------------------------------

    def captures(self, name: str) -> tuple[tuple[int, int, int], ...]:
        """What the ``MAP`` of a population captures: (slot, memory, base)."""
        slots = [s.name for s in self.codes[name].states] if name in self.codes else []
        return tuple(
            (slots.index(state), memory, base)
            for state, (memory, base) in self._captured.get(name, {}).items()
        )

    def updates(
        self,
        state_base: Mapping[str, int],
        event_place: Mapping[str, tuple[int, int]],
        table_set: Any,
    ) -> list[Upd]:
        """The ``UPD`` of all learned matrices, in order.

        Parameters
        ----------
        state_base : mapping of node name -> first state address
        event_place : mapping of node name -> (first event address, list)
        table_set : callable
            (rule, code) -> number of its set of tables.
        """
        found = []
        for source, target, _, learned in self._edges:
            code = self._code(learned)
            gates: list[tuple[str, int]] = [(code.gate, -1)]
            if code.gate == "either":
                fired = next(n for n, v in enumerate(code.pre) if v.spike)
                gates = [("pre", -1), ("post", fired)]
            spikes = {v.side: learned.variables[v.name][0] for v in code.variables if v.spike}
            if any(spikes[gate] not in event_place for gate, _ in gates if gate != "always"):
                gates = [("always", -1)]  # spikes that come as values: all synapses are visited
            size = self.graph[target].size
            pre = [self._state(learned, v) for v in code.pre]
            for gate, skip in gates:
                place, number = (0, 0) if gate == "always" else event_place[spikes[gate]]
                found.append(
                    Upd(
                        rule=code.name,
                        projection=learned.name,
                        weights=self.address(learned),
                        rows=self.graph[source].size,
                        words=self.machine.words(size),
                        length=size,
                        gate=gate,
                        source=place,
                        list=number,
                        skip=skip,
                        pre=state_base[pre[0][0]] if pre else 0,
                        pre_slots=tuple(slot for _, slot in pre),
                        post=tuple(self._post(learned, v) for v in code.post),
                        table_set=table_set(learned.rule, code),
                        parameters=learned.rule.registers(
                            self.graph.dt, self.machine, self._units(source, target, learned)
                        ),
                        comment=f"{code.name} {learned.origin or learned.name}",
                    )
                )
        return found

    def _state(self, learned: Plasticity, variable: Variable) -> tuple[str, int]:
        node, state = learned.variables[variable.name]
        return node, [s.name for s in self.codes[node].states].index(state)

    def _post(self, learned: Plasticity, variable: Variable) -> tuple[int, int]:
        node, state = learned.variables[variable.name]
        return self._captured[node][state]

    def _units(self, source: str, target: str, learned: Plasticity) -> dict[str, float]:
        """What 1 of the normal form of each free signal is worth in the user's unit."""
        normal = self.machine.weight_bits - 1 - self.fraction(source, target)
        units = {"weight": 2.0**normal / learned.unit, **learned.units}
        for variable in self._code(learned).variables:
            node_name, slot = self._state(learned, variable)
            node = self.graph[node_name]
            if variable.free and isinstance(node, Population) and node.kernel.homogeneous:
                units[variable.name] = captured_unit(
                    self.formats[node_name].states[slot], self.machine
                )
            shared = unit_of(type(learned.rule), variable.name) if variable.free else None
            if shared is not None and units[shared] != units[variable.name]:
                raise GraphError(
                    f"{learned.name!r}: {variable.name} and {shared} come with different units"
                )
        return units

    def projections(self) -> dict[str, ProjectionInfo]:
        """Place and units of each learned matrix."""
        found = {}
        for source, target, _, learned in self._edges:
            code = self._code(learned)
            fraction = self.fraction(source, target) + self.machine.residual_bits
            size = self.graph[target].size
            found[learned.name] = ProjectionInfo(
                name=learned.name,
                rule=code.name,
                weights=self.address(learned),
                rows=self.graph[source].size,
                words=self.machine.words(size),
                length=size,
                unit=2.0**-fraction / learned.unit,
                synapse_units=tuple(2.0 ** -(s.fraction or 0) for s in code.synapses),
                origin=learned.origin,
            )
        return found

"""A Program on an engine, spoken to in floats and in the names of the Graph."""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Callable, Iterable, KeysView, Mapping
from itertools import pairwise
from typing import Any, Protocol

import numpy as np

from ..compiler.compile import widened, with_weight_limits
from ..compiler.errors import InputError
from ..compiler.graph import Graph, Population, Vector
from ..compiler.instructions import Map
from ..compiler.kernels.observed import CAPTURES
from ..compiler.passes.learned import learned_edges
from ..compiler.program import Program
from ..compiler.projections import (
    LEARNED,
    full_weights,
    put_synapse_states,
    put_weights,
    synapse_states,
    with_learned,
)
from ..sim.engine import Engine
from ..sim.held import Held, together

logger = logging.getLogger(__name__)

STEPS_BETWEEN_LOOKS = 100
"""So often it is looked whether learned weights near the end of their range."""

WIDER = 4.0
"""What leaves its expected range gets one so many times as large."""

FEWEST_STEPS_HELD = 8
"""Inputs that change less often than once in so many steps are written when they change."""


class Chip(Protocol):
    """What the host sees of the chip: vectors of floats by name, phases, steps."""

    phases: int

    def input_phase(self, name: str) -> int:
        """The phase before which an input must be written."""

    def output_phase(self, name: str) -> int:
        """The phase after which an observation can be read."""

    def write(self, name: str, values: np.ndarray) -> None:
        """Write an input, (size,) float64."""

    def step(self, phase: int) -> None:
        """Run one phase."""

    def read(self, name: str) -> np.ndarray:
        """Read an observation, (size,) float64."""

    def run(
        self, steps: int, inputs: Mapping[str, Held], record: Iterable[str]
    ) -> dict[str, np.ndarray]:
        """Run whole steps with recorded inputs; returns (steps, size) of each output."""

    def reset(self) -> None:
        """Go back to the initial state."""

    def saturations(self) -> dict[str, int]:
        """How often each population was limited by its format since the last reset."""

    def learned(self, projection: str, state: str = "") -> np.ndarray:
        """Learned weights, or a state of the synapses, (targets, sources) float64."""

    def learning(self, on: bool) -> None:
        """Let the chip's rules learn from now on, or not."""

    def snapshot(self) -> Any:
        """The state between two steps, to be pickled."""

    def restore(self, snapshot: Any) -> None:
        """Go on from a `snapshot` of a chip with the same Graph."""


class ProgramChip:
    """`Chip` that lowers a Graph, and lowers it again when an input leaves its range.

    Parameters
    ----------
    graph : Graph
        Inputs without a limit get the assumed one.
    compile : callable
        ``compile(graph)`` gives a Program.
    make_engine : callable
        ``make_engine(program)`` gives an engine with the Program loaded.
    """

    def __init__(
        self,
        graph: Graph,
        compile: Callable[[Graph], Program],
        make_engine: Callable[[Program], Engine],
    ) -> None:
        self.graph = graph
        self._compile = compile
        self._make_engine = make_engine
        self._counted: Counter[str] = Counter()
        self._step_start: dict[str, np.ndarray] | None = None
        self._next_phase = 0
        self._learns = True
        self._unchecked = 0
        self._load(compile(graph))

    def _load(self, program: Program) -> None:
        self.program = program
        self.engine = self._make_engine(program)
        self.phases = len(program.phases)
        largest = (1 << (program.machine.value_bits - 1)) - 1
        self._limit = {n: largest * 2.0**-p.fraction for n, p in program.inputs.items()}
        self._scale = {n: 2.0**p.fraction for n, p in program.inputs.items()}
        self._unit = {n: p.unit for n, p in program.outputs.items()}
        self.engine.learning(self._learns)
        self._late = any(p.phase > 0 for p in program.inputs.values())
        self._may_need_room = bool(program.projections) and (
            any(self._is_free(p.rule) for p in program.projections.values())
            or any(
                isinstance(n, Population) and isinstance(n.kernel, CAPTURES)
                for n in self.graph.nodes()
            )
        )
        self._written: dict[str, np.ndarray] = {}
        self._values: dict[str, np.ndarray] = {}

    def input_phase(self, name: str) -> int:
        """The phase before which an input must be written."""
        return self.program.inputs[name].phase

    def output_phase(self, name: str) -> int:
        """The phase after which an observation can be read."""
        return self.program.outputs[name].phase

    def _check(self, name: str, values: np.ndarray) -> float:
        largest = float(np.max(np.abs(values), initial=0.0))
        if not math.isfinite(largest):
            raise InputError(
                f"{self.graph[name].origin}: the chip is given a value that is not finite; "
                "check what the node or process returns"
            )
        return largest

    def _integers(self, name: str, values: np.ndarray) -> np.ndarray:
        return np.rint(values * self._scale[name]).astype(np.int64)

    def write(self, name: str, values: np.ndarray) -> None:
        """Write an input; if it does not fit its format, the Graph is lowered anew for it.

        Raises
        ------
        InputError
            A value is not finite.
        """
        largest = self._check(name, values)
        if largest > self._limit[name]:
            self._widen({name: largest})
        self._values[name] = values
        self._hold(name, self._integers(name, values))

    def _hold(self, name: str, integers: np.ndarray) -> None:
        """Write an input, if the engine does not hold the values already."""
        held = self._written.get(name)
        if held is None or not np.array_equal(held, integers):
            self.engine.write(name, integers)
            self._written[name] = integers

    def step(self, phase: int) -> None:
        """Run one phase."""
        if phase == 0 and self._late:
            self._step_start = self._memories()
        self.engine.step(phase)
        self._next_phase = (phase + 1) % self.phases
        if self._next_phase == 0 and self._may_need_room:
            self._give_learning_room(None)

    def read(self, name: str) -> np.ndarray:
        """Read an observation, (size,) float64."""
        return self.engine.read(name) * self._unit[name]

    def run(
        self, steps: int, inputs: Mapping[str, Held], record: Iterable[str]
    ) -> dict[str, np.ndarray]:
        """Run whole steps; inputs that seldom change are written only when they do."""
        largest = {name: self._check(name, held.rows) for name, held in inputs.items()}
        needed = {name: value for name, value in largest.items() if value > self._limit[name]}
        if needed:
            self._widen(needed)
        record = list(record)
        while True:
            start = self._memories() if self._may_need_room else None
            units = self._unit
            found = self._run_block(steps, inputs, record)
            self._values.update({name: held.rows[-1] for name, held in inputs.items()})
            if start is None or not self._give_learning_room(start):
                return {name: values * units[name] for name, values in found.items()}

    def _run_block(
        self, steps: int, inputs: Mapping[str, Held], record: list[str]
    ) -> dict[str, np.ndarray]:
        seldom, begins = _seldom_changing(inputs, steps)
        often = {
            name: self._integers(name, held.dense)
            for name, held in inputs.items()
            if name not in seldom
        }
        held = {name: self._integers(name, rows) for name, rows in seldom.items()}
        found = {}
        if len(begins) > 1:
            outputs = self.program.outputs
            found = {name: np.empty((steps, outputs[name].size), np.int64) for name in record}
        for number, (first, end) in enumerate(pairwise([*begins.tolist(), steps])):
            for name, rows in held.items():
                self._hold(name, rows[number])
            inputs_now = {name: values[first:end] for name, values in often.items()}
            part = self.engine.run(end - first, inputs_now, record)
            if not found:
                found = part
            else:
                for name, block in part.items():
                    found[name][first:end] = block
        self._written.update({name: values[-1] for name, values in often.items()})
        return found

    def reset(self) -> None:
        """Go back to the Program's initial memories."""
        self.engine.reset()
        self._counted.clear()
        self._written, self._values = {}, {}
        self._next_phase = 0

    def saturations(self) -> dict[str, int]:
        """How often each population was limited by its format since the last reset."""
        return dict(self._counted + Counter(self.engine.saturations()))

    def snapshot(self) -> tuple[Program, dict[str, np.ndarray]]:
        """The state between two steps, to be pickled."""
        return self.program, self._memories()

    def restore(self, snapshot: tuple[Program, dict[str, np.ndarray]]) -> None:
        """Go on from a `snapshot` of a chip with the same Graph."""
        self.reset()
        self._adopt(*snapshot)

    # -- learning ----------------------------------------------------------------------------

    def learned(self, projection: str, state: str = "") -> np.ndarray:
        """Learned weights, or a state of the synapses, (targets, sources) float64."""
        info = self.program.projections[projection]
        memory = self.engine.memory
        if not state:
            full = full_weights(self.program, projection, memory("weight"), memory("residual"))
            return full * info.unit
        slot = [s.name for s in self.program.rules[info.rule].synapses].index(state)
        states = synapse_states(self.program, projection, slot, memory("synapse"))
        return states * info.synapse_units[slot]

    def learning(self, on: bool) -> None:
        """Let the chip's rules learn from now on, or not."""
        self._learns = on
        self.engine.learning(on)

    def learned_program(self) -> Program:
        """The Program with the weights and synapse states of now as its initial ones."""
        return with_learned(self.program, {n: self.engine.memory(n) for n in LEARNED})

    def _give_learning_room(self, start: dict[str, np.ndarray] | None) -> bool:
        """Lower the Graph anew for what nears the end of its range.

        That is for weights beyond half of their range, and for signals that rules look at, once
        they have been limited.

        Parameters
        ----------
        start : dict of memory name -> ndarray, or None
            Memories in front of the last steps. If a signal was limited in these, they are put
            back, for the steps to be done again.

        Returns
        -------
        bool
            Whether the last steps have to be done again.
        """
        limited = self.engine.saturations().keys()
        signals = self._limited_captures(limited)
        weights = {}
        self._unchecked += 1
        if start is not None or self._unchecked >= STEPS_BETWEEN_LOOKS:
            self._unchecked = 0
            weights = self._tight_weights()
        sums = self._limited_sums(limited)
        again = bool(signals or sums) and start is not None
        weights = {**sums, **weights}
        if not signals and not weights:
            return False
        for name, limit in {**signals, **weights}.items():
            logger.warning("%s: beyond its expected range, compiled again for %.4g", name, limit)
        graph = with_weight_limits(widened(self.graph, signals), weights)
        self._adapt(graph, start if again else None)
        return again

    def _limited_captures(self, limited: KeysView[str]) -> dict[str, float]:
        """New limits of the captured signals that were limited since the Program was loaded."""
        found = {}
        for name in limited:
            node = self.graph[name] if name in self.graph.nx else None
            if isinstance(node, Population) and isinstance(node.kernel, CAPTURES):
                found[name] = WIDER * (node.limit or 1.0)
        return found

    def _limited_sums(self, limited: KeysView[str]) -> dict[str, float]:
        """New limits of the weights of projections whose sum was limited since the loading."""
        found = {}
        for _, target, _, learned in learned_edges(self.graph) if limited else ():
            behind = {target}
            if isinstance(self.graph[target], Vector):
                behind |= {name for name, _, _ in self.graph.edges_from(target)}
            behind = {name for name in behind & limited if self._is_scaled(name)}
            if behind and self._is_free(self.program.projections[learned.name].rule):
                found[learned.name] = WIDER * learned.limit
        return found

    def _tight_weights(self) -> dict[str, float]:
        """New limits of the projections whose weights are beyond half of their range."""
        weight = self.engine.memory("weight")
        largest = 1 << (self.program.machine.weight_bits - 1)
        found = {}
        for name, p in self.program.projections.items():
            reach = np.abs(weight[p.weights : p.weights + p.rows * p.words]).max(initial=0)
            if self._is_free(p.rule) and reach > largest // 2:
                found[name] = WIDER * largest * p.unit * 2.0**self.program.machine.residual_bits
        return found

    def _is_scaled(self, name: str) -> bool:
        """Whether a node's format follows from its limit; others are limited by their kernel."""
        node = self.graph[name]
        return not isinstance(node, Population) or bool(node.kernel.homogeneous)

    def _is_free(self, rule: str) -> bool:
        return self.program.rules[rule].weight.fraction is None

    # -- carrying a running state over to other formats --------------------------------------

    def _widen(self, needed: dict[str, float]) -> None:
        """Lower the Graph for inputs as large as `needed`, and go on from where the engine is."""
        limits = {}
        for name, value in needed.items():
            limit = self._limit[name]
            while limit < 2 * value:
                limit *= 2
            limits[name] = limit
            logger.warning(
                "%s reached %.4g, outside its assumed range of %.4g: compiled again for %.4g; "
                "give its range with ranges={...} to avoid this",
                self.graph[name].origin,
                value,
                self._limit[name],
                limit,
            )
        self._adapt(widened(self.graph, limits))

    def _adapt(self, graph: Graph, memories: dict[str, np.ndarray] | None = None) -> None:
        """Go on from where the engine is, or was, with another version of the Graph."""
        self.graph = graph
        old, values = self.program, self._values
        if memories is None:
            memories = self._step_start if self._next_phase else self._memories()
            self._counted.update(self.engine.saturations())
        assert memories is not None
        self._load(self._compile(self.graph))
        self._adopt(old, memories)
        for name, held in values.items():
            self.write(name, held)
        for phase in range(self._next_phase):
            self.engine.step(phase)

    def _memories(self) -> dict[str, np.ndarray]:
        """What lasts from step to step: copies of some memories."""
        names = ("value", "state", *(LEARNED if self.program.projections else ()))
        return {name: self.engine.memory(name) for name in names}

    def _adopt(self, program: Program, memories: dict[str, np.ndarray]) -> None:
        """Take over the states and values of `program`, another one of the same Graph."""
        value, state = self.engine.memory("value"), self.engine.memory("state")
        theirs = _places(program)
        largest = (1 << (self.program.machine.value_bits - 1)) - 1
        for name, (own, first, size) in _places(self.program).items():
            other, other_first, _ = theirs[name]
            now, was = (
                p.populations[i.population] for p, i in ((self.program, own), (program, other))
            )
            to, source = own.state + first, other.state + other_first
            for slot, port in enumerate(self.program.kernels[own.kernel].states):
                state[slot, to : to + size] = _rescaled(
                    memories["state"][slot, source : source + size],
                    was.state_units[slot] / now.state_units[slot],
                    port.lo,
                    port.hi,
                )
            if own.list < 0:
                to, source = own.target + first, other.target + other_first
                value[to : to + size] = _rescaled(
                    memories["value"][source : source + size],
                    was.output_unit / now.output_unit,
                    -largest - 1,
                    largest,
                )
        self.engine.load_memory("value", value)
        self.engine.load_memory("state", state)
        if self.program.projections:
            self._adopt_weights(program, memories)

    def _adopt_weights(self, program: Program, memories: dict[str, np.ndarray]) -> None:
        """Take over what `program`, another one of the same Graph, has learned."""
        mine = {name: self.engine.memory(name) for name in LEARNED}
        for name, now in self.program.projections.items():
            was = program.projections[name]
            full = full_weights(program, name, memories["weight"], memories["residual"])
            full = np.rint(full * (was.unit / now.unit)).astype(np.int64)
            put_weights(self.program, name, full, mine["weight"], mine["residual"])
            for slot in range(len(now.synapse_units)):
                states = synapse_states(program, name, slot, memories["synapse"])
                put_synapse_states(self.program, name, slot, states, mine["synapse"])
        for name, content in mine.items():
            self.engine.load_memory(name, content)


def _seldom_changing(
    inputs: Mapping[str, Held], steps: int
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """The inputs that are worth being written when they change.

    Returns
    -------
    dict of name -> (n, size) float64 ndarray
        What each shows from one of the next on.
    (n,) int64 ndarray
        The steps at which one of them changes.
    """
    names: list[str] = []
    begins = np.zeros(1, np.int64)
    for name, held in sorted(inputs.items(), key=lambda item: len(item[1].first)):
        both = together(begins, held.first)
        if len(both) > 1 and len(both) * FEWEST_STEPS_HELD > steps:
            break
        names.append(name)
        begins = both
    return {name: inputs[name].on(begins) for name in names}, begins


def _rescaled(integers: np.ndarray, ratio: float, lo: int, hi: int) -> np.ndarray:
    return np.clip(np.rint(integers * ratio), lo, hi).astype(np.int64)


def _places(program: Program) -> dict[str, tuple[Map, int, int]]:
    """Where each of the user's populations lies: the ``MAP`` that runs it, first element, size."""
    found = {}
    for instruction in program.instructions:
        if isinstance(instruction, Map):
            name = instruction.population
            members = program.populations[name].members or ((name, 0, instruction.length),)
            found.update({n: (instruction, first, size) for n, first, size in members})
    return found

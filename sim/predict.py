"""Golden's prediction of every memory write that the hardware makes, clock cycle by clock cycle.

An instruction writes each address once at most. So what it writes is what stands in the memories
after it, and when it writes is what `compiler.timing` says.
"""

from __future__ import annotations

import numpy as np

from ..compiler.instructions import Evt, Instruction, Mac, Map
from ..compiler.program import Program
from ..compiler.timing import PhaseClock, accumulate_writes, issued_rows
from .check import check_phase
from .golden import GoldenEngine
from .trace import Trace, Writes


class PredictingEngine(GoldenEngine):
    """Golden, which also says in which cycle the hardware makes each write.

    Parameters
    ----------
    program : Program
    """

    def __init__(self, program: Program) -> None:
        super().__init__(program)
        self._clock = PhaseClock(program.machine, program.kernels)
        self._slots = max((len(code.states) for code in program.kernels.values()), default=0)
        self.trace()

    def trace(self) -> None:
        """Start a new trace."""
        names = ["accumulator", "value", "event", "count"]
        names += [f"state{k}" for k in range(self._slots)]
        self._writes: dict[str, list[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]]
        self._writes = {name: [] for name in names}
        self._cycles: list[int] = []

    def step(self, phase: int | None = None) -> None:
        """Run one phase of a step, or all of them."""
        for number in range(len(self.program.phases)) if phase is None else [phase]:
            self._clock.restart()
            for instruction in check_phase(self.program, number):
                self._predict(instruction)
            self._cycles.append(self._clock.finish())

    def _predict(self, i: Instruction) -> None:
        count = int(self._count[i.list]) if isinstance(i, Evt) else 0
        handover = self._clock.hand_over(i, count)
        self._execute(i)
        if isinstance(i, Map):
            self._predict_map(i, handover)
        elif isinstance(i, Mac | Evt):
            cycles = accumulate_writes(
                self.program.machine, handover, issued_rows(i, count), i.words
            )
            words = i.target + np.arange(len(cycles))
            self._add("accumulator", cycles, words, self._accumulator[words])

    def _predict_map(self, i: Map, handover: int) -> None:
        timing = self._clock.map_timing(i.kernel)
        cycles = timing.state_writes(handover, i.length)
        neurons = i.state + np.arange(i.length)
        for slot in range(len(self.program.kernels[i.kernel].states)):
            self._add(f"state{slot}", cycles, neurons, self._state[slot, neurons, None])
        outputs = timing.output_writes(handover, i.length)
        if timing.events:
            count = self._count[i.list : i.list + 1]
            places = i.target + np.arange(count[0])
            events = self._event[places]
            self._add("event", outputs[events[:, 0]], places, events)
            last = np.array([timing.count_write(handover, i.length)])
            self._add("count", last, np.array([i.list]), count[:, None])
        else:
            places = i.target + np.arange(i.length)
            self._add("value", outputs, places, self._value[places, None])

    def _add(
        self, memory: str, cycles: np.ndarray, addresses: np.ndarray, data: np.ndarray
    ) -> None:
        if len(cycles):
            run = np.full(len(cycles), len(self._cycles), np.int64)
            self._writes[memory].append((run, cycles, addresses, data.copy()))

    def take_trace(self) -> Trace:
        """All writes since the trace began or was last taken."""
        lanes = self.program.machine.lanes
        columns = {"accumulator": lanes, "event": 2}
        writes = {}
        for name, pieces in self._writes.items():
            empty = np.zeros(0, np.int64)
            nothing = (empty, empty, empty, np.zeros((0, columns.get(name, 1)), np.int64))
            parts = zip(*(pieces or [nothing]), strict=True)
            run, cycle, address, data = (np.concatenate(part) for part in parts)
            # Instructions overlap, so that the writes of one may come between those of another.
            order = np.lexsort((cycle, run))
            writes[name] = Writes(run[order], cycle[order], address[order], data[order])
        cycles = np.array(self._cycles, np.int64)
        self.trace()
        return Trace(writes, cycles)

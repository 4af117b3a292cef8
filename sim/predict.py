"""Golden's prediction of every memory write that the hardware makes, clock cycle by clock cycle.

An instruction writes each address once at most; only a ``CNV`` adds to a word again and again. So
what it writes is what stands in the memories after it, and when it writes is what `compiler.timing`
says.
"""

from __future__ import annotations

import numpy as np

from ..compiler.clock import PhaseClock, issued_rows
from ..compiler.instructions import Cnv, Evt, Instruction, Mac, Map, Upd
from ..compiler.program import Program
from ..compiler.timing import accumulate_writes
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
        self._clock = PhaseClock(program.machine, program.kernels, program.rules)
        self._slots = max((len(code.states) for code in program.kernels.values()), default=0)
        self.trace()

    def trace(self) -> None:
        """Start a new trace."""
        names = ["accumulator", "value", "event", "count"]
        names += [f"state{k}" for k in range(self._slots)]
        if self.program.rules:
            names += ["weight", "residual"]
            slots = max(len(code.synapses) for code in self.program.rules.values())
            names += [f"synapse{k}" for k in range(slots)]
        names += [f"post{r}" for r in range(self.program.post_memories)]
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
        if isinstance(i, Upd):
            self._predict_update(i)
            return
        if isinstance(i, Cnv):
            self._predict_convolution(i)
            return
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
        timing = self._clock.map_timing(i.kernel, bool(i.captures))
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

        for _, memory, base in i.captures:
            cycles = timing.capture_writes(handover, i.length)
            words = base + np.arange(len(cycles))
            self._add(f"post{memory}", cycles, words, self._post[memory, words])

    def _predict_convolution(self, i: Cnv) -> None:
        if i.list < 0:
            values = self._value[i.source : i.source + i.rows]
            fired = np.flatnonzero(values)
            values = values[fired]
        else:
            fired, values = self._event[i.source : i.source + self._count[i.list]].T
        handover = self._clock.hand_over(i, len(fired), fired)
        stencil = self.program.stencil[i.stencil : i.stencil + i.stencil_words]
        entries = stencil.reshape(i.slots, i.positions, 2)[:, fired >> i.shift].swapaxes(0, 1)
        there = entries[..., 0] >= 0  # (count, slots), in the order of time
        cycles = self._clock.convolution.writes(i, handover, fired)[there]
        words = i.target + entries[..., 0][there]
        rows = i.weights + (entries[..., 1] + (fired % (1 << i.shift))[:, None])[there]
        added = self._weight[rows] * np.repeat(values, there.sum(axis=1))[:, None]
        before = self._accumulator.copy()
        self._execute(i)
        # Each word's sums one after the other: what stood there, and what was added until then.
        order = np.argsort(words, kind="stable")
        total = np.cumsum(added[order], axis=0)
        first = np.searchsorted(words[order], words[order])
        sums = np.empty_like(added)
        sums[order] = before[words[order]] + total - total[first] + added[order][first]
        self._add("accumulator", cycles, words, sums)

    def _predict_update(self, i: Upd) -> None:
        fired = self._event[i.source : i.source + self._count[i.list], 0]
        self._clock.learning = self._learning
        self._clock.hand_over(i, len(fired), fired)
        if not self._learning:
            return
        timing, code = self._clock.update_timing(i.rule), self.program.rules[i.rule]
        updates = timing.updates(i, int(self._clock.begins), fired)
        rows, words, cycles = updates.rows, updates.words, updates.cycles
        if i.skip >= 0:
            kept = self._state[i.pre_slots[i.skip], i.pre + rows] == 0
            rows, words, cycles = rows[kept], words[kept], cycles[kept]
        self._execute(i)
        lanes = self.program.machine.lanes
        inside = words[:, None] * lanes + np.arange(lanes) < i.length
        # The program has row after row, the hardware word after word.
        place, address = i.weights + rows * i.words + words, i.weights + words * i.rows + rows
        memories = {"weight": self._weight, "residual": self._residual}
        memories |= {f"synapse{k}": self._synapse[k] for k in range(len(code.synapses))}
        for name, memory in memories.items():
            self._add(name, cycles, address, np.where(inside, memory[place], 0))

    def _add(
        self, memory: str, cycles: np.ndarray, addresses: np.ndarray, data: np.ndarray
    ) -> None:
        if len(cycles):
            run = np.full(len(cycles), len(self._cycles), np.int64)
            self._writes[memory].append((run, cycles, addresses, data.copy()))

    def take_trace(self) -> Trace:
        """All writes since the trace began or was last taken."""
        lanes = self.program.machine.lanes
        columns = {"accumulator": lanes, "event": 2, "weight": lanes, "residual": lanes}
        for name in self._writes:
            if name.startswith(("synapse", "post")):
                columns[name] = lanes
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

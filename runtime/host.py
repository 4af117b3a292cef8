"""The host's part of each step, interleaved with the chip's phases.

Two ways lead to the same numbers. *Lockstep* does one step after the other, each action as soon as
what it needs is there. *Ahead* is possible where nothing that the chip reads depends on what it
writes: then the host's part in front of the chip is run for a block of steps, the chip runs them
in one call, and the host's part behind it follows.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

import numpy as np
from nengo.builder.operator import Operator, TimeUpdate

from ..compiler.frontends.nengo import Action, Conversion, Receive, Run, Send
from ..sim.held import Held
from .blocks import Block, Blocks, Front, at_once, by_themselves, due, is_function, some
from .chip import Chip

Step = Callable[[], None]

BLOCK, LONG_BLOCK = 1000, 8000
"""Steps run ahead at most, and where only few numbers go to and from the chip in each."""

LONG_BLOCK_ELEMENTS = 1 << 18
"""Elements that the records of a long block may have together: they stay in a processor's cache."""

BLOCK_ELEMENTS = 1 << 24
"""Largest number of elements that a block's records may have together."""


SECONDS_BETWEEN_REPORTS = 0.05
"""So often the progress of single steps is told."""


def as_in_nengo() -> AbstractContextManager[Any]:
    """What Nengo's operators run under: invalid operations raise, divisions by zero do not."""
    return np.errstate(invalid="raise", divide="ignore")


class Host:
    """Runs a `HostPlan` together with a chip.

    Parameters
    ----------
    conversion : Conversion
    chip : Chip or None
        None if the network has no part on the chip.
    signals : nengo SignalDict
        The host's signals.
    steps : dict of Operator -> callable
        What the operators' ``make_step`` returned.
    record : callable
        Called after each step of the lockstep way, to store the probes' samples.
    record_block : callable
        ``record_block(first, found)`` stores the samples of a block of steps, numbered from
        `first` on; `found` maps base signals to their values, each a `Held` of float64.
    next_look : callable
        ``next_look(step)``: in how many steps from number `step` on a probe samples what the chip
        learns; 0 if in this one.
    """

    def __init__(
        self,
        conversion: Conversion,
        chip: Chip | None,
        signals: Any,
        steps: dict[Operator, Step],
        record: Step,
        record_block: Callable[[int, dict[Any, Held]], None],
        next_look: Callable[[int], int] = lambda step: BLOCK,
    ) -> None:
        self.conversion = conversion
        self.plan = conversion.plan
        self.signals = signals
        self.steps = steps
        self._record = record
        self._record_block = record_block
        self._next_look = next_look
        placement = conversion.placement
        self._blocks = Blocks(placement, signals)
        self._sends, self._receives = self.plan.sends, self.plan.receives
        self._looks = {b: n for b, n in self.plan.learned.items() if b in placement.probed}
        self._clock = [op for op in conversion.order if isinstance(op, TimeUpdate)]
        self._static = self._find_static()
        self._flat: dict[Any, np.ndarray] = {}
        for action in self.plan.actions:
            if not isinstance(action, Run) and action.signal not in self._flat:
                self._flat[action.signal] = signals[action.signal].reshape(-1)
        exchanges: list[Send | Receive] = [*self._sends, *self._receives]
        self._elements = {a: some(a.elements, a.signal.size) for a in exchanges}
        self._split()
        self._ready: Front | None = None
        self.chip = chip
        self._lockstep = self._connect(chip)

    # -- lockstep ----------------------------------------------------------------------------

    def _connect(self, chip: Chip | None) -> list[Step]:
        """All that a step consists of, in order, for the lockstep way."""
        phases = chip.phases if chip is not None else 0
        level: dict[Action, int] = {}
        stages: list[list[Step]] = [[] for _ in range(phases + 1)]
        last: list[Step] = []
        for action in self.plan.actions:
            stage = max((level[a] for a in self.plan.before[action]), default=0)
            if isinstance(action, Run):
                stages[stage].append(self.steps[action.operator])
            else:
                assert chip is not None
                if isinstance(action, Send):
                    stage = chip.input_phase(action.name)
                    stages[stage].append(self._sender(chip, action))
                elif action.at_end:
                    last.append(self._receiver(chip, action))
                else:
                    ready = max(chip.output_phase(name) for name in action.names)
                    stage = max(stage, ready + 1)
                    stages[stage].append(self._receiver(chip, action))
            level[action] = stage
        found: list[Step] = []
        for phase, functions in enumerate(stages):
            found += functions
            if chip is not None and phase < phases:
                found.append(partial(chip.step, phase))
        return found + last

    def _sender(self, chip: Chip, action: Send) -> Step:
        flat, elements, offset = self._flat[action.signal], action.elements, action.offset
        write, name = chip.write, action.name
        if offset is None:
            return lambda: write(name, flat[elements])
        return lambda: write(name, flat[elements] - offset)

    def _receiver(self, chip: Chip, action: Receive) -> Step:
        flat, elements = self._flat[action.signal], action.elements
        read, names = chip.read, action.names
        if action.adds:

            def add() -> None:
                flat[elements] += sum(read(name) for name in names)

            return add
        if len(names) > 1:

            def total() -> None:
                flat[elements] = sum(read(name) for name in names)

            return total
        name = names[0]

        def receive() -> None:
            flat[elements] = read(name)

        return receive

    def step(self) -> None:
        """One step."""
        self.run(1, lambda done: None)

    def _run_lockstep(self, steps: int, progress: Callable[[int], None]) -> None:
        functions, record, looks = self._lockstep, self._record, bool(self._looks)
        told, began = 0, time.perf_counter()
        with as_in_nengo():
            for done in range(1, steps + 1):
                if looks:
                    self._look(self._step_number() + 1)
                for function in functions:
                    function()
                record()
                if time.perf_counter() - began > SECONDS_BETWEEN_REPORTS:
                    progress(done - told)
                    told, began = done, time.perf_counter()
        progress(steps - told)

    # -- learning ----------------------------------------------------------------------------

    def _look(self, step: int) -> int:
        """Read what the chip has learned, if step number `step` is sampled; steps to the next."""
        ahead = self._next_look(step)
        if ahead:
            return ahead
        assert self.chip is not None
        for base, (projection, state) in self._looks.items():
            self.signals[base][...] = self.chip.learned(projection, state)
        return 1 + self._next_look(step + 1)

    def _step_number(self) -> int:
        """Steps done so far."""
        return int(self.signals[self.conversion.placement.model.step].item())

    # -- ahead -------------------------------------------------------------------------------

    def _find_static(self) -> list[Operator]:
        """Host operators that leave the same constants in each step, in their order."""
        placement = self.conversion.placement
        return [
            op
            for run in self.plan.runs
            for op in [run.operator]
            if op.sets + op.incs
            and all(
                not placement.varying(s.base) and not placement.updaters[s.base]
                for s in op.sets + op.incs
            )
        ]

    def _split(self) -> None:
        """Divide the host's operators into those in front of the chip and those behind it."""
        placement = self.conversion.placement
        runs = {run.operator for run in self.plan.runs} - {*self._static, *self._clock}
        received = {a.signal for a in self._receives}
        front: set[Operator] = set()
        self.can_run_ahead = bool(self._sends or self._receives)
        todo = [a.signal for a in self._sends]
        seen = set(todo)
        while todo:
            base = todo.pop()
            for op in placement.writers[base] + placement.updaters[base]:
                if op in runs and op not in front:
                    front.add(op)
                    for read in op.reads + op.incs + op.updates:
                        if read.base not in seen:
                            seen.add(read.base)
                            todo.append(read.base)
        # A sum that is sent and received, too, is set anew in each step: no reason to wait.
        if {s.base for op in front for s in op.reads} & received:
            self.can_run_ahead = False
        behind = runs - front
        written_in_front = {s.base for op in front for s in op.sets + op.incs + op.updates}
        written_behind = {s.base for op in behind for s in op.sets + op.incs + op.updates}
        if written_in_front & written_behind:
            self.can_run_ahead = False
        if any(map(is_function, front)) and any(map(is_function, behind)):
            self.can_run_ahead = False
        order = [run.operator for run in self.plan.runs]
        self._front = [op for op in order if op in front]
        self._behind = [
            a
            for a in self.plan.actions
            if isinstance(a, Receive) or (isinstance(a, Run) and a.operator in behind)
        ]
        self._behind_at_once = all(at_once(placement, op) for op in behind)
        together = by_themselves(placement, self._front)
        self._front_together = [op for op in self._front if op in together]
        self._front_singly = [op for op in self._front if op not in together]
        self._written_singly = {
            s.base for op in self._front_singly for s in op.sets + op.incs + op.updates
        }
        wanted = {s.base for op in behind for s in op.reads} | placement.probed
        self._bridge = [base for base in dict.fromkeys(written_in_front) if base in wanted]
        self._updated = {s.base for op in front for s in op.updates}
        per_step = sum(len(a.elements) for a in self._sends + self._receives)
        per_step += sum(base.size for base in self._bridge)
        per_step = max(per_step, 1)
        longest = BLOCK
        if not placement.learned:  # it is between blocks that learned weights are given room
            longest = max(BLOCK, min(LONG_BLOCK, LONG_BLOCK_ELEMENTS // per_step))
        self._block = max(1, min(longest, BLOCK_ELEMENTS // per_step))

    def run(self, steps: int, progress: Callable[[int], None]) -> None:
        """Run steps; `progress` is called with the number of steps done since its last call."""
        for _ in self.parts(steps, progress):
            pass

    def parts(self, steps: int, progress: Callable[[int], None]) -> Iterator[int]:
        """Run steps as `run` does, but only on to the next part each time; yield steps done."""
        if not self.can_run_ahead or (steps < 2 and self._ready is None):
            while steps:
                done = min(steps, BLOCK)
                self._run_lockstep(done, progress)
                steps -= done
                yield done
            return
        while steps:
            done = self._run_block(min(steps, self._block))
            progress(done)
            steps -= done
            yield done

    def _set_clock(self, step: int) -> None:
        """Show step number `step` on the clock."""
        self._turn_clock_back(step)
        for op in self._clock:
            self.steps[op]()

    def _turn_clock_back(self, step: int) -> None:
        """Let the clock's next tick be step number `step`."""
        for op in self._clock:
            self.signals[op.step][...] = step - 1

    def _run_block(self, steps: int) -> int:
        """Run at most so many steps, all the way; return how many."""
        first = self._step_number() + 1
        if self._looks:
            steps = min(steps, self._look(first))
        start = {base: self.signals[base].reshape(-1).copy() for base in self._bridge}
        if self._ready is None:
            self._ready = self._run_front(first, steps)
        front, self._ready = self._ready.cut(steps)
        if front.steps:
            assert self.chip is not None
            record = dict.fromkeys(name for a in self._receives for name in a.names)
            if self._behind_at_once:
                found = self.chip.run(front.steps, front.inputs, record)
                self._finish_block(first, front, found, start)
            else:
                self._run_behind(first, front, record, start)
        if front.error is not None:
            self._set_clock(first + front.steps)
            raise front.error
        return front.steps

    def _run_front(self, first: int, steps: int) -> Front:
        """Run the part in front of the chip; record what the chip and the part behind it need."""
        for op in self._static:
            self.steps[op]()
        block = self._blocks.of(first, steps)
        for op in self._front_together:
            block.run(op)
        front = self._front_steps(first, steps, block)
        for action in self._sends:
            if action.offset is not None:
                held = front.inputs[action.name]
                front.inputs[action.name] = Held(held.steps, held.rows - action.offset, held.first)
        return front

    def _front_steps(self, first: int, steps: int, block: Block) -> Front:
        """Run what `block` did not, step by step, and take what is needed of both."""
        rest, written = self._front_singly, self._written_singly
        sends = [a for a in self._sends if a.signal in written]
        inputs = {a.name: np.empty((steps, len(a.elements))) for a in sends}
        bridge = {b: np.empty((steps, b.size)) for b in self._bridge if b in written}
        done, error = steps, None
        if rest:
            done, error = self._run_rest(first, steps, rest, block, inputs, bridge)
        found = Front(done, {}, {}, error)
        for action in self._sends:
            if action.name in inputs:
                held = Held.found(inputs[action.name][:done])
            else:
                held = block.source(action.signal).columns(self._elements[action]).part(0, done)
            found.inputs[action.name] = held
        for base in self._bridge:
            held = Held.each(bridge[base][:done]) if base in bridge else block.after(base)
            found.bridge[base] = held.part(0, done)
        block.leave(min(done + 1, steps))
        return found

    def _run_rest(
        self,
        first: int,
        steps: int,
        rest: list[Operator],
        block: Block,
        inputs: dict[str, np.ndarray],
        bridge: dict[Any, np.ndarray],
    ) -> tuple[int, Exception | None]:
        """Run some operators in front of the chip step by step, and fill `inputs` and `bridge`.

        Returns the number of steps done, and what the next one raised.
        """
        sends = [(inputs[a.name], self._flat[a.signal], a) for a in self._sends if a.name in inputs]
        early = [s for s in sends if s[2].signal in self._updated]
        late = [s for s in sends if s[2].signal not in self._updated]
        kept = [(values, self.signals[base].reshape(-1)) for base, values in bridge.items()]
        read = {s.base for op in rest for s in op.reads}
        shown = due(self.signals, {b: held for b, held in block.values.items() if b in read})
        functions = [self.steps[op] for op in [*self._clock, *rest]]
        self._turn_clock_back(first)
        done = 0
        try:
            with as_in_nengo():
                for i in range(steps):
                    for flat, row in shown.get(i, ()):
                        flat[:] = row
                    for values, flat, a in early:
                        values[i] = flat[a.elements]
                    for function in functions:
                        function()
                    for values, flat, a in late:
                        values[i] = flat[a.elements]
                    for values, flat in kept:
                        values[i] = flat
                    done = i + 1
        except Exception as e:
            return done, e
        return done, None

    def _finish_block(
        self,
        first: int,
        front: Front,
        found: dict[str, np.ndarray],
        start: dict[Any, np.ndarray],
    ) -> None:
        """Run the part behind the chip for a whole block, and hand it to the probes."""
        block = self._blocks.of(first, front.steps)
        block.values.update(front.bridge)
        block.before.update(start)

        def receive(action: Receive) -> None:
            total = Held.each(_total(found, action))
            block.put(action.signal, self._elements[action], total, action.adds)

        early = [a for a in self._behind if isinstance(a, Receive) and self._is_updated(a)]
        for received in early:
            receive(received)
        for action in self._behind:
            if isinstance(action, Run):
                block.run(action.operator)
            elif not self._is_updated(action):
                receive(action)
        block.leave()
        self._set_clock(first + front.steps - 1)
        self._record_block(first, block.values)

    def _is_updated(self, action: Receive) -> bool:
        """Whether what is received is the state of a synapse, seen one step later."""
        return bool(self.conversion.placement.updaters[action.signal])

    def _run_behind(
        self, first: int, front: Front, record: Iterable[str], start: dict[Any, np.ndarray]
    ) -> None:
        """Run the chip, and then the part behind it step by step."""
        assert self.chip is not None
        snapshot = self.chip.snapshot()
        found = self.chip.run(front.steps, front.inputs, record)
        done = [0]
        try:
            self._behind_steps(first, front, found, start, done)
        except BaseException:
            # The step that failed is over for the part in front; the chip never began it.
            _, rest = front.cut(done[0] + 1)
            self._ready = rest.joined(self._ready) if rest is not None else self._ready
            self.chip.restore(snapshot)
            if done[0]:
                passed, _ = front.cut(done[0])
                self.chip.run(done[0], passed.inputs, ())
            raise

    def _behind_steps(
        self,
        first: int,
        front: Front,
        found: dict[str, np.ndarray],
        start: dict[Any, np.ndarray],
        done: list[int],
    ) -> None:
        """The part behind the chip, with what was recorded; counts the steps in ``done[0]``."""

        def receiver(action: Receive) -> Step:
            flat, elements = self._flat[action.signal], action.elements
            total = _total(found, action)

            def receive() -> None:
                if action.adds:
                    flat[elements] += total[done[0]]
                else:
                    flat[elements] = total[done[0]]

            return receive

        functions = [
            receiver(a) if isinstance(a, Receive) else self.steps[a.operator] for a in self._behind
        ]
        # What the chip adds to has to be put back in each step.
        added_to = {a.signal for a in self._receives}
        bridge = {
            base: Held.each(held.dense) if base in added_to else held
            for base, held in front.bridge.items()
        }
        plain = due(self.signals, {b: held for b, held in bridge.items() if b not in self._updated})
        updated = due(self.signals, {b: held for b, held in bridge.items() if b in self._updated})
        for base in bridge:
            if base in self._updated:
                self.signals[base].reshape(-1)[:] = start[base]
        self._turn_clock_back(first)
        functions = [self.steps[op] for op in self._clock] + functions
        with as_in_nengo():
            for i in range(front.steps):
                for flat, row in plain.get(i, ()):
                    flat[:] = row
                for function in functions:
                    function()
                for flat, row in updated.get(i, ()):
                    flat[:] = row
                self._record()
                done[0] += 1


def _total(found: dict[str, np.ndarray], action: Receive) -> np.ndarray:
    """What a reception reads in a block of steps, (steps, size) float64."""
    first, *others = (found[name] for name in action.names)
    return sum(others, first)

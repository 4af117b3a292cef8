"""The host's part of each step, interleaved with the chip's phases.

Two ways lead to the same numbers. *Lockstep* does one step after the other, each action as soon as
what it needs is there. *Ahead* is possible where nothing that the chip reads depends on what it
writes: then the host's part in front of the chip is run for a block of steps, the chip runs them
in one call, and the host's part behind it follows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
from nengo.builder.operator import Operator, SimPyFunc, TimeUpdate

from ..compiler.frontends.nengo import Action, Conversion, Receive, Run, Send
from .blocks import Block, Front, at_once
from .chip import Chip

Step = Callable[[], None]

BLOCK = 1000
"""Steps run ahead at most."""

BLOCK_ELEMENTS = 1 << 24
"""Largest number of elements that a block's records may have together."""


def is_function(op: Operator) -> bool:
    """Whether an operator calls code of the user's, which may have effects elsewhere."""
    if isinstance(op, SimPyFunc):
        return True
    subject = getattr(op, "process", None) or getattr(op, "neurons", None) or op
    return not type(subject).__module__.startswith("nengo.")


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
        `first` on; `found` maps base signals to their values, (steps, size) float64.
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
        record_block: Callable[[int, dict[Any, np.ndarray]], None],
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
        self._looks = {b: n for b, n in self.plan.learned.items() if b in placement.probed}
        self._clock = [op for op in conversion.order if isinstance(op, TimeUpdate)]
        self._static = self._find_static()
        self._flat: dict[Any, np.ndarray] = {}
        for action in self.plan.actions:
            if not isinstance(action, Run) and action.signal not in self._flat:
                self._flat[action.signal] = signals[action.signal].reshape(-1)
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
        if self._ready is not None:
            self._run_block(1)
            return
        if self._looks:
            self._look(self._step_number() + 1)
        old = np.seterr(invalid="raise", divide="ignore")
        try:
            for function in self._lockstep:
                function()
        finally:
            np.seterr(**old)
        self._record()

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

    def _find_static(self) -> set[Operator]:
        """Host operators that leave the same constants in each step."""
        placement = self.conversion.placement
        return {
            op
            for run in self.plan.runs
            for op in [run.operator]
            if op.sets + op.incs
            and all(
                not placement.varying(s.base) and not placement.updaters[s.base]
                for s in op.sets + op.incs
            )
        }

    def _split(self) -> None:
        """Divide the host's operators into those in front of the chip and those behind it."""
        placement = self.conversion.placement
        runs = {run.operator for run in self.plan.runs} - self._static - set(self._clock)
        received = {a.signal for a in self.plan.receives}
        front: set[Operator] = set()
        self.can_run_ahead = bool(self.plan.sends or self.plan.receives)
        todo = [a.signal for a in self.plan.sends]
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
        self._front_at_once = all(at_once(placement, op) for op in front)
        wanted = {s.base for op in behind for s in op.reads} | placement.probed
        self._bridge = [base for base in dict.fromkeys(written_in_front) if base in wanted]
        self._updated = {s.base for op in front for s in op.updates}
        per_step = sum(len(a.elements) for a in self.plan.sends + self.plan.receives)
        per_step += sum(base.size for base in self._bridge)
        self._block = max(1, min(BLOCK, BLOCK_ELEMENTS // max(per_step, 1)))

    def run(self, steps: int, progress: Callable[[int], None]) -> None:
        """Run steps; `progress` is called with the number of steps done since its last call."""
        if not self.can_run_ahead or (steps < 2 and self._ready is None):
            for _ in range(steps):
                self.step()
                progress(1)
            return
        while steps:
            done = self._run_block(min(steps, self._block))
            progress(done)
            steps -= done

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
            record = dict.fromkeys(name for a in self.plan.receives for name in a.names)
            if self._behind_at_once:
                found = self.chip.run(front.steps, front.inputs, record)
                self._finish_block(first, front, found, start)
            else:
                snapshot = self.chip.snapshot()
                found = self.chip.run(front.steps, front.inputs, record)
                done = 0
                try:
                    for _ in self._run_behind(first, front, found, start):
                        self._record()
                        done += 1
                except BaseException:
                    # The step that failed is over for the part in front; the chip never began it.
                    _, rest = front.cut(done + 1)
                    self._ready = rest.joined(self._ready) if rest is not None else self._ready
                    self.chip.restore(snapshot)
                    if done:
                        passed, _ = front.cut(done)
                        self.chip.run(done, passed.inputs, ())
                    raise
        if front.error is not None:
            self._set_clock(first + front.steps)
            raise front.error
        return front.steps

    def _run_front(self, first: int, steps: int) -> Front:
        """Run the part in front of the chip; record what the chip and the part behind it need."""
        for op in self._static:
            self.steps[op]()
        front = (self._front_block if self._front_at_once else self._front_steps)(first, steps)
        for action in self.plan.sends:
            if action.offset is not None:
                front.inputs[action.name] = front.inputs[action.name] - action.offset
        return front

    def _front_block(self, first: int, steps: int) -> Front:
        block = Block(self.conversion.placement, self.signals, first, steps)
        for op in self._front:
            block.run(op)
        inputs = {a.name: _columns(block.source(a.signal), a.elements) for a in self.plan.sends}
        block.leave()
        return Front(steps, inputs, {base: block.values[base] for base in self._bridge})

    def _front_steps(self, first: int, steps: int) -> Front:
        inputs = {a.name: np.empty((steps, len(a.elements))) for a in self.plan.sends}
        bridge = {base: np.empty((steps, base.size)) for base in self._bridge}
        sends = [(inputs[a.name], self._flat[a.signal], a) for a in self.plan.sends]
        early = [s for s in sends if s[2].signal in self._updated]
        late = [s for s in sends if s[2].signal not in self._updated]
        kept = [(values, self.signals[base].reshape(-1)) for base, values in bridge.items()]
        functions = [self.steps[op] for op in [*self._clock, *self._front]]
        self._turn_clock_back(first)
        done, error = 0, None
        old = np.seterr(invalid="raise", divide="ignore")
        try:
            for i in range(steps):
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
            error = e
        finally:
            np.seterr(**old)
        return Front(
            done,
            {name: values[:done] for name, values in inputs.items()},
            {base: values[:done] for base, values in bridge.items()},
            error,
        )

    def _finish_block(
        self,
        first: int,
        front: Front,
        found: dict[str, np.ndarray],
        start: dict[Any, np.ndarray],
    ) -> None:
        """Run the part behind the chip for a whole block, and hand it to the probes."""
        block = Block(self.conversion.placement, self.signals, first, front.steps)
        block.values.update(front.bridge)
        block.before.update(start)

        def receive(action: Receive) -> None:
            total = _total(found, action)
            if action.adds:
                block.target(action.signal)[:, action.elements] += total
            else:
                block.target(action.signal)[:, action.elements] = total

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
        self,
        first: int,
        front: Front,
        found: dict[str, np.ndarray],
        start: dict[Any, np.ndarray],
    ) -> Iterator[None]:
        """Run the part behind the chip step by step, with what was recorded; yield after each."""
        index = [0]

        def receiver(action: Receive) -> Step:
            flat, elements = self._flat[action.signal], action.elements
            total = _total(found, action)

            def receive() -> None:
                if action.adds:
                    flat[elements] += total[index[0]]
                else:
                    flat[elements] = total[index[0]]

            return receive

        functions = [
            receiver(a) if isinstance(a, Receive) else self.steps[a.operator] for a in self._behind
        ]
        held = [(base, self.signals[base].reshape(-1)) for base in front.bridge]
        updated = [(flat, front.bridge[b]) for b, flat in held if b in self._updated]
        plain = [(flat, front.bridge[b]) for b, flat in held if b not in self._updated]
        for base, flat in held:
            if base in self._updated:
                flat[:] = start[base]
        self._turn_clock_back(first)
        functions = [self.steps[op] for op in self._clock] + functions
        for i in range(front.steps):
            index[0] = i
            for flat, values in plain:
                flat[:] = values[i]
            old = np.seterr(invalid="raise", divide="ignore")
            try:
                for function in functions:
                    function()
            finally:
                np.seterr(**old)
            for flat, values in updated:
                flat[:] = values[i]
            yield


def _columns(values: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """Some columns; the array itself, where these are all of its own, in order."""
    if values.flags.owndata and np.array_equal(numbers, np.arange(values.shape[1])):
        return values
    return values[:, numbers]


def _total(found: dict[str, np.ndarray], action: Receive) -> np.ndarray:
    """What a reception reads in a block of steps, (steps, size) float64."""
    first, *others = (found[name] for name in action.names)
    return sum(others, first)

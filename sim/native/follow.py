"""An engine that does only what no other one has done for it."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .bindings import Port, input_record, output_record
from .fronts import Front, FrontPlan, Fronts, make_ring
from .memories import Memories

TO_COPIES, TO_FRONT, TO_BOTH = range(3)
"""`belongs_t` of loom.h."""

FEWEST_STEPS, PART = 16, 512
"""Runs shorter than that are done at once; longer ones in such parts."""


class Follower:
    """Runs an engine's memories with the help of what others have done.

    Parameters
    ----------
    plan : FrontPlan
        Of the engine's Program.
    fronts : Fronts
    library : ctypes library
    memories : Memories
        The engine's.
    """

    def __init__(self, plan: FrontPlan, fronts: Fronts, library: Any, memories: Memories) -> None:
        self.plan, self.fronts, self.memories = plan, fronts, memories
        self._c = library
        self._front: Memories | None = None
        self._begin = plan.places(memories, ports=True)
        self._end = plan.places(memories, ports=False)

    def run(
        self, steps: int, inputs: Mapping[str, np.ndarray], record: Mapping[str, tuple[Any, int]]
    ) -> dict[str, np.ndarray]:
        """Run whole steps.

        Parameters
        ----------
        steps : int
        inputs : mapping of port name -> (steps, size) int64 ndarray
            In the order of their phases.
        record : mapping of output name -> (OutputPort, payload shift)

        Returns
        -------
        dict of name -> (steps, size) int64 ndarray
        """
        found = {name: np.empty((steps, p.size), np.int64) for name, (p, _) in record.items()}
        for first in range(0, steps, PART):
            last = min(first + PART, steps)
            given = {name: values[first:last] for name, values in inputs.items()}
            self._part(last - first, given, record, {n: v[first:last] for n, v in found.items()})
        return found

    def _part(
        self,
        steps: int,
        inputs: dict[str, np.ndarray],
        record: Mapping[str, tuple[Any, int]],
        found: dict[str, np.ndarray],
    ) -> None:
        plan, memories = self.plan, self.memories
        division = plan.division
        common = {name for name in record if name in division.outputs}
        start = b"".join([place.data for place in self._begin])
        front = self.fronts.find(plan.signature, steps, start, inputs, common)
        if front is None and not self.fronts.wants(plan.signature):
            self._alone(steps, inputs, record, found)
            return
        if front is None:
            with self.fronts.doing(plan.signature, steps, start, inputs):
                front = self.fronts.find(plan.signature, steps, start, inputs, common)
                if front is None:
                    front = self._lead(steps, start, inputs, record, common)
        sources = self._sources(inputs)
        sinks = self._sinks({n: found[n] for n in record if n not in common}, record)
        self._c.loom_run_behind(
            *(memories.address, 0, front.ring.ctypes.data, plan.records.ctypes.data),
            *(ctypes.addressof(plan.segments), len(plan.segments), 0, steps, steps),
            *(ctypes.addressof(sources), len(sources), ctypes.addressof(sinks), len(sinks)),
        )
        memories.contexts[0].front = memories.address
        for name in common:
            found[name][...] = front.outputs[name]
        for place, content in zip(self._end, front.end, strict=True):
            place[...] = content
        memories.saturations[0] += front.saturations
        memories.version[0, plan.touched] += 1

    def _alone(
        self,
        steps: int,
        inputs: dict[str, np.ndarray],
        record: Mapping[str, tuple[Any, int]],
        found: dict[str, np.ndarray],
    ) -> None:
        """Do everything."""
        table = self.plan.table
        sources, sinks = self._sources(inputs), self._sinks(found, record)
        self._c.loom_run(
            *(self.memories.address, 0, 1, table.records.ctypes.data),
            *(table.phase_end.ctypes.data, len(table.phase_end), 0, steps),
            *(ctypes.addressof(sources), len(sources), ctypes.addressof(sinks), len(sinks)),
        )

    def _lead(
        self,
        steps: int,
        start: bytes,
        inputs: dict[str, np.ndarray],
        record: Mapping[str, tuple[Any, int]],
        common: set[str],
    ) -> Front:
        """Do what is the same in several engines, and keep it."""
        plan, memories = self.plan, self.memories
        if self._front is None:
            self._front = Memories(plan.program, plan.builder, plan.table, 1)
        front = self._front
        front.value[0], front.accumulator[0] = memories.value[0], memories.accumulator[0]
        places = plan.places(front, ports=False)
        for mine, theirs in zip(places, self._end, strict=True):
            mine[...] = theirs
        front.version[0] += 1
        front.saturations[0] = 0
        ring, stored = make_ring(plan, memories, steps)
        sources = self._sources(inputs)
        outputs = {
            name: np.empty((steps, plan.program.outputs[name].size), np.int64) for name in common
        }
        sinks = self._sinks(outputs, record)
        for sink in sinks:
            sink.front = 1
        self._c.loom_run_front(
            *(front.address, 0, 1, ring.ctypes.data),
            *(ctypes.addressof(plan.regions), len(plan.regions), plan.records.ctypes.data),
            *(ctypes.addressof(plan.segments), len(plan.segments), 0, steps, steps),
            *(ctypes.addressof(sources), len(sources), ctypes.addressof(sinks), len(sinks)),
        )
        saturations = np.zeros_like(front.saturations[0])
        saturations[plan.saturating] = front.saturations[0][plan.saturating]
        kept = {name: values.copy() for name, values in inputs.items()}
        end = [place.copy() for place in places]
        done = Front(kept, start, end, saturations, outputs, ring, stored)
        self.fronts.keep(plan.signature, steps, done)
        return done

    def _sources(self, inputs: Mapping[str, np.ndarray]) -> ctypes.Array[Port]:
        program, division = self.plan.program, self.plan.division
        ports = [
            input_record(program, name, values.ctypes.data, values.shape[1], 0)
            for name, values in inputs.items()
        ]
        for name, port in zip(inputs, ports, strict=True):
            port.front = TO_FRONT if name in division.ports else TO_BOTH
        return (Port * len(ports))(*ports)

    def _sinks(
        self, outputs: Mapping[str, np.ndarray], record: Mapping[str, tuple[Any, int]]
    ) -> ctypes.Array[Port]:
        ports = [
            output_record(self.plan.program, *record[name], values.ctypes.data)
            for name, values in outputs.items()
        ]
        return (Port * len(ports))(*ports)


def follower(plan: FrontPlan, fronts: Fronts, library: Any, memories: Memories) -> Follower | None:
    """A `Follower`, where that is of use."""
    fits = PART * plan.step_bytes() * 4 <= fronts.most_bytes
    return Follower(plan, fronts, library, memories) if plan.worthwhile and fits else None


__all__: Sequence[str] = ["FEWEST_STEPS", "Follower", "follower"]

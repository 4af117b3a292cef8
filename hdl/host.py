"""The host's bus: reads and writes any element of any memory while the sequencer is idle."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from amaranth import Value
from amaranth.lib import wiring
from amaranth.lib.wiring import Out

from ..compiler.encoding import MemoryInfo, bits_for, memories
from ..compiler.kernels.pipeline import LANE_STEPS, memory_latency, stages_of
from ..compiler.machine import Machine
from ..compiler.shape import Shape
from ..compiler.timing import map_extension_words, update_extension_words

READ_CYCLES = 5
"""The most cycles that `read_cycles` gives for any machine."""

HOST_SIGNALS = ("idle", "memory", "address", "data", "write")

memory_table = lru_cache(maxsize=64)(memories)


def memory_number(shape: Shape, name: str) -> int:
    """Number of a memory on the bus."""
    return memory_table(shape)[name].number


def memory_info(shape: Shape, name: str) -> MemoryInfo:
    """What the host sees of a memory."""
    return memory_table(shape)[name]


def extension_words(shape: Shape) -> int:
    """The most extension words that any ``MAP`` or ``UPD`` of this hardware has."""
    captures = shape.post_memories > 0
    most = max((map_extension_words(code, captures) for code in shape.kernels), default=1)
    return max([most, *map(update_extension_words, shape.rules)])


def read_cycles(machine: Machine) -> int:
    """Cycles from a bus address to the element on the core's `host_q`."""
    return memory_latency(machine) + stages_of(LANE_STEPS, machine) + 1


class HostBus(wiring.Signature):
    """What the host drives, from the core's point of view.

    ``idle`` (the sequencer is idle, so the bus owns all memories), ``memory``, ``address`` (an
    element), ``data``, ``write`` (a strobe).
    """

    def __init__(self, shape: Shape) -> None:
        table = memory_table(shape).values()
        super().__init__(
            {
                "idle": Out(1),
                "memory": Out(bits_for(len(table))),
                "address": Out(max(bits_for(i.elements) for i in table)),
                "data": Out(max(i.bits for i in table)),
                "write": Out(1),
            }
        )


def selected(bus: wiring.PureInterface, shape: Shape, name: str) -> Value:
    """Whether the bus points at memory `name`."""
    return bus.memory == memory_number(shape, name)  # type: ignore[attr-defined, no-any-return]


def pass_on(source: wiring.PureInterface, target: wiring.PureInterface) -> list[Any]:
    """Connect a bus to one of the same signature inside a submodule."""
    return [getattr(target, n).eq(getattr(source, n)) for n in HOST_SIGNALS]

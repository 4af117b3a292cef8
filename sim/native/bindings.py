"""The compiled library of a Program, and the structures that it shares with Python."""

from __future__ import annotations

import ctypes
from functools import cache
from pathlib import Path
from typing import Any

from ...compiler.program import OutputPort, Program

_PORT_MEMORIES = ("accumulator", "value", "state", "event")
"""`port_memory_t` of loom.h."""

POINTERS = (
    "accumulator value state event_index event_payload count saturations weight learned residual "
    "synapse post parameters table_32 table_64 held held_version version front unusual known "
    "remembered"
).split()
"""The arrays of `context_t` of loom.h, in order."""


class Context(ctypes.Structure):
    """`context_t` of loom.h."""

    _fields_ = [
        *((name, ctypes.c_void_p) for name in POINTERS),
        ("state_stride", ctypes.c_int64),
        ("synapse_stride", ctypes.c_int64),
        ("post_stride", ctypes.c_int64),
        ("learning", ctypes.c_int64),
        ("one", ctypes.c_int64),
        ("late", ctypes.c_int64),
        ("call", ctypes.c_int64),
        ("dense", ctypes.c_int64),
    ]  # fmt: skip


class Port(ctypes.Structure):
    """`port_t` of loom.h."""

    _fields_ = [
        *(
            (name, ctypes.c_int64)
            for name in (
                "memory", "phase", "base", "start", "size", "slot", "shift", "step_stride",
                "copy_stride", "front",
            )
        ),
        ("data", ctypes.c_void_p),
    ]  # fmt: skip


class Region(ctypes.Structure):
    """`region_t` of loom.h."""

    _fields_ = [(name, ctypes.c_int64) for name in ("memory", "begin", "size", "list")]


class Segment(ctypes.Structure):
    """`segment_t` of loom.h."""

    _fields_ = [(name, ctypes.c_int64) for name in ("phase", "begin", "end", "front")]


@cache
def load(path: Path) -> ctypes.CDLL:
    """The functions of a compiled library."""
    library = ctypes.CDLL(str(path))
    pointer, number = ctypes.c_void_p, ctypes.c_int64
    library.loom_run.argtypes = [
        pointer, number, number, pointer, pointer, number, number, number, pointer, number,
        pointer, number,
    ]  # fmt: skip
    tail: list[Any] = [pointer, number, number, number, number, pointer, number, pointer, number]
    library.loom_run_front.argtypes = [
        pointer, number, number, pointer, pointer, number, pointer, *tail,
    ]  # fmt: skip
    library.loom_run_behind.argtypes = [pointer, number, pointer, pointer, *tail]
    library.loom_run_together.argtypes = [
        pointer, number, number, number, pointer, number, pointer, number, pointer, pointer,
        number, number, number, pointer, number, pointer, number,
    ]  # fmt: skip
    library.loom_execute.argtypes = [pointer, pointer, number, number]
    library.loom_read.argtypes = [pointer, pointer]
    library.loom_write.argtypes = [pointer, number, number, number, pointer]
    library.loom_write.restype = ctypes.c_int
    for function in (
        library.loom_run,
        library.loom_run_front,
        library.loom_run_behind,
        library.loom_run_together,
        library.loom_execute,
        library.loom_read,
    ):
        function.restype = None
    return library


def input_ports(program: Program) -> dict[str, int]:
    """Number of each input port in `context_t.version`; the constants come behind them."""
    return {name: number for number, name in enumerate(program.inputs)}


def output_record(
    program: Program, port: OutputPort, payload_shift: int, data: int, steps: int = 1
) -> Port:
    """The structure of an output port that is stored at address `data`."""
    memory = _PORT_MEMORIES.index(port.memory)
    base, start = port.base, port.start
    if port.memory != "event":
        base, start = port.first_element(program.machine.lanes), 0
    return Port(
        memory, port.phase, base, start, port.size, port.slot, payload_shift, port.size,
        steps * port.size, 0, data,
    )  # fmt: skip


def input_record(
    program: Program, name: str, data: int, step_stride: int, copy_stride: int
) -> Port:
    """The structure of an input port that is filled from address `data`."""
    port = program.inputs[name]
    number = input_ports(program)[name]
    memory = _PORT_MEMORIES.index("value")
    return Port(
        memory, port.phase, port.base, 0, port.size, number, 0, step_stride, copy_stride, 0, data
    )

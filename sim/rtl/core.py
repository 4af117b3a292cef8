"""A Verilated core as a Python object: its memories, its runs, its trace."""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

import numpy as np

from ...compiler.encoding import MemoryInfo
from ...compiler.errors import ProgramError, ToolError
from ...compiler.shape import Shape
from ..trace import Trace, Writes, pack, unpack
from .build import build

LIMIT = 1 << 24
"""Clock cycles after which a phase counts as hanging."""


@cache
def _load(path: str) -> ctypes.CDLL:
    library = ctypes.CDLL(path)
    handle, number, u32 = ctypes.c_void_p, ctypes.c_int, ctypes.c_uint32
    pointer, wide, long = ctypes.c_void_p, ctypes.c_uint64, ctypes.c_int64
    signatures: dict[str, tuple[Any, list[Any]]] = {
        "loom_create": (handle, []),
        "loom_destroy": (None, [handle]),
        "loom_write": (None, [handle, number, u32, u32, u32, number, number, pointer]),
        "loom_read": (None, [handle, number, u32, u32, number, pointer]),
        "loom_run": (long, [handle, u32, long]),
        "loom_trace": (None, [handle, number]),
        "loom_cycles": (wide, [handle]),
        "loom_recorded": (wide, [handle, number]),
        "loom_take": (None, [handle, number, pointer, pointer, pointer, pointer]),
        "loom_restart_phases": (None, [handle]),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


class VerilatedCore:
    """One instance of a core in simulation.

    Parameters
    ----------
    verilog : str
        The core, complete in itself.
    layout : dict
        What the hardware generator wrote beside it.

    Attributes
    ----------
    shape : Shape
    memories : dict of str -> MemoryInfo
    """

    def __init__(self, verilog: str, layout: dict[str, Any]) -> None:
        if layout.get("version") != 1:
            raise ProgramError("the core's layout is of another version: build the hardware again")
        self.layout = layout
        self.shape = Shape.from_json(layout["shape"])
        self.memories = {name: MemoryInfo(**info) for name, info in layout["memories"].items()}
        self._c = _load(str(build(verilog, layout)))
        self._handle = ctypes.c_void_p(self._c.loom_create())
        self._run_cycles: list[int] = []

    def __del__(self) -> None:
        if getattr(self, "_handle", None):
            self._c.loom_destroy(self._handle)
            self._handle = ctypes.c_void_p()

    def write(self, memory: str, first: int, values: np.ndarray) -> None:
        """Write elements from address `first` on."""
        info = self.memories[memory]
        words = np.ascontiguousarray(pack(np.asarray(values), info.bits))
        if first < 0 or first + len(words) > info.elements:
            raise ProgramError(f"the core's memory {memory!r} has only {info.elements} elements")
        parts = words.shape[1]
        self._c.loom_write(
            self._handle, info.number, first, 1, len(words), parts, parts, words.ctypes.data
        )

    def clear(self, memory: str) -> None:
        """Fill a whole memory with zeros."""
        info = self.memories[memory]
        zero = np.zeros(-(-info.bits // 32), np.uint32)
        # Writing any element of these clears its whole word.
        step = info.lanes if memory == "accumulator" or memory.startswith("post") else 1
        count = info.elements // step
        self._c.loom_write(
            self._handle, info.number, 0, step, count, len(zero), 0, zero.ctypes.data
        )

    def read(self, memory: str, first: int, count: int, signed: bool = True) -> np.ndarray:
        """(count,) int64: elements from address `first` on."""
        info = self.memories[memory]
        words = np.zeros((count, -(-info.bits // 32)), np.uint32)
        self._c.loom_read(
            self._handle, info.number, first, count, words.shape[1], words.ctypes.data
        )
        return unpack(words, info.bits, 1, signed)[:, 0]

    def run(self, start_address: int, limit: int = LIMIT) -> int:
        """Run the phase whose instructions start there; its clock cycles.

        Raises
        ------
        ToolError
            If it takes more than `limit` cycles.
        """
        cycles = int(self._c.loom_run(self._handle, start_address, limit))
        if cycles < 0:
            raise ToolError(f"the core did not end its phase within {limit} cycles")
        self._run_cycles.append(cycles)
        return cycles

    @property
    def cycles(self) -> int:
        """Clock cycles simulated, those of the host's accesses included."""
        return int(self._c.loom_cycles(self._handle))

    def trace(self, on: bool) -> None:
        """Start a new trace, or stop tracing."""
        self.take_trace()
        self._c.loom_trace(self._handle, int(on))

    def take_trace(self) -> Trace:
        """All writes since the trace began, or since it was last taken."""
        machine = self.shape.machine
        elements_bits = {
            "accumulator": machine.accumulator_bits,
            "weight": machine.weight_bits,
            "residual": machine.residual_bits,
            "synapse": machine.state_bits,
            "post": machine.value_bits,
        }
        writes = {}
        for number, (name, width) in enumerate(self.layout["traces"].items()):
            bits = elements_bits.get(name.split("_")[0], width)
            count, signed = width // bits, name != "count"
            n = int(self._c.loom_recorded(self._handle, number))
            run, cycle, address = (np.zeros(n, np.uint32) for _ in range(3))
            data = np.zeros((n, -(-width // 32)), np.uint32)
            at = [a.ctypes.data for a in (run, cycle, address, data)]
            self._c.loom_take(self._handle, number, *at)
            if name == "event":
                word = unpack(data, width, 1, signed=False)
                payload = word << (64 - machine.value_bits) >> (64 - machine.value_bits)
                elements = np.concatenate([word >> machine.value_bits, payload], axis=1)
            else:
                elements = unpack(data, bits, count, signed)
            times = [a.astype(np.int64) for a in (run, cycle, address)]
            writes[name.replace("_", "")] = Writes(times[0], times[1], times[2], elements)
        cycles = np.array(self._run_cycles, np.int64)
        self._run_cycles = []
        self._c.loom_restart_phases(self._handle)
        return Trace(writes, cycles)

"""What the link costs: bytes and time to load a Program onto a board, and to exchange a step.

Counted, not estimated: the driver of real boards loads the Program into the simulated hardware and
runs some steps, byte by byte; only the serial line is left out, whose time follows from its speed.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ...compiler.program import Program
from ...compiler.shape import Shape
from ...sim.rtl.linked import VerilatedStream
from ..hardware import generate_linked
from .board import BoardEngine

BITS_PER_BYTE = 10
"""On the line: a start bit, eight bits, a stop bit."""


class StreamPort:
    """A port on simulated hardware that takes no time on the line."""

    name = "simulated hardware"

    def __init__(self, hardware: VerilatedStream) -> None:
        self._hardware = hardware
        self._arrived = b""

    def write(self, data: bytes) -> None:
        """Send `data`; the reply is there at once."""
        self._arrived += self._hardware.exchange(data)

    def read(self, timeout: float) -> bytes:
        """What has arrived."""
        arrived, self._arrived = self._arrived, b""
        return arrived

    def close(self) -> None:
        """Nothing to be given back."""


def measure_link(
    program: Program,
    shape: Shape,
    clock_hz: int,
    baud: int,
    inputs: Mapping[str, np.ndarray],
    steps: int,
) -> dict[str, float]:
    """Load `program` into hardware of `shape` and run it as a host that reads all of its outputs.

    Parameters
    ----------
    program : Program
    shape : Shape
    clock_hz, baud : int
        Of the real hardware.
    inputs : mapping of input name -> (steps, size) int64 ndarray
    steps : int
        At least 1.

    Returns
    -------
    dict
        ``upload_bytes``, ``upload_seconds``, and for a step ``step_sent_bytes``,
        ``step_received_bytes``, ``step_seconds`` (line and computation) and ``real_time_factor``.

    Raises
    ------
    ToolError
        If a tool that simulating takes is missing.
    """
    port = StreamPort(VerilatedStream(*generate_linked(shape, clock_hz)))
    engine = BoardEngine(program, port, shapes=[shape])
    try:
        engine.run(steps, inputs, list(program.outputs))
        cycles = engine.cycles() / steps
        found = engine.statistics()
    finally:
        engine.close()
    upload = found["upload"]["sent"] + found["upload"]["received"]
    sent, received = (
        (found["total"][way] - found["upload"][way]) / steps for way in ("sent", "received")
    )
    seconds = (sent + received) * BITS_PER_BYTE / baud + cycles / clock_hz
    return {
        "upload_bytes": upload,
        "upload_seconds": upload * BITS_PER_BYTE / baud,
        "step_sent_bytes": sent,
        "step_received_bytes": received,
        "step_seconds": seconds,
        "real_time_factor": program.dt / seconds,
    }

"""A board that is not there: its whole hardware, Verilated, behind a pseudo-terminal."""

from __future__ import annotations

import os
import threading
import weakref

from ...compiler.errors import ToolError
from ...compiler.shape import Shape
from ...sim.rtl.linked import VerilatedSerial
from ..hardware import generate_linked

CLOCK_HZ = 12_000_000
DIVISOR = 4
"""As few clock cycles per bit as possible: each has to be simulated."""

BAUD = CLOCK_HZ // DIVISOR


class SimulatedBoard:
    """The hardware of some shape, running in a thread; `path` is its serial port.

    Between the pseudo-terminal and the hardware every bit goes over the serial line. Simulated
    time stands still while the board has nothing to do.

    Parameters
    ----------
    shape : Shape
    skew : int
        How much longer a bit is at the host's end of the line, in parts per thousand.
    divisor : int
        Clock cycles per bit.

    Attributes
    ----------
    path : str
        To be opened by a driver as any other serial port.

    Raises
    ------
    ToolError
        If a tool is missing, or this system has no pseudo-terminals.
    """

    def __init__(self, shape: Shape, skew: int = 0, divisor: int = DIVISOR) -> None:
        verilog, top = generate_linked(shape, CLOCK_HZ, divisor)
        self.hardware = VerilatedSerial(verilog, top, divisor, skew)
        try:
            import tty

            master, slave = os.openpty()
            tty.setraw(slave)
        except (ImportError, OSError, AttributeError) as e:
            raise ToolError(
                f"this system has no pseudo-terminals for a simulated board: {e}"
            ) from e
        self.path = os.ttyname(slave)
        stop_read, stop_write = os.pipe()
        # It must not refer to self, which would then never be collected.
        thread = threading.Thread(
            target=self.hardware.serve,
            args=(master, stop_read),
            name="simulated board",
            daemon=True,
        )
        thread.start()
        descriptors = (master, slave, stop_read, stop_write)
        self._finalizer = weakref.finalize(self, _stop, thread, descriptors)

    def close(self) -> None:
        """Unplug it."""
        self._finalizer()

    @property
    def cycles(self) -> int:
        """Clock cycles simulated."""
        return self.hardware.cycles


def _stop(thread: threading.Thread, descriptors: tuple[int, int, int, int]) -> None:
    os.write(descriptors[3], b"x")
    thread.join()
    for descriptor in descriptors:
        os.close(descriptor)

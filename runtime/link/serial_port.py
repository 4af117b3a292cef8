"""Serial ports, real ones and the pseudo-terminal of a simulated board alike."""

from __future__ import annotations

from typing import Any

from ...compiler.errors import LinkError, ToolError

POLL = 0.05
"""Seconds after which a read without data comes back to look at the clock."""


class SerialPort:
    """A `spikeloom.runtime.link.Port` on a serial device.

    Parameters
    ----------
    path : str
        Such as ``/dev/ttyUSB1`` or ``COM4``.
    baud : int

    Raises
    ------
    LinkError
        If it cannot be opened.
    ToolError
        If pyserial is missing.
    """

    def __init__(self, path: str, baud: int) -> None:
        self.name = path
        self._error, serial = _pyserial()
        try:
            self._serial = serial.Serial(path, baud, timeout=POLL, write_timeout=10)
            self._serial.reset_input_buffer()
        except (self._error, OSError, ValueError) as e:
            reason = getattr(e, "strerror", None) or str(e)
            raise LinkError(
                f"cannot open the port {path} ({reason}); ports that are there: {_known_ports()}"
            ) from e

    def write(self, data: bytes) -> None:
        """Send all of `data`."""
        try:
            self._serial.write(data)
        except (self._error, OSError) as e:
            raise self._gone(e) from e

    def read(self, timeout: float) -> bytes:
        """What has arrived; waits up to `timeout` (at most `POLL`) seconds for the first byte."""
        try:
            first: bytes = self._serial.read(1)
            return first + self._serial.read(self._serial.in_waiting) if first else b""
        except (self._error, OSError, TypeError) as e:  # TypeError: closed during a read
            raise self._gone(e) from e

    def close(self) -> None:
        """Give the port back."""
        self._serial.close()

    def _gone(self, cause: Exception) -> LinkError:
        return LinkError(
            f"the connection to {self.name} broke ({cause}); plug the board in again and start anew"
        )


def _pyserial() -> tuple[type[Exception], Any]:
    """The exception and the module of pyserial."""
    try:
        import serial
    except ImportError as e:
        raise ToolError(
            "talking to a board needs pyserial and it is missing; install it: pip install pyserial"
        ) from e
    return serial.SerialException, serial


def _known_ports() -> str:
    from serial.tools import list_ports

    return ", ".join(sorted(port.device for port in list_ports.comports())) or "none"

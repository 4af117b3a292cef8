"""Verilated hardware with its link: driven in bytes, or over its serial line bit by bit."""

from __future__ import annotations

import ctypes
from functools import cache
from pathlib import Path
from typing import Any

from ...compiler.errors import ToolError
from .build import build_library

STREAM = Path(__file__).with_name("stream.cpp")
SERIAL = Path(__file__).with_name("serial.cpp")
REPLY_ROOM = 1 << 20
LIMIT = 1 << 24
"""Clock cycles after which an exchange counts as hanging."""

_HANDLE, _U32, _U64 = ctypes.c_void_p, ctypes.c_uint32, ctypes.c_uint64
_FUNCTIONS: dict[Path, dict[str, tuple[Any, list[Any]]]] = {
    STREAM: {
        "stream_create": (_HANDLE, []),
        "stream_destroy": (None, [_HANDLE]),
        "stream_cycles": (_U64, [_HANDLE]),
        "stream_seed": (None, [_HANDLE, _U32]),
        "stream_exchange": (
            ctypes.c_int64,
            [_HANDLE, ctypes.c_char_p, _U64, ctypes.c_char_p, _U64, _U32, _U64],
        ),
    },
    SERIAL: {
        "serial_create": (_HANDLE, [ctypes.c_int]),
        "serial_destroy": (None, [_HANDLE]),
        "serial_cycles": (_U64, [_HANDLE]),
        "serial_framing_errors": (_U64, [_HANDLE]),
        "serial_serve": (ctypes.c_int, [_HANDLE, ctypes.c_int, ctypes.c_int]),
    },
}


@cache
def _load(path: Path, harness: Path) -> ctypes.CDLL:
    library = ctypes.CDLL(str(path))
    for name, (result, arguments) in _FUNCTIONS[harness].items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


class VerilatedStream:
    """A core with its link, without a serial line: encoded bytes in and out.

    Parameters
    ----------
    verilog : str
        Complete in itself.
    top : str
        Its top module, with ports ``request*``, ``reply*`` and ``busy``.
    """

    def __init__(self, verilog: str, top: str) -> None:
        header = f'#include "V{top}.h"\n#define CORE V{top}\n'
        self._c = _load(build_library(verilog, top, header, STREAM), STREAM)
        self._handle = ctypes.c_void_p(self._c.stream_create())
        self._reply = ctypes.create_string_buffer(REPLY_ROOM)

    def __del__(self) -> None:
        if getattr(self, "_handle", None):
            self._c.stream_destroy(self._handle)
            self._handle = ctypes.c_void_p()

    def seed(self, seed: int) -> None:
        """Restart the random numbers that decide about stalls."""
        self._c.stream_seed(self._handle, seed & 0xFFFFFFFF)

    def exchange(self, request: bytes, stall: int = 0) -> bytes:
        """Send bytes, and return all that the hardware answers.

        Parameters
        ----------
        request : bytes
        stall : int
            In that many of 256 cycles either side holds the stream up.

        Raises
        ------
        ToolError
            If it does not come to rest.
        """
        got = self._c.stream_exchange(
            self._handle, request, len(request), self._reply, REPLY_ROOM, stall, LIMIT
        )
        if not 0 <= got <= REPLY_ROOM:
            raise ToolError("the simulated hardware does not come to rest")
        return self._reply.raw[:got] if got > 4096 else ctypes.string_at(self._reply, got)

    @property
    def cycles(self) -> int:
        """Clock cycles simulated."""
        return int(self._c.stream_cycles(self._handle))


class VerilatedSerial:
    """The whole hardware, down to its serial line.

    Parameters
    ----------
    verilog : str
        Complete in itself.
    top : str
        Its top module, with ports ``rx``, ``tx`` and ``busy``.
    divisor : int
        Clock cycles per bit that the hardware was made with.
    skew : int
        How much longer a bit is at the far end of the line, in parts per thousand.
    """

    def __init__(self, verilog: str, top: str, divisor: int, skew: int = 0) -> None:
        header = f'#include "V{top}.h"\n#define CORE V{top}\n#define DIVISOR {divisor}\n'
        self._c = _load(build_library(verilog, top, header, SERIAL), SERIAL)
        self._handle = ctypes.c_void_p(self._c.serial_create(skew))

    def __del__(self) -> None:
        if getattr(self, "_handle", None):
            self._c.serial_destroy(self._handle)
            self._handle = ctypes.c_void_p()

    def serve(self, fd: int, stop: int) -> int:
        """Connect the line with file descriptor `fd` until `stop` becomes readable.

        Other Python threads run meanwhile. Returns 0, or the error number of `fd`.
        """
        return int(self._c.serial_serve(self._handle, fd, stop))

    @property
    def cycles(self) -> int:
        """Clock cycles simulated."""
        return int(self._c.serial_cycles(self._handle))

    @property
    def framing_errors(self) -> int:
        """Bytes from the hardware that had no stop bit."""
        return int(self._c.serial_framing_errors(self._handle))

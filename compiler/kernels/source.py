"""Where in the user's text something was written: errors name that line.

A kernel's equations run through the language's own functions, so the innermost frame of a traceback
says nothing to a user. What counts is the innermost line outside the language.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

import numpy as np

from ..errors import KernelError, SpikeloomError

_MODULES = (
    "curves expression kernel observed parameters parametrised reductions refusals rule source"
)
_LANGUAGE = {str(Path(__file__).with_name(f"{name}.py")) for name in _MODULES.split()}
_NUMPY = str(Path(np.__file__).parent)


def _is_users(filename: str) -> bool:
    own = filename in _LANGUAGE or filename.startswith((_NUMPY, "<frozen", "<__array_function__"))
    return not own and Path(filename).name not in ("dataclasses.py", "contextlib.py")


def line_of(traceback: TracebackType | None) -> str:
    """``file:line`` of the innermost frame of a traceback that is the user's; empty if none is."""
    found = ""
    while traceback is not None:
        code = traceback.tb_frame.f_code
        if _is_users(code.co_filename):
            found = f"{code.co_filename}:{traceback.tb_lineno}"
        traceback = traceback.tb_next
    return found


def line_here() -> str:
    """``file:line`` of the user's line that is running; empty if none is."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        # A dataclass's __init__ has the file name "<string>".
        name = frame.f_code.co_filename
        if _is_users(name) and name != "<string>":
            return f"{name}:{frame.f_lineno}"
        frame = frame.f_back
    return ""


def line_of_definition(function: Callable[..., Any]) -> str:
    """``file:line`` where a function is defined; empty if it is none of Python's."""
    code = getattr(function, "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}" if code else ""


@contextmanager
def located(what: str, equations: Callable[..., Any]) -> Iterator[None]:
    """Run a user's equations: whatever fails becomes a `KernelError` that names their line."""
    try:
        yield
    except SpikeloomError as e:
        where = line_of(e.__traceback__) or line_of_definition(equations)
        raise type(e)(f"{where}: {e}") from e
    except Exception as e:
        where = line_of(e.__traceback__) or line_of_definition(equations)
        raise KernelError(
            f"{where}: {what}: {type(e).__name__}: {e}; equations are traced once on symbols, so "
            "they may use arithmetic, comparisons and the functions of the language only"
        ) from e

"""Engines that run a Program, by name."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ..compiler.errors import InputError

if TYPE_CHECKING:
    from ..compiler.program import Program
    from .engine import Engine

_ENGINES = {
    "golden": ("golden", "GoldenEngine"),
    "native": ("native.engine", "NativeEngine"),
    "rtl": ("rtl.engine", "RtlEngine"),
}
"""Name -> module in this package, class. Imported only when asked for: some need outside tools."""


def engines() -> tuple[str, ...]:
    """Names of all engines that `create_engine` knows."""
    return tuple(_ENGINES)


def create_engine(name: str, program: Program, **options: Any) -> Engine:
    """An engine with `program` loaded.

    Parameters
    ----------
    name : str
        One of `engines`.
    program : Program
    **options
        Passed on to the engine's class.

    Raises
    ------
    InputError
        If there is no such engine.
    ProgramError
        If the Program is malformed.
    ToolError
        If the engine needs a tool that is missing.
    """
    if name not in _ENGINES:
        raise InputError(f"no engine is named {name!r}: known are {', '.join(_ENGINES)}")
    module, cls = _ENGINES[name]
    engine: Engine = getattr(import_module(f".{module}", __name__), cls)(program, **options)
    return engine


__all__ = ["create_engine", "engines"]

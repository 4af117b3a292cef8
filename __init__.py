"""Spikeloom: trained spiking networks, lowered to integers and to the hardware that runs them.

The public names are imported when first used, so that ``import spikeloom`` stays quick and does
not import Nengo.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .compiler.errors import SpikeloomError
    from .compiler.machine import Machine
    from .compiler.program import Program
    from .compiler.storage import load_program, save_program
    from .runtime.simulator import Simulator

__version__ = "0.1.0"

_HOMES = {
    "Machine": "compiler.machine",
    "Program": "compiler.program",
    "Simulator": "runtime.simulator",
    "SpikeloomError": "compiler.errors",
    "load_program": "compiler.storage",
    "save_program": "compiler.storage",
}

__all__ = [
    "Machine",
    "Program",
    "Simulator",
    "SpikeloomError",
    "__version__",
    "load_program",
    "save_program",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_HOMES[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})

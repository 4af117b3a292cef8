"""Engines by name, the hardware's among them: those get the hardware that their Program needs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .. import sim
from ..compiler.errors import InputError, ProgramError
from ..compiler.program import Program
from ..compiler.shape import Shape
from ..sim.engine import Engine
from .hardware import simulated_core

BOARD = "board"
HARDWARE = "hardware.json"
"""In a directory with hardware: what was built."""


def engines() -> tuple[str, ...]:
    """Names of all engines that `create_engine` knows."""
    return (*sim.engines(), BOARD)


def create_engine(name: str, program: Program, **options: Any) -> Engine:
    """An engine with `program` loaded; as `spikeloom.sim.create_engine`.

    The engine ``rtl`` gets a core generated for the Program unless `options` name one
    (``verilog`` and ``layout``). The engine ``board`` takes the options of
    `spikeloom.runtime.link.board.BoardEngine`.

    Raises
    ------
    InputError
        If there is no such engine.
    """
    if name == BOARD:
        from .link.board import BoardEngine

        return BoardEngine(program, **options)
    if name not in sim.engines():
        raise InputError(f"no engine is named {name!r}: known are {', '.join(engines())}")
    if name == "rtl" and "verilog" not in options:
        verilog, layout = simulated_core(program)
        options = {**options, "verilog": verilog, "layout": layout}
    return sim.create_engine(name, program, **options)


def board_options(directory: str | Path) -> dict[str, Any]:
    """What the engine ``board`` has to know of the hardware built in a directory, if any.

    Raises
    ------
    ProgramError
        If its description is malformed.
    """
    path = Path(directory) / HARDWARE
    if not path.is_file():
        return {}
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        return {"shapes": [Shape.from_json(data["shape"])], "baud": int(data["baud"])}
    except (ValueError, KeyError, TypeError) as e:
        raise ProgramError(f"{path} is malformed ({e}); build the hardware again") from e

"""Engines by name, the hardware's among them: those get the core that their Program needs."""

from __future__ import annotations

from typing import Any

from .. import sim
from ..compiler.program import Program
from ..sim.engine import Engine
from .hardware import simulated_core


def engines() -> tuple[str, ...]:
    """Names of all engines that `create_engine` knows."""
    return sim.engines()


def create_engine(name: str, program: Program, **options: Any) -> Engine:
    """An engine with `program` loaded; as `spikeloom.sim.create_engine`.

    The engine ``rtl`` gets a core generated for the Program unless `options` name one
    (``verilog`` and ``layout``).
    """
    if name == "rtl" and "verilog" not in options:
        verilog, layout = simulated_core(program)
        options = {**options, "verilog": verilog, "layout": layout}
    return sim.create_engine(name, program, **options)

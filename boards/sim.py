"""No board: the RTL alone, as large as the Program needs it."""

from __future__ import annotations

from ..compiler.machine import Machine
from .board import Board

SIM = Board(
    name="sim",
    title="RTL only, for simulation",
    family="plain",
    machine=Machine(),
    clock_hz=100_000_000,
)

"""The boards by name."""

from __future__ import annotations

from ..compiler.errors import InputError
from .board import Board
from .icebreaker import ICEBREAKER
from .sim import SIM
from .ulx3s import ULX3S_85F

BOARDS: dict[str, Board] = {board.name: board for board in (ULX3S_85F, ICEBREAKER, SIM)}
"""Every board, the largest first."""


def get(name: str) -> Board:
    """The board of this name.

    Raises
    ------
    InputError
        If there is none.
    """
    if name not in BOARDS:
        raise InputError(f"no board is named {name!r}; there are: {', '.join(BOARDS)}")
    return BOARDS[name]

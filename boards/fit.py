"""Whether a Program fits a board: what is too large, by how much, and which boards would do."""

from __future__ import annotations

from ..compiler.errors import CapacityError
from ..compiler.machine import Machine
from ..compiler.program import Program
from ..compiler.shape import needs
from .board import Board

PER_LANE = ("weight_words", "accumulator_words", "plastic_words", "post_words")
"""Memories that hold one element per lane in each word."""


def excess(program: Program, board: Board) -> list[str]:
    """What of `program` is too large for `board`, in words for people; empty if nothing is.

    A Program for another machine is measured as if its words had been laid out for the board's
    lanes.
    """
    found = []
    for what, needed in _needs_on(program, board.machine).items():
        there = board.depths.get(what, needed)
        if needed > there:
            found.append(f"{what.replace('_', ' ')}: {needed} needed, {there} there")
    return found


def check(program: Program, board: Board, others: tuple[Board, ...] = ()) -> None:
    """Refuse a Program that is too large for `board`.

    Parameters
    ----------
    program : Program
    board : Board
    others : tuple of Board
        Boards to be looked through for those that would do.

    Raises
    ------
    CapacityError
        Saying all that is too large, by how much, and which boards would do.
    """
    large = excess(program, board)
    if not large:
        return
    fitting = [b.name for b in others if b.name != board.name and not excess(program, b)]
    advice = (
        f"it would fit: {', '.join(fitting)}" if fitting else "it fits no board: make it smaller"
    )
    raise CapacityError(
        f"Program {program.name!r} does not fit the board {board.name}: {'; '.join(large)}; "
        f"{advice}"
    )


def _needs_on(program: Program, machine: Machine) -> dict[str, int]:
    found = needs(program)
    for what in PER_LANE:
        found[what] = machine.words(found[what] * program.machine.lanes)
    return found

"""``spikeloom boards``: what hardware can be built for."""

from __future__ import annotations

import argparse
import json
from typing import Any

from ...boards import BOARDS
from ...boards.board import Board
from ..terminal import print_table

HELP = "List the boards that hardware can be built for, with the capacities of their looms."
EXAMPLE = "spikeloom boards --json"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--json", action="store_true", help="print the list as JSON")


def execute(arguments: argparse.Namespace) -> int:
    """Print the list."""
    found = [describe(board) for board in BOARDS.values()]
    if arguments.json:
        print(json.dumps(found, indent=1))
        return 0
    capacities = list(dict.fromkeys(name for board in found for name in board["capacities"]))
    print_table(
        ["board", "lanes", "MHz", "Mbaud", *capacities],
        [
            [
                board["name"],
                str(board["lanes"]),
                f"{board['clock_hz'] / 1e6:g}",
                f"{board['baud'] / 1e6:g}",
                *(f"{board['capacities'].get(name, 'as needed')}" for name in capacities),
            ]
            for board in found
        ],
    )
    print()
    for board in found:
        print(f"{board['name']}: {board['title']}")
    return 0


def describe(board: Board) -> dict[str, Any]:
    """A board as a JSON object."""
    return {
        "name": board.name,
        "title": board.title,
        "lanes": board.machine.lanes,
        "machine": board.machine.to_json(),
        "clock_hz": board.clock_hz,
        "baud": board.baud,
        "synthesised": board.synthesised,
        "capacities": board.capacities(),
    }

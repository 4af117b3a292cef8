"""``spikeloom flash DIR``: put the bitstream of a compiled network onto its board."""

from __future__ import annotations

import argparse
from pathlib import Path

from ...boards.flash import flash
from ..terminal import progress

HELP = """Program the board that a network was compiled for (`spikeloom compile --board`), through
openFPGALoader. The network itself is uploaded when it is run."""
EXAMPLE = "spikeloom flash out/channel"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("directory", metavar="DIR", help="what `spikeloom compile --board` wrote")
    parser.add_argument(
        "--permanent",
        action="store_true",
        help="into the board's flash memory, instead of until the power goes",
    )


def execute(arguments: argparse.Namespace) -> int:
    """Program the board."""
    with progress("programming"):
        flash(Path(arguments.directory), arguments.permanent)
    print(
        f"programmed: run it with `spikeloom run {arguments.directory} --engine board --port ...`"
    )
    return 0

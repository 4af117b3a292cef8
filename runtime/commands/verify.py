"""``spikeloom verify DIR``: the hardware does in every clock cycle what golden says."""

from __future__ import annotations

import argparse
import json
import time

from ..terminal import progress
from ..verification import verify_directory

HELP = """Simulate the Verilog in DIR/rtl and compare every memory write (cycle, memory, address,
data) with the golden model's prediction. Exit status 1 if anything differs, with the place of the
first difference."""
EXAMPLE = "spikeloom verify out/channel --steps 200"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("directory", metavar="DIR", help="what `spikeloom compile --board` wrote")
    parser.add_argument("--steps", type=int, default=200, metavar="N", help="time steps (200)")
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="of random inputs, where none are recorded"
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def execute(arguments: argparse.Namespace) -> int:
    """Verify and print the verdict."""
    begin = time.perf_counter()
    with progress("verifying") as show:
        found = verify_directory(
            arguments.directory,
            arguments.steps,
            arguments.seed,
            lambda done: show(f"{done} of {arguments.steps} steps"),
        )
    seconds = time.perf_counter() - begin
    if arguments.json:
        first = None if found.first is None else vars(found.first)
        print(json.dumps({**vars(found), "first": first, "seconds": seconds}, indent=1))
    else:
        if found.first is not None:
            print(f"first difference: {found.first}")
        print(f"{found.cycles / seconds:,.0f} cycles/s, start included")
        print(found)
    return 1 if found.differences else 0

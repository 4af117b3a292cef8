"""The `spikeloom` command: a thin parser over `spikeloom.runtime.commands`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import NoReturn

from . import __version__
from .compiler.errors import SpikeloomError

COMMANDS = {
    "compile": "lower a Nengo network to a Program, with a report",
    "explain": "show every number of a network, and one neuron step by step",
    "accuracy": "count right answers in float and fixed point, by time, class and bits",
    "sweep": "run a model with many settings and seeds, into one table",
    "run": "run a compiled Program without Nengo",
    "show": "print a Program in a form that a person can follow",
    "verify": "compare the hardware with the golden model, cycle by cycle",
    "boards": "list the boards that hardware can be built for",
    "flash": "put a bitstream onto its board",
}
"""Name -> one line of help, in the order of ``spikeloom --help``."""

USAGE_STATUS = 2
"""Exit status of everything that the user can mend."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        # One line, as for every other mistake; argparse would print the whole usage before it.
        self.exit(USAGE_STATUS, f"spikeloom: {message}; see `{self.prog} --help`\n")


def _parser(command: str | None) -> argparse.ArgumentParser:
    parser = _Parser(
        prog="spikeloom",
        description="Lowers trained spiking networks to integers and runs them.",
        epilog="example: spikeloom compile examples/channel.py -o out/channel",
    )
    parser.add_argument("--version", action="version", version=f"spikeloom {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, text in COMMANDS.items():
        if name != command:
            commands.add_parser(name, help=text)
            continue
        module = import_module(f".runtime.commands.{name}", __package__)
        sub = commands.add_parser(
            name,
            help=text,
            description=module.HELP,
            epilog=f"example: {module.EXAMPLE}",
        )
        module.configure(sub)
        sub.set_defaults(execute=module.execute)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status.

    Parameters
    ----------
    arguments : sequence of str, optional
        Without the program's name; ``sys.argv[1:]`` if left out.

    Returns
    -------
    int
        0 on success; 1 if the command's answer is no (a difference was found); 2 with one line on
        the standard error for anything that the user can mend.
    """
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    command = next((a for a in arguments if not a.startswith("-")), None)
    try:
        # Exits by itself (SystemExit) on --help, --version and mistaken arguments.
        parsed = _parser(command).parse_args(arguments)
        status: int = parsed.execute(parsed)
        sys.stdout.flush()
        return status
    except SpikeloomError as e:
        print(f"spikeloom: {' '.join(str(e).split())}", file=sys.stderr)
        return USAGE_STATUS
    except KeyboardInterrupt:
        print("spikeloom: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader (such as `head`) has gone; Python must not complain at its exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0

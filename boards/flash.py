"""Programming a board through openFPGALoader."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

from ..compiler.errors import InputError, ToolError
from . import get
from .build import DESCRIPTION

LOADER = "openFPGALoader"
INSTALL = "apt-get install openfpgaloader"


def command(directory: Path, permanent: bool = False) -> list[str]:
    """What has to be run to program a board with the hardware in `directory`.

    Parameters
    ----------
    directory : Path
        As ``spikeloom compile --board`` or `build.deliver` wrote it.
    permanent : bool
        Into the board's flash memory, instead of until the power goes.

    Raises
    ------
    InputError
        If there is no hardware for a real board in it.
    """
    try:
        data = json.loads((directory / DESCRIPTION).read_text())
        board = get(data["board"])
    except (OSError, ValueError, KeyError, TypeError) as e:
        raise InputError(
            f"{directory} holds no hardware: make it with `spikeloom compile ... --board NAME`"
        ) from e
    if not board.synthesised:
        raise InputError(
            f"{directory} holds hardware for {board.name}, which is not a board to be programmed"
        )
    bitstream = directory / board.bitstream
    if not bitstream.is_file():
        raise InputError(f"{bitstream} is missing: compile for the board {board.name} again")
    where = ["-f"] if permanent or board.flash_only else ["-m"]
    return [LOADER, *board.programmer, *where, str(bitstream)]


def flash(directory: Path, permanent: bool = False) -> None:
    """Program the board that `directory` holds hardware for.

    Raises
    ------
    InputError
        If there is no hardware in it.
    ToolError
        If openFPGALoader is missing, or finds no board.
    """
    arguments = command(directory, permanent)
    if shutil.which(LOADER) is None:
        raise ToolError(f"{LOADER} is missing; install it: {INSTALL}")
    answer = subprocess.run(
        arguments,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    if answer.returncode:
        lines = [line.strip() for line in answer.stdout.splitlines() if line.strip()]
        why = next((line for line in reversed(lines) if "rror" in line or "fail" in line), "")
        why = why or (lines[-1] if lines else f"exit status {answer.returncode}")
        raise ToolError(f"the board was not programmed: {why}; is it plugged in, may you use it?")

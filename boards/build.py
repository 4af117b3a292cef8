"""From a loom's shape to a board's bitstream, kept by the hash of all that it depends on."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..compiler.errors import CapacityError, ToolError
from ..compiler.files import cache_folder, new_directory
from ..compiler.program import Program
from ..compiler.shape import Shape
from . import BOARDS, fit, toolchain
from .board import TOP, Board
from .routed import Routed, parse

RTL, DESCRIPTION, LOGS = "rtl", "hardware.json", "logs"
"""What a build's folder holds beside the bitstream."""

BOARD_FILE = "board.v"

RECIPE = 2
"""Counts changes of how bitstreams are made from the same Verilog."""


@dataclass(frozen=True)
class Build:
    """Hardware for a board.

    Attributes
    ----------
    board : Board
    shape : Shape
    clock_hz : int
    baud : int
    folder : Path
        Holds ``rtl/*.v``, the bitstream (unless the board is ``sim``), ``hardware.json``.
    routed : Routed or None
        None for ``sim``.
    data : dict
        The content of ``hardware.json``.
    """

    board: Board
    shape: Shape
    clock_hz: int
    baud: int
    folder: Path
    routed: Routed | None
    data: dict[str, Any]

    @property
    def bitstream(self) -> Path | None:
        """The file for the programmer."""
        return self.folder / self.board.bitstream if self.board.bitstream else None


def build(
    program: Program,
    board: Board,
    clock_hz: int | None = None,
    allow_timing_failure: bool = False,
    say: Callable[[str], Any] = lambda text: None,
) -> Build:
    """Make the hardware of `board` that runs `program`, or find it in the cache.

    Parameters
    ----------
    program : Program
        Compiled for ``board.machine``.
    board : Board
    clock_hz : int, optional
        Another clock than the board's.
    allow_timing_failure : bool
        Accept hardware that is too slow for its clock.
    say : callable
        Gets a short text before each step.

    Raises
    ------
    CapacityError
        If the Program or its hardware is too large for the board.
    ProgramError
        If it was compiled for another machine.
    ToolError
        If a tool is missing or fails, or the clock is not met.
    """
    fit.check(program, board, tuple(BOARDS.values()))
    shape = board.shape_for(program)
    shape.check(program)
    return build_shape(shape, board, clock_hz, allow_timing_failure, say)


def build_shape(
    shape: Shape,
    board: Board,
    clock_hz: int | None = None,
    allow_timing_failure: bool = False,
    say: Callable[[str], Any] = lambda text: None,
) -> Build:
    """The same for hardware of a given shape."""
    clock_hz = clock_hz or board.clock_hz
    say("generating the hardware")
    sources = generate(shape, board, clock_hz)
    key = _key(board, sources, clock_hz)
    folder = cache_folder() / "boards" / key
    if not (folder / DESCRIPTION).exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with new_directory(folder, lambda path: True) as new:
            _make(new, shape, board, clock_hz, sources, say)
    data = json.loads((folder / DESCRIPTION).read_text())
    routed = None
    if board.synthesised:
        routed = parse((folder / LOGS / "report.json").read_text(), clock_hz / 1e6)
        if not routed.met and not allow_timing_failure:
            raise ToolError(
                f"the clock is not met on {board.name}: {routed.reached_mhz:.1f} MHz reached, "
                f"{routed.wanted_mhz:g} MHz wanted, limited by {routed.limit}; choose a slower "
                "clock or allow it"
            )
    return Build(board, shape, clock_hz, board.baud, folder, routed, data)


def deliver(built: Build, directory: Path) -> None:
    """Copy what was built into `directory`, which exists: ``rtl/``, bitstream, description."""
    for name in (RTL, DESCRIPTION, built.board.bitstream):
        if not name:
            continue
        source = built.folder / name
        if source.is_dir():
            shutil.copytree(source, directory / name, dirs_exist_ok=True)
        else:
            shutil.copy2(source, directory / name)


def generate(shape: Shape, board: Board, clock_hz: int) -> dict[str, str]:
    """Verilog files by name: core, primitives, link, and for a real board what is around it.

    Raises
    ------
    ToolError
        If Amaranth is not installed, or the serial line cannot be made from the clock.
    """
    try:
        from ..hdl.link.uart import divisor
        from ..hdl.top import top_files
    except ImportError as e:
        raise ToolError(
            f"generating hardware needs Amaranth ({e}); install it: {toolchain.INSTALL}"
        ) from e
    try:
        cycles = divisor(clock_hz, board.baud)
        around = board.top(clock_hz) if board.top else ""
    except ValueError as e:
        raise ToolError(f"the board {board.name} cannot run at that clock: {e}") from e
    files = top_files(shape, clock_hz, cycles, board.family)
    if around:
        files[BOARD_FILE] = around
    return files


def _key(board: Board, sources: dict[str, str], clock_hz: int) -> str:
    """Hash of everything that the result depends on."""
    content = {
        "recipe": RECIPE,
        "board": board.name,
        "constraints": board.constraints,
        "route": board.route,
        "attempts": board.attempts,
        "clock": clock_hz,
        "sources": sources,
        "tools": toolchain.versions(board.family) if board.synthesised else {},
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]


def _make(
    folder: Path,
    shape: Shape,
    board: Board,
    clock_hz: int,
    sources: dict[str, str],
    say: Callable[[str], Any],
) -> None:
    (folder / RTL).mkdir()
    for name, text in sources.items():
        (folder / RTL / name).write_text(text)
    data: dict[str, Any] = {
        "version": 1,
        "board": board.name,
        "clock_hz": clock_hz,
        "baud": board.baud,
        "fingerprint": shape.fingerprint(),
        "shape": shape.to_json(),
    }
    if board.synthesised:
        (folder / LOGS).mkdir()
        data |= _implement(folder, board, clock_hz, say)
    (folder / DESCRIPTION).write_text(json.dumps(data, indent=1))


def _implement(
    folder: Path, board: Board, clock_hz: int, say: Callable[[str], Any]
) -> dict[str, Any]:
    """Synthesise, place, route and pack; what there is to say of it."""
    seconds: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="spikeloom-") as place:
        work = Path(place)
        shutil.copytree(folder / RTL, work / RTL)
        begin = time.perf_counter()
        say("synthesis")
        _synthesise(work, board)
        seconds["synthesis"] = time.perf_counter() - begin

        begin = time.perf_counter()
        best: Routed | None = None
        for attempt in range(1, board.attempts + 1):
            say(f"place and route, attempt {attempt}" if attempt > 1 else "place and route")
            routed = _route(work, board, clock_hz, attempt)
            if best is None or routed.reached_mhz > best.reached_mhz:
                best = routed
                for name in ("layout.txt", "report.json", "route.log"):
                    shutil.copy2(work / name, work / f"best.{name}")
            if best.met:
                break
        assert best is not None
        seconds["place and route"] = time.perf_counter() - begin

        begin = time.perf_counter()
        say("packing")
        shutil.copy2(work / "best.layout.txt", work / "layout.txt")
        packer = toolchain.PACKERS[board.family]
        options = ["--compress"] if board.family == "ecp5" else []
        toolchain.run(packer, [*options, "layout.txt", board.bitstream], work, "pack.log")
        seconds["packing"] = time.perf_counter() - begin

        shutil.copy2(work / board.bitstream, folder / board.bitstream)
        shutil.copy2(work / "best.report.json", folder / LOGS / "report.json")
        shutil.copy2(work / "best.route.log", folder / LOGS / "route.log")
        shutil.copy2(work / "synthesis.log", folder / LOGS / "synthesis.log")
    return {
        "tools": toolchain.versions(board.family),
        "seconds": {name: round(s, 1) for name, s in seconds.items()},
        "attempts": attempt,
        "routed": best.to_json(),
    }


def _synthesise(work: Path, board: Board) -> None:
    # Multipliers and wide memories are instantiated: synthesis must not look for its own.
    command = {
        "ecp5": "synth_ecp5 -nodsp",
        "ice40": "synth_ice40 -device u",
    }[board.family]
    sources = " ".join(f"{RTL}/{file.name}" for file in sorted((work / RTL).glob("*.v")))
    script = f"read_verilog {sources}; {command} -top {TOP} -json netlist.json"
    output = toolchain.run(toolchain.YOSYS, ["-p", script], work, "synthesis.log")
    toolchain.refuse_conflicts(output)


def _route(work: Path, board: Board, clock_hz: int, seed: int) -> Routed:
    constraints, layout = {
        "ecp5": (["--lpf", "pins.txt"], ["--textcfg", "layout.txt"]),
        "ice40": (["--pcf", "pins.txt"], ["--asc", "layout.txt"]),
    }[board.family]
    (work / "pins.txt").write_text(board.constraints)
    arguments = [
        *board.route, "--json", "netlist.json", *constraints, *layout,
        "--freq", f"{clock_hz / 1e6:g}", "--seed", str(seed), "--timing-allow-fail",
        "--report", "report.json",
    ]  # fmt: skip
    tool = toolchain.NEXTPNR[board.family]
    output = toolchain.run(tool, arguments, work, "route.log", accept=(0, 1, 125, 255))
    if not (work / "report.json").exists() or not (work / "layout.txt").exists():
        raise _failure(output, board)
    return parse((work / "report.json").read_text(), clock_hz / 1e6)


def _failure(output: str, board: Board) -> Exception:
    """Too large where the utilisation says so, else the router's own words."""
    over = [
        f"{name}: {int(used)} needed, {int(there)} there"
        for name, used, there in re.findall(r"(\w+):\s*(\d+)/\s*(\d+)", output)
        if int(used) > int(there)
    ]
    if over:
        return CapacityError(
            f"the hardware is too large for the board {board.name}: {'; '.join(over)}; use fewer "
            "kernels or a larger board"
        )
    return ToolError(f"place and route failed: {toolchain.first_error(output, 1)}")

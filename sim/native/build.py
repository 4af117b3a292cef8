"""Compiling generated C: finding a compiler, and keeping what was built.

Libraries are kept in a folder under the hash of source, compiler, flags and processor, so that
another model with the same kernels is loaded without compiling. The folder is
``$SPIKELOOM_CACHE/native``, by default in the user's cache folder.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

from ...compiler.errors import ToolError
from ...compiler.files import cache_folder

FLAGS = (
    "-std=gnu11 -O3 -fwrapv -fPIC -shared -fno-math-errno -fno-trapping-math -ffp-contract=off"
).split()
"""Doubles are used for exact quotients only; errno, traps and contraction would change nothing.
What is computed for unusual neurons as if they were usual may overflow; it is not used.
"""

TUNED: tuple[list[str], ...] = (
    ["-march=native", "-mprefer-vector-width=256"],
    ["-march=native"],
    [],
    ["-O1"],
)
"""Flags tried in turn: for this very processor (x86, others), for any of its kind, without the
optimisations that compilers may get wrong.

Vectors of 512 bits are no faster than of 256 bits: they slow the clock, or are worked on in halves.
"""


def compilers() -> Iterator[list[str]]:
    """Commands that may compile C, best first: ``$CC``, the system's, the pip package ziglang."""
    if chosen := os.environ.get("CC"):
        yield shlex.split(chosen)
    for name in ("cc", "gcc", "clang"):
        if path := shutil.which(name):
            yield [path]
    if importlib.util.find_spec("ziglang"):
        yield [sys.executable, "-m", "ziglang", "cc"]


@cache
def _identity(command: tuple[str, ...]) -> str | None:
    """What the compiler says it is, or None if it cannot be started."""
    try:
        answer = subprocess.run(
            [*command, "--version"], capture_output=True, text=True, timeout=60, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout


@cache
def find_compiler() -> tuple[list[str], str]:
    """The first compiler that answers, and its version text.

    Raises
    ------
    ToolError
        If there is none.
    """
    for command in compilers():
        if (identity := _identity(tuple(command))) is not None:
            return command, identity
    raise ToolError(
        "the native engine needs a C compiler and found none: install gcc, or "
        "`pip install ziglang`, or choose the engine 'golden'"
    )


@cache
def _processor() -> str:
    """Tells processors apart for which native code may differ."""
    features = ""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        features = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    except OSError:
        features = platform.processor()
    return f"{platform.system()} {platform.machine()} {features}"


def build(source: str, accept: Callable[[Path], bool] = lambda library: True) -> Path:
    """Compile `source` to a shared library, or find it in the cache.

    Parameters
    ----------
    source : str
        C source, complete in itself.
    accept : callable
        Tries out a library that was just compiled. One that it refuses is compiled again with
        fewer optimisations; only one that it accepts is kept.

    Returns
    -------
    Path
        The library.

    Raises
    ------
    ToolError
        If there is no compiler, it fails, or nothing that it makes is accepted.
    """
    command, identity = find_compiler()
    content = "\0".join([source, *command, identity, *FLAGS, _processor()])
    key = hashlib.sha256(content.encode()).hexdigest()
    library = _folder() / f"{key}.so"
    if not library.exists():
        _compile(command, source, library, accept)
    return library


def _folder() -> Path:
    folder = cache_folder() / "native"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError:
        return _private_folder()


@cache
def _private_folder() -> Path:
    """For this process alone, where the user has no writable cache folder."""
    return Path(tempfile.mkdtemp(prefix="spikeloom-"))


def _compile(
    command: list[str], source: str, library: Path, accept: Callable[[Path], bool]
) -> None:
    """Compile beside `library`, then move it into place: nobody ever sees half of it."""
    error = ""
    with tempfile.TemporaryDirectory(dir=library.parent, prefix=".build-") as folder:
        code = Path(folder, "engine.c")
        code.write_text(source)
        for attempt, tuned in enumerate(TUNED):
            # Another name each time: a process loads a library of one name only once.
            built = Path(folder, f"engine{attempt}.so")
            arguments = [*command, *FLAGS, *tuned, "-o", str(built), str(code)]
            try:
                answer = subprocess.run(arguments, capture_output=True, text=True, check=False)
            except OSError as e:
                raise ToolError(f"cannot start the C compiler {command[0]}: {e}") from e
            if answer.returncode == 0 and built.exists():
                if not accept(built):
                    error = "error: what it makes does not compute what the kernels say"
                    continue
                os.replace(code, library.with_suffix(".c"))
                os.replace(built, library)
                return
            lines = answer.stderr.strip().splitlines() or [f"exit status {answer.returncode}"]
            error = next((line for line in lines if "error" in line), lines[-1])
    raise ToolError(f"the C compiler {shlex.join(command)} failed: {error}; set CC to another one")

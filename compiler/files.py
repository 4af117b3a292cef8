"""Files and directories that appear whole or not at all."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import ProgramError


def cache_folder() -> Path:
    """The folder for everything that Spikeloom builds and keeps; it need not exist."""
    if chosen := os.environ.get("SPIKELOOM_CACHE"):
        return Path(chosen).expanduser()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData/Local")) / "spikeloom"
    if sys.platform == "darwin":
        return Path.home() / "Library/Caches/spikeloom"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "spikeloom"


def write_file(path: str | Path, content: bytes) -> None:
    """Write `content` to `path`; an earlier file stays as it was until the new one is complete.

    Raises
    ------
    ProgramError
        If the place cannot be written.
    """
    path = Path(path)
    temporary = None
    try:
        with tempfile.NamedTemporaryFile(
            dir=path.parent, prefix=f".{path.name}.", delete=False
        ) as file:
            temporary = file.name
            file.write(content)
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except OSError as e:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
        raise ProgramError(f"cannot write {path}: {e.strerror}; choose another place") from e


@contextmanager
def new_directory(path: str | Path, ours: Callable[[Path], bool]) -> Iterator[Path]:
    """Fill a directory that takes the place of `path` when the block ends without an exception.

    Parameters
    ----------
    path : str or Path
    ours : callable
        Says whether an existing, non-empty directory at `path` may be replaced. One that is not
        ours is never touched.

    Yields
    ------
    Path
        An empty directory beside `path`, to be filled.

    Raises
    ------
    ProgramError
        If `path` exists and is not ours, or cannot be written.
    """
    path = Path(path).absolute()
    if os.path.lexists(path) and not (
        path.is_dir() and not path.is_symlink() and (not any(path.iterdir()) or ours(path))
    ):
        raise ProgramError(f"{path} exists and was not written by Spikeloom: choose another place")
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
        temporary.chmod(0o777 & ~_umask())
        yield temporary
        _take_place(temporary, path)
    except OSError as e:
        raise ProgramError(f"cannot write {path}: {e.strerror or e}; choose another place") from e
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)


def _take_place(new: Path, path: Path) -> None:
    # A directory cannot replace a filled one in a single step: the old one steps aside, and comes
    # back if the new one cannot follow.
    if not path.exists():
        os.rename(new, path)
        return
    aside = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.old."))
    os.replace(path, aside / path.name)
    try:
        os.rename(new, path)
    except OSError:
        os.replace(aside / path.name, path)
        raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask

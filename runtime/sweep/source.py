"""Where worker processes find the functions of a sweep: in a file, in a module, or sent along."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import pickle
import re
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...compiler.errors import ModelError
from ..model_file import run_file

INSTALL = "pip install 'spikeloom[sweep]'"

_state = threading.local()
_loaded: dict[tuple[str, str], dict[str, Any]] = {}
"""Variables of the files that this process has run, by path and digest."""


@dataclass(frozen=True)
class Function:
    """A function in a form that other processes, also on other machines, can load.

    Attributes
    ----------
    kind : str
        ``"file"``, ``"module"`` or ``"pickle"``.
    place : str
        The file's path, or the module's name.
    name : str
    digest : str
        Of the file, or of the function's own code: another digest, other results.
    content : bytes
        The text of the file or module, for machines that do not have it; or the pickled function.
    """

    kind: str
    place: str
    name: str
    digest: str
    content: bytes = b""

    def to_json(self) -> dict[str, str]:
        """What decides about results, without places: a moved file is the same file."""
        file = f"{self.place.split('.')[-1]}.py" if self.kind == "module" else Path(self.place).name
        return {"from": file, "name": self.name, "sha256": self.digest}

    def load(self) -> Callable[..., Any]:
        """The function.

        Raises
        ------
        ModelError
            If this process cannot have it.
        """
        if self.kind == "pickle":
            try:
                function: Callable[..., Any] = pickle.loads(self.content)
            except (ImportError, AttributeError) as e:
                raise ModelError(
                    f"{self.name}: a worker cannot load it ({e}); install there what it imports"
                ) from e
            return function
        if self.kind == "module":
            try:
                found: Any = importlib.import_module(self.place)
            except ImportError as e:
                if isinstance(e, ModuleNotFoundError) and e.name == self.place:
                    # On another machine, where the folder of the user's script is not.
                    return function_in(self._variables(), self.place, self.name)
                raise ModelError(
                    f"{self.name}: a worker cannot import {self.place}: {e}; install it there"
                ) from e
            return function_in(vars(found), self.place, self.name)
        return function_in(self._variables(), self.place, self.name)

    def _variables(self) -> dict[str, Any]:
        key = (self.place, self.digest)
        if key not in _loaded:
            path = Path(self.place if self.kind == "file" else f"{self.place}.py")
            try:
                same = _digest(path.read_bytes()) == self.digest
            except OSError:
                same = False
            with loading():
                # A file that changed since, or that this machine does not have: as it was.
                _loaded[key] = run_file(path) if same else self._run_content(path)
        return _loaded[key]

    def _run_content(self, path: Path) -> dict[str, Any]:
        with tempfile.TemporaryDirectory(prefix="spikeloom-") as folder:
            copy = Path(folder) / path.name
            copy.write_bytes(self.content)
            sys.path.insert(0, str(path.parent))
            try:
                return run_file(copy)
            finally:
                sys.path.remove(str(path.parent))


@contextmanager
def loading() -> Iterator[None]:
    """While the block runs, a file is being loaded for a sweep: it must not start another."""
    before = getattr(_state, "loading", False)
    _state.loading = True
    try:
        yield
    finally:
        _state.loading = before


def is_loading() -> bool:
    """Whether this thread is running a file for a sweep."""
    return getattr(_state, "loading", False)


def function_in(variables: dict[str, Any], path: str, name: str) -> Callable[..., Any]:
    """A function among a file's variables.

    Raises
    ------
    ModelError
        If there is none of that name.
    """
    found = variables.get(name)
    if not callable(found):
        kind = f"is a {type(found).__name__}" if name in variables else "is not defined"
        known = [n for n, v in variables.items() if inspect.isfunction(v) and n[0] != "_"]
        raise ModelError(
            f"{path}: {name} {kind}; functions in it: {', '.join(sorted(known)) or 'none'}"
        )
    return found


def file_of_functions(path: str) -> tuple[dict[str, Any], Callable[[str], Function]]:
    """Run a file; its variables, and what makes a `Function` of a name in it.

    Raises
    ------
    ModelError
        If there is no such file, it is no Python file, or running it fails.
    """
    file = Path(path)
    if not file.is_file():
        raise ModelError(f"{path}: no such file; give the Python file that defines build()")
    if file.suffix != ".py":
        raise ModelError(f"{path}: not a Python file; give MODEL.py or MODEL.py:BUILD")
    content = file.read_bytes()
    place, digest = str(file.absolute()), _digest(content)
    with loading():
        variables = run_file(file)
    _loaded[place, digest] = variables

    def make(name: str) -> Function:
        function_in(variables, path, name)
        return Function("file", place, name, digest, content)

    return variables, make


def function_of(function: Callable[..., Any], what: str, sent: bool = True) -> Function:
    """A function of this process, for workers.

    Parameters
    ----------
    function : callable
    what : str
        What it is to the sweep, for errors: ``"build"`` or ``"metric"``.
    sent : bool
        Whether it leaves this process at all.

    Raises
    ------
    ModelError
        If workers could not have it.
    """
    if not callable(function):
        raise ModelError(f"{what} is a {type(function).__name__}; give a function")
    name = getattr(function, "__qualname__", "")
    module = sys.modules.get(getattr(function, "__module__", None) or "")
    path = getattr(module, "__file__", None)
    top = inspect.isfunction(function) and name.isidentifier()
    if top and module is not None and path and getattr(module, name, None) is function:
        content = Path(path).read_bytes()
        if module.__name__ == "__main__" or not _importable(module.__name__, path):
            return Function("file", str(Path(path).absolute()), name, _digest(content), content)
        return Function("module", module.__name__, name, _digest(content), content)
    name = name or type(function).__name__
    content = _pickled(function, what, name, module) if sent else b""
    return Function("pickle", "", name, _code_digest(function), content)


def _importable(name: str, path: str) -> bool:
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return False
    # find_spec answers out of sys.modules; a worker has to find it along sys.path.
    parts = name.split(".")
    roots = [Path(p or ".").joinpath(*parts) for p in sys.path]
    found = any(r.with_suffix(".py").is_file() or (r / "__init__.py").is_file() for r in roots)
    return found and spec is not None and spec.origin is not None and spec.origin == path


def _pickled(function: Callable[..., Any], what: str, name: str, module: Any) -> bytes:
    try:
        import cloudpickle
    except ImportError as e:
        raise ModelError(
            f"{what}: {name} is not at the top level of a file, so that workers cannot import it; "
            f"move it there, install cloudpickle ({INSTALL}), or run with workers=0"
        ) from e
    by_value = (
        module is not None
        and module.__name__ != "__main__"
        and getattr(module, "__file__", None)
        and not _importable(module.__name__, module.__file__)
    )
    try:
        if by_value:
            cloudpickle.register_pickle_by_value(module)
        content: bytes = cloudpickle.dumps(function)
    except Exception as e:
        raise ModelError(
            f"{what}: {name} cannot be sent to workers ({' '.join(str(e).split())}); define it at "
            "the top level of a file, or run with workers=0"
        ) from e
    finally:
        if by_value:
            cloudpickle.unregister_pickle_by_value(module)
    return content


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _code_digest(function: Any) -> str:
    """Of what the function does and of the values that it encloses: the same in every process."""
    parts: list[str] = []
    seen: set[int] = set()

    def add(value: Any) -> None:
        if id(value) in seen:
            return
        seen.add(id(value))
        code = getattr(value, "__code__", None)
        if code is None:
            function = getattr(value, "func", None)  # functools.partial
            if function is not None:
                add(function)
                parts.append(repr((getattr(value, "args", ()), getattr(value, "keywords", {}))))
                return
            parts.append(re.sub(r" at 0x[0-9a-f]+", "", repr(value)))
            return
        try:
            parts.append(inspect.getsource(value))
        except (OSError, TypeError):
            parts.append(repr((code.co_code, code.co_names)))
        parts.append(repr((value.__defaults__, value.__kwdefaults__)))
        for cell in value.__closure__ or ():
            add(cell.cell_contents)

    add(function)
    return _digest(re.sub(r" at 0x[0-9a-f]+", "", "\n".join(parts)).encode())

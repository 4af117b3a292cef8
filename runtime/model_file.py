"""Networks out of files: ``MODEL.py``, ``MODEL.py:NAME``, ``MODEL.nir``, ``MODEL.nir:CHOICES``.

``MODEL.slm``, ``MODEL.keras`` and ``MODEL.h5`` are read by `spikeloom.runtime.trained_files`.
"""

from __future__ import annotations

import importlib.util
import sys
import traceback
from pathlib import Path
from typing import Any

from ..compiler.errors import ModelError
from .trained_files import is_trained, load_trained

DEFAULT_NAME = "model"
DEFAULT_DT = 0.001
NIR_CHOICES = ("dt", "method", "reset")


def load_network(reference: str, dt: float | None = None) -> tuple[Any, str]:
    """Run the file and pick its network, or import it.

    Parameters
    ----------
    reference : str
        ``FILE.py`` (its variable `model`, or its only network) or ``FILE.py:NAME``; ``FILE.nir`` or
        ``FILE.nir:reset=...,method=...`` (`import_nir` tells what there is to choose);
        ``FILE.slm``; ``FILE.keras`` or ``FILE.h5``, with ``:neuron=...`` (`trained_files`).
    dt : float, optional
        The time step in seconds, for a file that does not state its own.

    Returns
    -------
    network : nengo.Network
    name : str
        Its label, or the file's name without ending.

    Raises
    ------
    ModelError
        If there is no such file, running it fails, or it has no such network.
    """
    if is_nir(reference):
        return _load_nir(reference, dt)
    if is_trained(reference):
        trained = load_trained(reference).network
        return trained, trained.label or Path(reference).stem
    path, _, name = reference.partition(":") if ".py:" in reference else (reference, "", "")
    file = Path(path)
    if not file.is_file():
        raise ModelError(f"{path}: no such file; give the Python file that defines the network")
    if file.suffix != ".py":
        raise ModelError(f"{path}: not a Python file; give MODEL.py or MODEL.py:NAME")
    variables = run_file(file)
    from nengo import Network

    networks = {key: value for key, value in variables.items() if isinstance(value, Network)}
    known = ", ".join(sorted(networks)) or "none"
    if name and name not in networks:
        kind = f"is a {type(variables[name]).__name__}" if name in variables else "is not defined"
        raise ModelError(f"{path}: {name} {kind}, not a nengo.Network; networks in it: {known}")
    if not networks:
        raise ModelError(
            f"{path}: defines no nengo.Network; assign one to the variable {DEFAULT_NAME!r}"
        )
    if not name and DEFAULT_NAME not in networks and len(networks) > 1:
        raise ModelError(f"{path}: has several networks ({known}); choose one with {path}:NAME")
    network = networks[name or (DEFAULT_NAME if DEFAULT_NAME in networks else min(networks))]
    return network, network.label or file.stem


def time_step(reference: str, dt: float | None) -> float:
    """The time step to run a file's network with, in seconds.

    It is `dt` if that is given, else what a ``.nir`` file says, or `DEFAULT_DT` for other files.

    Raises
    ------
    ModelError
        If a ``.nir`` file does not say it.
    """
    if dt is not None or not is_nir(reference):
        return DEFAULT_DT if dt is None else dt
    path, choices = _nir_choices(reference)
    from ..compiler.frontends.nir.network import time_step as of_file

    return of_file(path, choices.get("dt"))


def is_nir(reference: str) -> bool:
    """Whether a reference is to a ``.nir`` file."""
    return reference.endswith(".nir") or ".nir:" in reference


def _nir_choices(reference: str) -> tuple[str, dict[str, str]]:
    path, _, text = reference.rpartition(".nir:") if ".nir:" in reference else (reference, "", "")
    choices = dict(part.partition("=")[::2] for part in text.split(",") if text)
    for name, value in choices.items():
        if name not in NIR_CHOICES or not value:
            raise ModelError(
                f"{reference}: {name!r} is not understood; choose by {', '.join(NIR_CHOICES)}, as "
                f"in {path}.nir:reset=subtract"
            )
    return (f"{path}.nir" if text else path.removesuffix(":")), choices


def _load_nir(reference: str, dt: float | None) -> tuple[Any, str]:
    from ..compiler.frontends.nir.network import import_nir

    path, choices = _nir_choices(reference)
    stated: Any = choices.get("dt") if dt is None else dt
    network = import_nir(path, stated, choices.get("method"), choices.get("reset"))
    return network, network.label


def blame(reference: str, error: Exception) -> ModelError | None:
    """The error of a model while it was built or run, in one line; None if it is not the model's.

    It is the model's if Nengo says so, or if the model's own code raised it.
    """
    from nengo.exceptions import NengoException

    python = ".py" in reference
    file = Path(reference.rpartition(".py")[0] + ".py" if python else reference)
    line = line_in(file, error)
    if not line and not isinstance(error, NengoException):
        return None
    reason = " ".join(f"{type(error).__name__}: {error}".split())
    return ModelError(f"{file}{line}: the network cannot be run: {reason}")


def run_file(file: Path) -> dict[str, Any]:
    """Run a Python file and return its variables.

    Raises
    ------
    ModelError
        If running it fails.
    """
    # As Python itself would run it, but not under the name __main__: what the file does only when
    # it is run as a script stays undone. Its folder comes first among those that it imports from.
    spec = importlib.util.spec_from_file_location("spikeloom_model", file.absolute())
    if spec is None or spec.loader is None:
        raise ModelError(f"{file}: cannot be imported; give a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    sys.path.insert(0, str(file.absolute().parent))
    try:
        spec.loader.exec_module(module)
    except Exception as e:
        line = line_in(file, e)
        reason = " ".join(f"{type(e).__name__}: {e}".split())
        raise ModelError(f"{file}{line}: running it failed with {reason}") from e
    except SystemExit as e:
        raise ModelError(f"{file}: it ended Python (SystemExit: {e.code}) when run") from e
    finally:
        sys.path.remove(str(file.absolute().parent))
    return vars(module)


def line_in(file: Path, error: BaseException) -> str:
    """``":12"`` if line 12 of the file raised the error; empty if the file did not raise it."""
    if isinstance(error, SyntaxError) and error.lineno:
        return f":{error.lineno}"
    frames = traceback.extract_tb(error.__traceback__)
    lines = [f.lineno for f in frames if Path(f.filename) == file.absolute()]
    return f":{lines[-1]}" if lines else ""

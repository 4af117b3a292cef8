"""Programs on disk: a directory of two files, or the same two in one ``.slp`` archive.

``manifest.json`` holds everything that a person may want to read, with the SHA-256 of itself and of
``tables.npz``, which holds the arrays. Nothing is ever unpickled, and Nengo is not needed.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import zipfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from .errors import ProgramError
from .files import new_directory, write_file
from .instructions import instruction_from_json
from .kernels.code import KernelCode
from .kernels.rule_code import RuleCode
from .machine import Machine
from .program import (
    FORMAT_VERSION,
    InputPort,
    OutputPort,
    PopulationInfo,
    Program,
    ProjectionInfo,
)
from .validation import validate

MANIFEST = "manifest.json"
TABLES = "tables.npz"
ARCHIVE_SUFFIX = ".slp"
_FORMAT = "spikeloom-program"
_MEMORIES = ("weight", "value", "state", "residual", "synapse")
_STENCIL = "stencil"
"""Stored only where there is one."""

_REMEDY = "compile it again with `spikeloom compile`"


def save_program(program: Program, path: str | Path) -> None:
    """Write `program` to the directory `path`, or to one file if its name ends in ``.slp``.

    An earlier Program at `path` is replaced; after a failure it is still there unchanged.

    Raises
    ------
    ProgramError
        If the Program is not legal, or `path` is something else or cannot be written.
    """
    path = Path(path)
    validate(program)
    files = encode_program(program)
    if path.suffix == ARCHIVE_SUFFIX:
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as out:
            for name, content in files.items():
                out.writestr(zipfile.ZipInfo(name), content)
        write_file(path, archive.getvalue())
        return
    with new_directory(path, holds_program) as directory:
        for name, content in files.items():
            (directory / name).write_bytes(content)


def load_program(path: str | Path) -> Program:
    """Read a Program and check all of it.

    Parameters
    ----------
    path : str or Path
        The Program's directory or ``.slp`` file, or a directory that `spikeloom compile` wrote
        (which holds the Program under ``program``).

    Raises
    ------
    ProgramError
        If it is missing, damaged, foreign, of another version or not legal.
    """
    path = Path(path)
    if path.is_dir() and not holds_program(path) and (path / "program").is_dir():
        path = path / "program"
    return decode_program(_read(path), str(path))


def holds_program(path: Path) -> bool:
    """Whether the directory `path` looks like a stored Program and nothing else."""
    return (path / MANIFEST).is_file() and {p.name for p in path.iterdir()} <= {MANIFEST, TABLES}


def encode_program(program: Program) -> dict[str, bytes]:
    """The content of the files that make up a stored Program, by name."""
    arrays = _arrays(program)
    arrays |= {f"table {name}": content for name, content in program.tables.items()}
    tables = io.BytesIO()
    np.savez_compressed(tables, allow_pickle=False, **arrays)  # type: ignore[arg-type]
    manifest = {
        "format": _FORMAT,
        "version": FORMAT_VERSION,
        "producer": f"spikeloom {_producer()}",
        "name": program.name,
        "dt": program.dt,
        "machine": program.machine.to_json(),
        "memories": {
            "accumulator_words": program.accumulator_words,
            "event_words": program.event_words,
            "event_lists": program.event_lists,
            "post_memories": program.post_memories,
            "post_words": program.post_words,
        },
        "kernels": [code.to_json() for code in program.kernels.values()],
        "phases": [[i.to_json() for i in phase] for phase in program.phases],
        "inputs": [asdict(port) for port in program.inputs.values()],
        "outputs": [asdict(port) for port in program.outputs.values()],
        "populations": [asdict(population) for population in program.populations.values()],
        "rules": [code.to_json() for code in program.rules.values()],
        "projections": [asdict(projection) for projection in program.projections.values()],
        "notes": program.notes,
        "files": {TABLES: hashlib.sha256(tables.getvalue()).hexdigest()},
    }
    return {MANIFEST: _encode_manifest(manifest), TABLES: tables.getvalue()}


def _arrays(program: Program) -> dict[str, np.ndarray]:
    arrays = {name: getattr(program, name) for name in _MEMORIES}
    if len(program.stencil):
        arrays[_STENCIL] = program.stencil
    return arrays


def program_hash(program: Program) -> str:
    """SHA-256 over all that an engine sees of `program` (not its notes), in hexadecimal."""
    digest = hashlib.sha256()
    manifest = json.loads(encode_program(program)[MANIFEST])
    for key in ("notes", "producer", "files", "sha256"):
        del manifest[key]
    digest.update(_to_bytes(manifest))
    arrays = _arrays(program)
    for name, array in {**arrays, **dict(sorted(program.tables.items()))}.items():
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def decode_program(files: dict[str, bytes], where: str) -> Program:
    """The inverse of `encode_program`; `where` names the place in errors."""
    manifest = _decode_manifest(files[MANIFEST], where)
    try:
        if hashlib.sha256(files[TABLES]).hexdigest() != manifest["files"][TABLES]:
            raise ProgramError(f"{TABLES} does not match its SHA-256")
        arrays = _read_arrays(files[TABLES])
        program = Program(
            name=manifest["name"],
            machine=Machine.from_json(manifest["machine"]),
            dt=manifest["dt"],
            kernels={k["name"]: KernelCode.from_json(k) for k in manifest["kernels"]},
            phases=[[instruction_from_json(i) for i in phase] for phase in manifest["phases"]],
            weight=arrays.pop("weight"),
            value=arrays.pop("value"),
            state=arrays.pop("state"),
            residual=arrays.pop("residual"),
            synapse=arrays.pop("synapse"),
            stencil=arrays.pop(_STENCIL, np.zeros((0, 2), np.int32)),
            tables={name.removeprefix("table "): array for name, array in arrays.items()},
            **manifest["memories"],
            inputs={p["name"]: InputPort(**p) for p in manifest["inputs"]},
            outputs={p["name"]: OutputPort(**p) for p in manifest["outputs"]},
            populations={
                p["name"]: PopulationInfo(
                    **{
                        **p,
                        "state_units": tuple(p["state_units"]),
                        "members": tuple((n, int(s), int(k)) for n, s, k in p["members"]),
                    }
                )
                for p in manifest["populations"]
            },
            rules={r["name"]: RuleCode.from_json(r) for r in manifest["rules"]},
            projections={
                p["name"]: ProjectionInfo(**{**p, "synapse_units": tuple(p["synapse_units"])})
                for p in manifest["projections"]
            },
            notes=manifest["notes"],
        )
        validate(program)
    except ProgramError as e:
        raise ProgramError(f"{where}: {e}; {_REMEDY}") from e
    except (KeyError, TypeError, ValueError, AttributeError) as e:
        reason = f"malformed manifest ({type(e).__name__}: {e})"
        raise ProgramError(f"{where}: {reason}; {_REMEDY}") from e
    return program


def _read(path: Path) -> dict[str, bytes]:
    if not path.exists():
        raise ProgramError(f"{path}: no such Program; {_REMEDY}")
    try:
        if path.is_dir():
            return {name: (path / name).read_bytes() for name in (MANIFEST, TABLES)}
        with zipfile.ZipFile(path) as archive:
            return {name: archive.read(name) for name in (MANIFEST, TABLES)}
    except FileNotFoundError as e:
        missing = Path(e.filename).name
        raise ProgramError(f"{path}: not a Program, it has no {missing}; {_REMEDY}") from e
    except OSError as e:
        raise ProgramError(f"{path}: cannot be read ({e.strerror or e}); {_REMEDY}") from e
    except Exception as e:  # zipfile raises many kinds for damaged archives
        raise ProgramError(f"{path}: not a Program or damaged ({e}); {_REMEDY}") from e


def _read_arrays(content: bytes) -> dict[str, np.ndarray]:
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
    except Exception as e:  # NumPy and zipfile raise many kinds for damaged archives
        raise ProgramError(f"{TABLES} cannot be read ({e})") from e
    for name in _MEMORIES:
        if name not in arrays:
            raise ProgramError(f"{TABLES} has no {name!r}")
    return arrays


def _encode_manifest(manifest: dict[str, Any]) -> bytes:
    body = _plain(manifest)
    body["sha256"] = hashlib.sha256(_to_bytes(body)).hexdigest()
    return _to_bytes(body)


def _decode_manifest(content: bytes, where: str) -> dict[str, Any]:
    try:
        manifest = json.loads(content)
    except (ValueError, RecursionError) as e:
        raise ProgramError(f"{where}: {MANIFEST} is damaged ({e}); {_REMEDY}") from e
    if not isinstance(manifest, dict) or manifest.get("format") != _FORMAT:
        raise ProgramError(f"{where}: {MANIFEST} is not that of a Program; {_REMEDY}")
    version = manifest.get("version")
    if version != FORMAT_VERSION:
        raise ProgramError(
            f"{where}: has format version {version}, this Spikeloom reads {FORMAT_VERSION}; "
            f"{_REMEDY}"
        )
    body = {key: value for key, value in manifest.items() if key != "sha256"}
    # The second comparison also finds bytes changed between the tokens, which parsing skips.
    if manifest.get("sha256") != hashlib.sha256(_to_bytes(body)).hexdigest() or content != (
        _to_bytes(manifest)
    ):
        raise ProgramError(f"{where}: {MANIFEST} does not match its SHA-256; {_REMEDY}")
    return manifest


def _to_bytes(data: Any) -> bytes:
    return json.dumps(data, indent=1, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n"


def _plain(data: Any) -> Any:
    # JSON knows neither NumPy's numbers nor infinity.
    if isinstance(data, dict):
        return {str(key): _plain(value) for key, value in data.items()}
    if isinstance(data, list | tuple | set | frozenset):
        return [_plain(value) for value in data]
    if isinstance(data, np.ndarray):
        return _plain(data.tolist())
    if isinstance(data, np.generic):
        return _plain(data.item())
    if isinstance(data, float) and not math.isfinite(data):
        return None
    return data


def _producer() -> str:
    from .. import __version__

    return __version__

"""Frozen networks on disk: ``.slm``, a network of Nengo whose numbers are all given.

One file holds ``model.json`` (objects, names, the parameter map, with the SHA-256 of itself and of
the arrays) and ``arrays.npz``. Nothing is ever unpickled. The network that is read spikes exactly
as the one that was written.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nengo
import numpy as np

from ...errors import ModelError
from ...files import write_file
from .objects import network_from_json, network_to_json
from .parameter_map import LayerRecord
from .types import Arrays

FORMAT = "spikeloom-network"
FORMAT_VERSION = 1
SUFFIX = ".slm"
_MODEL = "model.json"
_ARRAYS = "arrays.npz"
_REMEDY = "export it again with spikeloom.export"


@dataclass
class FrozenModel:
    """A network with frozen parameters, and where they came from.

    Attributes
    ----------
    network : nengo.Network
        Nodes without functions, ensembles with given gains, biases, encoders and initial states,
        connections with given weights, probes. Any simulator of Nengo runs it.
    layers : list of LayerRecord
        The parameter map.
    remarks : list of str
        What a person should know about it, a line each.
    source : str
        What it was made from, such as ``nengo_dl.Simulator``.
    """

    network: nengo.Network
    layers: list[LayerRecord] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    source: str = ""


def save_frozen(model: FrozenModel, path: str | Path) -> None:
    """Write a frozen network to the file `path`, whole or not at all.

    Raises
    ------
    ModelError
        If something in it cannot be stored: a Python function, a random process, a learning rule,
        or numbers that are still to be drawn or solved for (see `freeze`).
    ProgramError
        If the place cannot be written.
    """
    write_file(path, encode_frozen(model))


def load_frozen(path: str | Path) -> FrozenModel:
    """Read a frozen network.

    Raises
    ------
    ModelError
        If the file is missing, damaged, foreign or newer than this Spikeloom.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except OSError as e:
        raise ModelError(f"{path}: cannot be read ({e.strerror or e}); {_REMEDY}") from e
    return decode_frozen(content, str(path))


def encode_frozen(model: FrozenModel) -> bytes:
    """The content of a ``.slm`` file."""
    arrays = Arrays()
    body: dict[str, Any] = {
        "format": FORMAT,
        "version": FORMAT_VERSION,
        "source": model.source,
        "network": network_to_json(model.network, arrays),
        "layers": [record.to_json() for record in model.layers],
        "remarks": list(model.remarks),
    }
    stored = io.BytesIO()
    np.savez_compressed(stored, allow_pickle=False, **arrays.content)  # type: ignore[arg-type]
    body["arrays_sha256"] = hashlib.sha256(stored.getvalue()).hexdigest()
    # The hash is that of the text as a reader finds it: tuples are lists there.
    body = json.loads(_to_bytes(body))
    body["sha256"] = hashlib.sha256(_to_bytes(body)).hexdigest()
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as out:
        out.writestr(zipfile.ZipInfo(_MODEL), _to_bytes(body))
        out.writestr(zipfile.ZipInfo(_ARRAYS), stored.getvalue())
    return archive.getvalue()


def decode_frozen(content: bytes, where: str) -> FrozenModel:
    """The inverse of `encode_frozen`; `where` names the place in errors."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            text, stored = archive.read(_MODEL), archive.read(_ARRAYS)
    except Exception as e:  # zipfile raises many kinds for damaged archives
        raise ModelError(f"{where}: not a stored network or damaged ({e}); {_REMEDY}") from e
    body = _checked(text, stored, where)
    try:
        with np.load(io.BytesIO(stored), allow_pickle=False) as opened:
            arrays = Arrays({name: opened[name] for name in opened.files})
        return FrozenModel(
            network_from_json(body["network"], arrays),
            [LayerRecord.from_json(record) for record in body["layers"]],
            list(body["remarks"]),
            body["source"],
        )
    except ModelError as e:
        raise ModelError(f"{where}: {e}") from e
    except Exception as e:  # whatever Nengo, NumPy or zipfile think of what they were given
        reason = " ".join(f"{type(e).__name__}: {e}".split())
        raise ModelError(f"{where}: malformed network ({reason}); {_REMEDY}") from e


def _checked(text: bytes, stored: bytes, where: str) -> dict[str, Any]:
    try:
        body = json.loads(text)
    except (ValueError, RecursionError) as e:
        raise ModelError(f"{where}: {_MODEL} is damaged ({e}); {_REMEDY}") from e
    if not isinstance(body, dict) or body.get("format") != FORMAT:
        raise ModelError(f"{where}: {_MODEL} is not that of a stored network; {_REMEDY}")
    version = body.get("version")
    if version != FORMAT_VERSION:
        raise ModelError(
            f"{where}: has format version {version}, this Spikeloom reads {FORMAT_VERSION}; "
            f"update Spikeloom, or {_REMEDY}"
        )
    hashed = {key: value for key, value in body.items() if key != "sha256"}
    if body.get("sha256") != hashlib.sha256(_to_bytes(hashed)).hexdigest():
        raise ModelError(f"{where}: {_MODEL} does not match its SHA-256; {_REMEDY}")
    if body.get("arrays_sha256") != hashlib.sha256(stored).hexdigest():
        raise ModelError(f"{where}: {_ARRAYS} does not match its SHA-256; {_REMEDY}")
    return body


def _to_bytes(body: dict[str, Any]) -> bytes:
    return json.dumps(body, indent=1).encode()

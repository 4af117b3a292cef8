"""Keras models out of files, without TensorFlow: ``.keras`` and ``.h5``.

A ``.keras`` file is a zip archive with the configuration and an HDF5 file of the weights; a ``.h5``
file holds both itself. Keras 2 (tf_keras) and Keras 3 differ in names only.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import ModelError, ToolError
from .model import (
    MODELS,
    Json,
    KerasModel,
    Weights,
    layer_name,
    parse_model,
)

if TYPE_CHECKING:
    import h5py

SUFFIXES = (".keras", ".h5", ".hdf5")
_REMEDY = "save it again with model.save"
_CONTAINERS = ("layers", "_layer_checkpoint_dependencies")
"""Groups that hold the layers of a model in a ``.keras`` file; the second is that of Keras 2.12."""


def read_keras(path: str | Path) -> KerasModel:
    """Read a stored Keras model.

    Parameters
    ----------
    path : str or Path
        Its ``.keras`` or ``.h5`` file.

    Raises
    ------
    ModelError
        If the file is missing, damaged, holds weights alone, or not a model made of layers.
    ToolError
        If h5py is not installed.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except OSError as e:
        raise ModelError(f"{path}: cannot be read ({e.strerror or e}); {_REMEDY}") from e
    try:
        return _read_archive(content) if zipfile.is_zipfile(path) else _read_hdf5(content)
    except ModelError as e:
        raise ModelError(f"{path}: {e}") from e
    except (OSError, KeyError, ValueError, TypeError, zipfile.BadZipFile, RuntimeError) as e:
        reason = " ".join(f"{type(e).__name__}: {e}".split())
        raise ModelError(f"{path}: not a Keras model or damaged ({reason}); {_REMEDY}") from e


def _open(content: bytes) -> h5py.File:
    try:
        import h5py
    except ImportError as e:
        raise ToolError(
            "reading Keras models needs h5py; install it: pip install 'spikeloom[models]'"
        ) from e
    return h5py.File(io.BytesIO(content), "r")


# -- .keras ------------------------------------------------------------------------------------


def _read_archive(content: bytes) -> KerasModel:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        names = archive.namelist()
        if "config.json" not in names:
            raise ModelError(f"a zip archive without config.json, so not a Keras model; {_REMEDY}")
        if "model.weights.h5" not in names:
            raise ModelError(f"its weights are not in model.weights.h5; {_REMEDY} as one file")
        described = json.loads(archive.read("config.json"))
        with _open(archive.read("model.weights.h5")) as file:
            stored = _archive_weights(file, described)
    kind = described["class_name"]
    return parse_model(kind, described["config"], _lookup(stored))


def _archive_weights(file: h5py.File, described: Json) -> dict[str, list[np.ndarray]]:
    found = {}
    for name, kind, group in _groups(file, described["config"], ()):
        if kind in MODELS:
            continue
        variables: Any = group["vars"] if group is not None and "vars" in group else {}
        found[name] = [_array(variables[str(i)]) for i in range(len(variables))]
    return found


def _groups(
    group: Any, config: Any, path: tuple[str, ...]
) -> Iterator[tuple[str, str, h5py.Group | None]]:
    """``(name with path, class, HDF5 group)`` of each layer, also inside inner models."""
    items = config if isinstance(config, list) else config["layers"]
    container = next((group[c] for c in _CONTAINERS if group is not None and c in group), None)
    counts: dict[str, int] = {}
    for item in items:
        kind = item["class_name"].split(">")[-1]
        name = layer_name(item)
        # Groups are named after classes, with a number behind the second and further of a class.
        base = _snake_case(kind)
        number = counts.get(base, 0)
        counts[base] = number + 1
        inner = None
        if container is not None:
            inner = container.get(f"{base}_{number}" if number else base)
        yield "/".join((*path, name)), kind, inner
        if kind in MODELS:
            yield from _groups(inner, item["config"], (*path, name))


def _snake_case(name: str) -> str:
    name = re.sub(r"\W+", "", name)
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()


# -- .h5 ---------------------------------------------------------------------------------------


def _read_hdf5(content: bytes) -> KerasModel:
    if content[:8] != b"\x89HDF\r\n\x1a\n":
        raise ModelError(f"neither a .keras nor an HDF5 file; {_REMEDY}")
    with _open(content) as file:
        if "model_config" not in file.attrs:
            raise ModelError(
                "holds weights alone; save the whole model (model.save, not save_weights)"
            )
        described = json.loads(_text(file.attrs["model_config"]))
        stored = file["model_weights"]
        arrays = {
            _text(name): {
                _text(n): _array(stored[_text(name)][_text(n)])
                for n in stored[_text(name)].attrs["weight_names"]
            }
            for name in stored.attrs["layer_names"]
        }

    def weights(path: tuple[str, ...], name: str, item: Json) -> list[np.ndarray]:
        group = arrays.get(path[0] if path else name, {})
        if not path:
            return list(group.values())
        # An inner model has one group for all its layers; names end in LAYER/WEIGHT.
        return [w for full, w in group.items() if full.split("/")[-2:-1] == [name]]

    return parse_model(described["class_name"], described["config"], weights)


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _array(dataset: Any) -> np.ndarray:
    return np.asarray(dataset[()], dtype=float)


def _lookup(stored: dict[str, list[np.ndarray]]) -> Weights:
    def weights(path: tuple[str, ...], name: str, item: Json) -> list[np.ndarray]:
        return stored.get("/".join((*path, name)), [])

    return weights

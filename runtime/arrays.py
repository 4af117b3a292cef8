"""Named float arrays in ``.npz`` files: inputs of a run, and its outputs."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ..compiler.errors import InputError
from ..compiler.files import write_file


def encode_arrays(arrays: Mapping[str, np.ndarray]) -> bytes:
    """The content of an ``.npz`` file; any text may be a name, as `numpy.savez` would not allow."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asarray(array), allow_pickle=False)
    return content.getvalue()


def write_arrays(path: str | Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write an ``.npz`` file, whole or not at all; raises ProgramError if it cannot."""
    write_file(path, encode_arrays(arrays))


def read_arrays(path: str | Path) -> dict[str, np.ndarray]:
    """Read an ``.npz`` file.

    Raises
    ------
    InputError
        If there is no such file, or it is not an ``.npz`` file of plain arrays.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file; give an .npz file made with numpy.savez")
    try:
        stored = np.load(path, allow_pickle=False)
        if not isinstance(stored, np.lib.npyio.NpzFile):
            raise InputError(f"{path}: holds a single array; name it with numpy.savez")
        with stored:
            return {name: stored[name] for name in stored.files}
    except InputError:
        raise
    except Exception as e:  # NumPy and zipfile raise many kinds for damaged archives
        reason = " ".join(str(e).split())
        raise InputError(f"{path}: not an .npz file of plain arrays ({reason})") from e

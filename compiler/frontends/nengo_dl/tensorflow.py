"""NengoDL with today's TensorFlow: where it looks for Keras 2, it finds tf_keras.

NengoDL 3.6 was written for TensorFlow up to 2.12, whose Keras 2 lives on as the package tf_keras.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from types import ModuleType

from ...errors import ToolError

_ALIASES = {
    "keras": "tf_keras",
    "keras.layers": "tf_keras.layers",
    "keras.engine": "tf_keras.src.engine",
    "keras.engine.functional": "tf_keras.src.engine.functional",
}
"""Modules that NengoDL imports -> what stands in for them while it does."""

_REMEDY = "install it with `pip install spikeloom[dl]`, as docs/trained.md says"


def import_nengo_dl() -> ModuleType:
    """The module nengo_dl, imported so that it works with the TensorFlow that is installed.

    Call it before TensorFlow is imported. With TensorFlow before 2.13 it is ``import nengo_dl`` and
    no more.

    Returns
    -------
    module
        nengo_dl.

    Raises
    ------
    ToolError
        If TensorFlow, tf_keras or NengoDL is missing, or TensorFlow was imported with Keras 3.
    """
    if "nengo_dl" in sys.modules:
        return sys.modules["nengo_dl"]
    os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    tensorflow = _module("tensorflow")
    version = tuple(int(n) for n in tensorflow.__version__.split(".")[:2])
    if version < (2, 13):
        return _module("nengo_dl")
    tf_keras = _module("tf_keras")
    if not tensorflow.keras.layers.Layer.__module__.startswith("tf_keras"):
        raise ToolError(
            "TensorFlow was imported with Keras 3, NengoDL needs Keras 2; call import_nengo_dl() "
            "first, or set TF_USE_LEGACY_KERAS=1"
        )
    for name in ("BatchNormalizationV1", "BatchNormalizationV2"):
        if not hasattr(tf_keras.layers, name):
            setattr(tf_keras.layers, name, tf_keras.layers.BatchNormalization)
    before = {name: sys.modules.get(name) for name in _ALIASES}
    try:
        for name, target in _ALIASES.items():
            sys.modules[name] = import_module(target)
        return _module("nengo_dl")
    finally:
        # Keras 3 may be installed, too, and wanted by others under its own name.
        for name, module in before.items():
            if module is None:
                sys.modules.pop(name, None)
            else:
                sys.modules[name] = module


def _module(name: str) -> ModuleType:
    try:
        return import_module(name)
    except ImportError as e:
        raise ToolError(f"{name} cannot be imported ({e}); {_REMEDY}") from e

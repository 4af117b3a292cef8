"""Finding NengoDL and the Keras that it knows; with modules that only look like TensorFlow."""

import sys
from types import ModuleType, SimpleNamespace

import pytest

import spikeloom
from spikeloom.compiler.errors import ToolError


@pytest.fixture
def modules(monkeypatch):
    """Put a module in place of another (None: it cannot be imported)."""
    monkeypatch.delitem(sys.modules, "nengo_dl", raising=False)
    monkeypatch.setenv("TF_USE_LEGACY_KERAS", "1")

    def put(name, **content):
        module = ModuleType(name)
        vars(module).update(content)
        monkeypatch.setitem(sys.modules, name, module if content else None)
        return module

    return put


def fake(keras):
    layer = type("Layer", (), {"__module__": f"{keras}.src.layers"})
    return SimpleNamespace(layers=SimpleNamespace(Layer=layer))


def test_what_is_missing_is_named(modules):
    modules("tensorflow")
    with pytest.raises(ToolError, match=r"^tensorflow cannot be imported .*spikeloom\[dl\]"):
        spikeloom.import_nengo_dl()
    modules("tensorflow", __version__="2.21.0", keras=fake("tf_keras"))
    modules("tf_keras")
    with pytest.raises(ToolError, match=r"^tf_keras cannot be imported"):
        spikeloom.import_nengo_dl()


def test_tensorflow_that_has_begun_with_keras_3(modules):
    modules("tensorflow", __version__="2.21.0", keras=fake("keras"))
    modules("tf_keras", layers=SimpleNamespace())
    with pytest.raises(ToolError, match="TensorFlow was imported with Keras 3"):
        spikeloom.import_nengo_dl()


def test_before_keras_3_there_is_nothing_to_do(modules):
    modules("tensorflow", __version__="2.12.1")
    modules("tf_keras")
    module = modules("nengo_dl", __version__="3.6.0")
    assert spikeloom.import_nengo_dl() is module

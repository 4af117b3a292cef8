"""Graphs that break NIR's contract: one line each, with the node and what to do."""

import sys

import h5py
import nir
import numpy as np
import pytest
from nir_graphs import DT, chain, graph

import spikeloom
from spikeloom.compiler.errors import ModelError, RangeError
from spikeloom.compiler.frontends.nir.export import export_nir
from spikeloom.compiler.frontends.nir.network import import_nir, time_step

N = 3


def same(value):
    return np.full(N, float(value))


def lif(**changes):
    values = dict(tau=same(0.01), r=same(1), v_leak=same(0), v_threshold=same(1))
    return nir.LIF(**{**values, "v_reset": same(0), **changes})


def refused(source, dt=DT, **options):
    with pytest.raises(ModelError) as caught:
        import_nir(source, dt=dt, **options)
    message = str(caught.value)
    assert "\n" not in message
    return message


def conv(**changes):
    values = dict(input_shape=None, weight=np.zeros((4, 2, 3, 3)), stride=1, padding=0, dilation=1)
    return nir.Conv2d(**{**values, "groups": 1, "bias": np.zeros(4), **changes})


WRONG = {
    "tau is 0; a time constant must be above 0": (lif(tau=same(0)), [N]),
    "tau is -0.01; a time constant": (lif(tau=np.array([0.01, -0.01, 0.01])), [N]),
    "tau is 0.0005 s, shorter than the time step of 0.001 s": (lif(tau=same(5e-4)), [N]),
    "v_threshold 0 is not above v_reset 0 (element 1)": (
        lif(v_threshold=np.array([1.0, 0.0, 1.0])),
        [N],
    ),
    "tau is not finite everywhere": (lif(tau=same(np.nan)), [N]),
    "tau has the shape (3,), but it gets values of shape (4,)": (lif(), [4]),
    "flatten what leads to it": (lif(), [3, 1]),
    "weight of shape (2, 3) does not fit values of shape (4,)": (nir.Linear(np.ones((2, 3))), [4]),
    "put a Flatten before it": (nir.Linear(np.ones((2, 6))), [2, 3]),
    "bias has the shape (4,), must have 2": (nir.Affine(np.ones((2, 3)), np.ones(4)), [3]),
    "weight has the shape (2, 2, 3), must have 2 dimensions": (nir.Linear(np.ones((2, 2, 3))), [3]),
    "does not fit 3 channels": (conv(), [3, 5, 5]),
    "needs values of 3 dimensions (channels first)": (conv(), [25]),
    "is larger than the input (2, 2, 2)": (conv(), [2, 2, 2]),
    "stride [0.0, 0.0]; must be at least 1": (conv(stride=(0, 0)), [2, 5, 5]),
    "padding 'same' with a stride above 1": (conv(stride=2, padding="same"), [2, 5, 5]),
    "bias has 3 elements, must have 4: one a channel": (conv(bias=np.zeros(3)), [2, 5, 5]),
    "delay 0.0015 s is no whole number of time steps": (nir.Delay(same(1.5e-3)), [N]),
    "delay -0.001 s; a delay must not be negative": (nir.Delay(same(-1e-3)), [N]),
}


@pytest.mark.parametrize("message", WRONG)
def test_parameters_that_break_the_contract(message):
    node, shape = WRONG[message]
    found = refused(chain(node, shape=shape))
    assert message in found
    assert f"node 'n0' ({type(node).__name__})" in found


def small():
    nodes = {"input": nir.Input([N]), "n0": lif(), "output": nir.Output([N])}
    return graph(nodes, [("input", "n0"), ("n0", "output")])


def stored(tmp_path, change):
    """A file as nir.write leaves it, changed afterwards."""
    path = tmp_path / "changed.nir"
    nir.write(path, small())
    with h5py.File(path, "r+") as file:
        change(file["node"])
    return path


def test_an_unknown_node(tmp_path):
    def change(node):
        del node["nodes/n0/type"]
        node["nodes/n0/type"] = "Spline"

    message = refused(stored(tmp_path, change))
    assert "changed.nir: node 'n0' (Spline) is unknown" in message and "CubaLIF" in message


def test_a_missing_parameter(tmp_path):
    message = refused(stored(tmp_path, lambda node: node["nodes/n0"].__delitem__("v_threshold")))
    assert "node 'n0' (LIF): has no v_threshold" in message


def test_an_edge_to_nothing(tmp_path):
    message = refused(stored(tmp_path, lambda node: node["nodes"].move("n0", "m0")))
    assert "input -> n0" in message and "'n0' is missing" in message


def test_files_that_are_none(tmp_path):
    assert "no such file; give a .nir file" in refused(tmp_path / "none.nir")
    (tmp_path / "text.nir").write_text("hello")
    assert "not a NIR file" in refused(tmp_path / "text.nir")
    nir.write(tmp_path / "node.nir", lif())
    assert "holds the single node LIF" in refused(tmp_path / "node.nir")
    assert "no NIR graph" in refused(lif())


def test_graphs_without_ends():
    assert "no Input node" in refused(graph({"a": lif(), "z": nir.Output([N])}, [("a", "z")]))
    assert "no Output node" in refused(graph({"a": nir.Input([N]), "b": lif()}, [("a", "b")]))


def test_shapes_that_meet_must_be_equal():
    nodes = {"a": nir.Input([3]), "b": nir.Input([4]), "c": lif(), "z": nir.Output([3])}
    message = refused(graph(nodes, [("a", "c"), ("b", "c"), ("c", "z")]))
    assert (
        "node 'c' (LIF): gets values of different shapes: (3,) from 'a', (4,) from 'b'" in message
    )
    nodes = {"a": nir.Input([3]), "b": lif(), "w": nir.Linear(np.ones((4, 3)))}
    edges = [("a", "b"), ("b", "w"), ("w", "b"), ("b", "z")]
    message = refused(graph({**nodes, "z": nir.Output([3])}, edges))
    assert (
        "node 'b' (LIF): gets values of different shapes: (3,) from 'a', (4,) from 'w'" in message
    )


def test_a_subgraph_with_two_inputs():
    inner = graph(
        {"a": nir.Input([3]), "b": nir.Input([3]), "c": lif(), "z": nir.Output([3])},
        [("a", "c"), ("b", "c"), ("c", "z")],
    )
    outer = {"i": nir.Input([3]), "sub": inner, "o": nir.Output([3])}
    assert "subgraph 'sub' has several" in refused(graph(outer, [("i", "sub"), ("sub", "o")]))


def test_the_time_step_must_be_known_and_positive(tmp_path):
    path = tmp_path / "net.nir"
    nir.write(path, small())
    for ask in (import_nir, time_step):
        with pytest.raises(ModelError, match=r"net\.nir: .*states no time step; give dt"):
            ask(path)
        with pytest.raises(ModelError, match=r"net\.nir: the time step is -1; give a positive"):
            ask(path, -1)
        with pytest.raises(ModelError, match=r"net\.nir: the time step 'x' is no number"):
            ask(path, "x")
    assert time_step(path, "0.25") == 0.25


def test_choices_that_there_are_not():
    made = chain(lif(), shape=[N])
    assert "method 'heun' is unknown; choose euler, exponential" in refused(made, method="heun")
    assert "reset 'up' is unknown; choose nir, subtract" in refused(made, reset="up")


def test_another_time_step_than_that_of_the_import_is_refused():
    network = import_nir(chain(lif(), shape=[N]), dt=DT)
    with pytest.raises(RangeError, match=r"made for a time step of 0\.001 s, not 0\.002 s"):
        spikeloom.Simulator(network, dt=2e-3)


def test_without_the_package_there_is_a_line_that_says_so(tmp_path, monkeypatch):
    path = tmp_path / "net.nir"
    nir.write(path, small())
    network = import_nir(path, dt=DT)
    for module in [name for name in sys.modules if name.split(".")[0] == "nir"]:
        monkeypatch.delitem(sys.modules, module)
    for module in ("writer", "edges", "words"):
        name = f"spikeloom.compiler.frontends.nir.{module}"
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, "nir", None)
    monkeypatch.setitem(sys.modules, "nir.serialization", None)
    with pytest.raises(ModelError, match=r"needs the package nir.*pip install 'spikeloom\[nir\]'"):
        import_nir(path, dt=DT)
    with pytest.raises(ModelError, match=r"writing NIR needs the package nir; pip install"):
        export_nir(network, dt=DT)

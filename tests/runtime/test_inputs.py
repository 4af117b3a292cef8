"""Inputs of runs and networks out of files, and the commands that take them."""

import json
from pathlib import Path

import nengo
import numpy as np
import pytest
from numpy.testing import assert_array_equal

from spikeloom.cli import main
from spikeloom.compiler.errors import InputError
from spikeloom.compiler.streams import Events
from spikeloom.runtime.inputs import as_rows, given_steps, read_inputs, show_in

NIR = Path(__file__).parents[1] / "fixtures" / "nir"
DT = 1e-3
SIZES = {"a": 4, "b": 2}


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savez("named.npz", a=np.ones((3, 4)), b=np.ones(2))
    np.save("images.npy", np.arange(8.0).reshape(2, 2, 2))
    np.savez("one.npz", x=np.ones((5, 2)))
    np.savez("events.npz", time=np.array([0.0, 0.004]), address=np.array([1, 0]))
    Path("events.csv").write_text("time,address\n0.002,1\n")
    Path("text.npy").write_text("hello")
    return tmp_path


def test_named_arrays_single_arrays_and_events(files):
    given = read_inputs(["named.npz", "a=images.npy", "b=events.csv"], SIZES)
    assert_array_equal(given["a"], np.arange(8.0).reshape(2, 4))
    assert isinstance(given["b"], Events)
    assert given_steps(given, DT) == 2
    assert_array_equal(as_rows(given["b"], 2, DT, 4), [[0, 0], [0, 0], [0, 1], [0, 0]])
    assert_array_equal(read_inputs(["b=one.npz"], SIZES)["b"], np.ones((5, 2)))
    assert given_steps(read_inputs(["b=events.npz"], SIZES), DT) == 5
    assert given_steps({"b": np.ones(2)}, DT) is None


def test_names_can_be_left_out_where_there_is_one_input(files):
    for name, kind in (("images.npy", np.ndarray), ("events.npz", Events), ("events.csv", Events)):
        assert isinstance(read_inputs([name], {"a": 4})["a"], kind)
    with pytest.raises(InputError, match=r"for which input\? Give NAME=images\.npy; .*a, b"):
        read_inputs(["images.npy"], SIZES)


def test_each_image_lasts_its_steps(files):
    rows = read_inputs(["a=images.npy"], SIZES, hold=3)["a"]
    assert_array_equal(rows, np.arange(8.0).reshape(2, 4)[[0, 0, 0, 1, 1, 1]])


def test_files_that_do_not_suit(files):
    for text, message in (
        ("a=none.npy", "no such file"),
        ("a=text.npy", "not a plain .npy file"),
        ("a=named.npz", "holds 2 arrays; give one, or time and address"),
        ("b=images.npy", r"has shape \(2, 2, 2\); give rows of 2 values"),
        ("a=none.csv", "no such file"),
    ):
        with pytest.raises(InputError, match=message):
            read_inputs([text], SIZES)
    with pytest.raises(InputError, match="--hold 0: each row must last"):
        read_inputs([], SIZES, hold=0)
    np.savez("far.npz", time=[0.0], address=[7])
    with pytest.raises(InputError, match="address 7 in an input of size 2"):
        read_inputs(["b=far.npz"], SIZES)


def test_nodes_of_a_network_show_them(files):
    with nengo.Network() as network:
        nengo.Node([1.0], label="constant")
        node = nengo.Node(lambda t: [0.0] * 4, label="a")
        probe = nengo.Probe(node)
    assert show_in(network, ["images.npy"], DT, hold=2) == 4
    with nengo.Simulator(network, progress_bar=False) as sim:
        sim.run_steps(5, progress_bar=False)
    assert_array_equal(sim.data[probe][:, 3], [3, 3, 7, 7, 0])
    with pytest.raises(InputError, match="no node 'x' that could show it; there are: constant, a"):
        show_in(network, ["x=images.npy"], DT)
    with pytest.raises(InputError, match="give rows of 4 values"):
        show_in(network, ["a=one.npz"], DT)


def test_from_a_nir_file_to_a_run_of_recorded_spikes(tmp_path, capsys):
    with np.load(NIR / "recurrent_subtract.npz") as stored:
        given, wanted = stored["input"], stored["output"]
    step, address = np.nonzero(given)
    np.savez(tmp_path / "spikes.npz", time=step * 1e-4, address=address)
    np.save(tmp_path / "rows.npy", given)
    model = f"{NIR / 'recurrent_subtract.nir'}:reset=late-subtract"
    out = tmp_path / "out"
    compile_it = ["compile", model, "--dt", "1e-4", "-o", str(out)]
    assert main([*compile_it, "--input", str(tmp_path / "spikes.npz"), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    (probe,) = report["probes"]
    assert probe["spikes_float"] == probe["spikes_fixed"] == wanted.sum()
    assert probe["identical_spikes"] == 1
    for name in (f"input={tmp_path / 'spikes.npz'}", str(tmp_path / "rows.npy")):
        result = tmp_path / "result.npz"
        arguments = ["run", str(out), "--input", name, "--steps", "100", "-o", str(result)]
        assert main(arguments) == 0
        with np.load(result) as found:
            (output,) = [found[key] for key in found.files if key != "time"]
        assert_array_equal(output, wanted)


def test_a_nir_file_that_lacks_its_time_step(capsys):
    with pytest.raises(SystemExit) as ended:
        raise SystemExit(main(["compile", str(NIR / "recurrent.nir"), "-o", "x"]))
    assert ended.value.code == 2
    assert "states no time step; give dt (--dt S)" in capsys.readouterr().err

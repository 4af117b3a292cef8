import json

import numpy as np
import pytest
from example_program import example_program

from spikeloom.cli import COMMANDS, main
from spikeloom.compiler.storage import save_program
from spikeloom.runtime.standalone import run_program


@pytest.fixture
def directory(tmp_path):
    """A folder as `spikeloom compile` leaves it, without recorded inputs."""
    save_program(example_program(), tmp_path / "out" / "program")
    return tmp_path / "out"


def refused(capsys, *arguments):
    """Run a command that must fail with status 2, and return its one line."""
    try:
        status = main([str(a) for a in arguments])
    except SystemExit as e:
        status = e.code
    output = capsys.readouterr()
    assert status == 2
    assert output.out == ""
    lines = output.err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("spikeloom: ")
    return lines[0]


@pytest.mark.parametrize("command", [None, *COMMANDS])
def test_help_has_an_example(capsys, command):
    with pytest.raises(SystemExit) as e:
        main([command, "--help"] if command else ["--help"])
    assert e.value.code == 0
    assert "example: spikeloom" in capsys.readouterr().out


def test_mistaken_arguments(capsys):
    assert "invalid choice" in refused(capsys, "fly")
    assert "required" in refused(capsys)
    assert "required: DIR" in refused(capsys, "show")
    assert "not allowed with" in refused(capsys, "run", "d", "--steps", "3", "--time", "1")
    assert "invalid int value" in refused(capsys, "run", "d", "--steps", "many")


def test_show(directory, capsys):
    assert main(["show", str(directory)]) == 0
    assert "PHASE 0" in capsys.readouterr().out
    assert main(["show", str(directory / "program"), "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["memories"]["weight"]["words"] == 5
    assert [i["opcode"] for i in data["phases"][0]] == ["MAC", "MAP", "EVT", "MAP"]


def test_show_of_something_else(tmp_path, capsys):
    assert "no such Program" in refused(capsys, "show", tmp_path / "nothing")
    assert "not a Program" in refused(capsys, "show", tmp_path)


@pytest.mark.parametrize("engine", ["golden", "native"])
def test_run(directory, tmp_path, capsys, engine):
    np.savez(tmp_path / "in.npz", stimulus=np.array([1.0, 4.0]))
    result = tmp_path / "result.npz"
    arguments = ["run", str(directory), "--engine", engine, "--steps", "20"]
    arguments += ["--input", str(tmp_path / "in.npz"), "-o", str(result)]
    assert main([*arguments, "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["steps"] == 20
    assert summary["saturations"] == {}
    with np.load(result) as outputs:
        assert outputs["spikes"].shape == (20, 2)
        # Neuron 0 gets 40 + 64 * 3 = 232 a step, over its threshold of 256 in every second one.
        np.testing.assert_array_equal(outputs["spikes"][:6, 0], [0, 1000, 0, 1000, 0, 1000])
        np.testing.assert_array_equal(outputs["current"][:, 0], 232 / 256)
        np.testing.assert_allclose(outputs["time"], 0.001 * np.arange(1, 21))
    assert main([*arguments, "--record", "sum"]) == 0
    with np.load(result) as outputs:
        assert sorted(outputs) == ["sum", "time"]
    assert "20 steps on" in capsys.readouterr().out


def test_run_uses_recorded_inputs(directory, tmp_path, capsys):
    np.savez(directory / "inputs.npz", stimulus=np.zeros((7, 2)))
    assert main(["run", str(directory), "--engine", "golden", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["steps"] == 7


@pytest.mark.parametrize(
    ("stimulus", "message"),
    [
        ({}, "needs values for its inputs: stimulus; give them with --input"),
        ({"stimulus": np.zeros(3)}, r"has shape (3,), must be (5, 2), or (2,) to hold it"),
        ({"stimulus": np.zeros((4, 2))}, "has values for 4 steps, the run has 5"),
        ({"stimulus": np.array([0, np.nan])}, "is nan at step 0, element 1"),
        ({"stimulus": np.array(["a", "b"])}, "must hold real numbers, not <U1"),
        ({"stimulus": np.array([1j, 0])}, "must hold real numbers, not complex128"),
        ({"stimulus": np.zeros(2), "x": np.zeros(1)}, "has no input 'x'; its inputs: stimulus"),
        ({"stimulus": np.array([0, 3000.0])}, "input 'stimulus' left its range of +-2048 5 times"),
        ({"stimulus": np.array([0, 500.0])}, "leaky saturated"),
    ],
)
def test_run_with_bad_inputs(directory, tmp_path, capsys, stimulus, message):
    np.savez(tmp_path / "in.npz", **stimulus)
    result = tmp_path / "result.npz"
    line = refused(
        capsys, "run", directory, "--engine", "golden", "--steps", 5, "-o", result,
        "--input", tmp_path / "in.npz",
    )  # fmt: skip
    assert message in line
    assert not result.exists()


def test_run_may_accept_saturation(directory, tmp_path, capsys):
    np.savez(tmp_path / "in.npz", stimulus=np.array([0, 500.0]))
    arguments = ["run", str(directory), "--engine", "golden", "--steps", "5", "--json"]
    arguments += ["--input", str(tmp_path / "in.npz"), "--allow-saturation"]
    assert main(arguments) == 0
    assert json.loads(capsys.readouterr().out)["saturations"]["leaky"] > 0


def test_run_with_other_mistakes(directory, tmp_path, capsys):
    (tmp_path / "text.npz").write_text("hello")
    np.save(tmp_path / "single.npy", np.zeros(3))
    np.savez(tmp_path / "in.npz", stimulus=np.zeros(2))
    given = ["--input", tmp_path / "in.npz"]
    assert "no such file" in refused(capsys, "run", directory, "--input", tmp_path / "none.npz")
    assert "not an .npz" in refused(capsys, "run", directory, "--input", tmp_path / "text.npz")
    assert "has shape (3,)" in refused(capsys, "run", directory, "--input", tmp_path / "single.npy")
    assert "no engine is named" in refused(capsys, "run", directory, "--engine", "magic", *given)
    line = refused(capsys, "run", directory, "--record", "x", *given)
    assert "no output 'x'; its outputs: spikes, voltage" in line
    assert "not be negative" in refused(capsys, "run", directory, "--steps", -1, *given)
    assert "seconds" in refused(capsys, "run", directory, "--time", "nan", *given)
    line = refused(
        capsys, "run", directory, "--engine", "golden", *given, "-o", tmp_path / "no" / "out.npz"
    )
    assert "cannot write" in line


def test_long_runs_go_on_from_block_to_block(monkeypatch):
    program, inputs = (
        example_program(),
        {"stimulus": np.random.default_rng(1).uniform(0, 4, (50, 2))},
    )
    whole = run_program(program, 50, inputs, "golden")
    monkeypatch.setattr("spikeloom.runtime.standalone.BLOCK", 7)
    done = []
    parts = run_program(program, 50, inputs, "golden", say=done.append)
    assert done == [7, 14, 21, 28, 35, 42, 49, 50]
    assert whole.outputs.keys() == parts.outputs.keys()
    for name, values in whole.outputs.items():
        np.testing.assert_array_equal(values, parts.outputs[name])


def test_boards(capsys):
    assert main(["boards"]) == 0
    printed = capsys.readouterr().out
    assert main(["boards", "--json"]) == 0
    found = {board["name"]: board for board in json.loads(capsys.readouterr().out)}
    assert {"ulx3s-85f", "icebreaker", "sim"} <= set(found)
    assert found["ulx3s-85f"]["lanes"] >= 16
    assert found["icebreaker"]["lanes"] >= 4
    assert all(name in printed for name in found)


def test_flash_without_hardware(directory, capsys):
    assert "holds no hardware: make it with" in refused(capsys, "flash", directory)
    assert "holds no hardware" in refused(capsys, "flash", directory / "nothing")

import json

import pytest

from spikeloom.cli import main

MODEL = """
import nengo

time = 0.01

def build(x=1, seed=None):
    net = nengo.Network(seed=seed)
    with net:
        nengo.Node([x], label="node")
    net.x = x
    return net

def other(z):
    net = nengo.Network()
    net.x = z
    return net

def metric(sim, net):
    if net.x == 3:
        raise ValueError("too large")
    return net.x * 10 + sim.n_steps / 1000

def nothing(sim):
    return float("nan")
"""


@pytest.fixture
def model(tmp_path):
    (tmp_path / "model.py").write_text(MODEL)
    return str(tmp_path / "model.py")


def refused(capsys, *arguments):
    """Run a command that must fail with status 2, and return its one line."""
    try:
        status = main([str(a) for a in arguments])
    except SystemExit as e:
        status = e.code
    output = capsys.readouterr()
    assert status == 2
    assert output.out == ""
    assert len(output.err.splitlines()) == 1
    return output.err


def test_a_sweep(model, tmp_path, capsys):
    out = tmp_path / "out"
    command = ["sweep", model, "--grid", "x=1,2", "--seeds", "2", "-o", str(out), "--workers", "1"]
    assert main(command) == 0
    text = capsys.readouterr().out
    assert "4 runs in" in text
    assert text.splitlines()[1].split() == ["x", "metric", "spread"]
    assert text.splitlines()[3].split() == ["1", "10.01", "0"]
    assert f"written: {out / 'results.csv'}" in text
    table = (out / "results.csv").read_text().splitlines()
    assert table[0] == "x,seed,metric,error,run"
    assert table[4].startswith("2,1,20.01,,")
    assert main([*command, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["runs"], found["done_now"], found["failed"]) == (4, 0, [])
    assert found["settings"][1]["setting"] == {"x": 2}
    assert found["settings"][1]["mean"] == {"metric": 20.01}
    assert "another sweep: x 1,2 there, 1,2,4 here" in refused(
        capsys, "sweep", model, "--grid", "x=1,2,4", "--seeds", "2", "-o", out
    )
    command[3:4] = ["x=1,2,4", "--extend"]
    assert main(command) == 0
    assert "6 runs in" in (text := capsys.readouterr().out)
    assert "(4 were there before)" in text


def test_failed_runs_make_the_status_one(model, tmp_path, capsys):
    command = ["sweep", model, "--grid", "x=2:3:2", "-o", str(tmp_path / "out"), "--workers", "1"]
    assert main(command) == 1
    text = capsys.readouterr().out
    assert "failed: x=3 seed=0: model.py:20: ValueError: too large" in text
    assert main([*command, "--json", "--retry-failed"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["done_now"] == 1
    assert [f["setting"] for f in found["failed"]] == [{"x": 3}]


def test_other_functions_and_other_times(model, tmp_path, capsys):
    command = ["sweep", f"{model}:other", "--grid", "z=5", "-o", str(tmp_path / "a"), "--time",
               "0.02", "--dt", "0.002", "--workers", "1", "--json"]  # fmt: skip
    assert main(command) == 0
    assert json.loads(capsys.readouterr().out)["settings"][0]["mean"] == {"metric": 50.01}
    command = ["sweep", model, "--metric", "nothing", "-o", str(tmp_path / "b"), "--workers", "1"]
    assert main(command) == 0
    assert main([*command, "--json"]) == 0
    text = capsys.readouterr().out
    assert '"metric": null' in text


def test_mistakes(model, tmp_path, capsys):
    out = ["-o", tmp_path / "out"]
    assert "no such file" in refused(capsys, "sweep", "nowhere.py", *out)
    assert "required: -o" in refused(capsys, "sweep", model)
    assert "build has no such parameter; it has: x" in refused(
        capsys, "sweep", model, "--grid", "y=1", *out
    )
    assert "no object 'nod'; there are: node" in refused(
        capsys, "sweep", model, "--grid", "nod.output=1", *out
    )
    assert "build needs 'z'" in refused(capsys, "sweep", f"{model}:other", *out)
    assert "measure is not defined; functions in it: build, metric, nothing, other" in refused(
        capsys, "sweep", model, "--metric", "measure", *out
    )
    assert "wrong is not defined; let wrong() return the nengo.Network" in refused(
        capsys, "sweep", f"{model}:wrong", *out
    )
    assert "add --sampler" in refused(capsys, "sweep", model, "--trials", "3", *out)
    assert "needs --trials" in refused(capsys, "sweep", model, "--sampler", "optuna:tpe", *out)
    assert not (tmp_path / "out").exists()

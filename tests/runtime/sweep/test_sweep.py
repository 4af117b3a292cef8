import csv
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path

import nengo
import numpy as np
import pytest
import sweep_models as models

import spikeloom
from spikeloom.compiler.errors import InputError, ModelError, ToolError

HERE = Path(models.__file__).parent


def lines(folder):
    """The runs that a folder has, in the order in which they finished."""
    text = (folder / "runs.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def test_one_row_for_each_run(tmp_path):
    table = spikeloom.sweep(
        models.counting, {"x": [1, 2], "y": ["a", "bc"]}, seeds=[3, 5], metric=models.count,
        out=tmp_path / "out", workers=2,
    )  # fmt: skip
    assert table.columns == ["x", "y", "seed", "sum", "length", "error", "run"]
    assert [(r["x"], r["y"], r["seed"]) for r in table.rows] == [
        (x, y, s) for x in (1, 2) for y in ("a", "bc") for s in (3, 5)
    ]
    for row in table.rows:
        assert row["sum"] == row["x"] + 100 * row["seed"]
        assert row["length"] == len(row["y"])
        assert row["error"] == ""
    assert len({row["run"] for row in table}) == 8
    with (tmp_path / "out" / "results.csv").open(newline="") as file:
        read = list(csv.DictReader(file))
    assert [r["sum"] for r in read] == [repr(row["sum"]) for row in table.rows]
    assert len(table.seconds) == 8
    assert all(s > 0 for s in table.seconds)
    assert "seconds" not in table.columns
    assert (tmp_path / "out" / "results.png").read_bytes()[:4] == b"\x89PNG"
    about = json.loads((tmp_path / "out" / "sweep.json").read_text())
    assert about["settings"] == {"x": [1, 2], "y": ["a", "bc"]}
    assert about["seeds"] == [3, 5]
    first = table.summary()[0]
    assert first["mean"] == {"sum": 401.0, "length": 1.0}
    assert first["spread"]["sum"] == pytest.approx(100 * np.sqrt(2))


def test_the_same_integers_however_the_runs_are_done():
    grid = {"lr": [1e-4, 1e-3], "post.tau_rc": [0.01, 0.03], "tau": [0.01]}

    def swept(**how):
        return spikeloom.sweep(
            models.build, grid, seeds=2, metric=models.two, time=0.1, **how
        ).csv()

    alone = swept(workers=1, batch=1)
    assert swept(workers=2) == alone
    assert swept(workers=1, batch=16) == alone
    # As one would do it by hand, on the other engine.
    with models.build(1e-3, 0.01, seed=1) as net:
        post = next(e for e in net.ensembles if e.label == "post")
        post.neuron_type = nengo.LIF(tau_rc=0.03)
    with spikeloom.Simulator(net, engine="golden", progress_bar=False) as sim:
        sim.run(0.1)
    row = next(
        r for r in csv.DictReader(alone.decode().splitlines())
        if (r["lr"], r["post.tau_rc"], r["tau"], r["seed"]) == ("0.001", "0.03", "0.01", "1")
    )  # fmt: skip
    assert row["error"] == ""
    assert float(row["last"]) == sim.data[net.shown][-1, 0]


def test_the_seed_is_the_networks_where_build_takes_none():
    def build(x):
        with nengo.Network() as net:
            nengo.Node([x])
        return net

    table = spikeloom.sweep(
        build, {"x": [1]}, seeds=[4, 9], metric=lambda sim, net: net.seed, workers=0
    )
    assert [row["metric"] for row in table] == [4, 9]


def test_global_random_numbers_depend_on_the_seed_alone():
    def build(x):
        with nengo.Network() as net:
            net.drawn = np.random.randint(2**30)
        return net

    def metric(sim, net):
        return net.drawn

    table = spikeloom.sweep(build, {"x": [1, 2]}, seeds=2, metric=metric, workers=1)
    drawn = [row["metric"] for row in table]
    assert drawn[:2] == drawn[2:]
    assert drawn[0] == np.random.RandomState(0).randint(2**30)


def test_a_failed_run_is_a_row_with_its_error(tmp_path):
    def swept(**how):
        return spikeloom.sweep(
            models.counting, {"x": [1, 2, 3]}, metric=models.failing, out=tmp_path, workers=1, **how
        )

    table = swept()
    assert [row["metric"] for row in table] == [1, None, 3]
    line = next(
        n for n, text in enumerate(Path(models.__file__).read_text().splitlines(), 1)
        if "raise ValueError" in text
    )  # fmt: skip
    error = f"sweep_models.py:{line}: ValueError: x must not be 2"
    assert [o.error for o in table.failed] == [error]
    before = (tmp_path / "results.csv").read_bytes()
    assert error in before.decode()
    swept()
    assert len(lines(tmp_path)) == 3  # nothing was done again
    swept(retry_failed=True)
    assert [line["setting"]["x"] for line in lines(tmp_path)[3:]] == [2]
    assert (tmp_path / "results.csv").read_bytes() == before


def test_what_a_batch_cannot_run_fails_alone():
    def build(x, seed):
        with nengo.Network(seed=seed) as net:
            node = nengo.Node(lambda t: 1 / (x - 2))
            nengo.Probe(nengo.Ensemble(10, 1), synapse=0.01)
            nengo.Connection(node, net.ensembles[0])
            if x == 4:
                net.ensembles[0].gain = [1, 2, 3]
        return net if x != 5 else None

    def metric(sim):
        return sim.n_steps

    for batch in (1, 8):
        table = spikeloom.sweep(
            build, {"x": [1, 2, 3, 4, 5]}, metric=metric, time=0.02, batch=batch, workers=1
        )
        assert [row["metric"] for row in table] == [20, None, 20, None, None]
        errors = [o.error for o in table.failed]
        assert "ZeroDivisionError" in errors[0]
        assert "gain" in errors[1]
        assert "build gave a NoneType" in errors[2]


def test_metrics_that_are_none():
    for gives, message in [
        (lambda sim: "text", "metric gave a str for 'metric'"),
        (lambda sim: np.zeros(3), r"metric gave an array of shape \(3,\)"),
        (lambda sim: {}, "an empty dict"),
        (lambda sim: {"x": 1.0}, "'x', which is another column's name"),
        (lambda sim: {"seed": 1.0}, "'seed', which is another column's name"),
    ]:
        table = spikeloom.sweep(models.counting, {"x": [1]}, metric=gives, workers=0)
        with pytest.raises(AssertionError, match=message):
            raise AssertionError(table.rows[0]["error"])


def test_a_worker_that_dies_takes_no_other_run_with_it():
    table = spikeloom.sweep(
        models.counting, {"x": [0, 1, 2, 3]}, metric=models.deadly, time=0.01, batch=4, workers=1
    )
    assert [row["metric"] for row in table] == [0, 1, None, 3]
    assert table.rows[2]["error"] == ("its worker process ended 2 times (was ended by SIGSEGV)")


def test_functions_in_no_file_are_sent_along():
    power = 3
    table = spikeloom.sweep(
        lambda x: models.counting(x), {"x": [2]}, metric=lambda sim, net: net.x**power, workers=1
    )
    assert table.rows[0]["metric"] == 8


def test_functions_in_no_file_without_cloudpickle(monkeypatch):
    monkeypatch.setitem(sys.modules, "cloudpickle", None)
    with pytest.raises(ModelError, match=r"install cloudpickle .* or run with workers=0"):
        spikeloom.sweep(lambda x: None, {"x": [1]}, metric=models.count)


def test_parameters_of_the_network_are_checked_before_anything_runs(tmp_path):
    def refused(grid, message):
        with pytest.raises(InputError, match=message):
            spikeloom.sweep(
                models.build, grid, metric=models.metric, time=0.1, out=tmp_path / "out"
            )
        assert not (tmp_path / "out").exists()

    refused({"post.tau_rcc": [0.1]}, "post has no parameter 'tau_rcc'; it has: tau_rc")
    refused({"pots.tau_rc": [0.1]}, "no object 'pots'; there are: post")
    refused({"post.tau_rc": [0.1, -1]}, "post.tau_rc = -1: ")
    refused({"lrr": [0.1]}, "lrr: build has no such parameter")


def test_values_outside_a_declared_range():
    @spikeloom.neuron_type
    class Leaky(spikeloom.Kernel):
        emits = "events"
        tau = spikeloom.Parameter(low=0.001, high=1.0, default=0.02)
        current = spikeloom.Input(range=(-1024, 1024), fraction=16)
        voltage = spikeloom.State(range=(-16, 1024), fraction=20)

        def step(self, state, current, dt):
            change = spikeloom.scaled(dt / self.tau, bound=1)
            voltage = state.voltage + (current - state.voltage) * change
            spike = voltage > 1
            return spike, {"voltage": spikeloom.select(spike, 0, spikeloom.maximum(voltage, -2))}

    def build(seed):
        with nengo.Network(seed=seed) as net:
            nengo.Ensemble(5, 1, neuron_type=Leaky(), gain=np.ones(5), bias=np.ones(5), label="a")
        return net

    with pytest.raises(InputError, match=r"a\.tau = 2\.0: .*outside 0\.001\.\.1\.0"):
        spikeloom.sweep(build, {"a.tau": [0.01, 2.0]}, metric=lambda sim: 0, workers=0)


def test_another_sweeps_folder(tmp_path):
    def swept(grid, seeds=1, metric=models.count, **how):
        return spikeloom.sweep(
            models.counting, grid, seeds=seeds, metric=metric, out=tmp_path / "a", workers=0, **how
        )

    swept({"x": [1, 2]})
    with pytest.raises(InputError, match=r"another sweep: x 1,2 there, 1,2,3 here; .*--extend"):
        swept({"x": [1, 2, 3]})
    with pytest.raises(InputError, match="seeds 0 there, 0,1 here"):
        swept({"x": [1, 2]}, seeds=2)
    with pytest.raises(InputError, match="metric name count there, failing here") as e:
        swept({"x": [1, 2]}, metric=models.failing, extend=True)
    assert "--extend" not in str(e.value)
    with pytest.raises(
        InputError, match=r"time nothing there, 1.0 here; dt 0.001 there, 0.01 here"
    ):
        swept({"x": [1, 2]}, time=1.0, dt=0.01)
    table = swept({"x": [1, 2, 3]}, seeds=2, extend=True)
    assert len(table) == 6
    assert len(lines(tmp_path / "a")) == 6
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").touch()
    with pytest.raises(InputError, match="holds no sweep"):
        spikeloom.sweep(models.counting, {"x": [1]}, metric=models.count, out=tmp_path / "mine")


def test_a_folder_in_use(tmp_path):
    from spikeloom.runtime.sweep.store import Folder

    folder = Folder(tmp_path, {"seeds": [0]})
    with pytest.raises(InputError, match="another sweep is writing there"):
        Folder(tmp_path, {"seeds": [0]})
    folder.close()
    Folder(tmp_path, {"seeds": [0]}).close()


def test_half_a_line_counts_as_nothing(tmp_path):
    def swept():
        return spikeloom.sweep(
            models.counting, {"x": [1, 2, 3]}, metric=models.count, out=tmp_path, workers=0
        )

    whole = swept().csv()
    runs = tmp_path / "runs.jsonl"
    content = runs.read_bytes()
    for length in (len(content) - 1, len(content) - 30, 10, 0):
        runs.write_bytes(content[:length])
        assert swept().csv() == whole
        assert (tmp_path / "results.csv").read_bytes() == whole
        assert len(lines(tmp_path)) == 3


def test_killed_and_gone_on_with_gives_the_identical_table(tmp_path):
    (tmp_path / "model.py").write_text(
        f"import sys\nsys.path.insert(0, {str(HERE)!r})\n"
        "from sweep_models import counting as build, slowly as metric\n"
    )

    def command(out):
        return [
            sys.executable, "-m", "spikeloom", "sweep", str(tmp_path / "model.py"),
            "--grid", "x=1:4:4", "y=a,b", "--seeds", "2", "-o", str(tmp_path / out),
            "--workers", "2",
        ]  # fmt: skip

    subprocess.run(command("whole"), check=True, capture_output=True)
    for kill in range(2):
        process = subprocess.Popen(command("killed"), stdout=subprocess.DEVNULL)
        wanted = 3 * (kill + 1)
        runs = tmp_path / "killed" / "runs.jsonl"
        deadline = time.monotonic() + 60
        while not (runs.is_file() and runs.read_bytes().count(b"\n") >= wanted):
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.02)
        process.kill()
        process.wait()
        assert not (tmp_path / "killed" / "results.csv").exists()
    kept = lines(tmp_path / "killed")
    assert 6 <= len(kept) < 16
    result = subprocess.run(command("killed"), check=True, capture_output=True, text=True)
    assert f"({len(kept)} were there before)" in result.stdout
    names = [line["run"] for line in lines(tmp_path / "killed")]
    assert names[: len(kept)] == [line["run"] for line in kept]
    assert len(names) == len(set(names)) == 16  # nothing lost, nothing twice
    for file in ("results.csv", "sweep.json", "results.png"):
        assert (tmp_path / "killed" / file).read_bytes() == (tmp_path / "whole" / file).read_bytes()


def test_interrupted_at_the_keyboard(tmp_path):
    (tmp_path / "model.py").write_text(
        f"import sys\nsys.path.insert(0, {str(HERE)!r})\n"
        "from sweep_models import counting as build, slowly as metric\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "spikeloom", "sweep", str(tmp_path / "model.py"),
         "--grid", "x=1:500:500", "-o", str(tmp_path / "out"), "--workers", "2"],
        stderr=subprocess.PIPE, text=True, start_new_session=True,
        # Where the tests run in the background, they ignore the signal, and so would it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    runs = tmp_path / "out" / "runs.jsonl"
    deadline = time.monotonic() + 60
    while not (runs.is_file() and runs.read_bytes().count(b"\n") >= 2):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: workers get it as well
    assert process.communicate(timeout=30)[1].splitlines() == [
        f"spikeloom: finished runs are kept in {tmp_path / 'out'}; the same command goes on",
        "spikeloom: interrupted",
    ]
    assert process.returncode == 130


def test_workers_end_with_the_process_that_started_them(tmp_path):
    (tmp_path / "model.py").write_text(
        "import os, time, nengo\n"
        "def build(): return nengo.Network()\n"
        f"def metric(sim):\n    open({str(tmp_path)!r} + '/pid', 'w').write(str(os.getpid()))\n"
        "    time.sleep(100)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "spikeloom", "sweep", str(tmp_path / "model.py"),
         "-o", str(tmp_path / "out"), "--workers", "1"]
    )  # fmt: skip
    pid = tmp_path / "pid"
    deadline = time.monotonic() + 60
    while not (pid.is_file() and pid.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.kill()
    process.wait()
    while _lives(int(pid.read_text())):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _lives(pid):
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
    return "State:\tZ" not in status


def test_a_script_that_sweeps(tmp_path):
    text = """
        import nengo, spikeloom

        def build(x, seed):
            net = nengo.Network(seed=seed)
            net.x = x
            return net

        def metric(sim, net):
            return net.x

    """
    call = "print(spikeloom.sweep(build, {'x': [1, 2]}, metric=metric).csv().decode())"
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(text) + f'if __name__ == "__main__":\n    {call}\n')
    found = subprocess.run([sys.executable, str(script)], capture_output=True, text=True)
    assert "2,0,2.0,," in found.stdout, found.stderr
    script.write_text(textwrap.dedent(text) + f"{call}\n")
    found = subprocess.run([sys.executable, str(script)], capture_output=True, text=True)
    assert found.returncode
    assert 'put the call under if __name__ == "__main__":' in found.stderr.splitlines()[-1]


def test_parquet_and_csv_by_the_ending(tmp_path, monkeypatch):
    parquet = pytest.importorskip("pyarrow.parquet", reason="reads Parquet back: extra parquet")

    def swept(name):
        return spikeloom.sweep(
            models.counting, {"x": [1, 2.5], "y": ["a"]}, metric=models.failing,
            out=tmp_path / name, workers=0,
        )  # fmt: skip

    table = swept("one.parquet")
    found = parquet.read_table(tmp_path / "one.parquet").to_pylist()
    assert found == table.rows
    swept("two.csv")
    assert (tmp_path / "two.csv").read_bytes() == table.csv()
    assert (tmp_path / "one" / "results.csv").read_bytes() == table.csv()
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(
        ToolError, match=r"Parquet needs pyarrow: pip install 'spikeloom\[parquet\]'"
    ):
        swept("three.parquet")


def test_progress_and_warnings(tmp_path):
    seen = []

    def warned(sim):
        import warnings

        warnings.warn("drifting", stacklevel=1)
        return 1

    table = spikeloom.sweep(
        models.counting, {"x": [1, 2]}, seeds=2, metric=warned, workers=0,
        progress=lambda *done: seen.append(done),
    )  # fmt: skip
    assert seen == [(n, 4, 0) for n in range(5)]
    assert [o.warnings for o in table.outcomes] == [("drifting",)] * 4


def test_a_model_file_that_changes_while_its_sweep_runs(tmp_path):
    """Workers take what was there when the sweep began."""
    from spikeloom.runtime.sweep.source import _loaded, file_of_functions

    path = tmp_path / "model.py"
    path.write_text("def f(): return 1\n")
    _, make = file_of_functions(str(path))
    function = make("f")
    path.write_text("def f(): return 2\n")
    _loaded.clear()
    assert function.load()() == 1
    path.unlink()
    _loaded.clear()
    assert function.load()() == 1
    module = replace(function, kind="module", place="nowhere_to_be_imported")
    assert module.load()() == 1
    with pytest.raises(
        ModelError, match=r"a worker cannot import nowhere.to_be: .*install it there"
    ):
        replace(module, place="nowhere.to_be").load()


def test_bad_options(tmp_path):
    def swept(**how):
        spikeloom.sweep(models.counting, {"x": [1]}, metric=models.count, **how)

    for how, message in [
        ({"workers": -1}, "workers = -1"),
        ({"batch": 0}, "batch = 0"),
        ({"time": -1}, "time = -1"),
        ({"dt": 0}, "dt = 0"),
        ({"engine": "board"}, "'board': a sweep runs on one of golden, native, rtl"),
        ({"out": __file__}, "holds no sweep"),
    ]:
        with pytest.raises(InputError, match=message):
            swept(**how)
    if os.geteuid():
        with pytest.raises(ToolError, match="cannot be written"):
            swept(out="/proc/nowhere", workers=0)

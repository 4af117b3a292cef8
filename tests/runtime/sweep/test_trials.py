import json

import pytest
import sweep_models as models

import spikeloom
from spikeloom.cli import main
from spikeloom.compiler.errors import InputError

optuna = pytest.importorskip("optuna", reason="samplers: extra optuna")

SPACE = {
    "x": optuna.distributions.FloatDistribution(-5, 10),
    "y": ["a", "b"],
}


class Stop(Exception):
    """Instead of a kill."""


def trials(count=12, seed=1, **how):
    return spikeloom.Trials(optuna.samplers.TPESampler(seed=seed), SPACE, count, **how)


def swept(chosen, out=None, stop=None, **how):
    done = []

    def watch(n, total, failed):
        done.append(n)
        if stop is not None and n >= stop:
            raise Stop

    return spikeloom.sweep(
        models.counting, chosen, metric=models.quadratic, out=out, workers=0, progress=watch,
        **how,
    )  # fmt: skip


def test_a_sampler_sees_what_its_settings_gave():
    chosen = trials(25)
    table = swept(chosen, seeds=2)
    assert len(table) == 50
    assert len(chosen.study.trials) == 25
    for trial, row in zip(chosen.study.trials, table.summary(), strict=True):
        assert trial.params == row["setting"]
        assert trial.value == row["mean"]["metric"]  # over the seeds
    assert chosen.study.best_value < 1.5
    most = trials(3, maximize=True)
    swept(most)
    assert most.study.best_value == max(t.value for t in most.study.trials)


@pytest.mark.parametrize("at_once", [1, 4])
def test_interrupted_and_gone_on_with_gives_the_identical_table(tmp_path, at_once):
    whole = swept(trials(at_once=at_once), tmp_path / "whole").csv()
    for stop in (1, 6, 11):
        with pytest.raises(Stop):
            swept(trials(at_once=at_once), tmp_path / "stopped", stop=stop)
    assert swept(trials(at_once=at_once), tmp_path / "stopped").csv() == whole
    lines = (tmp_path / "stopped" / "runs.jsonl").read_text().splitlines()
    runs = [json.loads(line)["run"] for line in lines if "run" in json.loads(line)]
    assert len(runs) == len(set(runs)) == 12


def test_a_sampler_without_a_seed_goes_on_with_what_it_chose(tmp_path):
    with pytest.raises(Stop):
        swept(trials(seed=None), tmp_path, stop=5)
    before = (tmp_path / "runs.jsonl").read_text().splitlines()
    again = trials(seed=None)
    table = swept(again, tmp_path)
    assert len(table) == 12
    assert (tmp_path / "runs.jsonl").read_text().splitlines()[: len(before)] == before
    complete = [t for t in again.study.trials if t.state.name == "COMPLETE"]
    assert [t.value for t in complete] == [o.metrics["metric"] for o in table.outcomes]


def test_a_study_is_told_each_trial_once(tmp_path):
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=3))
    with pytest.raises(Stop):
        swept(spikeloom.Trials(study, SPACE, 8, at_once=2), tmp_path, stop=5)
    table = swept(spikeloom.Trials(study, SPACE, 8, at_once=2), tmp_path)
    finished = [t for t in study.trials if t.state.name == "COMPLETE"]
    assert sorted(t.params["x"] for t in finished) == sorted(row["x"] for row in table)
    assert len(finished) == 8


def test_failed_trials_are_told_so():
    chosen = spikeloom.Trials(optuna.samplers.RandomSampler(seed=0), {"x": [1, 2, 3]}, 8, at_once=3)
    table = spikeloom.sweep(models.counting, chosen, metric=models.failing, workers=0)
    assert 1 <= len(table) <= 3  # a setting that is chosen again has its row already
    states = {t.params["x"]: t.state.name for t in chosen.study.trials}
    assert states == {1: "COMPLETE", 2: "FAIL", 3: "COMPLETE"}


def test_another_search_in_the_folder(tmp_path):
    swept(trials(4), tmp_path)
    with pytest.raises(
        InputError, match=r"another sweep: sampler trials 4 there, 6 here; .*--extend"
    ):
        swept(trials(6), tmp_path)
    assert len(swept(trials(6), tmp_path, extend=True)) == 6


def test_mistakes():
    with pytest.raises(InputError, match="objective 'loss': metric gives metric"):
        swept(trials(objective="loss"))
    with pytest.raises(InputError, match="no sampler and no study"):
        spikeloom.Trials("tpe", SPACE, 3)
    with pytest.raises(InputError, match="trials = 0"):
        trials(0)
    with pytest.raises(InputError, match="build has no such parameter"):
        swept(spikeloom.Trials(optuna.samplers.RandomSampler(), {"q": [1]}, 2))


def test_on_the_command_line(tmp_path, capsys):
    (tmp_path / "model.py").write_text(
        "import nengo\n"
        "def build(x, k, n):\n    net = nengo.Network()\n    net.x = (x, k, n)\n    return net\n"
        "def metric(sim, net):\n    return {'loss': net.x[0] + net.x[2]}\n"
    )
    command = ["sweep", str(tmp_path / "model.py"), "--grid", "x=0.01:1:log", "k=a,b", "n=1:3",
               "--sampler", "optuna:random", "--trials", "5", "-o", str(tmp_path / "out"),
               "--objective", "loss", "--workers", "1", "--json"]  # fmt: skip
    assert main(command) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["runs"] == 5
    for row in found["settings"]:
        assert 0.01 <= row["setting"]["x"] <= 1
        assert row["setting"]["k"] in ("a", "b")
        assert type(row["setting"]["n"]) is int
    assert main(command[:-1]) == 0
    lines = capsys.readouterr().out.splitlines()
    shown = [float(line.split()[-1]) for line in lines[3:8]]
    assert shown == sorted(shown)  # the best first
    command[command.index("optuna:random")] = "optuna:magic"
    assert main(command) == 2
    assert "choose one of optuna:tpe" in capsys.readouterr().err

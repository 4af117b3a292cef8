import numpy as np
import pytest
import sweep_models

from spikeloom.compiler.errors import InputError
from spikeloom.runtime.sweep.settings import (
    check_complete,
    expand,
    parse_grid,
    parse_seeds,
    seeds_of,
    split,
    wants_network,
)
from spikeloom.runtime.sweep.source import Function
from spikeloom.runtime.sweep.tasks import Experiment, groups_of, one_line


def test_a_grid_is_all_combinations():
    found = expand({"a": [1, 2], "b": np.array([0.5, 1.5])})
    assert found == [{"a": a, "b": b} for a in (1, 2) for b in (0.5, 1.5)]
    assert all(type(s["b"]) is float for s in found)


def test_a_list_stays_as_it_is():
    settings = [{"a": 1}, {"a": 2, "b": "text"}]
    assert expand(settings) == settings
    assert expand([{}]) == [{}]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"a": []}, "a: has no values"),
        ({"a": 3}, r"give a sequence of values, as \[3\]"),
        ({"a": "text"}, "give a sequence of values"),
        ({"a": [np.zeros(3)]}, "a number or a text; let `build` make the ndarray from it"),
        ({"a": [float("nan")]}, "a = nan: must be finite"),
        ({"a": [1, 1]}, "a=1 is given twice"),
        ({"seed": [1, 2]}, "give seeds as seeds"),
        ({"error": [1, 2]}, "the table's own column"),
        ([], "there are none"),
        ([1], "1 is no dict"),
    ],
)
def test_settings_that_are_none(settings, message):
    with pytest.raises(InputError, match=message):
        expand(settings)


def test_grids_of_the_command_line():
    grid = parse_grid(
        ["lr=0.01,0.1,1", "tau_rc=0.02:0.1:9", "n=1:9:5", "g=1:100:3:log", "kind=a,B:c", "on=true"]
    )
    assert grid["lr"] == [0.01, 0.1, 1]
    assert grid["tau_rc"] == [0.02, 0.03, 0.04, 0.05, 0.06, 0.07, 0.08, 0.09, 0.1]
    assert grid["n"] == [1, 3, 5, 7, 9]
    assert all(type(v) is int for v in grid["n"] + grid["g"])
    assert grid["g"] == [1, 10, 100]
    assert grid["kind"] == ["a", "B:c"]
    assert grid["on"] == [True]


def test_mistaken_grids():
    for text in ("lr", "lr=", "=1"):
        with pytest.raises(InputError, match="give NAME=VALUES"):
            parse_grid([text])
    with pytest.raises(InputError, match="given twice"):
        parse_grid(["a=1", "a=2"])
    with pytest.raises(InputError, match="must lie above 0"):
        parse_grid(["a=0:1:3:log"])
    with pytest.raises(InputError, match="at least 2 values"):
        parse_grid(["a=0:1:1"])


def test_seeds():
    assert seeds_of(3) == [0, 1, 2]
    assert seeds_of(np.array([5, 7])) == [5, 7]
    assert seeds_of(parse_seeds("4")) == [0, 1, 2, 3]
    assert seeds_of(parse_seeds("4,")) == [4]
    for wrong in (0, [], [-1], [1, 1], [1.5], [2**31]):
        with pytest.raises(InputError, match="seed"):
            seeds_of(wrong)
    with pytest.raises(InputError, match="--seeds many"):
        parse_seeds("many")


def test_names_of_build_and_of_its_network():
    assert split(["lr", "post.tau_rc"], sweep_models.build) == (["lr"], ["post.tau_rc"])
    assert split(["a.b", "c"], lambda **setting: None) == (["c"], ["a.b"])
    with pytest.raises(InputError, match="rl: build has no such parameter; it has: lr, n, tau"):
        split(["rl"], sweep_models.build)
    with pytest.raises(InputError, match="build needs 'b', and a=1 does not give it"):
        check_complete({"a": 1}, lambda a, b, seed: None)


def test_what_metric_gets():
    assert wants_network(lambda sim, network: 0)
    assert wants_network(sweep_models.count)
    assert not wants_network(lambda sim, skip=100: 0)
    assert not wants_network(lambda *args, **more: 0)


def test_the_hash_of_a_run():
    f = Function("file", "/somewhere/model.py", "f", "12")
    moved = Function("file", "/elsewhere/model.py", "f", "12")
    names = {
        Experiment(f, f).run({"a": 1, "b": 2}, 0).name,
        Experiment(moved, f).run({"b": 2, "a": 1}, 0).name,
        Experiment(f, f, vary=("b",)).run({"a": 1, "b": 2}, 0).name,
    }
    assert names == {"eca997eb6e0ea8ec"}  # the same in every process, and in years
    others = [
        Experiment(f, f).run({"a": 1, "b": 2}, 1),
        Experiment(f, f).run({"a": 1, "b": 2.5}, 0),
        Experiment(f, f, time=1.0).run({"a": 1, "b": 2}, 0),
        Experiment(f, f, dt=0.01).run({"a": 1, "b": 2}, 0),
        Experiment(f, f, engine="golden").run({"a": 1, "b": 2}, 0),
        Experiment(Function("file", "model.py", "f", "13"), f).run({"a": 1, "b": 2}, 0),
    ]
    assert len({run.name for run in others} | names) == 7


def test_runs_that_share_a_network_are_beside_each_other():
    f = Function("file", "model.py", "f", "12")
    experiment = Experiment(f, f, vary=("v",))
    runs = [experiment.run({"v": v, "b": b}, s) for v in (1, 2) for b in (1, 2) for s in (0, 1)]
    groups = groups_of(runs, ["v"], 2)
    assert sorted(run.name for g in groups for run in g) == sorted(run.name for run in runs)
    for first, second in groups:
        assert (first.setting["b"], first.seed) == (second.setting["b"], second.seed)
    assert [len(g) for g in groups_of(runs, [], 3)] == [3, 3, 2]


def test_errors_are_the_same_in_every_process():
    assert one_line("at <Node at 0x7f0012ab>\n  too large") == "at <Node> too large"
    assert len(one_line("x" * 1000)) == 500

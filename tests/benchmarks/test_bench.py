"""The benchmark runs, on a tiny model, and what it derives is right."""

import json

import bench
import models
import nengo
import numpy as np
import pytest
import speed
from bound import bandwidth, mean_events, width
from schedule import SHIFT, Schedule, run_batch, run_engine

from spikeloom.compiler.instructions import Map
from spikeloom.sim.native.batch import NativeBatch
from spikeloom.sim.native.engine import NativeEngine


def tiny():
    """A few neurons that see images."""
    images = np.random.RandomState(0).uniform(-1, 1, (5, 4))
    with nengo.Network(seed=1) as net:
        shown = nengo.Node(nengo.processes.PresentInput(images, 0.02), label="image")
        ensemble = nengo.Ensemble(20, 4)
        nengo.Connection(shown, ensemble)
        nengo.Probe(ensemble, synapse=0.01)
    return net


@pytest.fixture(scope="module")
def compiled():
    return speed.compiled(tiny(), 100)


def test_bench_of_a_tiny_model(monkeypatch, capsys, tmp_path):
    model = models.Model("tiny", "tiny model", tiny, 100, {1: 1e-3, 10: 1e9})
    monkeypatch.setattr(bench, "MODELS", (model,))
    path = tmp_path / "bench.json"
    assert bench.main(["--quick", "--models", "tiny", "-o", str(path)]) == 0
    shown = capsys.readouterr().out
    assert "nengo.Simulator" in shown and "lower bound" in shown
    everything = json.loads(path.read_text())
    assert everything["machine"]["cores"] == speed.CORES
    (result,) = everything["models"]
    rows = {(r["what"], r["copies"], r["inputs"], r["cores"]): r for r in result["rows"]}
    several = [(speed.ENGINE, "own"), (speed.SIMULATOR, "own"), (speed.SIMULATOR, "shared")]
    for what, inputs in several:
        for cores in speed.CORE_COUNTS:
            row = rows[what, 10, inputs, cores]
            assert row["us_per_step_and_model"] > 0
            assert row["steps_per_s"] * 10 == pytest.approx(row["model_steps_per_s"])
    assert {r[2] for r in rows if r[:2] == (speed.ENGINE, 10)} == {"own"}
    assert (
        0
        < result["bound"]["us_per_step_and_model"]
        < rows[speed.ENGINE, 1, "", 1]["us_per_step_and_model"]
    )
    assert len(everything["missed"]) == 1 and "10 at once" in everything["missed"][0]
    assert bench.main(["--quick", "--models", "tiny", "--check", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["models"][0]["key"] == "tiny"


def test_the_study_is_extrapolated_from_the_rows():
    row = speed.Row("vdsp", speed.ENGINE, 100, "shared", 2, 350, [0.3, 0.2, 0.9])
    (found,) = bench.extrapolated([{"key": "vdsp", "rows": [row]}])
    assert found["hours"] == pytest.approx(70_000 * 350 * 100 * 0.3e-6 / 3600)


def test_segments_are_what_the_copies_see(compiled):
    _, schedule = compiled
    (name,) = schedule.inputs
    assert schedule.is_held
    assert [steps for steps, _ in schedule.segments(50)] == [20, 20, 10]
    seen = schedule.inputs[name]
    for steps, inputs in schedule.segments(100, copies=3):
        assert inputs[name].shape == (3, 1, seen.shape[1]) and steps == 20
    first = np.repeat(np.concatenate([i[name][0] for _, i in schedule.segments(100)]), 20, axis=0)
    np.testing.assert_array_equal(first, seen)
    wave = Schedule({name: np.arange(100)[:, None] * np.ones((1, seen.shape[1]), np.int64)}, 100)
    assert not wave.is_held
    ((steps, inputs),) = wave.segments(60, copies=2)
    assert steps == 60
    assert inputs[name][1, 0, 0] == SHIFT and inputs[name][1, -1, 0] == 59 + SHIFT


def test_engine_and_batch_do_the_same_steps(compiled):
    program, schedule = compiled
    engine, batch = NativeEngine(program), NativeBatch(program, 2)
    run_engine(engine, schedule.segments(70), ())
    run_batch(batch, schedule.segments(70, copies=2), ())
    for name in ("state", "value", "count"):
        np.testing.assert_array_equal(engine.memory(name), batch.memory(name, 0))


def test_what_the_bound_counts(compiled):
    program, schedule = compiled
    assert [width(*r) for r in ((0, 1), (-128, 127), (-129, 0), (0, 128), (0, 1 << 31))] == [
        1, 1, 2, 2, 8,
    ]  # fmt: skip
    spikes = mean_events(program, schedule, 100)
    engine = NativeEngine(program)
    total = 0
    for _, inputs in schedule.segments(100):
        for name, values in inputs.items():
            engine.write(name, values[0, 0])
        for _ in range(20):
            engine.step()
            total += int(engine.memory("count").sum())
    assert sum(spikes.values()) == pytest.approx(total / 100) and total > 0
    assert 1e8 < bandwidth(1 << 12) < 1e13


def learning():
    """A few neurons that see images, and others that learn from them."""
    images = np.random.RandomState(0).uniform(-1, 1, (5, 4))
    with nengo.Network(seed=1) as net:
        shown = nengo.Node(nengo.processes.PresentInput(images, 0.02), label="image")
        seeing, learning = nengo.Ensemble(20, 4), nengo.Ensemble(20, 1)
        nengo.Connection(shown, seeing, synapse=None)
        learned = nengo.Connection(
            seeing, learning, function=lambda x: 0, learning_rule_type=nengo.PES(1e-4)
        )
        nengo.Connection(learning, learned.learning_rule)
        nengo.Probe(learning, synapse=0.01)
    return net


def test_copies_that_learn_differ_although_they_share_their_inputs():
    net = learning()
    model = models.Model("learns", "learns", learning, 100, {}, "learning_rate")
    program, schedule = speed.compiled(net, 100)
    weights = speed.learned_weights(program, schedule)
    batch = speed.differing_batch(program, 3, 1, weights)
    begin = [batch.memory("weight", copy) for copy in range(3)]
    assert (begin[0] != begin[1]).any() and (begin[1] != begin[2]).any()
    for _ in range(2):  # what is the same stays the same
        run_batch(batch, schedule.segments(100), ())
        done_once = batch._common().division.shared
        assert any(isinstance(program.instructions[n], Map) for n in done_once)
    assert all((batch.memory("weight", copy) != begin[copy]).any() for copy in range(3))
    contenders = list(speed._engines(model, program, schedule, speed.Settings((3,))))
    assert {c.row.inputs for c in contenders if c.row.copies == 3} == {"shared", "own"}
    ((_, rates),) = speed.own_rates(model, net, 3).items()
    assert rates == pytest.approx([0.5e-4, 0.75e-4, 1e-4])

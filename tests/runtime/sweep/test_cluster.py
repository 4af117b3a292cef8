import json
import os
import signal

import pytest
import sweep_models as models

import spikeloom
from spikeloom.compiler.errors import LinkError
from spikeloom.runtime.sweep import cluster as cluster_module

distributed = pytest.importorskip("distributed", reason="Dask: extra dask")


@pytest.fixture(scope="module")
def local_cluster():
    with distributed.LocalCluster(
        n_workers=3, threads_per_worker=1, processes=True, dashboard_address=":0"
    ) as found:
        yield found


def test_the_same_table_as_on_this_machine(local_cluster):
    def swept(**how):
        return spikeloom.sweep(
            models.build, {"lr": [1e-4, 1e-3], "post.tau_rc": [0.01, 0.03]}, seeds=1,
            metric=models.two, time=0.05, **how,
        ).csv()  # fmt: skip

    assert swept(scheduler=local_cluster.scheduler_address) == swept(workers=1)


def test_failed_runs_and_functions_in_no_file(local_cluster):
    with distributed.Client(local_cluster) as client:
        table = spikeloom.sweep(
            lambda x: models.counting(x), {"x": [1, 2, 3]}, metric=models.failing, scheduler=client
        )
    assert [row["metric"] for row in table] == [1, None, 3]
    assert "x must not be 2" in table.rows[1]["error"]


def test_a_worker_is_killed_in_the_middle(local_cluster, tmp_path):
    """Nothing is lost and nothing is there twice."""
    killed = []

    def watch(done, total, failed):
        if done == 6 and not killed:
            with distributed.Client(local_cluster) as client:
                busy = [w for w, keys in client.processing().items() if keys]
                pids = client.run(os.getpid)
            killed.append(pids[busy[0]])
            os.kill(pids[busy[0]], signal.SIGKILL)

    grid = {"x": list(range(12)), "y": ["a", "b"]}
    table = spikeloom.sweep(
        models.counting, grid, seeds=2, metric=models.slowly, out=tmp_path,
        scheduler=local_cluster.scheduler_address, progress=watch,
    )  # fmt: skip
    assert len(killed) == 1
    with distributed.Client(local_cluster) as client:
        assert killed[0] not in client.run(os.getpid).values()
    assert not table.failed
    lines = [json.loads(line) for line in (tmp_path / "runs.jsonl").read_text().splitlines()]
    assert sorted(line["run"] for line in lines) == sorted(row["run"] for row in table)
    assert len({row["run"] for row in table}) == 48
    assert [row["sum"] for row in table] == [
        x + 100 * s for x in range(12) for _ in range(2) for s in range(2)
    ]


def test_a_run_that_kills_its_workers(local_cluster):
    def allow(failures):
        def change(dask_scheduler):
            before, dask_scheduler.allowed_failures = dask_scheduler.allowed_failures, failures
            return before

        with distributed.Client(local_cluster) as client:
            return client.run_on_scheduler(change)

    before = allow(0)  # the least that have to be started again
    table = spikeloom.sweep(
        models.counting, {"x": [0, 1, 2, 3]}, metric=models.deadly, time=0.01, batch=4,
        scheduler=local_cluster,
    )  # fmt: skip
    allow(before)
    assert [row["metric"] for row in table] == [0, 1, None, 3]
    assert table.rows[2]["error"] == "a worker died while running it"


def test_no_scheduler_and_no_workers(monkeypatch):
    monkeypatch.setattr(cluster_module, "ANSWER", 0.5)
    with pytest.raises(LinkError, match=r"no Dask scheduler answers at tcp://127.0.0.1:9"):
        spikeloom.sweep(
            models.counting, {"x": [1]}, metric=models.count, scheduler="tcp://127.0.0.1:9"
        )


def test_all_workers_are_gone(tmp_path, monkeypatch):
    def swept(cluster, progress=False):
        return spikeloom.sweep(
            models.counting, {"x": list(range(20))}, metric=models.slowly, out=tmp_path,
            scheduler=cluster, progress=progress,
        )  # fmt: skip

    with distributed.LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=":0") as few:

        def watch(done, total, failed):
            if done == 3:
                few.scale(0)

        patient = cluster_module.PATIENCE
        monkeypatch.setattr(cluster_module, "PATIENCE", 1.0)
        for progress in (watch, False):  # in the middle; from the beginning
            with pytest.raises(LinkError, match=r"no workers since 1 s; .*finished runs are kept"):
                swept(few, progress)
        kept = (tmp_path / "runs.jsonl").read_text().count("\n")
        assert 3 <= kept < 20
        monkeypatch.setattr(cluster_module, "PATIENCE", patient)
        few.scale(1)
        table = swept(few)
        assert len(table) == 20
        assert not table.failed
        assert len((tmp_path / "runs.jsonl").read_text().splitlines()) == 20

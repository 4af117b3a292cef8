"""Nengo's own backend suite passes, and its work is done on the chip."""

import json
import subprocess

import pytest
from run import command, environment
from workcount import KINDS, LEAST_PASSED


@pytest.mark.slow
def test_nengo_suite(tmp_path):
    summary = tmp_path / "work.json"
    done = subprocess.run(
        command("-q", f"--work-json={summary}"),
        env=environment(),
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    print(done.stdout[-6000:])
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    found = json.loads(summary.read_text())
    assert found["outcomes"]["passed"] >= LEAST_PASSED
    assert sum(found["outcomes"].values()) == 560
    assert found["failed"] == [] and found["missed"] == []
    for kind in KINDS:
        assert found["counts"][f"{kind} supported chip"] > 0

"""cocotb drives each block of the link on Verilator, with random bytes, stalls and damage."""

from pathlib import Path

import pytest
from cocotb_bench import run_benches

pytestmark = pytest.mark.hardware

BENCHES = 12


def test_link_blocks(tmp_path, monkeypatch):
    pytest.importorskip("cocotb_tools.runner", reason="cocotb is not installed")
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    from link_blocks import TOP, blocks_verilog

    ran, failed = run_benches(
        blocks_verilog(), TOP, "link_benches", Path(__file__).parent, tmp_path, monkeypatch
    )
    assert ran == BENCHES
    assert not failed, f"{failed} of {ran} benches failed"

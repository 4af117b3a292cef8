"""cocotb drives each block of a core, with random inputs and stalls, against golden."""

from pathlib import Path

import pytest
from cocotb_bench import run_benches

pytestmark = pytest.mark.hardware

BENCHES = 8  # beside one for each kernel


def test_blocks(tmp_path, monkeypatch):
    pytest.importorskip("cocotb_tools.runner", reason="cocotb is not installed")
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    from blocks import SHAPE, TOP, blocks_verilog

    ran, failed = run_benches(
        blocks_verilog(),
        TOP,
        ["benches", "convolution_bench", "sequencer_bench"],
        Path(__file__).parent,
        tmp_path,
        monkeypatch,
    )
    assert ran == BENCHES + len(SHAPE.kernels)
    assert not failed, f"{failed} of {ran} benches failed"

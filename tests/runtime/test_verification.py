"""`spikeloom verify`: a sound build passes, a faulty one fails with the place of the fault."""

import json
import re
import shutil

import numpy as np
import pytest
from small_graphs import recurrent

from spikeloom.boards import get
from spikeloom.boards.build import build, deliver
from spikeloom.cli import main
from spikeloom.compiler.compile import compile_graph
from spikeloom.compiler.storage import save_program
from spikeloom.runtime.verification import stimulus

pytestmark = pytest.mark.hardware


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """What `spikeloom compile --board sim` leaves behind, for a small recurrent network."""
    directory = tmp_path_factory.mktemp("built") / "out"
    directory.mkdir()
    board = get("sim")
    program = compile_graph(recurrent(n=30), board.machine).program
    save_program(program, directory / "program")
    deliver(build(program, board), directory)
    return directory


def test_a_sound_build_is_verified(built, capsys):
    assert main(["verify", str(built), "--steps", "60"]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    match = re.fullmatch(
        r"verified: 60 steps, (\d+) cycles, (\d+) memory writes compared, 0 differences", last
    )
    assert match and int(match[1]) > 60 * 200 and int(match[2]) > 60 * 60


def test_the_same_as_json(built, capsys):
    assert main(["verify", str(built), "--steps", "5", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["steps"], found["differences"], found["first"]) == (5, 0, None)


def test_a_fault_in_the_verilog_is_located(built, tmp_path, capsys):
    copy = tmp_path / "out"
    shutil.copytree(built, copy)
    core = copy / "rtl" / "loom_core.v"
    text = core.read_text()
    # the event index that the mapper appends is one off
    mapper = re.search(r"module \\loom_core\.mapper.*?endmodule", text, re.S)
    faulty, count = re.subn(r"(\n\s+index <= )([^;]+);", r"\1(\2) ^ 1;", mapper[0])
    assert count == 1
    faulty = text.replace(mapper[0], faulty)
    core.write_text(faulty)
    assert main(["verify", str(copy), "--steps", "60"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert re.search(r"^NOT verified: .* [1-9]\d* differences$", lines[-1])
    assert re.search(
        r"first difference: step \d+, phase 0, cycle \d+: phase 0 instruction \d+ MAP .*"
        r"event of a at event\[\d+\]: expected .* found ",
        lines[0],
    )


def test_a_directory_without_hardware_says_how_to_make_some(tmp_path, capsys):
    directory = tmp_path / "plain"
    directory.mkdir()
    save_program(compile_graph(recurrent()).program, directory / "program")
    assert main(["verify", str(directory)]) == 2
    assert "holds no hardware; build it with" in capsys.readouterr().err


def test_hardware_of_another_program_is_refused(built, tmp_path, capsys):
    copy = tmp_path / "out"
    shutil.copytree(built, copy)
    shutil.rmtree(copy / "program")
    larger = compile_graph(recurrent(n=3000), get("sim").machine).program
    save_program(larger, copy / "program")
    assert main(["verify", str(copy), "--steps", "5"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_steps_must_be_positive(built, capsys):
    assert main(["verify", str(built), "--steps", "0"]) == 2
    assert "--steps must be at least 1, not 0" in capsys.readouterr().err


def test_recorded_inputs_are_repeated_and_missing_ones_random():
    program = compile_graph(recurrent()).program
    port = program.inputs["u"]
    rows = np.array([[0.5, -0.5], [0.25, 0.0]])
    found = stimulus(program, {"u": rows}, 5, 0)["u"]
    np.testing.assert_array_equal(found, np.rint(rows[[0, 1, 0, 1, 0]] * 2.0**port.fraction))
    first, again = (stimulus(program, {}, 50, 7)["u"] for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert len(np.unique(first)) > 2

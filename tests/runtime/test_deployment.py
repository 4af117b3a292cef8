import json
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import nengo
import numpy as np
import pytest

import spikeloom
from spikeloom import boards
from spikeloom.cli import main
from spikeloom.compiler.compile import PASSES
from spikeloom.compiler.errors import CapacityError, ModelError, ProgramError, RangeError
from spikeloom.compiler.storage import load_program
from spikeloom.runtime.deployment import deploy, write_deployment
from spikeloom.runtime.model_file import load_network

EXAMPLES = Path(spikeloom.__file__).parent / "examples"
GOLDEN = ["--engine", "golden"]


@pytest.fixture(scope="module")
def channel(tmp_path_factory):
    """The channel example, compiled by the command, with what it printed."""
    directory = tmp_path_factory.mktemp("compiled") / "channel"
    result = subprocess.run(
        [
            *(sys.executable, "-m", "spikeloom", "compile", "channel.py", "-o", str(directory)),
            *("--compare", "0.3", *GOLDEN),
        ],
        capture_output=True,
        text=True,
        cwd=EXAMPLES,
    )
    assert result.returncode == 0, result.stderr
    return directory, result.stdout


def network(scale=1.0):
    with nengo.Network(label="small", seed=1) as net:
        stimulus = nengo.Node(lambda t: scale * np.sin(20 * t), label="stimulus")
        ensemble = nengo.Ensemble(30, 1, label="ensemble")
        nengo.Connection(stimulus, ensemble)
        nengo.Probe(ensemble, synapse=0.02, label="decoded")
        nengo.Probe(ensemble.neurons, label="spikes")
        nengo.Probe(ensemble.neurons, "voltage", label="voltage", sample_every=0.01)
        nengo.Probe(stimulus, label="stimulus")
    return net


def test_what_it_writes_and_says(channel):
    directory, printed = channel
    assert sorted(p.name for p in directory.iterdir()) == [
        "inputs.npz",
        "program",
        "report.html",
        "report.json",
    ]
    assert "200 neurons on the chip, 0 on the host" in printed
    assert "node stimulus (Python function)" in printed
    assert "b decoded" in printed
    assert "cycles per step" in printed
    assert [p.name for p in directory.parent.iterdir()] == ["channel"]


def test_report_json(channel):
    data = json.loads((channel[0] / "report.json").read_text())
    program = load_program(channel[0])
    assert data["neurons"] == {"chip": 200, "host": 0}
    assert data["run"] == {"steps": 300, "seconds": pytest.approx(0.3)}
    assert data["memories"]["weight"]["words"] == len(program.weight)
    by_name = {p["probe"]: p for p in data["probes"]}
    assert by_name["b decoded"]["relative_rmse"] < 0.05
    assert by_name["spikes of b"]["rate_rms_error_hz"] < 5
    assert data["saturations"] == {}
    cycles = data["cycles"]
    assert cycles["without_events"] < cycles["mean"] <= cycles["largest"]
    assert {s["limit_from"] for s in data["signals"]} <= {"proved", "given", "assumed", "run"}
    seen = [s for s in data["signals"] if s["largest_seen"] is not None]
    assert len(seen) >= 3
    assert all(s["largest_seen"] <= s["range"] for s in seen)
    ensembles = {e["name"]: e for e in data["ensembles"]}
    assert ensembles["a"]["spike_value"] == 1000
    assert "tau_ref" in ensembles["a"]["registers"]


class _Page(HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.counts, self.links = [], {}, []

    def handle_starttag(self, tag, attributes):
        self.counts[tag] = self.counts.get(tag, 0) + 1
        self.links += [v for k, v in attributes if k in ("src", "href", "xlink:href") and v]
        if tag not in ("meta", "br", "link", "img", "input"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.links += [v for k, v in attributes if k in ("src", "href", "xlink:href") and v]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_report_html_is_whole_and_needs_nothing_else(channel):
    page = _Page()
    text = (channel[0] / "report.html").read_text()
    page.feed(text)
    assert page.open == []
    assert page.counts["svg"] == 7  # two probes, rates, rounding, parts, memory, cycles
    assert all(link.startswith(("#", "data:")) for link in page.links)
    for words in ("What runs where", "Formats and ranges", "Python function", "MEMORY MAP"):
        assert words in text


def test_the_program_runs_again_without_nengo_and_gives_what_the_simulator_gave(channel, tmp_path):
    directory, _ = channel
    code = (
        "import sys; from spikeloom.cli import main; status = main(sys.argv[1:]); "
        "assert 'nengo' not in sys.modules; sys.exit(status)"
    )
    result = tmp_path / "result.npz"
    arguments = ["run", str(directory), *GOLDEN, "-o", str(result)]
    subprocess.run([sys.executable, "-c", code, *arguments], check=True, capture_output=True)
    net, _ = load_network(str(EXAMPLES / "channel.py"))
    with spikeloom.Simulator(net, engine="golden", progress_bar=False) as sim:
        sim.run_steps(300)
    with np.load(result) as outputs:
        (spikes,) = (p for p in net.all_probes if p.label == "spikes of b")
        np.testing.assert_array_equal(outputs["b"], sim.data[spikes])


@pytest.mark.parametrize("name", PASSES)
def test_every_pass_can_be_shown(capsys, name):
    path = str(EXAMPLES / "channel.py")
    assert main(["compile", path, "--show", name, "--compare", "0", *GOLDEN]) == 0
    assert "b" in capsys.readouterr().out


def test_kinds_of_probes():
    deployment = deploy(network(), seconds=0.1, engine="golden")
    kinds = {c.name: (c.kind, c.fixed.shape) for c in deployment.findings.comparisons}
    assert kinds == {
        "decoded": ("values", (100, 1)),
        "spikes": ("spikes", (100, 30)),
        "voltage": ("values", (10, 30)),
        "stimulus": ("values", (100, 1)),
    }
    exact = next(c for c in deployment.findings.comparisons if c.name == "stimulus")
    assert exact.rmse == 0


def test_calibration_fits_the_range_of_inputs():
    assumed, calibrated = (
        deploy(network(0.1), seconds=0.1, calibrate=c, engine="golden").findings.program
        for c in (None, 0.2)
    )
    # 18 bits for +-0.125, which hold 1.25 times what was seen; before, for several radii.
    assert calibrated.inputs["stimulus"].fraction == 20
    assert assumed.inputs["stimulus"].fraction < 17


def test_ranges_in_loops_without_neurons_come_from_a_run():
    with nengo.Network(label="loop", seed=1) as net:
        stimulus = nengo.Node(lambda t: 20.0, label="stimulus")
        rates = nengo.Ensemble(20, 1, neuron_type=nengo.RectifiedLinear(), label="rates")
        leaky = nengo.Node(size_in=1, label="leaky")
        nengo.Connection(stimulus, rates, transform=0.05)
        nengo.Connection(rates, leaky, transform=4, synapse=0.01)
        nengo.Connection(leaky, leaky, transform=0.9, synapse=0.01)
        nengo.Connection(leaky, rates, transform=0.01)
        nengo.Probe(leaky, label="leaky")
    for calibrate in (None, 0.5):
        deployment = deploy(net, seconds=0.5, calibrate=calibrate, engine="golden")
        assert deployment.data["saturations"] == {}
        (values,) = (c for c in deployment.findings.comparisons if c.name == "leaky")
        assert values.floating.max() > 16  # twice what is assumed
        assert values.rmse < 0.01
        signals = {s["signal"]: s for s in deployment.data["signals"]}
        assert "run" in {s["limit_from"] for name, s in signals.items() if "leaky" in name}
        for signal in signals.values():
            if signal["limit_from"] == "run" and calibrate:
                assert signal["largest_seen"] <= signal["range"] < 8 * signal["largest_seen"]
        assert signals["stimulus"]["limit_from"] == ("run" if calibrate else "assumed")


def test_saturation_is_refused_unless_allowed():
    with pytest.raises(RangeError, match="ensemble was limited by its fixed-point format"):
        deploy(network(1000.0), seconds=0.1, engine="golden")
    deployment = deploy(network(1000.0), seconds=0.1, engine="golden", allow_saturation=True)
    assert deployment.data["saturations"]["ensemble"] > 0


def test_networks_that_have_nothing_for_the_chip():
    with nengo.Network(label="direct", seed=1) as net:
        nengo.Ensemble(10, 1, neuron_type=nengo.Direct())
    with pytest.raises(ModelError, match="direct: nothing in it can run on the chip"):
        deploy(net, engine="golden")


def test_host_in_the_loop_is_replayed_exactly(tmp_path, capsys):
    with nengo.Network(label="loop", seed=1) as net:
        ensemble = nengo.Ensemble(40, 1, label="ensemble")
        node = nengo.Node(lambda t, x: 0.5 - x, size_in=1, label="function")
        nengo.Connection(ensemble, node, synapse=0.01)
        nengo.Connection(node, ensemble)
        nengo.Probe(ensemble, synapse=0.02, label="decoded")
    write_deployment(deploy(net, seconds=0.2, engine="golden"), tmp_path / "loop")
    assert main(["run", str(tmp_path / "loop"), *GOLDEN, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["steps"] == 200
    (tmp_path / "loop" / "inputs.npz").unlink()
    assert main(["run", str(tmp_path / "loop"), *GOLDEN]) == 2
    assert "needs values for its inputs: " in capsys.readouterr().err


def test_an_old_result_is_replaced_but_nothing_else(tmp_path):
    deployment = deploy(network(), seconds=0.05, engine="golden")
    write_deployment(deployment, tmp_path / "out")
    write_deployment(deployment, tmp_path / "out")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    with pytest.raises(ProgramError, match="was not written by Spikeloom"):
        write_deployment(deployment, tmp_path / "mine")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mine", "out"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing.py", "-o", "x"], "no such file"),
        (["MODEL"], "nothing to do"),
        (["MODEL", "-o", "x", "--dt", "0"], "--dt 0.0: must be a positive number"),
        (["MODEL", "-o", "x", "--dt", "nan"], "--dt nan"),
        (["MODEL", "-o", "x", "--calibrate", "-1"], "--calibrate -1.0"),
        (["MODEL", "-o", "x", "--compare", "-1"], "--compare -1.0"),
        (["MODEL", "-o", "x", "--lanes", "3"], "--lanes 3: must be a power of two"),
        (["MODEL", "-o", "x", "--show", "magic"], "invalid choice"),
        (["MODEL", "-o", "x", "--engine", "magic"], "no engine is named 'magic'"),
    ],
)
def test_mistakes(tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    model = str(EXAMPLES / "channel.py")
    try:
        status = main(["compile", *(model if a == "MODEL" else a for a in arguments)])
    except SystemExit as e:
        status = e.code
    error = capsys.readouterr().err
    assert status == 2
    assert message in error
    assert len(error.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_hardware_for_simulation_is_written_beside_the_program(tmp_path, capsys):
    pytest.importorskip("amaranth", reason="the hardware extra is not installed: no Amaranth")
    path = str(EXAMPLES / "channel.py")
    arguments = ["--board", "sim", "--compare", "0.05", *GOLDEN]
    assert main(["compile", path, "-o", str(tmp_path / "out"), *arguments, "--json"]) == 0
    data = json.loads(capsys.readouterr().out)["hardware"]
    assert data["board"] == "sim"
    assert data["routed"] is None
    assert data["depths"]["event_words"] == {"needed": 200, "there": 256}
    assert data["step"]["real_time_factor"] > 1
    if shutil.which("c++"):  # else the link cannot be simulated, and is left out
        assert 1_000 < data["link"]["upload_bytes"] < 100_000
        assert data["link"]["step_received_bytes"] > 10
    verilog = (tmp_path / "out" / "rtl" / "loom.v").read_text()
    assert "endmodule" in verilog
    assert "without synthesis" in (tmp_path / "out" / "report.html").read_text()


@pytest.mark.parametrize(
    ("neurons", "message"),
    [
        (900, r"does not fit the board icebreaker: .*: \d+ needed, \d+ there"),
        (3000, r"board icebreaker: .*3000 neurons, more than the 1024 .*ulx3s-85f"),
    ],
)
def test_a_network_that_does_not_fit_its_board(neurons, message):
    with nengo.Network(seed=1, label="large") as net:
        a = nengo.Ensemble(neurons, 1, label="a")
        nengo.Connection(a, a, solver=nengo.solvers.NoSolver(np.zeros((neurons, 1))))
    with pytest.raises(CapacityError, match=message):
        deploy(net, seconds=0, board=boards.get("icebreaker"), engine="golden")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--board", "abacus"], "no board is named 'abacus'; there are: ulx3s-85f"),
        (["--clock", "20"], "--clock needs a board"),
        (["--board", "sim", "--lanes", "8"], "--lanes is the board's: leave it out"),
        (["--board", "sim", "--clock", "-3"], "--clock -3.0: must be a positive number of MHz"),
    ],
)
def test_mistakes_about_boards(tmp_path, capsys, arguments, message):
    path = str(EXAMPLES / "channel.py")
    assert main(["compile", path, "-o", str(tmp_path / "out"), *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "a = nengo.Ensemble(20, 1)\n    nengo.Connection(a, a, synapse=None)\n",
            "net.py: the network cannot be run: BuildError: Input graph has cycles",
        ),
        (
            "u = nengo.Node(lambda t: [1.0][int(100 * t)])\n"
            "    nengo.Connection(u, nengo.Ensemble(20, 1))\n",
            "net.py:4: the network cannot be run: IndexError: list index out of range",
        ),
        (
            "u = nengo.Node(lambda t: float('nan'))\n"
            "    nengo.Connection(u, nengo.Ensemble(20, 1))\n",
            "the network cannot be run: SimulationError: Function '<lambda>' returned non-finite",
        ),
    ],
)
def test_networks_that_cannot_be_run(tmp_path, capsys, text, message):
    head = "import nengo\nmodel = nengo.Network(seed=1)\nwith model:\n    "
    (tmp_path / "net.py").write_text(head + text)
    arguments = [str(tmp_path / "net.py"), "-o", str(tmp_path / "out"), *GOLDEN]
    assert main(["compile", *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_defects_of_our_own_are_not_blamed_on_the_model(tmp_path, monkeypatch):
    def defect(*args, **kwargs):
        raise RuntimeError("a defect")

    monkeypatch.setattr("spikeloom.runtime.deployment.replay", defect)
    with pytest.raises(RuntimeError, match="a defect"):
        main(["compile", str(EXAMPLES / "channel.py"), "-o", str(tmp_path / "out"), *GOLDEN])
    assert list(tmp_path.iterdir()) == []


def test_probes_of_the_same_name_are_told_apart():
    with nengo.Network(seed=1, label="two") as net:
        ensemble = nengo.Ensemble(20, 1, label="a")
        nengo.Probe(ensemble)
        nengo.Probe(ensemble.neurons)
        nengo.Probe(ensemble, synapse=0.1)
    found = deploy(net, seconds=0.01, engine="golden").findings.comparisons
    assert [c.name for c in found] == ["probe of a", "probe of a #2", "probe of a #3"]


def test_narrow_machines(tmp_path, capsys):
    path = str(EXAMPLES / "channel.py")
    arguments = ["compile", path, "-o", str(tmp_path / "out"), "--compare", "0.1", *GOLDEN]
    assert main([*arguments, "--weight-bits", "10", "--voltage-bits", "24", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert (data["machine"]["weight_bits"], data["machine"]["state_bits"]) == (10, 24)
    assert data["memories"]["weight"]["bits_per_word"] == 160
    program = load_program(tmp_path / "out")
    assert np.abs(program.weight).max() < 2**9
    for wrong, message in (
        (["--weight-bits", "19"], "--weight-bits 19: must be 2 to 18"),
        (["--voltage-bits", "1"], "--voltage-bits 1: must be 2 to 32"),
        (["--voltage-bits", "8"], "does not fit 8 bits"),
        (["--weight-bits", "8", "--board", "sim"], "--weight-bits is the board's: leave it out"),
    ):
        assert main([*arguments, *wrong]) == 2
        assert message in capsys.readouterr().err

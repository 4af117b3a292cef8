import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import nengo
import numpy as np
import pytest

import spikeloom

ROOT = Path(spikeloom.__file__).parent
README = (ROOT / "README.md").read_text()
PYTHON = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def test_first_example_is_short_and_right():
    code = PYTHON[0]
    assert len(code.splitlines()) <= 15
    variables = {}
    exec(compile(code, "README.md", "exec"), variables)
    sim = variables["sim"]
    assert sim.placement.count("ensemble", "host") == 0
    time = sim.trange()
    decoded = sim.data[variables["squared"]][:, 0]
    error = decoded[200:] - np.sin(6 * time[200:]) ** 2
    assert np.sqrt(np.mean(error**2)) < 0.2


def test_neuron_of_ones_own(tmp_path):
    # From a file, because dataclass-like tools look for the class in its module.
    (tmp_path / "own.py").write_text(
        f"{PYTHON[1].split('ensemble =')[0]}\n"
        "with nengo.Network(seed=1) as net:\n"
        "    ensemble = nengo.Ensemble(50, 1, neuron_type=Leaky(tau=0.03))\n"
        "    nengo.Probe(ensemble.neurons)\n"
    )
    sys.path.insert(0, str(tmp_path))
    try:
        from own import net
    finally:
        sys.path.remove(str(tmp_path))
    counts = []
    for simulator in (nengo.Simulator, spikeloom.Simulator):
        with simulator(net, progress_bar=False) as sim:
            sim.run(0.3)
        counts.append((sim.data[net.probes[0]] > 0).sum())
    assert counts[0] > 100
    assert counts[1] == pytest.approx(counts[0], rel=0.02)


def test_folders_of_the_layout_exist():
    folders = re.findall(r"^\| `(\w+)/`", README, re.MULTILINE)
    assert {"compiler", "sim", "hdl", "boards", "runtime"} <= set(folders)
    for folder in folders:
        assert (ROOT / folder).is_dir()


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.py")), ids=lambda p: p.stem)
def test_examples_run(path, tmp_path):
    if path.stem.startswith("nengo_dl"):
        for module in ("tensorflow", "nengo_dl"):
            if importlib.util.find_spec(module) is None:
                pytest.skip(f"{path.name} trains with {module}, which is not installed (extra dl)")
    arguments = {
        "demo": ["-o", str(tmp_path / "out")],
        "vdsp": ["--images", "100", "--tests", "40"],
        "nengo_dl_mnist": ["--epochs", "30", "--output", str(tmp_path / "out")],
    }.get(path.stem, [])
    result = subprocess.run(
        [sys.executable, str(path), *arguments], capture_output=True, text=True, cwd=tmp_path
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip()
    expected = {
        "digits": r"4\d of 50 digits recognised",
        "demo": r"golden = native: \d+ numbers compared, 0 differences",
        "demo_learning": r"golden = native: \d+ learned words after \d+ steps, 0 differences",
        "two_layers": r"neuron 1 of layer 1 spikes in steps \[10 19 29 39 49\]",
        "memristor": r"native: RMS error 0\.0[3-6]",
        "vdsp": r"seed 0, native: \d+\.\d % of 40 test images",
        "nengo_dl_mnist": r"dense_digits.slm: 9[5-9](.|\n)*difference [+-][01]\.\d\d points"
        r"(.|\n)*conv_digits.slm: 9[5-9](.|\n)*difference [+-][01]\.\d\d points",
        "oscillator": r"at 1.0 s it turns \+0\.[678]",
    }
    assert re.search(expected.get(path.stem, ""), result.stdout)

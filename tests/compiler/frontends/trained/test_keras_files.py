"""Stored Keras models against what Keras computed when they were stored."""

from pathlib import Path

import nengo
import numpy as np
import pytest

from spikeloom.compiler.frontends.trained.keras_file import read_keras
from spikeloom.compiler.frontends.trained.keras_layers import Options, convert_model

pytest.importorskip("h5py", reason="reading Keras files needs h5py (spikeloom[keras])")

FOLDER = Path(__file__).parents[3] / "fixtures" / "keras"
FILES = sorted(p.name for p in FOLDER.iterdir() if p.suffix in (".keras", ".h5"))


def network(name, **options):
    return convert_model(read_keras(FOLDER / name), Options(**options))


def run(net, inputs, steps=1):
    """What the probes show in the last step."""
    nodes = [n for n in net.nodes if n.size_in == 0 and n.label and not n.label.endswith(".bias")]
    for node, value in zip(nodes, inputs, strict=True):
        node.output = value.ravel().astype(float)
    with nengo.Simulator(net, progress_bar=False) as sim:
        sim.run_steps(steps)
    return [sim.data[p][-1] for p in net.all_probes]


@pytest.mark.parametrize("name", FILES)
def test_rate_networks_compute_what_keras_computes(name):
    with np.load((FOLDER / name).with_suffix(".npz")) as stored:
        inputs = [stored[k] for k in sorted(stored.files) if k.startswith("input")]
        outputs = [stored[k] for k in sorted(stored.files) if k.startswith("output")]
    net, records = network(name)
    for i in range(len(inputs[0])):
        found = run(net, [x[i] for x in inputs])
        for y, (place, expected) in zip(found, enumerate(outputs), strict=True):
            want = expected[i].ravel()
            if place == 0 and not name.startswith("image"):  # the chip leaves out the softmax
                y = np.exp(y - y.max()) / np.exp(y - y.max()).sum()
            np.testing.assert_allclose(y, want, rtol=2e-5, atol=2e-5)
    assert all(r.kind for r in records)

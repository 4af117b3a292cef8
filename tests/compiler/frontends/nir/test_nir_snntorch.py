"""Networks that snnTorch exported, against the spikes that snnTorch itself computed.

The files were made by ``tests/fixtures/nir/make.py``; snnTorch is not needed here. Sinabs and Norse
have a network each, by ``make_others.py``.
"""

from pathlib import Path

import nengo
import numpy as np
import pytest
from nir_graphs import feed, output
from numpy.testing import assert_array_equal

import spikeloom
from spikeloom.compiler.frontends.nir.network import import_nir

FOLDER = Path(__file__).parents[3] / "fixtures" / "nir"
DT = 1e-4  # what snnTorch exports for

RESETS = {
    "convolution": "nir",
    "feedforward": "nir",
    "feedforward_subtract": "late-subtract",
    "recurrent": "late-reset",
    "recurrent_subtract": "late-subtract",
    "synaptic": "nir",
    "synaptic_late": "late-reset",
}
"""What each network was run with: NIR has no word for it."""


OTHERS = {
    "norse": {"dt": 1e-6},
    "sinabs": {"dt": 1.0, "method": "exponential", "reset": "subtract"},
}
"""Networks of other libraries, and how these step them."""


def load(name, reset=None):
    """The network fed with the recorded input, probes of both layers, and snnTorch's spikes."""
    network = import_nir(FOLDER / f"{name}.nir", dt=DT, reset=reset or RESETS[name])
    with np.load(FOLDER / f"{name}.npz") as stored:
        given, output, hidden = (
            values.reshape(len(values), -1).astype(float)
            # neurons with channels are kept channels last, outputs and inputs are not
            for values in (stored["input"], stored["output"], np.moveaxis(stored["hidden"], 1, -1))
        )
    feed(network, given)
    with network:
        probes = [network.probes[0], nengo.Probe(network.ensembles[0].neurons)]
        probes.append(nengo.Probe(network.ensembles[-1].neurons, "voltage"))
    return network, probes, [output, hidden]


def run(network, probes, make, **keywords):
    with make(network, dt=DT, progress_bar=False, **keywords) as sim:
        sim.run_steps(100, progress_bar=False)
        return [np.array(sim.data[probe]) for probe in probes]


def test_every_file_is_tested():
    assert {path.stem for path in FOLDER.glob("*.nir")} == {*RESETS, *OTHERS}


@pytest.mark.parametrize("name", RESETS)
def test_float_and_fixed_point_have_snntorchs_spikes(name):
    network, probes, expected = load(name)
    floating = run(network, probes, nengo.Simulator)
    for found, wanted in zip(floating, expected, strict=False):
        assert wanted.sum() > 80
        assert_array_equal(found, wanted)
    native = run(network, probes, spikeloom.Simulator, engine="native")
    golden = run(network, probes, spikeloom.Simulator, engine="golden")
    for a, b in zip(native, golden, strict=True):
        assert_array_equal(a, b)
    # Spikes of fixed point need not be those of float, but on these short runs they are.
    for found, wanted in zip(native, expected, strict=False):
        assert_array_equal(found, wanted)
    assert np.abs(native[2] - floating[2]).max() < 1e-3


@pytest.mark.parametrize("name", OTHERS)
def test_networks_of_sinabs_and_norse(name):
    network, dt = import_nir(FOLDER / f"{name}.nir", **OTHERS[name]), OTHERS[name]["dt"]
    with np.load(FOLDER / f"{name}.npz") as stored:
        given, wanted = stored["input"], stored["output"]
    assert wanted.sum() > 40
    for engine in (nengo.Simulator, "native", "golden"):
        assert_array_equal(output(network, given, engine, dt=dt), wanted)


def test_another_reset_gives_other_spikes():
    network, probes, expected = load("feedforward_subtract", reset="nir")
    assert (run(network, probes, nengo.Simulator)[1] != expected[1]).any()


def test_everything_runs_on_the_chip():
    network, _, _ = load("recurrent")
    with spikeloom.Simulator(network, dt=DT, progress_bar=False) as sim:
        lines = str(sim.placement).splitlines()
    assert lines[:3] == [
        "neurons on the chip: 22 of 22",
        "connections on the chip: 4 of 4",
        "synapses on the chip: 2 of 2",
    ]
    assert len(lines) == 4 and "node input" in lines[3]

"""Convolutional Nengo networks: all engines alike, the kernel stored once, the board's hardware."""

import dataclasses
import json
from pathlib import Path

import nengo
import numpy as np
import pytest
from convolutional_networks import convolutional, random_convolutional, sparse_images

from spikeloom.boards.fit import excess
from spikeloom.boards.ulx3s import ULX3S_85F
from spikeloom.cli import main
from spikeloom.compiler.instructions import Cnv, Mac
from spikeloom.compiler.shape import Shape, needs
from spikeloom.runtime.hardware import generate
from spikeloom.runtime.link.board import SIMULATED
from spikeloom.runtime.model_file import load_network
from spikeloom.runtime.replay import replay
from spikeloom.runtime.simulator import Simulator
from spikeloom.sim.check import MEMORIES
from spikeloom.sim.compare import compare
from spikeloom.sim.predict import PredictingEngine
from spikeloom.sim.rtl.engine import RtlEngine

pytestmark = pytest.mark.filterwarnings("ignore::spikeloom.runtime.simulator.SaturationWarning")

NETWORKS = 12
CHANNELS_FIRST = 5  # every sixth
STEPS = 20


def convolutions(program):
    return [i for i in program.instructions if isinstance(i, Cnv)]


def record(network, engine, probes, **options):
    with Simulator(network, engine=engine, progress_bar=False, **options) as sim:
        sim.run_steps(STEPS)
        memories = {name: sim.chip.engine.memory(name) for name in MEMORIES}
        return sim.program, [np.array(sim.data[p]) for p in probes], memories


@pytest.fixture(scope="module")
def networks():
    return [random_convolutional(number) for number in range(NETWORKS)]


@pytest.fixture(scope="module")
def golden(networks):
    return [record(network, "golden", network.probes_of) for network in networks]


def check_same(expected, found, what):
    for a, b in zip(expected[1], found[1], strict=True):
        np.testing.assert_array_equal(a, b, what)
    for name in MEMORIES:
        np.testing.assert_array_equal(expected[2][name], found[2][name], f"{what}: {name}")


def test_kernels_are_stored_once(networks, golden):
    for number, (network, (program, *_)) in enumerate(zip(networks, golden, strict=True)):
        (note,) = program.notes["sharing"]
        if number % 6 == CHANNELS_FIRST:
            assert "unrolled_because" in note
            continue
        (convolution,) = convolutions(program)
        kernel = network.transform.sample().size
        # At most each tap at each place in a word, each block padded to whole words.
        assert note["words"] == convolution.kernel <= kernel * 2
        assert note["unrolled_words"] > 20 * note["words"]


def test_native_is_golden(networks, golden):
    for number, (network, expected) in enumerate(zip(networks, golden, strict=True)):
        found = record(network, "native", network.probes_of)
        check_same(expected, found, f"network {number}")


@pytest.mark.hardware
def test_hardware_is_golden(networks, golden):
    """One piece of hardware holds the kernels of all the networks."""
    programs = [program for program, *_ in golden]
    needed = [needs(program) for program in programs]
    largest = {depth: max(n[depth] for n in needed) for depth in needed[0]}
    kernels = {name: code for program in programs for name, code in program.kernels.items()}
    everything = dataclasses.replace(programs[0], kernels=kernels)
    verilog, layout = generate(Shape.for_program(everything, largest))
    for number, (network, expected) in enumerate(zip(networks, golden, strict=True)):
        found = record(network, "rtl", network.probes_of, verilog=verilog, layout=layout)
        check_same(expected, found, f"network {number}")


def test_spikes_are_those_of_nengo(networks):
    """Float and fixed point: as many spikes, but for the few where rounding decides."""
    for network in networks:
        with nengo.Simulator(network, progress_bar=False) as sim:
            sim.run_steps(STEPS)
        spikes = [np.count_nonzero(sim.data[p]) for p in network.probes_of[:2]]
        _, data, _ = record(network, "native", network.probes_of)
        mine = [np.count_nonzero(values) for values in data[:2]]
        for fixed, floating in zip(mine, spikes, strict=True):
            assert abs(fixed - floating) <= 2 + floating // 100


@pytest.mark.hardware
def test_over_the_link(networks, golden):
    """What the host uploads to a board includes the stencil."""
    number = 1
    shape = Shape.for_program(golden[number][0])
    options = {"shapes": [shape], "port": SIMULATED}
    found = record(networks[number], "board", networks[number].probes_of, **options)
    check_same(golden[number], found, f"network {number}")


IMAGES, PRESENTED = 3, 30


@pytest.fixture(scope="module")
def classifier():
    """28x28x1 -> 13x13x8 -> 6x6x16 -> 10, for the machine of a real board."""
    network = convolutional(sparse_images(IMAGES, 784), PRESENTED / 1000)
    with Simulator(network, engine="native", machine=ULX3S_85F.machine, progress_bar=False) as sim:
        return sim.program


def test_classifier_fits(classifier):
    assert excess(classifier, ULX3S_85F) == []
    first, second = sorted(convolutions(classifier), key=lambda i: i.kernel)
    assert (first.list, second.list >= 0) == (-1, True)
    assert (second.kernel, second.slots) == (3 * 3 * 8, 4)
    assert first.kernel <= 2 * (9 + 4)  # nine taps in either half of a word, pairs side by side
    assert sum(n["unrolled_words"] for n in classifier.notes["sharing"]) > 50_000
    assert len(classifier.weight) < 1024


def test_a_gain_of_all_neurons_is_stored_once(classifier):
    """The synapse of 576 neurons leads into them through 36 equal pieces of a diagonal."""
    diagonal = [i for i in classifier.instructions if isinstance(i, Mac) and i.rows == 16]
    assert len(diagonal) == 36
    assert len({i.weights for i in diagonal}) == 1


@pytest.mark.hardware
def test_classifier_in_hardware(classifier):
    """Three images, every write in its cycle, on the board's own shape."""
    core = generate(ULX3S_85F.shape_for(classifier))
    golden, rtl = PredictingEngine(classifier), RtlEngine(classifier, *core)
    rtl.trace(True)
    (port,) = classifier.inputs.values()
    images = sparse_images(IMAGES, port.size)
    values = np.minimum(np.rint(images * 2.0**port.fraction), (1 << 17) - 1).astype(np.int64)
    inputs = {port.name: values.repeat(PRESENTED, axis=0)}
    for engine in (golden, rtl):
        engine.run(IMAGES * PRESENTED, inputs, [])
    expected, found = golden.take_trace(), rtl.take_trace()
    comparison = compare(classifier, expected, found)
    assert not comparison.differences, comparison.first
    assert comparison.writes > 300_000
    cycles = found.cycles.reshape(IMAGES * PRESENTED, -1).sum(axis=1)
    assert cycles.mean() < 5500  # 145 images of 100 steps a second at 80 MHz
    floats = {name: values * 2.0**-port.fraction for name, values in inputs.items()}
    watched = replay(classifier, IMAGES * PRESENTED, floats)
    np.testing.assert_array_equal(watched.cycles, cycles)
    assert (watched.multiplying < cycles).all()


def test_compile_tells_what_is_stored_once(tmp_path, capsys):
    folder = Path(__file__).parents[1]
    model = tmp_path / "model.py"
    model.write_text(
        "import sys\n"
        f"sys.path.insert(0, {str(folder)!r})\n"
        "from convolutional_networks import convolutional, sparse_images\n"
        "model = convolutional(sparse_images(2, 784), 0.01)\n"
    )
    out = tmp_path / "out"
    assert main(["compile", str(model), "-o", str(out), "--compare", "0.02"]) == 0
    printed = capsys.readouterr().out
    assert printed.count("stored once: ") == 2
    assert "72 words of weights and 676 of its stencil, for 48672 unrolled" in printed
    data = json.loads((out / "report.json").read_text())
    assert [note["words"] for note in data["sharing"]] == [21, 72]
    assert data["memories"]["stencil"]["words"] == 2916 + 676
    assert data["cycles"]["without_events"] <= data["cycles"]["mean"]
    assert (out / "report.html").read_text().count("stored once") == 2


@pytest.mark.hardware
def test_trained_network_in_hardware():
    """A network trained with NengoDL: its second convolution stored once, and the RTL is golden."""
    network, _ = load_network(str(Path(__file__).parents[1] / "fixtures/trained/conv_digits.slm"))
    image = next(node for node in network.all_nodes if node.size_in == 0 and node.size_out == 64)
    image.output = nengo.processes.PresentInput(sparse_images(3, 64), 0.02)
    probes = network.all_probes
    expected = record(network, "golden", probes)
    program = expected[0]
    assert [i.kernel for i in convolutions(program) if i.list >= 0] == [3 * 3 * 8]
    verilog, layout = generate(Shape.for_program(program))
    check_same(expected, record(network, "rtl", probes, verilog=verilog, layout=layout), "rtl")
    check_same(expected, record(network, "native", probes), "native")

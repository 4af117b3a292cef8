"""Convolutions on golden and native: the sums of loops over pixels, and each other's integers."""

import numpy as np
import pytest
from plain_convolution import GEOMETRIES, Geometry
from random_convolutions import random_convolution_program, sparse_inputs
from random_programs import FAMILY
from small_graphs import lif, synapse

from spikeloom.compiler.compile import lower
from spikeloom.compiler.graph import Graph, Input, Observation, Vector
from spikeloom.compiler.instructions import Cnv
from spikeloom.compiler.machine import Machine
from spikeloom.sim import create_engine
from spikeloom.sim.check import MEMORIES

ENGINES = ("golden", "native")
PROGRAMS = 80
STEPS = 12


def convolutions(program):
    return [i for i in program.instructions if isinstance(i, Cnv)]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("lanes", [4, 16])
@pytest.mark.parametrize(
    "geometry",
    [
        GEOMETRIES["wide kernel"],
        GEOMETRIES["depthwise"],
        Geometry((23, 23, 2), 8, (3, 3), (2, 2)),
        Geometry((27, 27, 1), 8, (3, 3), (2, 2)),
    ],
)
def test_an_image_is_convolved(geometry, lanes, engine):
    rng = np.random.default_rng(5)
    kernel = rng.integers(-100, 100, geometry.kernel_shape)
    matrix = geometry.unrolled(kernel)
    graph = Graph("image", 0.001)
    graph.add(Input("u", matrix.shape[1], limit=127.0))
    bias = rng.integers(-9, 9, matrix.shape[0])
    graph.add(Vector("x", matrix.shape[0], bias=bias.astype(float)))
    graph.connect("u", "x", matrix.astype(float))
    graph.observe(Observation("x", "x", "output"))
    program = lower(graph, Machine(lanes=lanes))
    if lanes == 16:
        assert len(convolutions(program)) == 1
    port, output = program.inputs["u"], program.outputs["x"]
    machine = create_engine(engine, program)
    for _ in range(3):
        image = rng.integers(-127, 127, geometry.image) * (rng.random(geometry.image) < 0.4)
        machine.write("u", image.ravel() << port.fraction)
        machine.step()
        expected = geometry.convolve(image, kernel).ravel() + bias
        assert np.array_equal(machine.read("x") * output.unit, expected)


@pytest.mark.parametrize("engine", ENGINES)
def test_spikes_are_convolved(engine):
    """The sum of a synapse in each step: the convolution of the spikes of that step."""
    geometry = GEOMETRIES["3x3 to 16 channels"]
    kernel = np.random.default_rng(2).integers(-100, 100, geometry.kernel_shape)
    matrix = geometry.unrolled(kernel)
    graph = Graph("spikes", 0.001)
    source = lif("a", matrix.shape[1])
    source.output_unit = 1.0
    source.bias = source.bias + 5
    graph.add(source)
    graph.add(synapse("y", matrix.shape[0]))
    graph.connect("a", "y", matrix.astype(float))
    graph.observe(Observation("spikes", "a", "output"))
    graph.observe(Observation("sum", "y", "input"))
    program = lower(graph)
    (convolution,) = convolutions(program)
    assert convolution.list >= 0
    assert convolution.kernel == 3 * 3 * 4
    found = create_engine(engine, program).run(30, {}, ["spikes", "sum"])
    spikes = found["spikes"] * program.outputs["spikes"].unit
    assert spikes.sum() > 100
    for step in range(30):
        expected = geometry.convolve(spikes[step].reshape(geometry.image).astype(int), kernel)
        sums = found["sum"][step] * program.outputs["sum"].unit
        # Gain and bits of the weights: one factor for all of them.
        assert np.allclose(sums, expected.ravel(), rtol=0, atol=0.01 * 36)


@pytest.mark.parametrize("family", range(PROGRAMS // FAMILY))
def test_random_programs(family):
    for seed in range(family * FAMILY, (family + 1) * FAMILY):
        program = random_convolution_program(seed)
        inputs = sparse_inputs(seed, program, STEPS)
        golden, native = (create_engine(name, program) for name in ENGINES)
        results = [e.run(STEPS, inputs, list(program.outputs)) for e in (golden, native)]
        for name in program.outputs:
            steps = np.flatnonzero((results[0][name] != results[1][name]).any(axis=1))
            assert not len(steps), f"seed {seed}: output {name} differs from step {steps[0]} on"
        for name in MEMORIES:
            assert np.array_equal(golden.memory(name), native.memory(name)), (seed, name)
        assert golden.saturations() == native.saturations()


def test_random_programs_try_everything():
    kinds = set()
    for seed in range(PROGRAMS):
        program = random_convolution_program(seed)
        for i in convolutions(program):
            kinds |= {"events" if i.list >= 0 else "values", f"{min(i.slots, 5)} slots"}
            kinds |= {"channels"} if i.shift else set()
            stencil = program.stencil[i.stencil : i.stencil + i.stencil_words, 0]
            kinds |= {"everywhere"} if (stencil >= 0).all() else {"gaps"}
            kinds |= {"nowhere"} if (stencil < 0).all() else set()
    assert kinds >= {"events", "values", "channels", "everywhere", "gaps", "nowhere"}
    assert kinds >= {f"{n} slots" for n in range(1, 6)}

"""The hardware convolves as golden predicts: every write of random Programs, in its cycle."""

from dataclasses import replace

import numpy as np
import pytest
from cores import generate, shape_for, side_by_side
from plain_convolution import Geometry
from random_convolutions import random_convolution_program, sparse_inputs
from random_programs import FAMILY, random_inputs, random_program
from random_rules import driven, random_learning_program
from small_graphs import lif, synapse

from spikeloom.compiler.compile import lower
from spikeloom.compiler.graph import Graph, Input, Observation
from spikeloom.compiler.instructions import Cnv, Upd
from spikeloom.compiler.machine import Machine
from spikeloom.compiler.shape import Shape
from spikeloom.hdl.verilog import core_verilog

pytestmark = pytest.mark.hardware

FAMILIES = 8
STEPS = 8
OPERATIONS_PER_STAGE = (1, 2, 3, 6)


def family_of(family, operations_per_stage):
    programs = {}
    for seed in range(family * FAMILY, (family + 1) * FAMILY):
        program = random_convolution_program(seed)
        machine = replace(program.machine, operations_per_stage=operations_per_stage)
        programs[seed] = replace(program, machine=machine)
    return programs


@pytest.mark.parametrize("family", range(FAMILIES))
def test_every_write_in_its_cycle(family):
    programs = family_of(family, OPERATIONS_PER_STAGE[family % len(OPERATIONS_PER_STAGE)])
    core = generate(shape_for(list(programs.values())))
    for seed, program in programs.items():
        for inputs in (random_inputs, sparse_inputs):
            given = inputs(seed, program, STEPS)
            comparison, wrong = side_by_side(program, *core, STEPS, given)
            assert not comparison.differences, f"seed {seed}: {comparison.first}"
            assert not wrong, f"seed {seed}: {wrong}"


def learning_and_convolving(seed):
    """A random learning Program in which the weights of a product also serve a convolution."""
    program = random_learning_program(seed)
    words = len(program.weight)
    kernel = np.random.default_rng(seed).integers(-3, 4, (5, program.machine.lanes))
    stencil = np.array([(0, 0), (-1, 0), (0, 3), (0, 2)], np.int32)
    phases = [list(phase) for phase in program.phases]
    first = next(n for n, i in enumerate(phases[-1]) if isinstance(i, Upd))
    product = next(i for i in phases[-1] if i.opcode in ("MAC", "EVT"))
    target = product.target
    phases[-1].insert(
        first,
        Cnv(words, 5, 0, -1, min(4, len(program.value)), 0, 0, 1, target, 1, 1, comment="both"),
    )
    return replace(
        program,
        phases=phases,
        weight=np.vstack([program.weight, kernel]).astype(np.int32),
        stencil=stencil,
    )


@pytest.mark.parametrize("seed", [1, 6])
def test_hardware_that_learns_and_convolves(seed):
    program = learning_and_convolving(seed)
    core = generate(shape_for([program]))
    comparison, wrong = side_by_side(program, *core, STEPS, driven(seed, program, STEPS))
    assert not comparison.differences, comparison.first
    assert not wrong


def network(machine):
    """Image -> convolution -> LIF -> convolution -> synapse."""
    rng = np.random.default_rng(0)
    first = Geometry((14, 14, 1), 8, (3, 3), (1, 1))
    second = Geometry(first.output, 16, (3, 3), (2, 2))
    graph = Graph("convolutional", 0.001)
    matrices = [g.unrolled(rng.integers(-40, 90, g.kernel_shape)) for g in (first, second)]
    graph.add(Input("image", matrices[0].shape[1], limit=1.0))
    graph.add(lif("a", matrices[0].shape[0]))
    graph.add(synapse("y", matrices[1].shape[0]))
    graph.connect("image", "a", matrices[0] / 20)
    graph.connect("a", "y", matrices[1] / 1e5)
    graph.observe(Observation("y", "y", "output"))
    return lower(graph, machine)


def test_a_convolutional_network():
    program = network(Machine())
    kernels = sorted(i.kernel for i in program.instructions if isinstance(i, Cnv))
    assert kernels[-1] == 72
    core = generate(Shape.for_program(program))
    (port,) = program.inputs.values()
    rng = np.random.default_rng(4)
    images = rng.random((3, port.size)) * (rng.random((3, port.size)) < 0.3)
    values = np.repeat(np.rint(images * 2.0**port.fraction), 6, axis=0).astype(np.int64)
    values = np.minimum(values, (1 << 17) - 1)
    comparison, wrong = side_by_side(program, *core, len(values), {port.name: values})
    assert not comparison.differences, comparison.first
    assert not wrong
    assert comparison.writes > 10_000


def test_no_stencil_no_convolver():
    shape = Shape.for_program(random_program(0))
    with_one = replace(shape, stencil_words=2)
    assert "convolver" not in core_verilog(shape)
    assert "stencil_words" not in shape.to_json()
    assert "convolver" in core_verilog(with_one)
    assert Shape.from_json(with_one.to_json()) == with_one
    assert with_one.fingerprint() != shape.fingerprint()

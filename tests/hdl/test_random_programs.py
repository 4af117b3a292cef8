"""The hardware does what golden predicts: every memory write of random Programs, in its cycle."""

import pytest
from cores import generate, shape_for, side_by_side
from random_programs import FAMILY, random_inputs, random_program

pytestmark = pytest.mark.hardware

FAMILIES = 8
STEPS = 6


@pytest.mark.parametrize("family", range(FAMILIES))
def test_every_write_in_its_cycle(family):
    seeds = range(family * FAMILY, (family + 1) * FAMILY)
    programs = {seed: random_program(seed) for seed in seeds}
    core = generate(shape_for(list(programs.values())))
    compared = 0
    for seed, program in programs.items():
        comparison, wrong = side_by_side(program, *core, STEPS, random_inputs(seed, program, STEPS))
        assert not comparison.differences, f"seed {seed}: {comparison.first}"
        assert not wrong, f"seed {seed}: {wrong}"
        compared += comparison.writes
    assert compared > 0

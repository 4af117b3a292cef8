"""The hardware does what golden predicts: every memory write of random Programs, in its cycle."""

from dataclasses import replace

import pytest
from cores import generate, shape_for, side_by_side
from random_programs import FAMILY, random_inputs, random_program

pytestmark = pytest.mark.hardware

FAMILIES = 12
STEPS = 6
OPERATIONS_PER_STAGE = (1, 2, 3)
"""In turn for the families: fast and slow machines have different latencies everywhere."""


@pytest.mark.parametrize("family", range(FAMILIES))
def test_every_write_in_its_cycle(family):
    seeds = range(family * FAMILY, (family + 1) * FAMILY)
    programs = {seed: random_program(seed) for seed in seeds}
    for seed, program in programs.items():
        each = OPERATIONS_PER_STAGE[family % len(OPERATIONS_PER_STAGE)]
        machine = replace(program.machine, operations_per_stage=each)
        programs[seed] = replace(program, machine=machine)
    core = generate(shape_for(list(programs.values())))
    compared = 0
    for seed, program in programs.items():
        comparison, wrong = side_by_side(program, *core, STEPS, random_inputs(seed, program, STEPS))
        assert not comparison.differences, f"seed {seed}: {comparison.first}"
        assert not wrong, f"seed {seed}: {wrong}"
        compared += comparison.writes
    assert compared > 0

"""Faults put into a core's Verilog are found: the comparison can fail, and says where.

A mutant replaces what one register takes over, or one line of a memory or multiplier. All of them
are run on the same Programs, on which the sound core agrees with golden.
"""

import re

import pytest
from competing import network
from cores import generate, shape_for, side_by_side
from random_convolutions import random_convolution_program, sparse_inputs
from random_programs import FAMILY, random_inputs, random_program
from random_rules import SummingMaker, driven, random_learning_program

from spikeloom.compiler.errors import ToolError
from spikeloom.runtime.simulator import Simulator

pytestmark = pytest.mark.hardware

STEPS = 8
SEEDS = range(69 * FAMILY, 70 * FAMILY)  # values and events, tables, parameters, reductions

MUTANTS = {
    "product one too large": ("spikeloom_multiplier", "middle", "{} + 1"),
    "product of the next operand": ("spikeloom_multiplier", "product", "a_in * b_in"),
    "memory without output register": ("spikeloom_memory", "register", "content[read_address]"),
    "memory reads elsewhere": ("spikeloom_memory", "latch", "content[read_address ^ 1'h1]"),
    "sums never begin anew": ("loom_core.lanes", "first_*", "1'h0"),
    "sums begin one row late": ("loom_core.lanes", "first_*", "{register} ^ {}"),
    "accumulators never cleared": ("loom_core.lanes", "clear_*", "1'h0"),
    "accumulators always cleared": ("loom_core.lanes", "clear_*", "1'h1"),
    "sum written a cycle late": ("loom_core.lanes", "done_*", "{register}"),
    "sum written too often": ("loom_core.lanes", "done_*", "1'h1"),
    "wrong accumulator": ("loom_core.lanes", "target_late_*", "{} ^ 1'h1"),
    "wrong weight": ("loom_core.lanes", "address", "{} ^ 1'h1"),
    "event's row ignored": ("loom_core.lanes", "row", "0"),
    "operand stuck": ("loom_core.lanes", "x", "{} & ~1"),
    "payload never taken": ("loom_core.operands", "zero_1", "1'h1"),
    "lanes in the wrong order": ("loom_core.mapper", "turn", "~{}"),
    "shift one too far": ("loom_core.mapper", "input_right", "{} + 1"),
    "states shifted by a neuron": ("loom_core.mapper", "write_address", "{} + 1"),
    "event carries another index": ("loom_core.mapper", "index", "{} ^ 1"),
    "count written as one more": ("loom_core.mapper", "count", "{} | 1"),
    "population ends a cycle early": ("loom_core.mapper", "value_end_*", "value_end_3"),
    "limits not counted": ("loom_core.mapper", "counted", "0"),
    "input not limited": ("loom_core.mapper.rescale_input", "above", "1'h0"),
    "kernel swallows its neurons": ("loom_core.mapper.kernel_1", "valid_1", "1'h0"),
    "instruction handed over early": ("loom_core.sequencer", "in_flight_3", "1'h0"),
    "does not wait for writes": ("loom_core.sequencer", "in_flight_*", "1'h0"),
    "one row too few": ("loom_core.sequencer", "rows_less_one", "{} | 1"),
    "no first pass": ("loom_core.mapper", "first_pass", "1'h0"),
    "second pass in other lanes": ("loom_core.mapper", "word_again_*", "1'h0"),
    "the first one is the largest": ("loom_core.mapper.kernel_1", "r7_best", "{register}"),
    "another one wins": ("loom_core.mapper.kernel_1", "r7_place", "{} ^ 1"),
    "the winner a neuron later": ("loom_core.mapper.kernel_1", "r8_wins", "r8_wins ^ {}"),
}

ROUNDING_SEEDS = range(2 * FAMILY, 3 * FAMILY)  # inputs of few bits, in which halves matter

ROUNDING_MUTANTS = {
    "rounding left out": ("loom_core.mapper.rescale_input", "rounded", "$signed(coarse) >>> 1"),
}


LEARNING_SEEDS = range(FAMILY, 2 * FAMILY)  # a rule that is gated by either spike, captures

LEARNING_MUTANTS = {
    "low bits of weights lost": ("loom_core.updater", "full_0", "{} & ~1"),
    "weight not rounded": ("loom_core.updater", "next_weight_0", "{} ^ 1"),
    "residual wrong": ("loom_core.updater", "next_residual_0", "{} ^ 1"),
    "written elsewhere": ("loom_core.updater", "write_address", "{} ^ 1"),
    "written a cycle late": ("loom_core.updater", "writes", "{register}"),
    "lanes beyond the last element": ("loom_core.updater", "tail", "{} | 1"),
    "all words taken for the last": ("loom_core.updater", "read_last_*", "1'h1"),
    "rows done twice": ("loom_core.updater", "skip", "1'h0"),
    "another neuron's state": ("loom_core.updater", "row_read", "{} ^ 1"),
    "another post neuron": ("loom_core.updater", "post_read_0", "{} ^ 1"),
    "another word than that of the event": ("loom_core.updater", "found_word", "{} ^ 1"),
    "its weights elsewhere": ("loom_core.updater", "held_offset", "{} + 1"),
    "words done twice": ("loom_core.updater", "first", "1'h1"),
    "one row too few": ("loom_core.updater", "rows", "{} - 1"),
    "end too early": ("loom_core.updater", "finish_*", "finish_1"),
    "rule swallows a lane": ("loom_core.updater.rule_0", "valid_1", "{} & ~1"),
    "learning limits not counted": ("loom_core.updater.rule_1", "saturations", "0"),
    "captured in the wrong lane": ("loom_core.captures", "turn", "0"),
    "captured word lost": ("loom_core.captures", "writes_post_0", "1'h0"),
    "captured elsewhere": ("loom_core.captures", "address_1", "{} ^ 1"),
    "another state captured": ("loom_core.captures", "slot_1", "~{}"),
    "padding kept": ("loom_core.captures", "element_0_1", "{} | 1"),
    "update does not wait": ("loom_core.sequencer", "update_active", "1'h0"),
    "an update begins before its writes are through": (
        "loom_core.sequencer",
        "update_active",
        "{} & ~update_loaded",
    ),
    "taken over as soon as loaded": ("loom_core.updater", "skip", "skip_loaded"),
    "fields of the update after this one": ("loom_core.updater", "open", "1'h1"),
    "limits of another population": ("loom_core.mapper", "update_goes", "1'h0"),
    "offset of the word before": ("loom_core.updater", "taken_*", "1'h0"),
    "looks on too early": ("loom_core.updater", "resumes_*", "taken"),
}


SUMMING_SEEDS = range(35 * FAMILY, 36 * FAMILY)  # a rule that adds and subtracts what it scales

SUMMING_MUTANTS = {
    "half not added": ("loom_core.updater.rule_0.row_r8_scaler", "shift_fine", "{} & ~1"),
    "half not taken off": ("loom_core.updater.rule_0.row_r11_scaler", "shift_fine", "{} & ~1"),
    "half always taken off": ("loom_core.updater.rule_0.row_r11_scaler", "shift_fine", "{} | 1"),
}


CONVOLUTION_SEEDS = range(3 * FAMILY, 4 * FAMILY)  # values and events, channels, many slots

CONVOLUTION_MUTANTS = {
    "zeros are not left out": ("loom_core.convolver", "found", "{} | looked_2"),
    "one element too few": ("loom_core.convolver", "stop", "{} - 1"),
    "looks before what was found is taken": ("loom_core.convolver", "looked_1", "more"),
    "what was looked at too early counts": ("loom_core.convolver", "looked_2", "looked_1"),
    "the next element's number": ("loom_core.convolver", "number", "{} + 1"),
    "another element's value": ("loom_core.convolver", "operand", "{} ^ 1"),
    "the period is too short": ("loom_core.convolver", "last_cycle", "{} - 1"),
    "a slot too many": ("loom_core.convolver", "last_slot", "{} + 1"),
    "events taken for values": ("loom_core.convolver", "events", "1'h0"),
    "values taken for events": ("loom_core.convolver", "events", "1'h1"),
    "channels taken for one": ("loom_core.convolver", "mask", "0"),
    "another entry": ("loom_core.convolver", "address", "{} ^ 1"),
    "nothing counts as something": ("loom_core.convolver", "there_at", "1'h1"),
    "weights of another channel": ("loom_core.convolver", "entry_channel_*", "address_channel"),
    "another accumulator": ("loom_core.convolver", "target_now", "{} ^ 1"),
    "reaches a cycle early": ("loom_core.convolver", "reached_*", "reached_4"),
    "ends too early": ("loom_core.convolver", "finish_*", "finish_9"),
    "convolution does not wait": ("loom_core.sequencer", "convolution_active", "1'h0"),
    "parameters taken for a kernel's": ("loom_core.sequencer", "for_convolution", "1'h0"),
}


def mutate(verilog: str, module: str, register: str, expression: str) -> str:
    """`verilog` with what `register` of `module` takes over replaced.

    ``*`` in the register's name stands for the largest number that there is. In the expression,
    ``{}`` is what the register took over, ``{register}`` its name.
    """
    head = re.compile(rf"^module \\?{re.escape(module)}\b[^\n]*$.*?^endmodule", re.M | re.S)
    body = head.search(verilog)
    assert body, f"no module {module}"
    if register.endswith("*"):
        numbers = re.findall(rf"^\s*{re.escape(register[:-1])}(\d+) <= ", body[0], re.M)
        register = register[:-1] + max(numbers, key=int, default="")
    line = re.compile(rf"(^\s*{re.escape(register)} <= )([^;]+);", re.M)
    assert line.search(body[0]), f"no register {register} in {module}"
    mutant = line.sub(
        lambda m: f"{m[1]}{expression.format(m[2], register=register)};", body[0], count=1
    )
    return verilog[: body.start()] + mutant + verilog[body.end() :]


@pytest.fixture(scope="module")
def programs():
    return {seed: random_program(seed) for seed in SEEDS}


@pytest.fixture(scope="module")
def core(programs):
    return generate(shape_for(list(programs.values())))


def test_second_pass_with_other_states():
    with Simulator(network(), engine="golden", progress_bar=False) as sim:
        programs = {0: sim.program}
    verilog, layout = generate(shape_for([sim.program]))
    assert differences(programs, verilog, layout) is None
    mutant = mutate(verilog, "loom_core.mapper", "reads_again_*", "1'h0")
    assert differences(programs, mutant, layout) is not None


@pytest.mark.parametrize("name", ROUNDING_MUTANTS)
def test_mutants_that_round_are_caught(name):
    programs = {seed: random_program(seed) for seed in ROUNDING_SEEDS}
    verilog, layout = generate(shape_for(list(programs.values())))
    assert differences(programs, verilog, layout) is None
    assert differences(programs, mutate(verilog, *ROUNDING_MUTANTS[name]), layout) is not None


@pytest.fixture(scope="module")
def learning_programs():
    return {seed: random_learning_program(seed) for seed in LEARNING_SEEDS}


@pytest.fixture(scope="module")
def learning_core(learning_programs):
    return generate(shape_for(list(learning_programs.values())))


def differences(programs, verilog, layout):
    """What the first Program that shows any difference shows, or that it hangs, else None."""
    for seed, program in programs.items():
        given = sparse_inputs if len(program.stencil) else random_inputs
        inputs = (driven if program.rules else given)(seed, program, STEPS)
        try:
            comparison, wrong = side_by_side(program, verilog, layout, STEPS, inputs)
        except ToolError as e:
            assert "did not end its phase" in str(e)
            return None, str(e)
        if comparison.differences or wrong:
            return comparison, wrong
    return None


def test_the_sound_core_agrees(programs, core):
    assert differences(programs, *core) is None


@pytest.mark.parametrize("name", MUTANTS)
def test_mutants_are_caught(programs, core, name):
    verilog, layout = core
    caught = differences(programs, mutate(verilog, *MUTANTS[name]), layout)
    assert caught is not None, f"nobody noticed: {name}"
    comparison, _ = caught
    if comparison and comparison.differences:
        first = comparison.first
        assert first.expected != first.found
        assert str(first).startswith(f"step {first.step}, phase {first.phase}, cycle {first.cycle}")


def test_the_sound_core_learns(learning_programs, learning_core):
    assert differences(learning_programs, *learning_core) is None


@pytest.mark.parametrize("name", LEARNING_MUTANTS)
def test_mutants_that_learn_are_caught(learning_programs, learning_core, name):
    verilog, layout = learning_core
    caught = differences(learning_programs, mutate(verilog, *LEARNING_MUTANTS[name]), layout)
    assert caught is not None, f"nobody noticed: {name}"


@pytest.fixture(scope="module")
def summing_programs():
    return {seed: SummingMaker(seed, None, 63).make() for seed in SUMMING_SEEDS}


@pytest.fixture(scope="module")
def summing_core(summing_programs):
    return generate(shape_for(list(summing_programs.values())))


def test_the_sound_core_adds_up(summing_programs, summing_core):
    assert differences(summing_programs, *summing_core) is None


@pytest.mark.parametrize("name", SUMMING_MUTANTS)
def test_mutants_that_add_up_are_caught(summing_programs, summing_core, name):
    verilog, layout = summing_core
    caught = differences(summing_programs, mutate(verilog, *SUMMING_MUTANTS[name]), layout)
    assert caught is not None, f"nobody noticed: {name}"


@pytest.fixture(scope="module")
def convolution_programs():
    return {seed: random_convolution_program(seed) for seed in CONVOLUTION_SEEDS}


@pytest.fixture(scope="module")
def convolution_core(convolution_programs):
    return generate(shape_for(list(convolution_programs.values())))


def test_the_sound_core_convolves(convolution_programs, convolution_core):
    assert differences(convolution_programs, *convolution_core) is None


@pytest.mark.parametrize("name", CONVOLUTION_MUTANTS)
def test_mutants_that_convolve_are_caught(convolution_programs, convolution_core, name):
    verilog, layout = convolution_core
    mutant = mutate(verilog, *CONVOLUTION_MUTANTS[name])
    caught = differences(convolution_programs, mutant, layout)
    assert caught is not None, f"nobody noticed: {name}"

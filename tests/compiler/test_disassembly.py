from dataclasses import replace

import pytest
from example_program import example_program
from learning_program import learning_program, spike_timing

from spikeloom.compiler.cost import MemorySize, memory_sizes, step_cycles
from spikeloom.compiler.disassembly import disassemble
from spikeloom.compiler.kernels.code import Parameter
from spikeloom.compiler.memory_map import Region, memory_map

LEARNING = learning_program(spike_timing("either"), ["pre", "post"], {}, 0)


def text_of(program):
    return [" ".join(line.split()) for line in disassemble(program).splitlines()]


@pytest.fixture(scope="module")
def lines():
    return text_of(example_program())


@pytest.mark.parametrize(
    "line",
    [
        "Program 'example', one step = 0.001 s",
        "IN value[1..2] <- host [2 x 2^-6] stimulus",
        "0* MAC acc[0] = weight[0.. 3 x 1] @ value[0..2] stimulus -> leaky",
        "1* MAP event list 0 at 0 = Leaky(acc[0] >> 0, state[0..]) x 2 leaky",
        "2* EVT acc[1] = weight[3.. 2 x 1] @ event list 0 at 0 leaky -> sum",
        "3* MAP value[3] (>> 0) = Sum(acc[1] >> 0, state[2..]) x 1 sum",
        "OUT host <- event[0..1] [2 x 1000] spikes of leaky",
        "OUT host <- state.0[0..1] [2 x 2^-8] voltage of leaky",
        "OUT host <- acc[0..] elements 0..1 [2 x 2^-8] input of leaky",
        "decay = 118000 >> 17 (0.900269)",
        "KERNEL Leaky: emits events",
        "KERNEL Sum: emits value; readers see the output of the step before",
        "%2 = %1 * decay rounded -4096..4096 14 bit, 8 behind the point",
        "%8 = %5 if %7 else %4 -4096..4095 13 bit, 8 behind the point",
        "weight 5 words x 72 bit",
        "0..2 stimulus -> leaky",
        "table Leaky.threshold 2 words x 13 bit",
    ],
)
def test_says(lines, line):
    assert line in lines


@pytest.mark.parametrize(
    "line",
    [
        "3* MAP event list 1 at 7 = Cell(acc[2..3] >> 0, state[6..]) x 7 post",
        "post.0[1..2] = trace",
        "post.1[0..1] = fired",
        "5* UPD weight[0.. 5 x 2] = R(rows of event list 0 at 2) learning by pre",
        "6* UPD weight[0.. 5 x 2] = R(words of event list 1 at 7 but rows where pre_fired) "
        "learning by post",
        "pre_trace = state.0[1..5]",
        "post_fired = post.1[0..1]",
        "PROJECTIONS (learned; value of one count: full weight; states of a synapse)",
        "P R x 5 x 7 2^0; changes 2^0",
        "RULE R: changes weights where either neuron fired",
        "%0 = weight -32704..32704 16 bit, 0 behind the point",
        "%1 = pre pre_trace 0..1023 11 bit, 0 behind the point",
        "%14 = synapse changes 0..5 4 bit, 0 behind the point",
        "weight = %13 -32704..32704",
        "synapse changes = %19 0..5",
        "0..9 pre -> post; learned by R",
        "residual 10 words x 24 bit",
        "0..9 changes of P",
        "1..2 trace of post in 0; level of post in 3",
    ],
)
def test_says_what_learns(line):
    assert line in text_of(LEARNING)


def test_parameters_of_rules():
    code = replace(LEARNING.rules["R"], parameters=(Parameter("rate", True, -9, 9, 10),))
    last = replace(LEARNING.phases[0][-1], parameters={"rate": (3, 12)})
    program = replace(LEARNING, rules={"R": code}, phases=[[*LEARNING.phases[0][:-2], last]])
    assert "rate = 3 >> 12 (0.000732422)" in text_of(program)


def test_sizes_of_what_learns():
    sizes = memory_sizes(LEARNING)
    lanes = LEARNING.machine.lanes
    assert sizes["residual"] == MemorySize(10, lanes * 6)
    assert sizes["synapse"] == MemorySize(10, lanes * 16)
    assert sizes["post"] == MemorySize(3, 4 * lanes * 12)
    plain = memory_sizes(example_program())
    assert [plain[name].words for name in ("residual", "synapse", "post")] == [0, 0, 0]


def test_cycles_of_learning_grow_with_the_events():
    """Each event of a pre neuron has its row learned, beside the row that is added."""
    cycles = [step_cycles(LEARNING, {0: n}).total for n in range(4)]
    words, both = 2, 2 * 2
    assert cycles[2] - cycles[1] == cycles[3] - cycles[2] == both
    assert cycles[1] - cycles[0] > words  # the results of the rule have to be waited for
    assert step_cycles(LEARNING, {1: 1}).total > cycles[0]


def test_memory_map_covers_all_words_of_the_example():
    program = example_program()
    regions = memory_map(program)
    assert regions["value"] == [
        Region(0, 1, "constant 1"),
        Region(1, 2, "input stimulus"),
        Region(3, 1, "output of sum"),
    ]
    for name, size in memory_sizes(program).items():
        if name in regions:
            assert sum(r.words for r in regions[name]) == size.words, name


def test_cycles_grow_by_one_per_event_and_word():
    program = example_program()
    # Without events the clearing EVT runs one row, so the first event costs nothing more.
    by_events = [step_cycles(program, {0: n}) for n in range(3)]
    assert [c.multiplying for c in by_events] == [4, 4, 5]
    assert [c.total - by_events[0].total for c in by_events] == [0, 0, 1]

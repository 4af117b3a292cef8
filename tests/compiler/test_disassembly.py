import pytest
from example_program import example_program

from spikeloom.compiler.cost import memory_sizes, step_cycles
from spikeloom.compiler.disassembly import disassemble
from spikeloom.compiler.memory_map import Region, memory_map


@pytest.fixture(scope="module")
def lines():
    return [" ".join(line.split()) for line in disassemble(example_program()).splitlines()]


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

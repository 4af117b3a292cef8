"""``CNV`` beside the engines: schedules by hand, legality, encoding, storage, disassembly."""

from dataclasses import replace

import numpy as np
import pytest
from random_convolutions import random_convolution_program
from random_programs import random_program

from spikeloom.compiler.clock import PhaseClock, busy_cycles, phase_cycles
from spikeloom.compiler.cost import memory_sizes, step_cycles
from spikeloom.compiler.disassembly import disassemble
from spikeloom.compiler.encoding import CNV, Encoding, memories
from spikeloom.compiler.errors import CapacityError, ProgramError
from spikeloom.compiler.image import from_hardware, image, to_hardware
from spikeloom.compiler.instructions import Cnv, Mac, instruction_from_json
from spikeloom.compiler.machine import Machine
from spikeloom.compiler.memory_map import memory_map
from spikeloom.compiler.shape import Shape
from spikeloom.compiler.storage import load_program, program_hash, save_program
from spikeloom.compiler.timing import ConvolutionTiming, latencies
from spikeloom.compiler.validation import validate
from spikeloom.sim.check import check_program

MACHINE = Machine(lanes=4)
LOAD = 3 + 1  # the next word is fetched, one extension word
LOOK = 2 + 1  # a memory, the register of what was found
REACH = 3 + 2 + 2  # shift in two halves, addition, stencil, two additions
ROW = 2 + 2 + 2 + 3 + 1  # operand, address, weights, multiplier, sum
DRAIN = 4


def convolution(slots=2, events=True, rows=8, shift=1):
    return Cnv(0, 4, 0, 0 if events else -1, rows, shift, 0, slots, 0, 2, 8, comment="c")


def clock():
    return PhaseClock(MACHINE, {})


def test_distance_is_that_of_write_and_read():
    """A word is written ROW cycles after its token and read a memory's latency before its sum."""
    timing = ConvolutionTiming(MACHINE)
    read = ROW - 1 - 2
    assert timing.distance == ROW - read + 1 == 4
    assert [timing.period(slots) for slots in (1, 4, 5, 9)] == [4, 4, 5, 9]


@pytest.mark.parametrize(("slots", "period"), [(2, 4), (6, 6)])
def test_events(slots, period):
    c, i = clock(), convolution(slots)
    handover = c.hand_over(i, 3)
    assert handover == latencies(MACHINE).first_handover
    taken = handover + LOAD + 1 + LOOK
    writes = c.convolution.writes(i, handover, np.array([1, 4, 7]))
    assert writes[:, 0].tolist() == [taken + n * period + 1 + REACH + ROW for n in range(3)]
    assert np.diff(writes, axis=1).tolist() == [[1] * (slots - 1)] * 3
    assert c.finish() == taken + 3 * period + REACH + ROW + DRAIN + 1


def test_no_events():
    c = clock()
    handover = c.hand_over(convolution(), 0)
    assert c.finish() == handover + LOAD + latencies(MACHINE).period + 1


def test_values():
    """Zeros cost a cycle each, but none while a period goes by anyway."""
    i = convolution(2, events=False, rows=20)
    fired = np.array([3, 4, 6, 12])
    c = clock()
    handover = c.hand_over(i, 0, fired)
    look = handover + LOAD
    taken = [look + 4 + LOOK]
    taken += [taken[-1] + 4]  # the very next one
    taken += [taken[-1] + 2 + LOOK]  # one further: a cycle more than the period
    taken += [taken[-1] + 6 + LOOK]
    writes = c.convolution.writes(i, handover, fired)
    assert writes[:, 0].tolist() == [t + 1 + REACH + ROW for t in taken]
    last = taken[-1] + 7 + 2  # the other seven are looked at: memory, decision
    assert c.finish() == last + REACH + ROW + DRAIN + 1


def test_values_that_are_all_zero_or_none_of_them():
    i = convolution(2, events=False, rows=20)
    look = latencies(MACHINE).first_handover + LOAD
    c = clock()
    c.hand_over(i, 0, np.zeros(0, np.int64))
    assert c.finish() == look + 20 + 2 + REACH + ROW + DRAIN + 1
    every, unknown = clock(), clock()
    every.hand_over(i, 0, np.arange(20))
    unknown.hand_over(i)
    assert every.finish() == unknown.finish() == look + 4 + 20 * 4 + REACH + ROW + DRAIN + 1


def test_it_takes_longest_where_nothing_is_known():
    rng = np.random.default_rng(0)
    timing = ConvolutionTiming(MACHINE)
    for _ in range(200):
        i = convolution(int(rng.integers(1, 9)), events=False, rows=2 * int(rng.integers(1, 30)))
        fired = np.flatnonzero(rng.random(i.rows) < rng.random())
        assert timing.busy(i, 0, fired) <= timing.busy(i, 0)


def test_what_follows_waits():
    c = clock()
    first = c.hand_over(convolution(6), 2)
    written = int(c.convolution.writes(convolution(6), first, np.arange(2)).max())
    assert c.hand_over(Mac(0, 0, 1, 0, 1, 4, False, True)) == written + DRAIN


def test_many_steps_at_once():
    counts = np.array([0, 1, 5])
    phase = [convolution(3), Mac(0, 0, 2, 0, 1, 4, True, True)]
    together = phase_cycles(MACHINE, {}, phase, [counts, 0])
    alone = [phase_cycles(MACHINE, {}, phase, [int(n), 0]) for n in counts]
    assert together.tolist() == alone
    assert busy_cycles(phase, [counts, 0]).tolist() == [2, 5, 17]


@pytest.fixture(scope="module")
def program():
    """Convolutions of events, of several neurons, and of values."""
    return next(
        p
        for p in map(random_convolution_program, range(40))
        if convolutions(p)[0].list >= 0
        and convolutions(p)[0].rows > 3
        and any(i.list < 0 for i in convolutions(p))
    )


def convolutions(program):
    return [i for i in program.instructions if isinstance(i, Cnv)]


def changed(program, number=0, **fields):
    """The Program with other fields of one of its convolutions."""
    wanted = convolutions(program)[number]
    phases = [
        [replace(i, **fields) if i is wanted else i for i in phase] for phase in program.phases
    ]
    return replace(program, phases=phases)


def with_entry(program, entry, place=0):
    i = convolutions(program)[0]
    stencil = program.stencil.copy()
    stencil[i.stencil + place] = entry
    return replace(program, stencil=stencil)


def test_legal(program):
    validate(program)
    check_program(program)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"wait": False}, "must wait"),
        ({"rows": 0}, "rows"),
        ({"slots": 0}, "slots"),
        ({"stencil": 1 << 20}, "stencil"),
        ({"weights": 1 << 20}, "weights"),
        ({"target": 1 << 20}, "accumulators"),
        ({"source": 1 << 20}, "events|values"),
        ({"list": 77}, "event list"),
        ({"shift": 40}, "shift"),
        ({"kernel": 0}, "kernel"),
        ({"words": 0}, "words"),
        ({"length": 0}, "length"),
    ],
)
def test_refused(program, fields, message):
    with pytest.raises(ProgramError, match=message):
        check_program(changed(program, **fields))


def test_rows_that_are_no_whole_positions(program):
    i = convolutions(program)[0]
    with pytest.raises(ProgramError, match="no multiple of"):
        validate(changed(program, rows=1, shift=1, kernel=max(i.kernel, 2)))


def test_stencils_that_leave_their_memories(program):
    i = convolutions(program)[0]
    with pytest.raises(ProgramError, match=r"leaves its .* accumulator words"):
        validate(with_entry(program, (i.words, 0)))
    with pytest.raises(ProgramError, match=r"leaves its .* accumulator words"):
        validate(with_entry(program, (-2, 0)))
    for weights in (-1, i.kernel - (1 << i.shift) + 1):
        with pytest.raises(ProgramError, match=r"leaves its .* words of weights"):
            validate(with_entry(program, (0, weights)))


def test_a_word_in_two_slots():
    program = next(
        p for p in map(random_convolution_program, range(40)) if convolutions(p)[0].slots > 1
    )
    i = convolutions(program)[0]
    stencil = program.stencil.copy()
    stencil[i.stencil : i.stencil + i.stencil_words] = -1, 0
    for slot in (0, 1):
        stencil[i.stencil + slot * i.positions] = 0, 0
    with pytest.raises(ProgramError, match=f"word {i.target} is reached in two slots"):
        validate(replace(program, stencil=stencil))


def test_lists_must_fit(program):
    with pytest.raises(ProgramError, match="holds events of up to"):
        check_program(changed(program, rows=1, shift=0))


def test_stored_and_loaded(program, tmp_path):
    save_program(program, tmp_path / "p.slp")
    loaded = load_program(tmp_path / "p.slp")
    assert loaded.phases == program.phases
    assert np.array_equal(loaded.stencil, program.stencil)
    assert program_hash(loaded) == program_hash(program)
    other = with_entry(program, (-1, 0), 0)
    if not np.array_equal(other.stencil, program.stencil):
        assert program_hash(other) != program_hash(program)
    for i in convolutions(program):
        assert instruction_from_json(i.to_json()) == i


def test_programs_without_have_no_stencil():
    plain = random_program(0)
    shape = Shape.for_program(plain)
    assert shape.stencil_words == 0
    assert "stencil" not in memories(shape)
    assert "stencil" not in memory_sizes(plain)
    assert Encoding(shape).head["opcode"].width == 2


def test_encoding(program):
    shape = Shape.for_program(program)
    encoding = Encoding(shape)
    words, _ = encoding.encode(program)
    content, _ = image(program, shape)
    info = memories(shape)["stencil"]
    assert info.elements >= len(program.stencil) == len(content["stencil"])
    assert int(content["stencil"].max()) < 1 << info.bits

    def take(word, field):
        return word >> field.start & ((1 << field.width) - 1)

    position = 0
    opcode = encoding.head["opcode"]
    found = [n for n, word in enumerate(words) if take(word, opcode) == CNV]
    for i in convolutions(program):
        position = next(
            n
            for n in found
            if take(words[n], encoding.multiply["weights"]) == i.weights and n >= position
        )
        second = words[position + 1]
        expected = {
            "stencil": i.stencil,
            "positions": i.rows >> i.shift,
            "last_slot": i.slots - 1,
            "last_cycle": max(i.slots, 4) - 1,
            "shift": i.shift,
            "events": int(i.list >= 0),
        }
        for name, value in expected.items():
            assert take(second, encoding.convolve[name]) == value, name
    for (target, weights), element in zip(program.stencil, content["stencil"], strict=True):
        if target < 0:
            assert element == 0
            continue
        assert take(int(element), encoding.stencil["there"]) == 1
        assert take(int(element), encoding.stencil["target"]) == target
        assert take(int(element), encoding.stencil["weights"]) == weights


def test_kernels_lie_in_hardware_as_in_the_program(program):
    elements = to_hardware(program, program.weight).reshape(program.weight.shape)
    for i in convolutions(program):
        place = slice(i.weights, i.weights + i.kernel)
        assert np.array_equal(elements[place], program.weight[place])
    assert np.array_equal(from_hardware(program, elements.ravel()), program.weight)


def test_too_small_a_stencil(program):
    shape = replace(Shape.for_program(program), stencil_words=2)
    with pytest.raises(CapacityError, match=r"stencil words: .* needed, 2 there"):
        shape.check(program)


def test_text(program):
    text = disassemble(program)
    i = convolutions(program)[0]
    assert f"{i.kernel >> i.shift} blocks of {1 << i.shift}] @" in text
    assert f"stencil[{i.stencil}.. {i.rows >> i.shift} x {i.slots}]" in text
    owners = {region.owner for region in memory_map(program)["stencil"]}
    assert owners >= {i.comment for i in convolutions(program)}
    assert memory_sizes(program)["stencil"].words == len(program.stencil)
    assert step_cycles(program).total > 0

"""The bench of the sequencer, run by cocotb beside those of the other blocks."""

import cocotb
import numpy as np
from benches import AT, SEED, Clocked
from blocks import MACHINE, SHAPE, settings

from spikeloom.compiler.clock import PhaseClock
from spikeloom.compiler.encoding import Encoding
from spikeloom.compiler.instructions import Evt, Mac, Map
from spikeloom.compiler.program import PopulationInfo, Program


def phase(rng):
    """A random phase and the events that its lists hold."""
    instructions, counts = [], rng.integers(0, 4, SHAPE.lists).tolist()
    for n in range(int(rng.integers(1, 9))):
        clear, wait, words = rng.random() < 0.5, rng.random() < 0.3, int(rng.integers(1, 5))
        at = {"weights": int(rng.integers(100)), "source": int(rng.integers(40))}
        where = {"target": int(rng.integers(8)), "words": words, "length": words}
        flags = {"clear": bool(clear), "wait": bool(wait) or n == 0}
        kind = rng.random()
        if kind < 0.4:
            instructions.append(Mac(rows=int(rng.integers(1, 7)), **at, **where, **flags))
        elif kind < 0.8:
            chosen = int(rng.integers(SHAPE.lists))
            instructions.append(Evt(rows=4, list=chosen, **at, **where, **flags))
        else:
            code = SHAPE.kernels[int(rng.integers(len(SHAPE.kernels)))]
            parameters, _, _ = settings(code, n)
            length = int(rng.integers(1, 9))
            mapped = Map(code.name, code.name, length, 0, 0, 0, 0, 0, 0, 0, parameters)
            instructions.append(mapped)
    return instructions, counts


def program_of(instructions):
    """The smallest Program that can be encoded."""
    empty = np.zeros(0, np.int64)
    info = {
        code.name: PopulationInfo(code.name, code.name, 1, "", 1.0, (), 1.0)
        for code in SHAPE.kernels
    }
    names = {n: info[n] for n in sorted({i.population for i in instructions if isinstance(i, Map)})}
    return Program(
        "phase", MACHINE, 0.001, {code.name: code for code in SHAPE.kernels}, [instructions],
        np.zeros((1, MACHINE.lanes), np.int32), empty, np.zeros((1, 1), np.int64), {}, 1, 1, 1,
        {}, {}, names,
    )  # fmt: skip


def expected_tokens(instructions, counts):
    """(cycle, first, last, event, zero, clear, source, weights, target), MAPs, cycles."""
    clock = PhaseClock(MACHINE, {code.name: code for code in SHAPE.kernels})
    tokens, maps = [], []
    for i in instructions:
        count = counts[i.list] if isinstance(i, Evt) else 0
        handover = clock.hand_over(i, count)
        if isinstance(i, Map):
            timing = clock.map_timing(i.kernel)
            end = timing.last_write(handover, i.length) + AT.drain - 1
            maps.append((handover + timing.first_issue - 1, end, i))
            continue
        event = isinstance(i, Evt)
        rows = max(count, int(i.clear)) if event else i.rows
        for w in range(i.words):
            for k in range(rows):
                weights = i.weights + w * i.rows + (0 if event else k)
                tokens.append(
                    (
                        handover + 1 + w * rows + k, k == 0, k == rows - 1, event,
                        event and count == 0, i.clear, i.source + k, weights, i.target + w,
                    )
                )  # fmt: skip
    return tokens, maps, clock.finish()


@cocotb.test()
async def sequencer(dut):
    """Random phases: every token, every MAP and the end in the cycle that the clock model says."""
    rng = np.random.default_rng(SEED)
    unit = Clocked(dut, "sequencer")
    await unit.start()
    fields = "first last event zero clear source weights target".split()
    issued = 0
    for _ in range(120):
        instructions, counts = phase(rng)
        words, starts = Encoding(SHAPE).encode(program_of(instructions))
        tokens, maps, cycles = expected_tokens(instructions, counts)
        ends = {end: None for _, end, _ in maps}
        fetched, listed = [0] * AT.memory, [0] * AT.memory
        unit.put(start=1, start_address=starts[0])
        went = 0
        for cycle in range(cycles + 1):
            # The memories' answers to the addresses of some cycles ago.
            unit.put(fetch_word=fetched[-AT.memory], count=listed[-AT.memory])
            unit.put(map_end=cycle in ends)
            await unit.cycle()
            unit.put(start=0)
            address = unit.get("fetch_address")
            fetched.append(words[address] if address < len(words) else 0)
            listed.append(counts[unit.get("list")])
            busy = 0 < cycle < cycles
            assert unit.get("idle") == (not busy), f"cycle {cycle} of {cycles}"
            if unit.get("map_go"):
                when, _, i = maps[went]
                assert cycle == when
                found = [unit.get(f"map__{n}") for n in ("length", "kernel", "state")]
                number = [code.name for code in SHAPE.kernels].index(i.kernel)
                assert found == [i.length, number, i.state]
                went += 1
            if unit.get("token__valid"):
                found = (cycle, *(unit.get(f"token__{n}") for n in fields))
                assert found == tuple(int(v) for v in tokens.pop(0)), f"token in cycle {cycle}"
                issued += 1
        assert not tokens and went == len(maps)
        for _ in range(int(rng.integers(0, 3))):
            await unit.cycle()
    assert issued > 1000

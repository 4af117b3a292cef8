"""The bench of the convolver, run by cocotb beside those of the other blocks."""

import cocotb
import numpy as np
from benches import AT, SEED, Clocked
from blocks import CONVOLUTION_SHAPE, MACHINE, SHAPE

from spikeloom.compiler.encoding import Encoding
from spikeloom.compiler.instructions import Cnv
from spikeloom.compiler.timing import ConvolutionTiming


def convolution(rng):
    """A random ``CNV``, its stencil, and the memories that it reads: (value, index, payload)."""
    shift, slots = int(rng.integers(0, 3)), int(rng.integers(1, 8))
    positions = int(rng.integers(1, min(64 // slots, 20) + 1))
    rows = min(positions << shift, 40) >> shift << shift
    positions = rows >> shift
    stencil = np.stack(
        [rng.integers(-1, 4, slots * positions), rng.integers(0, 30, slots * positions)], axis=1
    )
    values = rng.integers(-9, 10, SHAPE.value_words) * (rng.random(SHAPE.value_words) < 0.4)
    index, payload = rng.integers(0, rows, 64), rng.integers(1, 99, 64)
    i = Cnv(
        weights=int(rng.integers(0, 100)), kernel=40, source=int(rng.integers(0, 20)),
        list=int(rng.integers(-1, 2)), rows=rows, shift=shift, stencil=0, slots=slots,
        target=int(rng.integers(0, 10)), words=4, length=16,
    )  # fmt: skip
    return i, stencil, (values, index, payload)


@cocotb.test()
async def convolver(dut):
    """Random convolutions: every row for the lanes, its operand, and the end in their cycles."""
    rng = np.random.default_rng(SEED)
    unit = Clocked(dut, "convolver")
    await unit.start()
    encoding, timing = Encoding(CONVOLUTION_SHAPE), ConvolutionTiming(MACHINE)
    reached = 0
    for _ in range(80):
        i, stencil, (values, index, payload) = convolution(rng)
        elements = encoding.stencil_elements(stencil).tolist()
        await unit.load("stencil", elements, CONVOLUTION_SHAPE)
        count = int(rng.integers(0, 9))
        place = slice(i.source, i.source + i.rows)
        if i.list < 0:
            fired = np.flatnonzero(values[place])
            operands = values[place][fired]
        else:
            fired = index[i.source : i.source + count]
            operands = payload[i.source : i.source + count]
        unit.put(**{f"fields__{n}": getattr(i, n) for n in ("weights", "source", "rows", "target")})
        unit.put(load=1, load_word=encoding._convolve(i)[1], count=count)
        await unit.cycle()
        unit.put(load=0)
        await unit.cycle()
        assert unit.get("nothing") == (i.list >= 0 and count == 0)
        if unit.get("nothing"):
            continue
        unit.put(go=1)
        await unit.cycle()
        unit.put(go=0)

        entries = stencil.reshape(i.slots, i.positions, 2)
        rows, late = {}, {}
        issues = timing.writes(i, -timing.load, fired) - AT.row
        for k, x, cycles in zip(fired.tolist(), operands.tolist(), issues.tolist(), strict=True):
            for (target, weights), cycle in zip(entries[:, k >> i.shift], cycles, strict=True):
                if target >= 0:
                    word = i.weights + weights + k % (1 << i.shift)
                    rows[cycle] = i.target + target, word
                    late[cycle + AT.memory] = x
        end = int(timing.busy(i, count, fired)) + timing.write + AT.drain - 1
        seen = [0] * AT.memory
        for cycle in range(1, end + 3):
            source = seen[-AT.memory]
            unit.put(index=index[source], value_q=values[source])
            unit.put(x=payload[source] if i.list >= 0 else values[source])
            await unit.cycle()
            seen.append(unit.get("source"))
            assert unit.get("active") == (cycle <= end)
            assert unit.get("end") == (cycle == end)
            assert unit.get("event") == (i.list >= 0)
            assert unit.get("token__valid") == (cycle in rows), f"cycle {cycle}"
            if cycle in rows:
                found = unit.get("token__target"), unit.get("token__weights")
                assert found == rows.pop(cycle), f"cycle {cycle}"
                flags = [unit.get(f"token__{n}") for n in ("first", "last", "clear")]
                assert flags == [1, 1, 0]
                reached += 1
            if cycle in late:
                assert unit.signed("late_x") == late.pop(cycle), f"cycle {cycle}"
        assert not rows and not late
    assert reached > 800

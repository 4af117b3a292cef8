"""Test benches of the blocks, run by cocotb inside the simulator (see test_blocks.py).

A cycle ends at a rising edge. `Clocked.cycle` returns there: what is read then are the outputs of
the cycle that ends, what is written are the inputs of the next one.
"""

import sys

import cocotb
import numpy as np
from blocks import (
    FACTORS,
    MACHINE,
    MEMORY_BITS,
    MEMORY_DEPTH,
    RESCALE,
    RULE,
    RULE_SHAPE,
    SHAPE,
    block_list,
    rule_settings,
    settings,
)
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge

from spikeloom.compiler.encoding import memories
from spikeloom.compiler.kernels.pipeline import multiply_latency, pipeline
from spikeloom.compiler.timing import latencies
from spikeloom.sim.evaluate import evaluate, fit, operations
from spikeloom.sim.trace import unpack

SEED = 20
NEURONS = 600
WORDS = 400
AT = latencies(MACHINE)


class Clocked:
    """One block of the design, cycle by cycle."""

    def __init__(self, dut, block):
        self.dut, self.block = dut, block

    def put(self, **values):
        for name, value in values.items():
            port = getattr(self.dut, f"{self.block}__{name}")
            port.value = int(value) & ((1 << len(port)) - 1)

    def get(self, name):
        return int(getattr(self.dut, f"{self.block}__{name}").value)

    def signed(self, name):
        return getattr(self.dut, f"{self.block}__{name}").value.to_signed()

    async def cycle(self):
        await RisingEdge(self.dut.clk)

    async def start(self):
        """Clock, reset, and all inputs of the block 0."""
        cocotb.start_soon(Clock(self.dut.clk, 2, "step").start())
        for name in self.inputs():
            getattr(self.dut, name).value = 0
        self.dut.rst.value = 1
        await self.cycle()
        await self.cycle()
        self.dut.rst.value = 0
        await self.cycle()

    def inputs(self):
        part = block_list()[self.block]
        for path, member, _ in part.signature.flatten(part):
            if member.flow.name == "In":
                yield "__".join((self.block, *map(str, path)))

    async def load(self, name, values, shape=SHAPE):
        """Write a whole memory over the host's bus."""
        number = memories(shape)[name].number
        self.put(host__idle=1)
        for address, value in enumerate(values):
            self.put(host__memory=number, host__address=address, host__data=value, host__write=1)
            await self.cycle()
        self.put(host__write=0)
        await self.cycle()
        self.put(host__idle=0)


def integers(rng, lo, hi, n):
    """Uniform numbers, and every now and then an extreme or a small one."""
    values = rng.integers(lo, hi + 1, n)
    chosen = rng.random(n)
    values[chosen < 0.1] = lo
    values[(chosen >= 0.1) & (chosen < 0.2)] = hi
    small = np.clip(rng.integers(-3, 4, n), lo, hi)
    return np.where(chosen > 0.9, small, values)


async def first_pass(unit, rng, code, x, states):
    """All neurons enter, with random stalls, to be reduced; nothing leaves, nothing is counted."""
    unit.put(begin=1)
    await unit.cycle()
    unit.put(begin=0)
    following = 0
    while following < NEURONS:
        stall = rng.random() < 0.3
        unit.put(reducing=not stall, x=rng.integers(0, 1 << 30))
        if not stall:
            unit.put(x=x[following], **{f"state_{k}": s[following] for k, s in enumerate(states)})
            following += 1
        await unit.cycle()
        assert not unit.get("out_valid") and not unit.get("saturations")
    unit.put(reducing=0)
    for wait in range(pipeline(code, MACHINE).reduced):
        unit.put(again=wait == pipeline(code, MACHINE).reduced - 1)
        await unit.cycle()
        assert not unit.get("out_valid") and not unit.get("saturations")
    unit.put(again=0)


async def run_kernel(dut, number):
    """Neurons enter with random stalls between them; each leaves as golden evaluates it."""
    code = SHAPE.kernels[number]
    rng = np.random.default_rng(SEED + number)
    parameters, tables, words = settings(code, SEED + number)
    x = integers(rng, code.input.lo, code.input.hi, NEURONS)
    states = [integers(rng, s.lo, s.hi, NEURONS) for s in code.states]
    expected = evaluate(code, x, states, parameters, tables)
    unit = Clocked(dut, f"kernel{number}")
    await unit.start()
    for t in code.tables:
        # The Program's sets follow each other; the second one is used.
        await unit.load(f"{code.name}.{t.name}", [0] * t.entries + tables[t.name].tolist())
    for index, word in enumerate(words):
        unit.put(load=1, load_index=index, load_word=word)
        await unit.cycle()
    unit.put(load=0)
    for _ in range(4):
        await unit.cycle()

    if code.reductions:
        await first_pass(unit, rng, code, x, states)
    depth = pipeline(code, MACHINE).depth
    entered, left, saturations = [], 0, 0
    cycle, following = 0, 0
    while left < NEURONS or cycle < entered[-1] + depth + 4:
        stall = following == NEURONS or rng.random() < 0.3
        if stall:
            unit.put(valid=0, x=rng.integers(0, 1 << 30))
        else:
            unit.put(valid=1, x=x[following], last=following == NEURONS - 1)
            unit.put(**{f"state_{k}": s[following] for k, s in enumerate(states)})
            entered.append(cycle)
            following += 1
        await unit.cycle()
        leaves = left < NEURONS and left < len(entered) and cycle == entered[left] + depth
        assert unit.get("out_valid") == leaves, f"cycle {cycle}, neuron {left}"
        saturations += unit.get("saturations")
        if leaves:
            for k, following_state in enumerate(expected.next_state):
                found = unit.signed(f"next_{k}")
                assert found == following_state[left], f"state {k} of neuron {left}"
            assert unit.signed("output") == expected.output[left], f"output of neuron {left}"
            assert unit.get("out_last") == (left == NEURONS - 1)
            left += 1
        cycle += 1
    assert saturations == expected.saturations


def kernel_bench(number):
    async def bench(dut):
        await run_kernel(dut, number)

    bench.__name__ = bench.__qualname__ = f"kernel_{number}_{SHAPE.kernels[number].name}"
    bench.__doc__ = run_kernel.__doc__
    return cocotb.test()(bench)


for _number in range(len(SHAPE.kernels)):
    setattr(sys.modules[__name__], f"kernel_{_number}", kernel_bench(_number))


@cocotb.test()
async def rule(dut):
    """Words of synapses enter with stalls and closed lanes; each leaves as golden evaluates it."""
    rng = np.random.default_rng(SEED)
    parameters, tables, words = rule_settings(SEED)
    lanes, depth = range(MACHINE.lanes), pipeline(RULE, MACHINE).depth
    sources = {("weight", ""): RULE.weight}
    sources |= {("synapse", port.name): port for port in RULE.synapses}
    sources |= {(v.side, v.name): v for v in RULE.variables}
    for (kind, name), port in sources.items():
        each = 1 if kind == "pre" else MACHINE.lanes
        numbers = integers(rng, port.lo, port.hi, WORDS * each).reshape(WORDS, each)
        sources[kind, name] = numbers
    results, limited = operations(RULE, sources, parameters, tables)
    shape = WORDS, MACHINE.lanes
    expected = [np.broadcast_to(results[n], shape) for n in RULE.outputs]
    names = ["next_weight", *(f"next_synapse_{k}" for k in range(len(RULE.synapses)))]
    ports = {"weight": sources["weight", ""]}
    ports |= {f"synapse_{k}": sources["synapse", s.name] for k, s in enumerate(RULE.synapses)}
    ports |= {f"post_{v}": sources["post", x.name] for v, x in enumerate(RULE.post)}
    unit = Clocked(dut, "rule")
    await unit.start()
    for t in RULE.tables:
        content = [0] * t.entries + tables[t.name].tolist()
        await unit.load(f"{RULE.name}.{t.name}", content, RULE_SHAPE)
    for index, word in enumerate(words, start=1):
        unit.put(load=1, load_index=index, load_word=word)
        await unit.cycle()
    unit.put(load=0, go=1)
    await unit.cycle()
    unit.put(go=0, load=1, load_word=0)  # belongs to the update after this one
    for index in range(1, 1 + len(words)):
        unit.put(load_index=index)
        await unit.cycle()
    unit.put(load=0)
    opened = rng.random(shape) < 0.8
    left, saturations, entered = 0, 0, {}
    for cycle in range(3 * WORDS):
        following = len(entered)
        enters = following < WORDS and rng.random() < 0.7
        unit.put(valid=0)
        if enters:
            entered[cycle] = following
            unit.put(valid=sum(int(opened[following, lane]) << lane for lane in lanes))
            for v, x in enumerate(RULE.pre):
                unit.put(**{f"pre_{v}": sources["pre", x.name][following, 0]})
            for name, numbers in ports.items():
                unit.put(**{f"{name}_{lane}": numbers[following, lane] for lane in lanes})
        await unit.cycle()
        saturations += unit.get("saturations")
        n = entered.get(cycle - depth)
        if n is None:
            assert not unit.get("out_valid")
            continue
        left += 1
        for lane in lanes:
            assert unit.get("out_valid") >> lane & 1 == opened[n, lane]
            for name, numbers in zip(names, expected, strict=True):
                assert unit.signed(f"{name}_{lane}") == numbers[n, lane], f"word {n}, {name}"
    assert left == WORDS
    flags = [np.broadcast_to(f, shape) & opened for f in limited]
    assert saturations == sum(int(f.sum()) for f in flags)
    assert saturations > 0


@cocotb.test()
async def rescale(dut):
    """Shifts in both directions, rounding and limits, as golden fits numbers."""
    rng = np.random.default_rng(SEED)
    unit = Clocked(dut, "rescale")
    await unit.start()
    in_bits, out_bits = RESCALE
    limited = 0
    for shift in [*range(-out_bits - 2, in_bits + 3), -62, 40]:
        low = -int(rng.integers(0, 1 << (out_bits - 1)))
        high = int(rng.integers(0, 1 << (out_bits - 1)))
        unit.put(right=max(shift, 0), left=max(-shift, 0), low=low, high=high)
        for _ in range(3):
            await unit.cycle()
        half = 1 << (in_bits - 1)
        x = integers(rng, -half, half - 1, 60) >> rng.integers(0, in_bits, 60)
        expected, _ = fit(x, shift, low, high)
        for n in range(len(x) + AT.map_value):
            unit.put(x=x[min(n, len(x) - 1)])
            await unit.cycle()
            if n >= AT.map_value:
                place = n - AT.map_value
                what = f"{x[place]} shifted by {shift} within {low}..{high}"
                assert unit.signed("y") == expected[place], what
                exact = int(x[place]) << -shift if shift < 0 else None
                if shift > 0:
                    exact = (int(x[place]) + (1 << (shift - 1))) >> shift
                exact = int(x[place]) if exact is None else exact
                assert unit.get("limited") == (not low <= exact <= high), what
                limited += unit.get("limited")
    assert limited > 100


@cocotb.test()
async def product(dut):
    """A product of numbers wider than a multiplier."""
    rng = np.random.default_rng(SEED)
    unit = Clocked(dut, "product")
    await unit.start()
    a_bits, b_bits = FACTORS
    a = integers(rng, -(1 << (a_bits - 1)), (1 << (a_bits - 1)) - 1, 500)
    b = integers(rng, -(1 << (b_bits - 1)), (1 << (b_bits - 1)) - 1, 500)
    latency = multiply_latency(a_bits, b_bits, MACHINE)
    for n in range(len(a) + latency):
        unit.put(a=a[min(n, 499)], b=b[min(n, 499)])
        await unit.cycle()
        if n >= latency:
            assert unit.signed("y") == int(a[n - latency]) * int(b[n - latency])


async def run_memory(dut, latency):
    """Random writes and reads; never a word that is being written."""
    rng = np.random.default_rng(SEED + latency)
    unit = Clocked(dut, f"memory{latency}")
    await unit.start()
    content = rng.integers(0, 1 << MEMORY_BITS, MEMORY_DEPTH)
    for address, value in enumerate(content):
        unit.put(enable=1, to=address, data=value)
        await unit.cycle()
    promised = []
    for _ in range(1000):
        write, to, at = rng.random() < 0.5, rng.integers(MEMORY_DEPTH), rng.integers(MEMORY_DEPTH)
        if write and to == at:
            at = (at + 1) % MEMORY_DEPTH
        value = rng.integers(1 << MEMORY_BITS)
        unit.put(enable=write, to=to, data=value, at=at)
        promised.append(content[at])
        if write:
            content[to] = value
        await unit.cycle()
        if len(promised) > latency:
            assert unit.get("q") == promised.pop(0)


@cocotb.test()
async def memory_without_output_register(dut):
    await run_memory(dut, 1)


@cocotb.test()
async def memory_with_output_register(dut):
    await run_memory(dut, 2)


@cocotb.test()
async def operands_and_lanes(dut):
    """Tokens with random pauses between words; sums leave after the promised latency."""
    rng = np.random.default_rng(SEED)
    unit = Clocked(dut, "datapath")
    await unit.start()
    lanes, values = MACHINE.lanes, SHAPE.value_words
    limit = 1 << (MACHINE.value_bits - 1)
    weight = rng.integers(-limit, limit, (SHAPE.weight_words, lanes))
    value = rng.integers(-limit, limit, values)
    index = rng.integers(0, 8, SHAPE.event_words)
    payload = rng.integers(-limit, limit, SHAPE.event_words)
    await unit.load("accumulator", [0] * (SHAPE.accumulator_words * lanes))
    await unit.load("weight", weight.reshape(-1).tolist())
    await unit.load("value", value.tolist())
    mask = (1 << MACHINE.value_bits) - 1
    packed = (index << MACHINE.value_bits) | (payload & mask)
    await unit.load("event", packed.tolist())
    accumulator = np.zeros((SHAPE.accumulator_words, lanes), np.int64)

    due = {}
    cycle, written = 0, 0

    async def step():
        nonlocal cycle, written
        await unit.cycle()
        assert unit.get("did_accumulator__enable") == (cycle in due), f"cycle {cycle}"
        if cycle in due:
            address, total = due.pop(cycle)
            assert unit.get("did_accumulator__address") == address
            word = unit.get("did_accumulator__data")
            parts = [word >> (32 * k) & 0xFFFFFFFF for k in range(8)]
            found = unpack(np.array([parts], np.uint32), MACHINE.accumulator_bits, lanes)[0]
            assert found.tolist() == total.tolist(), f"cycle {cycle}, word {address}"
            written += 1
        cycle += 1

    for _ in range(300):
        event, clear, zero = rng.random() < 0.5, rng.random() < 0.5, rng.random() < 0.1
        rows = 1 if zero else int(rng.integers(1, 6))
        source = int(rng.integers(0, values - rows))
        start, target = int(rng.integers(0, 100)), int(rng.integers(0, SHAPE.accumulator_words))
        place = slice(source, source + rows)
        k = index[place] if event else np.arange(rows)
        factors = payload[place] * (not zero) if event else value[place]
        addresses = start + k
        total = factors @ weight[addresses % SHAPE.weight_words]
        accumulator[target] = total + (0 if clear else accumulator[target])
        for row in range(rows):
            unit.put(
                token__valid=1, token__first=row == 0, token__last=row == rows - 1,
                token__event=event, token__zero=zero and event, token__clear=clear,
                token__source=source + row, token__target=target,
                token__weights=start + (0 if event else row),
            )  # fmt: skip
            if row == rows - 1:
                due[cycle + AT.row] = target, accumulator[target].copy()
            await step()
        unit.put(token__valid=0)
        # A sum may be added to once it has been written.
        for _ in range(AT.gap + int(rng.integers(0, 4))):
            await step()
    for _ in range(AT.row):
        await step()
    assert written == 300 and not due

"""What the native engine does for usual neurons, and which inputs it keeps."""

from dataclasses import replace

import numpy as np
import pytest
from example_program import example_program
from hypothesis import given, settings
from hypothesis import strategies as st
from random_programs import random_kernel, random_machine, random_parameters
from same_memories import assert_same_memories

from spikeloom.compiler.kernels.adaptive import AdaptiveLIF
from spikeloom.compiler.kernels.izhikevich import Izhikevich
from spikeloom.compiler.kernels.neurons import LIF, SpikingRectifiedLinear
from spikeloom.compiler.kernels.rates import LIFRate
from spikeloom.compiler.machine import Machine
from spikeloom.sim.check import MEMORIES
from spikeloom.sim.evaluate import operations
from spikeloom.sim.golden import GoldenEngine
from spikeloom.sim.native.engine import NativeEngine
from spikeloom.sim.native.rehearse import rehearsal
from spikeloom.sim.native.source.products import product_of, split_of
from spikeloom.sim.native.source.ranges import narrowed
from spikeloom.sim.native.source.rare import rare_part
from spikeloom.sim.native.source.usual import usual_part
from spikeloom.sim.native.tables.table import KEEP, Builder

NEURONS = 100


def code_of(kernel):
    return kernel.code(Machine())


def leaves(code, bits, rng, n=NEURONS):
    """Inputs and states within these ranges, their ends among them."""
    sources = {}
    for number, op in enumerate(code.ops):
        if op.kind in ("input", "state"):
            end = 1 << bits.get(number, 62)
            lo, hi = max(op.lo, -end), min(op.hi, end - 1)
            values = rng.integers(lo, hi, n, endpoint=True)
            sources[op.kind, str(op.args[0])] = np.where(
                rng.random(n) < 0.2, rng.choice([lo, hi], n), values
            )
    return sources


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(4, 30))
def test_narrowed_ranges_hold(seed, bits):
    rng = np.random.default_rng(seed)
    machine = random_machine(rng)
    code = random_kernel(rng, "k", machine)
    chosen = {n: bits for n, op in enumerate(code.ops) if op.kind in ("input", "state")}
    ops = narrowed(code.ops, {n: (-(1 << b), (1 << b) - 1) for n, b in chosen.items()})
    parameters = random_parameters(rng, code, machine)
    tables = {t.name: rng.integers(t.lo, t.hi, t.entries, endpoint=True) for t in code.tables}
    results, _ = operations(code, leaves(code, chosen, rng), parameters, tables)
    for number, known in enumerate(ops):
        assert known.lo <= results[number].min() and results[number].max() <= known.hi, number


@pytest.mark.parametrize(
    ("kernel", "tables"),
    [
        (LIF(tau_rc=0.02, tau_ref=0.002), 1),
        (LIF(tau_rc=0.06, tau_ref=0.002, min_voltage=-1.0, reset=-1.0), 1),
        (AdaptiveLIF(tau_rc=0.02, tau_ref=0.002), 1),
    ],
    ids=repr,
)
def test_integrating_neurons_have_a_usual_part_without_look_up(kernel, tables):
    code = code_of(kernel)
    part = usual_part(code, rare_part(code))
    assert part is not None and len(part.common) == tables
    assert part.bits


@pytest.mark.parametrize(
    "kernel", [LIF(tau_rc=0.02, tau_ref=0.002), AdaptiveLIF(tau_rc=0.02, tau_ref=0.002)], ids=repr
)
def test_a_state_tells_where_the_table_is_read(kernel):
    code = code_of(kernel)
    part = usual_part(code, rare_part(code))
    (table, common), *_ = part.common.items()
    state, argument = code.ops[common.of], code.ops[table].operands[0]
    assert state.kind == "state"

    def at(value):
        return narrowed(code.ops, {common.of: (value, value)})[argument]

    rng = np.random.default_rng(0)
    near = [end + k for end in (common.below, common.above) for k in range(-3, 4)]
    for value in [state.lo, state.hi, *near, *rng.integers(state.lo, state.hi, 200).tolist()]:
        read = at(value)
        assert read.lo == read.hi
        found = [value <= common.below, value >= common.above]
        assert found == [read.lo == end for end in common.arguments], value


@pytest.mark.parametrize(
    "kernel",
    [
        LIF(tau_rc=0.02, tau_ref=0.002),
        LIF(tau_rc=0.06, tau_ref=0.0, min_voltage=-1.0, reset=-1.0),
        AdaptiveLIF(tau_rc=0.02, tau_ref=0.0053),
    ],
    ids=repr,
)
def test_what_is_remembered_is_what_a_table_would_give(kernel):
    """A state falls from anywhere through the places between, of which it meets one."""
    code = code_of(kernel)
    part = usual_part(code, rare_part(code))
    (table, common), *_ = part.common.items()
    assert common.period == common.above - common.below
    argument = code.ops[table].operands[0]
    slot = [port.name for port in code.states].index(code.ops[common.of].args[0])
    after = code.ops[code.next_state[slot]].operands[2]

    def at(value, number):
        return narrowed(code.ops, {common.of: (value, value)})[number].lo

    rng = np.random.default_rng(0)
    first = common.below + 1
    for start in rng.integers(common.below - 300, common.below + 5000, 60).tolist():
        when = first + ((start - first) & (common.period - 1))
        value, between = start, []
        while value > common.below:
            if value <= common.above:
                between.append(value)
            value = at(value, after)
        assert between == ([when] if start > common.below else [])
        assert at(when, argument) in range(min(common.arguments), max(common.arguments) + 1)
        for _ in range(3):  # and stays below
            value = at(value, after)
            assert value <= common.below


def test_entries_that_are_no_words_are_not_remembered():
    code = code_of(LIF(tau_rc=0.02, tau_ref=0.002))
    (table,) = usual_part(code, rare_part(code)).common
    for most, remembered in (((1 << 31) - 1, True), (1 << 31, False)):
        ops = list(code.ops)
        ops[table] = replace(ops[table], hi=most)
        part = usual_part(replace(code, ops=tuple(ops)), rare_part(code))
        assert (part.common[table].period is not None) == remembered


@pytest.mark.parametrize("neuron", ["LIF", "AdaptiveLIF"])
@pytest.mark.parametrize("tau_ref", [0.0005, 0.002, 0.0051])
def test_neurons_that_come_out_of_the_refractory_time(neuron, tau_ref):
    """Calls of any length, with states written in between, and inputs of all sizes."""
    import nengo

    import spikeloom

    rng = np.random.default_rng(3)
    gains = np.exp(rng.uniform(-1, 7, 70))
    with nengo.Network(seed=1) as network:
        shown = nengo.Node(lambda t: np.sin([300 * t, 170 * t]))
        kind = getattr(nengo, neuron)(tau_ref=tau_ref)
        neurons = nengo.Ensemble(70, 1, gain=gains, bias=gains, neuron_type=kind).neurons
        nengo.Connection(shown, neurons, transform=rng.uniform(-1, 1, (70, 2)), synapse=None)
        nengo.Probe(neurons)
    with spikeloom.Simulator(network, progress_bar=False) as sim:
        sim.run_steps(30)
        program = sim.program
    golden, native = GoldenEngine(program), NativeEngine(program)
    name, port = next(iter(program.inputs.items()))
    events = 0
    for steps in (1, 1, 1, 17, 2, 40, 1, 9):
        values = rng.uniform(-1, 1, (steps, port.size)) * 2.0**port.fraction
        values = np.rint(values).astype(np.int64)
        for engine in (golden, native):
            engine.run(steps, {name: values}, [])
        assert_same_memories(native, golden)
        events += int(golden.memory("count").sum())
        state = golden.memory("state")
        state[1] = np.where(rng.random(state.shape[1]) < 0.5, rng.integers(0, 1500), state[1])
        for engine in (golden, native):
            engine.load_memory("state", state)
    assert events > 50


def test_entries_of_tables_are_small_enough_for_narrow_products():
    code = code_of(LIF(tau_rc=0.02, tau_ref=0.002))
    part = usual_part(code, rare_part(code))
    rounded = [op for op in part.code.ops if product_of(part.code.ops, op)]
    assert part.entries and any(split_of(part.code.ops, op) for op in rounded)


@pytest.mark.parametrize("kernel", [LIFRate(tau_rc=0.02, tau_ref=0.002)], ids=repr)
def test_tables_of_the_input_are_looked_up_for_all(kernel):
    code = code_of(kernel)
    assert usual_part(code, rare_part(code)) is None


@pytest.mark.parametrize(
    "kernel",
    [
        LIF(tau_rc=0.02, tau_ref=0.002),
        AdaptiveLIF(tau_rc=0.02, tau_ref=0.002),
        Izhikevich(),
        SpikingRectifiedLinear(),
    ],
    ids=repr,
)
@pytest.mark.parametrize("share", [0.0, 0.02, 0.3, 0.6, 1.0])
def test_any_share_of_unusual_neurons_gives_the_same(kernel, share):
    """Over many steps, so that both ways of doing a population are taken."""
    program = rehearsal(_program_of(kernel))
    golden, native = GoldenEngine(program), NativeEngine(program)
    rng = np.random.default_rng(int(share * 100))
    part = usual_part(code_of(kernel), rare_part(code_of(kernel)))
    for _ in range(3):
        state = np.zeros_like(program.state)
        n = state.shape[1]
        for slot, port in enumerate(code_of(kernel).states):
            bits = (
                [b for k, b in part.bits.items() if _name(kernel, k) == port.name] if part else []
            )
            end = 1 << (bits[0] if bits else 20)
            small = rng.integers(max(port.lo, -end // 64), min(port.hi, end // 64), n)
            large = rng.integers(port.lo, port.hi, n, endpoint=True)
            state[slot] = np.where(rng.random(n) < share, large, small)
        for engine in (golden, native):
            engine.load_memory("state", state)
            engine.run(4, {}, [])
        for name in MEMORIES:
            assert np.array_equal(golden.memory(name), native.memory(name)), name
        assert golden.saturations() == native.saturations()


def _name(kernel, number):
    return code_of(kernel).ops[number].args[0]


def _program_of(kernel):
    """A Program with one population of this kernel, as `rehearsal` wants it."""
    import nengo

    import spikeloom

    types = {
        LIF: nengo.LIF(),
        AdaptiveLIF: nengo.AdaptiveLIF(),
        Izhikevich: nengo.Izhikevich(),
        SpikingRectifiedLinear: nengo.SpikingRectifiedLinear(),
    }
    with nengo.Network(seed=1) as network:
        nengo.Probe(nengo.Ensemble(30, 1, neuron_type=types[type(kernel)]).neurons)
    with spikeloom.Simulator(network, progress_bar=False) as sim:
        return sim.program


def test_inputs_that_hold_are_kept():
    program = example_program()
    # An observed sum has to be there in each step.
    assert KEEP not in Builder(program).build().records["opcode"]
    unseen = {n: p for n, p in program.outputs.items() if p.memory != "accumulator"}
    program = replace(program, outputs=unseen)
    assert np.count_nonzero(Builder(program).build().records["opcode"] == KEEP) == 1
    name, port = next(iter(program.inputs.items()))
    native, golden = NativeEngine(program), GoldenEngine(program)
    rng = np.random.default_rng(1)
    outputs = list(program.outputs)
    for steps in (1, 2, 9, 1, 30):
        value = rng.integers(-(1 << 16), 1 << 16, (steps, port.size))
        value[len(value) // 2 :] = value[-1]
        found = native.run(steps, {name: value}, outputs)
        expected = golden.run(steps, {name: value}, outputs)
        for output in outputs:
            np.testing.assert_array_equal(found[output], expected[output])
        for memory in MEMORIES:
            np.testing.assert_array_equal(native.memory(memory), golden.memory(memory))
        assert native.saturations() == golden.saturations()


@pytest.mark.parametrize("largest", [1.0, 3000.0])
def test_kept_inputs_of_any_size(largest):
    """Currents of a few neurons are beyond those of usual ones, in some images only."""
    import nengo

    import spikeloom

    rng = np.random.default_rng(5)
    images = rng.uniform(0, 1, (4, 6))
    with nengo.Network(seed=1) as network:
        shown = nengo.Node(nengo.processes.PresentInput(images, 0.005))
        neurons = nengo.Ensemble(50, 1, gain=np.ones(50), bias=np.zeros(50)).neurons
        strengths = rng.uniform(0, 2, (50, 6))
        strengths[::17, 0] = largest
        nengo.Connection(shown, neurons, transform=strengths, synapse=None)
        nengo.Probe(neurons)
    with spikeloom.Simulator(network, progress_bar=False) as sim:
        sim.run_steps(20)  # ranges that have to be widened are found here
        program = sim.program
    golden, native = GoldenEngine(program), NativeEngine(program)
    name, port = next(iter(program.inputs.items()))
    fired = 0
    for image in [0, 1, 2, 3, 0, 2]:
        values = np.rint(images[image] * 2.0**port.fraction).astype(np.int64)
        if image == 2:
            values[0] = 0
        for engine in (golden, native):
            engine.write(name, values)
        for steps in (1, 7, 2):
            for engine in (golden, native):
                engine.run(steps, {}, [])
            for memory in MEMORIES:
                np.testing.assert_array_equal(native.memory(memory), golden.memory(memory))
        fired += int(golden.memory("event").sum())
    assert golden.saturations() == native.saturations()
    assert fired

"""Products that are summed in one pass, or made into inputs at once, change no result."""

import platform
import shlex
import stat
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from random_programs import FAMILY, random_inputs, random_program
from same_memories import assert_same_memories

from spikeloom.compiler.instructions import Cnv, Evt, Mac, Map
from spikeloom.sim.check import MEMORIES
from spikeloom.sim.golden import GoldenEngine
from spikeloom.sim.native import build as native_build
from spikeloom.sim.native.batch import NativeBatch
from spikeloom.sim.native.engine import NativeEngine
from spikeloom.sim.native.rehearse import agrees, rehearsal
from spikeloom.sim.native.source.c import C
from spikeloom.sim.native.source.generate import generate
from spikeloom.sim.native.tables import joined
from spikeloom.sim.native.tables.layouts import in_pairs
from spikeloom.sim.native.tables.table import KEEP, MAC_PAIRS, MAP, SUM, Builder

STEPS = 7


def rows_of_all_shapes(rng, rows, length, largest):
    """Weights (rows, length): dense, block diagonal, with gaps at the ends and inside, empty."""
    found = rng.integers(-largest, largest, (rows, length), endpoint=True)
    kind = rng.integers(4 if rows < 16 else 10)
    for k in range(rows):
        if kind == 0:
            begin, end = length * k // rows, length * (k + 1) // rows
        elif kind == 1:
            begin, end = sorted(rng.integers(0, length, 2, endpoint=True))
        else:
            begin, end = 0, length
        found[k, :begin] = found[k, end:] = 0
        if rng.random() < 0.15:
            found[k] = 0
    if kind == 2:
        found[rng.random(found.shape) < 0.7] = 0
    return found


class More:
    """Puts more products in front of the populations of a random Program."""

    def __init__(self, program, seed):
        self.program, self.rng = program, np.random.default_rng(seed)
        self.lanes = program.machine.lanes
        self.weights = [program.weight]
        self.stencils = [program.stencil.reshape(-1, 2)]
        self.largest = 1 << min(program.machine.weight_bits - 2, 8)

    def made(self):
        phases = [[new for i in phase for new in self.before(i)] for phase in self.program.phases]
        outputs = self.program.outputs
        if self.rng.random() < 0.8:
            outputs = {n: p for n, p in outputs.items() if p.memory != "accumulator"}
        return replace(
            self.program,
            phases=phases,
            outputs=outputs,
            weight=np.concatenate(self.weights).astype(np.int32),
            stencil=np.concatenate(self.stencils).astype(self.program.stencil.dtype),
        )

    def before(self, i):
        """An instruction, and in front of it others."""
        if not isinstance(i, Map):
            # Mostly new ones: events cannot be summed with values in one pass.
            i = replace(i, wait=True)
            return [i] if self.rng.random() < (0.2 if isinstance(i, Evt) else 0.4) else []
        if self.rng.random() < 0.7:
            i = replace(i, input_shift=abs(i.input_shift))
        found = [self.product(i) for _ in range(self.rng.integers(1, 5))]
        if self.rng.random() < 0.9:
            found[0] = self.product(i, whole=True)
        if self.rng.random() < 0.15:
            found.insert(int(self.rng.integers(1, len(found) + 1)), self.convolution(i))
        return [*found, i]

    def place(self, i):
        """Some of the words of a population."""
        words = self.program.machine.words(i.length)
        begin = int(self.rng.integers(words))
        return begin, int(self.rng.integers(begin, words)) + 1

    def product(self, i, whole=False):
        rng = self.rng
        values = self.program.value.size
        begin, end = (0, self.program.machine.words(i.length)) if whole else self.place(i)
        rows = int(rng.integers(1, min(values, 12 if rng.random() < 0.7 else 80) + 1))
        length = min(end * self.lanes, i.length) - begin * self.lanes
        padded = np.zeros((rows, (end - begin) * self.lanes), np.int64)
        padded[:, :length] = rows_of_all_shapes(rng, rows, length, self.largest)
        at = sum(map(len, self.weights))
        self.weights.append(padded.reshape(-1, self.lanes))
        source = int(rng.integers(values - rows + 1))
        clear = whole or bool(rng.random() < 0.1)
        return Mac(at, source, rows, i.source + begin, end - begin, length, clear, True, "one more")

    def convolution(self, i):
        rng = self.rng
        begin, end = self.place(i)
        words, rows = end - begin, int(rng.integers(1, min(self.program.value.size, 9) + 1))
        at, stencil = sum(map(len, self.weights)), sum(map(len, self.stencils))
        kernel = rng.integers(-self.largest, self.largest, (3, self.lanes))
        if end * self.lanes > i.length:
            kernel[:, i.length % self.lanes :] = 0
        self.weights.append(kernel)
        reached = rng.integers(-1, words, rows)
        self.stencils.append(np.stack([reached, rng.integers(0, 3, rows)], axis=1))
        source = int(rng.integers(self.program.value.size - rows + 1))
        return Cnv(
            at, 3, source, -1, rows, 0, stencil, 1, i.source + begin, words,
            min(end * self.lanes, i.length) - begin * self.lanes, True, "a convolution",
        )  # fmt: skip


def program_of(number, seed):
    return More(random_program(number * FAMILY + seed % FAMILY), seed).made()


@settings(max_examples=90, deadline=None)
@given(number=st.integers(0, 11), seed=st.integers(0, 2**30), longest=st.sampled_from([16, 512]))
def test_engines_agree(number, seed, longest):
    program = program_of(number, seed)
    rng = np.random.default_rng(seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(joined, "LONGEST", longest)
        patch.setattr(joined, "SEGMENT_COST", longest // 16)
        native, golden = NativeEngine(program), GoldenEngine(program)
    engines = (native, golden)
    names = list(program.outputs)
    for part in range(4):
        if part == 2:
            for engine in engines:
                engine.reset()
        inputs = random_inputs(seed + part, program, STEPS)
        if part % 2:
            inputs = {name: values // 64 for name, values in inputs.items()}
        found, expected = (engine.run(STEPS, inputs, names) for engine in engines)
        for name in names:
            np.testing.assert_array_equal(found[name], expected[name])
        assert_same_memories(native, golden)
        for name, port in program.inputs.items():
            value = rng.integers(-5, 5, port.size)
            for engine in engines:
                engine.write(name, value)
        if part == 1:
            value = golden.memory("value")[::-1]
            for engine in engines:
                engine.load_memory("value", value)
        for phase in range(len(program.phases)):
            for engine in engines:
                engine.step(phase)
        assert_same_memories(native, golden)


@settings(max_examples=30, deadline=None)
@given(number=st.integers(0, 11), seed=st.integers(0, 2**30))
@example(number=3, seed=1)  # a product of constants and of what a population makes, side by side
def test_batches_agree(number, seed):
    program = program_of(number, seed)
    batch = NativeBatch(program, 3, threads=1)
    alone = [GoldenEngine(program) for _ in range(3)]
    names = list(program.outputs)
    for part in range(2):
        inputs = random_inputs(seed + part, program, STEPS)
        given_now = {n: np.stack([v, v, v // (2 + part)]) for n, v in inputs.items()}
        if seed % 2:
            given_now = {n: v[:1] for n, v in given_now.items()}
        found = batch.run(STEPS, given_now, names)
        for copy, engine in enumerate(alone):
            own = {n: v[min(copy, len(v) - 1)] for n, v in given_now.items()}
            expected = engine.run(STEPS, own, names)
            for name in names:
                np.testing.assert_array_equal(found[name][copy], expected[name])
            for memory in MEMORIES:
                np.testing.assert_array_equal(batch.memory(memory, copy), engine.memory(memory))
            assert batch.saturations(copy) == engine.saturations()


def test_random_programs_try_everything(monkeypatch):
    monkeypatch.setattr(joined, "SEGMENT_COST", 1)
    seen = Counter()
    for seed in range(200):
        records = Builder(program_of(seed % 12, seed)).build().records
        sums = records[records["opcode"] == SUM]
        seen["made"] += np.count_nonzero(sums["kept"] >= 0)
        seen["summed"] += np.count_nonzero(sums["kept"] < 0)
        seen["of many"] += np.count_nonzero(sums["length"] > 2)
        seen["of many segments"] += np.count_nonzero(sums["segment_count"] > 4)
        seen["with held ones"] += np.count_nonzero((sums["kept"] < 0) & (sums["port_count"] > 0))
        seen["without"] += np.count_nonzero(sums["port_count"] == 0)
        seen["kept"] += np.count_nonzero(records["opcode"] == KEEP)
        seen["other"] += np.count_nonzero((records["opcode"] == MAP) & (records["kept"] < 0))
    assert min(seen.values()) > 5 and len(seen) == 8, seen


def test_encoders_of_an_ensemble_array_take_one_product_each():
    """What is block diagonal is cut between the blocks."""
    lengths = [50, 50, 28]
    rows = []
    first = 0
    for value, length in enumerate(lengths):
        rows.append(joined.Row(value, 0, np.pad(np.ones(length, np.int64), (first, 128))[:128]))
        first += length
    best = min(
        joined._cuts(rows, np.full(128, joined.BEGINS_KEPT)),
        key=lambda cut: sum(s.cost for s in cut),
    )
    assert [(s.first, s.size, s.length, len(s.rows)) for s in best] == [
        (0, 50, 56, 1), (50, 50, 56, 1), (100, 28, 28, 1),
    ]  # fmt: skip
    assert [s.weights().sum() for s in best] == lengths


def test_products_of_many_rows_goin_pairs():
    seen = Counter()
    for seed in range(200):
        program = program_of(seed % 12, seed)
        records = Builder(program).build().records
        seen.update(records["opcode"].tolist())
    assert seen[MAC_PAIRS] > 5, seen
    rows = np.full((16, 16), (1 << 17) - 1, np.int32)
    assert not in_pairs(rows, 18)
    assert in_pairs(rows >> 2, 18)
    assert not in_pairs(np.repeat(rows >> 2, 16, axis=0), 18)  # 32 bits might not hold the sums
    assert not in_pairs(np.eye(16, dtype=np.int32), 18)
    assert not in_pairs(rows >> 2, 30)


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="flags of x86 compilers")
@pytest.mark.parametrize("flags", ["-mno-avx512f", "-mno-avx512vnni", "-mno-avx2 -mno-avx512f"])
def test_processors_with_shorter_vectors_do_the_same(flags, tmp_path, monkeypatch):
    command, _ = native_build.find_compiler()
    cc = tmp_path / "cc"
    cc.write_text(f'#!/bin/sh\nexec {shlex.join(command)} "$@" {flags}\n')
    cc.chmod(cc.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("CC", str(cc))
    monkeypatch.setenv("SPIKELOOM_CACHE", str(tmp_path / "cache"))
    native_build.find_compiler.cache_clear()
    native_build._identity.cache_clear()
    program = random_program(0)
    try:
        source = generate(program.kernels, program.rules, program.machine, C())
        library = native_build.build(source)
        assert str(tmp_path) in str(library)
        for seed in range(4):
            native = NativeEngine(program_of(0, seed), library)
            golden = GoldenEngine(native.program)
            for scale in (64, 1):
                inputs = random_inputs(seed, native.program, STEPS)
                inputs = {name: values // scale for name, values in inputs.items()}
                for engine in (native, golden):
                    engine.run(STEPS, inputs, [])
                assert_same_memories(native, golden)
        assert agrees(NativeEngine(rehearsal(program, live=True), library))
    finally:
        native_build.find_compiler.cache_clear()
        native_build._identity.cache_clear()

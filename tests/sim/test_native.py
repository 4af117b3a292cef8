"""The native engine's own business: compilers, kept libraries, what the source depends on."""

import dataclasses
import os
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from example_program import example_program
from random_programs import FAMILY, random_inputs, random_program
from random_rules import random_learning_program

from spikeloom.compiler.errors import ToolError
from spikeloom.compiler.instructions import Evt, Mac
from spikeloom.compiler.kernels.code import KernelCode, Op, Port
from spikeloom.compiler.machine import Machine
from spikeloom.sim import create_engine
from spikeloom.sim.check import MEMORIES
from spikeloom.sim.native import build as native_build
from spikeloom.sim.native.engine import NativeEngine
from spikeloom.sim.native.source.c import C
from spikeloom.sim.native.source.generate import generate
from spikeloom.sim.native.source.walk import parameter_slots, way_to_divide
from spikeloom.sim.native.tables.bounds import largest_sums
from spikeloom.sim.native.tables.table import MAP, Builder


@pytest.fixture
def fresh(monkeypatch, tmp_path):
    """An empty cache, and no memory of compilers found before."""
    monkeypatch.setenv("SPIKELOOM_CACHE", str(tmp_path / "cache"))
    native_build.find_compiler.cache_clear()
    native_build._identity.cache_clear()
    yield tmp_path
    native_build.find_compiler.cache_clear()
    native_build._identity.cache_clear()


def script(path, text):
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def test_source_depends_on_kernels_and_widths_alone():
    first, second = random_program(0), random_program(FAMILY - 1)
    assert first.instructions != second.instructions

    def source(program):
        return generate(program.kernels, program.rules, program.machine, C())

    assert source(first) == source(second)
    other_lanes = dataclasses.replace(first.machine, lanes=64)
    assert generate(first.kernels, first.rules, other_lanes, C()) == source(first)
    assert source(random_program(FAMILY)) != source(first)


def test_library_is_built_once(fresh):
    program = example_program()
    engine = NativeEngine(program)
    assert engine.compiled.parent == fresh / "cache" / "native"
    assert engine.compiled.with_suffix(".c").read_text().startswith("#define VALUE_LO")
    changed = engine.compiled.stat().st_mtime_ns
    again = example_program()
    again.weight[0, 0] += 1
    assert NativeEngine(again).compiled == engine.compiled
    assert engine.compiled.stat().st_mtime_ns == changed
    left = sorted(p.suffix for p in engine.compiled.parent.iterdir())
    assert left == [".c", ".so"], "temporary files were left behind"


def test_engines_do_not_share_memories():
    a, b = NativeEngine(example_program()), NativeEngine(example_program())
    a.run(5, {"stimulus": np.full((5, 2), 99)}, [])
    assert b.memory("state").tolist() == [[5, 9, 0]]
    assert not b.memory("accumulator").any()


def test_flags_that_the_compiler_refuses_are_dropped(fresh, monkeypatch):
    command, _ = native_build.find_compiler()
    real = " ".join(command)
    refusing = 'case "$*" in *march=native*) echo "error: no such flag" >&2; exit 1;; esac\n'
    monkeypatch.setenv("CC", script(fresh / "cc", f'{refusing}exec {real} "$@"'))
    native_build.find_compiler.cache_clear()
    engine = NativeEngine(example_program())
    engine.step()
    assert engine.compiled.exists()


def test_failing_compiler(fresh, monkeypatch):
    text = 'case "$*" in *--version*) echo fake 1.0; exit 0;; esac\n'
    text += 'echo "fatal error: disk" >&2; exit 1'
    monkeypatch.setenv("CC", script(fresh / "cc", text))
    with pytest.raises(ToolError, match="cc failed: fatal error: disk; set CC") as e:
        NativeEngine(example_program())
    assert "\n" not in str(e.value)
    assert not list((fresh / "cache" / "native").iterdir())


def spoiling(fresh, unless):
    """A compiler that gives events the payload 2, unless it is called with a certain flag."""
    command, _ = native_build.find_compiler()
    real = " ".join(command)
    return script(
        fresh / "cc",
        f'for last; do :; done\ncase "$*" in *--version*|*{unless}*) exec {real} "$@";; esac\n'
        f'sed -i "s/payload_to\\[e\\] = 1/payload_to[e] = 2/" "$last"\n{real} "$@"; status=$?\n'
        'sed -i "s/payload_to\\[e\\] = 2/payload_to[e] = 1/" "$last"; exit $status',
    )


def test_wrong_code_is_found_and_made_again_with_less_optimisation(fresh, monkeypatch):
    monkeypatch.setenv("CC", spoiling(fresh, "-O1"))
    native_build.find_compiler.cache_clear()
    engine = NativeEngine(example_program())
    engine.run(9, {"stimulus": np.full((9, 2), 99)}, [])
    assert engine.memory("event")[:, 1].tolist() == [1, 1]


def test_compiler_whose_code_is_always_wrong_is_refused(fresh, monkeypatch):
    monkeypatch.setenv("CC", spoiling(fresh, "-no-such-flag"))
    native_build.find_compiler.cache_clear()
    with pytest.raises(ToolError, match="does not compute what the kernels say; set CC"):
        NativeEngine(example_program())
    assert not list((fresh / "cache" / "native").iterdir())


def test_no_compiler(fresh, monkeypatch):
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("PATH", str(fresh))
    monkeypatch.setattr(native_build.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ToolError, match="found none: install gcc, or `pip install ziglang`"):
        NativeEngine(example_program())


def test_ziglang_is_the_last_resort(monkeypatch):
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr(native_build.shutil, "which", lambda name: None)
    monkeypatch.setattr(native_build.importlib.util, "find_spec", lambda name: object())
    assert list(native_build.compilers()) == [[sys.executable, "-m", "ziglang", "cc"]]


def test_broken_cc_is_passed_over(fresh, monkeypatch):
    monkeypatch.setenv("CC", str(fresh / "missing"))
    command, _ = native_build.find_compiler()
    assert command != [str(fresh / "missing")]


@pytest.mark.skipif(os.name != "posix", reason="folders without write permission are POSIX")
def test_cache_that_cannot_be_written(fresh, monkeypatch):
    # A file where the folder should be: not even root can create it.
    (fresh / "file").write_text("")
    monkeypatch.setenv("SPIKELOOM_CACHE", str(fresh / "file" / "cache"))
    engine = NativeEngine(example_program())
    engine.step()
    assert fresh not in engine.compiled.parents


def test_cache_folder(monkeypatch):
    monkeypatch.setenv("SPIKELOOM_CACHE", "~/there")
    assert native_build.cache_folder() == Path.home() / "there"
    monkeypatch.delenv("SPIKELOOM_CACHE")
    assert "spikeloom" in native_build.cache_folder().parts


def test_parameter_block():
    program = random_program(0)
    for code in program.kernels.values():
        slots = parameter_slots(code)
        assert len(slots) == len(code.parameters) + len(code.tables)
        sizes = [1 if slot.kind == "plain" else 2 for slot in slots]
        assert [slot.place for slot in slots] == np.cumsum([0, *sizes])[:-1].tolist()


def test_bounds_of_sums():
    program = example_program()
    # accumulator 0: 1, stimulus of 18 bits each; accumulator 1: two neurons' payloads of 1
    sums = largest_sums(program).reshape(2, 4)
    assert sums.tolist() == [[43 * 2**17, 13 * 2**17, 0, 0], [107, 0, 0, 0]]
    program.phases[0][0] = dataclasses.replace(program.phases[0][0], clear=False)
    assert np.isinf(largest_sums(program)[:4]).all()
    # what another phase cleared may have been added to since
    for seed in range(20):
        split = random_program(seed)
        split.phases = [[i] for i in split.instructions]
        adding = [i for i in split.instructions if isinstance(i, Mac | Evt) and not i.clear]
        if adding:
            break
    assert adding
    assert all(np.isinf(largest_sums(split)[i.target * split.machine.lanes]) for i in adding)


def test_random_programs_have_inputs_of_both_kinds():
    fits = set()
    for seed in range(0, 40, FAMILY):
        records = Builder(random_program(seed)).build().records
        fits |= set(records["input_fits"][records["opcode"] == MAP].tolist())
    assert fits == {0, 1}


def test_one_table_of_weights_in_two_layouts():
    """A MAC and an EVT may share short rows, but need them packed differently."""
    program = example_program()
    program.phases[0].append(
        dataclasses.replace(program.phases[0][0], weights=3, rows=2, length=1, target=1)
    )
    engines = [create_engine(name, program) for name in ("golden", "native")]
    for engine in engines:
        engine.run(9, {"stimulus": np.full((9, 2), 30)}, [])
    for name in MEMORIES:
        assert np.array_equal(engines[0].memory(name), engines[1].memory(name))


@pytest.mark.parametrize(
    ("largest_a", "largest_b", "bits", "way"),
    [
        ((1 << 31) - 1, 3 << 29, 12, "single"),
        ((1 << 31) - 1, (3 << 29) + 1, 12, "double"),
        ((1 << 31) - 1, 3 << 29, 13, "double"),
        (1 << 31, 3 << 29, 12, "double"),
        (1 << 53, 1 << 44, 8, "double"),
        (1 << 53, 1 << 45, 8, "whole"),
        (1 << 53, (1 << 24) - 1, 29, "double"),
        (1 << 53, 1 << 22, 30, "whole"),
        ((1 << 53) + 1, 1 << 20, 8, "whole"),
    ],
)
def test_the_fastest_division_that_is_exact(largest_a, largest_b, bits, way):
    a, b = Op("state", ("a",), -5, largest_a, 0), Op("state", ("b",), 0, largest_b, 0)
    assert way_to_divide(a, b, bits) == way


def test_extreme_numbers_are_written_correctly():
    """Literals at the ends of 32 and 64 bits, which C has no direct notation for."""
    lowest = -(1 << 31)
    code = KernelCode(
        name="ends",
        input=Port("u", lowest, (1 << 31) - 1, None),
        states=(Port("x", -(1 << 39), (1 << 39) - 1, None),),
        parameters=(),
        tables=(),
        ops=(
            Op("input", ("u",), lowest, -lowest - 1, 0),
            Op("const", (lowest,), lowest, lowest, 0),
            Op("add", (0, 1), 2 * lowest, -1, 0),
            Op("const", (-(1 << 39),), -(1 << 39), -(1 << 39), 0),
            Op("max", (2, 3), 2 * lowest, -1, 0),
            Op("abs", (1,), -lowest, -lowest, 0),
            Op("neg", (0,), lowest + 1, -lowest, 0),
            Op("min", (5, 6), lowest + 1, -lowest, 0),
        ),
        next_state=(4,),
        emit=7,
        emits="value",
        emit_fraction=None,
        delayed=False,
    )
    source = generate({"ends": code}, {}, Machine(state_bits=40), C())
    assert "INT32_C(-2147483648)" not in source
    folder = native_build.build(source).parent
    assert folder.exists()


@pytest.mark.parametrize("make", [random_program, random_learning_program])
def test_no_warnings(tmp_path, make):
    """The source is clean C: unknown behaviour often shows as a warning first."""
    program = make(2 * FAMILY)
    path = tmp_path / "engine.c"
    path.write_text(generate(program.kernels, program.rules, program.machine, C()))
    command, _ = native_build.find_compiler()
    answer = subprocess.run(
        [*command, "-std=gnu11", "-Wall", "-Wextra", "-Wno-unused", "-Wno-tautological-compare",
         "-c", "-o", str(tmp_path / "x.o"), str(path)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert answer.returncode == 0
    assert answer.stderr == ""


def test_long_runs_are_done_in_parts_that_change_nothing(monkeypatch):
    program = random_program(5)
    inputs = random_inputs(5, program, 300)
    whole = NativeEngine(program).run(300, inputs, list(program.outputs))
    for longest in (0.0, 1e9):
        monkeypatch.setattr("spikeloom.sim.native.engine.LONGEST_CALL", longest)
        monkeypatch.setattr("spikeloom.sim.native.engine.FIRST_PART", 1)
        parts = NativeEngine(program).run(300, inputs, list(program.outputs))
        assert all(np.array_equal(whole[name], parts[name]) for name in whole)

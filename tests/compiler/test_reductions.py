"""Reductions over a population: in float, traced, and where they are refused."""

from dataclasses import replace

import numpy as np
import pytest
from competing import Competing

from spikeloom import Input, Kernel, State, any_of, max_of, select, sum_of, winner
from spikeloom.compiler.errors import KernelError, ProgramError
from spikeloom.compiler.graph import Graph, Population
from spikeloom.compiler.kernels.code import KernelCode, Op
from spikeloom.compiler.machine import Machine
from spikeloom.compiler.passes.group import group
from spikeloom.sim.golden import GoldenEngine


def kernel(step, emits="value", **declared):
    """A kernel with one state `v` and an equation for its next value."""

    def whole(self, state, u, dt):
        v = step(state, u)
        return v, {"v": v * 1.0 if isinstance(v, np.ndarray) else v}

    body = {
        "u": Input(range=(-8, 8), fraction=10),
        "v": State(range=(-(2**14), 2**14), fraction=8),
        "emits": emits,
        "step": whole,
        **declared,
    }
    return type("Reducing", (Kernel,), body)


def kinds(cls):
    return [op.kind for op in cls.code(Machine()).ops]


def test_in_float():
    x = np.array([3.0, -1.0, 7.0, 7.0])
    assert any_of(x > 6).tolist() == [True] * 4
    assert any_of(x > 7).tolist() == [False] * 4
    assert sum_of(x).tolist() == [16.0] * 4
    assert max_of(x).tolist() == [7.0] * 4
    assert winner(x).tolist() == [False, False, True, False]
    # several populations side by side: the last axis is one
    both = np.stack([x, x[::-1]])
    assert winner(both).tolist() == [[False, False, True, False], [True, False, False, False]]
    assert sum_of(both[:, :1]).tolist() == [[3.0], [7.0]]


def test_operations_and_their_ranges():
    code = kernel(lambda state, u: sum_of(u) + max_of(state.v)).code(Machine(index_bits=9))
    by_kind = {op.kind: op for op in code.ops}
    read = by_kind["input"]
    assert (by_kind["sum_of"].lo, by_kind["sum_of"].hi) == (read.lo << 9, read.hi << 9)
    assert (by_kind["max_of"].lo, by_kind["max_of"].hi) == (-(2**22), 2**22)
    assert {code.ops[n].kind for n in code.reductions} == {"max_of", "sum_of"}
    assert {code.ops[n].kind for n in code.reduced} == {"input", "state"}
    assert KernelCode.from_json(code.to_json()) == code
    assert "winner" in kinds(kernel(lambda state, u: select(winner(u), 1, 0)))


def test_a_reduction_of_a_reduction_is_refused():
    with pytest.raises(KernelError, match=r"any_of\(\) of something that depends on winner\(\)"):
        kernel(lambda state, u: select(any_of(winner(u) & (u > 1)), 1, 0)).code(Machine())


def test_a_sum_that_may_pass_62_bits_is_refused():
    wide = kernel(
        lambda state, u: sum_of((u * u) * (u * u) * (u * u)), u=Input((-(2**14), 2**14), 16)
    )
    with pytest.raises(KernelError, match="more than 62 bits"):
        wide.code(Machine())


def test_what_is_the_same_for_all_neurons_is_refused():
    with pytest.raises(KernelError, match="the same for all neurons"):
        kernel(lambda state, u: u + sum_of(1.0)).code(Machine())


def test_synapses_reduce_nothing():
    with pytest.raises(KernelError, match="in a synapse"):
        kernel(lambda state, u: sum_of(u), delayed=True).code(Machine())


def test_populations_that_reduce_are_not_joined():
    def two(cls):
        graph = Graph("two", 0.001)
        for name in "ab":
            graph.add(
                Population(name, 8, kernel=cls(), bias=np.ones(8), initial={"v": np.zeros(8)})
            )
        return group(graph, Machine())

    joint = two(kernel(lambda state, u: state.v + u))
    assert [node.size for node in joint.nodes()] == [16]
    apart = two(kernel(lambda state, u: state.v + max_of(u)))
    assert sorted(node.name for node in apart.nodes()) == ["a", "b"]


def test_damaged_code_is_refused():
    from random_programs import random_program

    program = next(
        p
        for p in map(random_program, range(60))
        if any(code.reductions for code in p.kernels.values())
    )
    name, code = next((n, c) for n, c in program.kernels.items() if c.reductions)
    again = Op("any_of", (code.reductions[0],), 0, 1, 0)
    kernels = {**program.kernels, name: replace(code, ops=(*code.ops, again))}
    with pytest.raises(ProgramError, match="is reduced again"):
        GoldenEngine(replace(program, kernels=kernels))


def test_the_type_tells_that_it_reduces():
    assert Competing.reduces
    assert Competing.state["voltage"].high == 0.5

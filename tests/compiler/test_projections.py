"""Learned matrices to and from the words of the loom's memories."""

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from learning_program import LIMIT, MACHINE, POST, PRE, learning_program, spike_timing

from spikeloom.compiler.kernels.code import Port
from spikeloom.compiler.program import ProjectionInfo
from spikeloom.compiler.projections import (
    full_weights,
    put_synapse_states,
    put_weights,
    synapse_states,
)

PROGRAM = learning_program(spike_timing("either"), ["pre", "post"], {}, 0)


def shaped(lanes, residual_bits, first, rows, length):
    """The Program with a projection of another shape, and room for it."""
    machine = replace(MACHINE, lanes=lanes, residual_bits=residual_bits)
    words = machine.words(length)
    largest = 511 << residual_bits
    rule = replace(PROGRAM.rules["R"], weight=Port("weight", -largest, largest, 0))
    info = ProjectionInfo("P", "R", first, rows, words, length, 1.0, (1.0,))
    depth = first + rows * words + 2
    return replace(
        PROGRAM,
        machine=machine,
        rules={"R": rule},
        projections={"P": info},
        weight=np.zeros((depth, lanes), np.int32),
        residual=np.zeros((depth, lanes), np.int32),
        synapse=np.zeros((1, depth, lanes), np.int64),
    )


shapes = st.builds(
    shaped,
    st.sampled_from([1, 2, 4, 16]),
    st.integers(2, 18),
    st.integers(0, 5),
    st.integers(1, 6),
    st.integers(1, 40),
)


@settings(max_examples=80, deadline=None)
@given(program=shapes, seed=st.integers(0, 1 << 30))
def test_put_and_got_are_the_same(program, seed):
    """Also: a weight is its full number rounded, the residual the rest; nothing else changes."""
    rng = np.random.default_rng(seed)
    p = program.projections["P"]
    bits = program.machine.residual_bits
    largest = 511 << bits
    full = rng.integers(-largest, largest, (p.length, p.rows), endpoint=True)
    full.flat[rng.integers(full.size)] = largest
    full.flat[rng.integers(full.size)] = -largest
    full.flat[rng.integers(full.size)] = 1 << (bits - 1)  # exactly half a count
    weight, residual = np.full((2, *program.weight.shape), 77)
    put_weights(program, "P", full, weight, residual)
    assert np.array_equal(full_weights(program, "P", weight, residual), full)
    place = slice(p.weights, p.weights + p.rows * p.words)
    learned = weight[place].reshape(p.rows, -1)
    assert np.array_equal(learned[:, : p.length].T, np.floor(full / 2**bits + 0.5))
    rest = residual[place]
    assert rest.min() >= -(1 << (bits - 1)) and rest.max() < 1 << (bits - 1)
    assert not learned[:, p.length :].any()
    for memory in (weight, residual):
        assert np.all(np.delete(memory, np.arange(place.start, place.stop), axis=0) == 77)


@settings(max_examples=40, deadline=None)
@given(program=shapes, seed=st.integers(0, 1 << 30))
def test_states_put_and_got_are_the_same(program, seed):
    p = program.projections["P"]
    states = np.random.default_rng(seed).integers(0, 5, (p.length, p.rows), endpoint=True)
    synapse = np.full(program.synapse.shape, 7)
    put_synapse_states(program, "P", 0, states, synapse)
    assert np.array_equal(synapse_states(program, "P", 0, synapse), states)
    place = slice(p.weights, p.weights + p.rows * p.words)
    assert np.all(np.delete(synapse[0], np.arange(place.start, place.stop), axis=0) == 7)


def test_elements_lie_where_instructions_look_for_them():
    """Row k, element j: word ``k * words + j // lanes``, lane ``j % lanes``."""
    full = np.arange(POST * PRE).reshape(POST, PRE) << MACHINE.residual_bits
    weight, residual = PROGRAM.weight.copy(), PROGRAM.residual.copy()
    put_weights(PROGRAM, "P", full, weight, residual)
    assert weight[3 * 2 + 1, 2] == 6 * PRE + 3  # row 3, element 6
    assert weight[0, 3] == 3 * PRE  # row 0, element 3
    assert not residual.any()


def test_what_leaves_the_rule_is_limited():
    weight, residual = PROGRAM.weight.copy(), PROGRAM.residual.copy()
    full = np.full((POST, PRE), LIMIT)
    full[0], full[1] = 10 * LIMIT, -10 * LIMIT
    put_weights(PROGRAM, "P", full, weight, residual)
    found = full_weights(PROGRAM, "P", weight, residual)
    assert found[0].tolist() == [LIMIT] * PRE and found[1].tolist() == [-LIMIT] * PRE
    synapse = PROGRAM.synapse.copy()
    put_synapse_states(PROGRAM, "P", 0, full, synapse)
    states = synapse_states(PROGRAM, "P", 0, synapse)
    assert set(states.flat) == {0, 5}

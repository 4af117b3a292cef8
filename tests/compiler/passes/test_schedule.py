"""Order within a step, phases between host and chip, blocks of matrices, addresses."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_graphs import lif, recurrent, synapse

from spikeloom.compiler.compile import compile_graph
from spikeloom.compiler.errors import CapacityError
from spikeloom.compiler.graph import Graph, Input, Observation
from spikeloom.compiler.instructions import Map
from spikeloom.compiler.machine import Machine
from spikeloom.compiler.passes.blocks import blocks
from spikeloom.compiler.passes.schedule import Task, schedule


def test_readers_of_a_synapse_come_before_its_update():
    order = schedule(recurrent())
    (tasks,) = order.phases
    assert tasks.index(Task("sum", "x")) < tasks.index(Task("map", "y"))
    assert tasks.index(Task("map", "a")) < tasks.index(Task("sum", "y"))
    assert tasks.index(Task("map", "x")) < tasks.index(Task("sum", "a"))
    assert order.input_phase == {"u": 0}


def test_an_input_that_needs_the_same_step_opens_a_phase():
    graph = recurrent()
    graph.add(Input("late", 1, requires={"a"}))
    graph.add(lif("b", 5, seed=3))
    graph.connect("late", "b", np.ones((5, 1)))
    order = schedule(graph)
    assert order.input_phase == {"u": 0, "late": 1}
    assert order.phase_of(Task("map", "a")) == 0
    assert order.phase_of(Task("map", "b")) == 1


def test_a_synapse_read_late_is_updated_late():
    graph = recurrent()
    graph.add(Input("late", 1, requires={"a"}))
    graph.add(lif("b", 5, seed=3))
    graph.connect("late", "b", np.ones((5, 1)))
    graph.connect("y", "b", np.ones((5, 2)))
    assert schedule(graph).phase_of(Task("map", "y")) == 1


@given(
    st.integers(1, 70),
    st.integers(1, 40),
    st.sampled_from([1, 4, 16]),
    st.floats(0, 0.3),
    st.booleans(),
    st.integers(0, 2**31),
)
def test_blocks_add_up_to_the_matrix(targets, sources, lanes, density, events, seed):
    rng = np.random.default_rng(seed)
    weights = rng.integers(-9, 10, (targets, sources)) * (rng.random((targets, sources)) < density)
    total = np.zeros((-(-targets // lanes) * lanes, sources), np.int64)
    for block in blocks(weights, lanes, events):
        assert block.weights.shape == (block.rows, block.words * lanes)
        assert not block.weights[:, block.length :].any()
        if events:
            assert block.first_source == 0 and block.rows == sources
        first = block.first_word * lanes
        total[
            first : first + block.words * lanes,
            block.first_source : block.first_source + block.rows,
        ] += block.weights.T
    np.testing.assert_array_equal(total[:targets], weights)
    assert not total[targets:].any()


def test_an_identity_is_cut_along_its_diagonal():
    found = blocks(np.eye(64, dtype=np.int64), 16, events=False)
    assert [(b.first_word, b.words, b.first_source, b.rows) for b in found] == [
        (w, 1, 16 * w, 16) for w in range(4)
    ]


def test_accumulators_are_shared_and_observed_ones_are_not():
    graph = recurrent(n=160)
    graph.add(lif("b", 160, seed=5))
    graph.connect("y", "b", np.ones((160, 2)))
    shared = compile_graph(graph).program
    graph.observe(Observation("J", "a", "input"))
    graph.observe(Observation("I", "b", "input"))
    apart = compile_graph(graph).program
    assert shared.accumulator_words < 2 * 10 <= apart.accumulator_words
    j, i = apart.outputs["J"], apart.outputs["I"]
    assert abs(j.base - i.base) >= 10


def test_only_maps_and_their_followers_wait():
    program = compile_graph(recurrent()).program
    for phase in program.phases:
        after_map = True
        for instruction in phase:
            assert instruction.wait == (isinstance(instruction, Map) or after_map)
            after_map = isinstance(instruction, Map)


def test_tables_are_shared_between_populations_with_the_same_parameters():
    graph = recurrent()
    graph.add(lif("b", 5, seed=3))
    program = compile_graph(graph).program
    assert program.tables["LIF.table0"].shape == (1, 257)
    sets = {i.table_set for i in program.instructions if isinstance(i, Map)}
    assert sets == {0}


def test_a_population_that_events_cannot_address_is_refused():
    graph = Graph("large", 0.001)
    graph.add(lif("a", 20))
    with pytest.raises(CapacityError, match="'a' has 20 neurons, more than the 16"):
        compile_graph(graph, Machine(index_bits=4))


def test_every_pass_can_be_shown():
    compilation = compile_graph(recurrent())
    assert "x [2] vector" in compilation.show("frontend")
    assert "x [2] vector" not in compilation.show("route")
    assert "proved" in compilation.show("quantise")
    assert "map y" in compilation.show("schedule")
    assert "MAC" in compilation.show("allocate")
    with pytest.raises(KeyError, match="no pass is named 'nosuch'"):
        compilation.show("nosuch")


def test_an_empty_graph_compiles():
    program = compile_graph(Graph("empty", 0.001)).program
    assert program.instructions == []


def test_a_synapse_alone():
    graph = Graph("synapse", 0.001)
    graph.add(Input("u", 3, limit=1.0))
    graph.add(synapse("y", 3))
    graph.connect("u", "y", np.eye(3))
    graph.observe(Observation("y", "y", "output"))
    program = compile_graph(graph).program
    assert program.outputs["y"].memory == "state"

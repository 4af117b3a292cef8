"""What equal copies share, and that nothing else does."""

import gc
from dataclasses import replace

import nengo
import numpy as np
import pytest
from nengo.cache import NoDecoderCache
from random_learning_networks import random_learning_network
from random_networks import random_network

import spikeloom
from spikeloom.compiler.compile import lower
from spikeloom.compiler.errors import InputError, SpikeloomError
from spikeloom.compiler.frontends.nengo import convert
from spikeloom.compiler.instructions import Map
from spikeloom.compiler.machine import Machine
from spikeloom.compiler.variants import Template, kernels_of
from spikeloom.compiler.watched import same
from spikeloom.runtime.batch import memory
from spikeloom.runtime.batch.sharing import Lowering, Solutions, digest, structure_of
from spikeloom.sim import create_engine
from spikeloom.sim.native.engine import NativeEngine


def graph_of(network, **changes):
    model = nengo.builder.Model(**changes)
    model.build(network)
    return convert(model).graph


def content_of(graph):
    return structure_of(graph), kernels_of(graph)


@pytest.mark.parametrize("seed", range(6))
def test_equal_graphs_have_equal_digests(seed):
    """Also those of another build, for objects without labels, too; but not of another network."""
    network, _ = random_network(seed)
    kept = {}
    first, second = (digest(content_of(graph_of(n)), kept) for n in (network, network.copy()))
    assert first is not None and first == second
    network.seed += 1
    assert digest(content_of(graph_of(network)), kept) != first


def test_every_number_of_a_graph_counts():
    network, _ = random_network(4)
    graph, kept = graph_of(network), {}
    before = digest(content_of(graph), kept)
    changed = 0
    for node in graph.nodes():
        for values in (getattr(node, "bias", None), *getattr(node, "initial", {}).values()):
            if values is not None and values.size:
                old, values.flat[-1] = values.flat[-1], values.flat[-1] + 1e-12 + 1
                assert digest(content_of(graph), kept) != before
                values.flat[-1] = old
                changed += 1
    for _, _, edge in graph.nx.edges(data="edge"):
        matrix = edge.matrix
        edge.matrix = matrix * (1 + 1e-15)
        assert digest(content_of(graph), kept) != before
        edge.matrix = matrix
        changed += 1
    for kernel in kernels_of(graph):
        for name, value in kernel.values.items():
            setattr(kernel, name, value * (1 + 1e-15) + 1e-300)
            assert digest(content_of(graph), kept) != before
            setattr(kernel, name, value)
            changed += 1
    assert changed > 5
    assert digest(content_of(graph), kept) == before


def test_a_graph_that_cannot_be_written_is_not_shared():
    network, _ = random_network(2)
    graph = graph_of(network)
    next(iter(graph.nodes())).extra = (i for i in range(3))
    assert digest(content_of(graph), {}) is None
    lowering = Lowering(Machine(), lambda p, **more: create_engine("golden", p))
    other = graph.copy()
    assert lowering.compile(graph) is lowering.compile(graph) is not lowering.compile(other)


def test_each_system_is_solved_once():
    """The same decoders as without the cache, from fewer solutions."""
    solved = []

    class Counted(nengo.solvers.LstsqL2):
        def __call__(self, A, Y, rng=None, E=None):
            solved.append(A.shape)
            return super().__call__(A, Y, rng=rng)

    with nengo.Network(seed=1) as network:
        a = nengo.Ensemble(30, 1)
        first = nengo.Connection(a, nengo.Node(size_in=1), solver=Counted())
        second = nengo.Connection(a, nengo.Node(size_in=1), function=np.square, solver=Counted())
    plain = nengo.builder.Model()
    plain.build(network)
    assert len(solved) == 2
    solutions = Solutions(NoDecoderCache())
    for _ in range(3):
        model = nengo.builder.Model(decoder_cache=solutions)
        model.build(network)
        for conn in (first, second):
            assert np.array_equal(model.params[conn].weights, plain.params[conn].weights)
            assert model.params[conn].solver_info.keys() == plain.params[conn].solver_info.keys()
    assert len(solved) == 4
    network.seed = 2
    nengo.builder.Model(decoder_cache=solutions).build(network)
    assert len(solved) == 6


def test_copies_share_an_engine_s_tables():
    network, dt = random_network(1)
    with spikeloom.Simulator(network, dt=dt, batch=4, progress_bar=False) as sim:
        engines = [copy.chip.engine for copy in sim.copies]
        assert len({id(engine._table) for engine in engines}) == 1
        assert len({id(engine) for engine in engines}) == 4


def test_a_closed_batch_can_be_read_and_its_memory_is_given_up():
    network, dt = random_network(3)
    sim = spikeloom.Simulator(network, dt=dt, batch=2, progress_bar=False)
    sim.run_steps(10)
    sim.close()
    gc.collect()
    assert len(sim.data[network.all_probes[0]]) == 2
    before = len([o for o in gc.get_objects() if type(o).__name__ == "Member"])
    del sim
    gc.collect()
    assert len([o for o in gc.get_objects() if type(o).__name__ == "Member"]) == before - 2


def test_too_large_a_batch(monkeypatch):
    network, dt = random_network(3)
    with spikeloom.Simulator(network, dt=dt, progress_bar=False) as sim:
        each = memory.copy_bytes(sim)
        samples = memory.sample_bytes(sim, 1000)
        sim.run_steps(1000)
        stored = sum(sim.data[p].nbytes for p in network.all_probes)
    assert abs(samples - stored) <= 0.01 * stored
    monkeypatch.setattr(memory, "available", lambda: int(10.5 * each / memory.SHARE))
    with pytest.raises(InputError, match=r"a batch of \d+ copies takes .* a batch of 1\d fits"):
        spikeloom.Simulator(network, dt=dt, batch=100, progress_bar=False)
    with spikeloom.Simulator(network, dt=dt, batch=10, progress_bar=False) as sim:
        monkeypatch.setattr(memory, "available", lambda: int(3.5 * samples / memory.SHARE))
        with pytest.raises(
            InputError, match=r"1000 steps of 10 copies takes .*: a batch of 3 fits"
        ):
            sim.run_steps(1000)
        assert sim.n_steps == 0
        sim.run_steps(100)


def test_memory_is_found():
    assert 1 << 20 < memory.available() < 1 << 50
    assert memory.size(3 << 30) == "3.0 GiB"


def failing(number):
    def function(t):
        if number == 1 and t > 0.01:
            raise RuntimeError("out of order")
        return t

    return function


def broken():
    with nengo.Network(seed=1) as network:
        node = nengo.Node(failing(0), label="node")
        ens = nengo.Ensemble(10, 1, label="ens")
        nengo.Connection(node, ens)
        network.probe = nengo.Probe(ens.neurons)
    return network


def test_the_copy_that_fails_is_named():
    network = broken()
    functions = [failing(i) for i in range(3)]
    with spikeloom.Simulator(network, vary={"node.output": functions}, progress_bar=False) as sim:
        with pytest.raises(RuntimeError, match="out of order") as error:
            sim.run_steps(50)
        assert "in copy 1 of the batch" in error.value.__notes__
        assert [copy.n_steps for copy in sim.copies] == [50, 10, 50]


def test_others_go_on_without_a_copy_that_fails():
    network = broken()
    functions = [failing(i) for i in range(3)]
    sim = spikeloom.BatchSimulator(
        network,
        vary={"node.output": functions, "ens.tau_rc": [0.02, 0.03, -1]},
        keep_going=True,
        progress_bar=False,
    )
    assert sim.copies[2] is None and "ens.tau_rc = -1" in str(sim.failed[2])
    sim.run_steps(50)
    assert "out of order" in str(sim.failed[1])
    sim.run_steps(50)
    assert sim.data[network.probe].shape == (1, 100, 10)
    network.nodes[0].output = failing(0)
    with spikeloom.Simulator(network, progress_bar=False) as single:
        single.run_steps(100)
    assert np.array_equal(sim.data[network.probe][0], single.data[network.probe])


class Endless(nengo.Process):
    """Leaves all bounds after 10 ms."""

    def make_step(self, shape_in, shape_out, dt, rng, state):
        return lambda t: np.full(shape_out, 1.0 if t < 0.01 else np.inf)


def test_errors_of_one_line_name_the_copy():
    network = broken()
    values = [nengo.processes.WhiteSignal(1, high=5), Endless(default_size_in=0)]
    with (
        spikeloom.Simulator(network, vary={"node.output": values}, progress_bar=False) as sim,
        pytest.raises(InputError, match=r"^copy 1: node: the chip is given a value"),
    ):
        sim.run_steps(50)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"batch": 0}, "a batch of 0 copies"),
        ({"batch": 2.5}, "a batch of 2.5 copies"),
        ({"batch": 2, "engine": "board"}, "a board runs one copy at a time"),
        ({"batch": 2, "engine": "abacus"}, "no engine is named 'abacus'"),
    ],
)
def test_what_is_no_batch(options, message):
    with pytest.raises(InputError, match=message):
        spikeloom.Simulator(broken(), progress_bar=False, **options)


def test_lists_of_something_else():
    with pytest.raises(InputError, match="a batch of no networks"):
        spikeloom.Simulator([])
    with pytest.raises(InputError, match="3 is no Nengo network"):
        spikeloom.Simulator([broken(), 3])
    with pytest.raises(InputError, match="2 networks for a batch of 3"):
        spikeloom.Simulator([broken(), broken()], batch=3)
    with pytest.raises(InputError, match="not from a model"):
        spikeloom.Simulator(None, model=nengo.builder.Model(), batch=2)
    others = spikeloom.Simulator([broken(), random_network(1)[0]], progress_bar=False)
    with pytest.raises(InputError, match="has no counterpart in copy 1"):
        others.data[others.networks[0].probe]


def learning(rate):
    with nengo.Network(seed=1) as network:
        stimulus = nengo.Node(np.sin, label="stimulus")
        pre = nengo.Ensemble(30, 1, label="pre")
        post = nengo.Ensemble(30, 1, label="post")
        nengo.Connection(stimulus, pre)
        learned = nengo.Connection(pre, post, learning_rule_type=nengo.PES(rate), label="learned")
        nengo.Connection(stimulus, learned.learning_rule)
        network.probe = nengo.Probe(post, synapse=0.03)
    return network


def test_rates_share_weights_and_differ_in_registers():
    """Copies that differ in a learning rate: tables as they would be built, weights only once."""
    rates = [1e-4, 2e-4, 3e-4, 5e-4, 5e-4, 1e-3]
    vary, network = {"learned.learning_rate": rates}, learning(1e-4)
    with spikeloom.Simulator(network, vary=vary, progress_bar=False) as sim:
        sim.run_steps(300)
        programs = [copy.program for copy in sim.copies]
        engines = [copy.chip.engine for copy in sim.copies]
        for number, rate in enumerate(rates):
            with spikeloom.Simulator(learning(rate), progress_bar=False) as alone:
                alone.run_steps(300)
                for name, value in vars(programs[number]).items():
                    if name not in ("name", "phases"):
                        assert same(value, getattr(alone.program, name)) or repr(value) == repr(
                            getattr(alone.program, name)
                        )
                table, expected = engines[number]._table, alone.chip.engine._table
                for name, value in vars(table).items():
                    if name not in ("populations", "learned"):
                        assert same(value, getattr(expected, name)), name
                data = alone.data[alone._conversion.placement.model.probes[0]]
            assert np.array_equal(sim.data[network.probe][number], data)
    assert programs[3] is programs[4]
    assert len({id(p.weight) for p in programs[1:]}) == 1
    assert len({id(engine._table.weight) for engine in engines[1:]}) == 1
    assert len({id(engine._table.parameters) for engine in engines}) == 5


@pytest.mark.parametrize("seed", range(3))
def test_registers_of_random_networks(seed):
    """An engine with other registers has the table that would be built for them."""
    graph = graph_of(random_learning_network(seed))
    kernels, template = kernels_of(graph), Template(graph, Machine())
    engine = NativeEngine(template.program)
    *others, rule = kernels
    shared = 0
    for name, value in rule.values.items():
        try:
            changed = type(rule)(**{**rule.values, name: value * 1.01})
        except SpikeloomError:
            continue
        program = template.variant([*others, changed])
        if program is not None:
            one, other = engine.twin(program), NativeEngine(program)
            shared += one._table.weight is engine._table.weight
            for field, content in vars(one._table).items():
                if field not in ("populations", "learned"):
                    assert same(content, vars(other._table)[field]), field
    assert shared


def test_registers_that_were_equal_and_are_not():
    """Two populations had one place for their parameters: with other ones each needs its own."""
    program, _ = program_with_taus(0.02, 0.02)
    engine = NativeEngine(program)
    for taus in ((0.03, 0.03), (0.03, 0.04)):
        _, phases = program_with_taus(*taus)
        other = replace(program, phases=phases)
        shared = engine.twin(other)
        assert (shared._table.weight is engine._table.weight) is (taus[0] == taus[1])
        alone = create_engine("golden", other)
        inputs = {n: np.full((50, p.size), 1 << 14) for n, p in program.inputs.items()}
        found, expected = (e.run(50, inputs, list(program.outputs)) for e in (shared, alone))
        assert all(np.array_equal(found[n], expected[n]) for n in expected)
    assert engine.twin(lower(graph_of(learning(1e-4)), Machine()))._table is not engine._table


def program_with_taus(*taus):
    """Of neurons that are built alike: Nengo's gains would follow the time constants."""
    with nengo.Network(seed=1) as network:
        a, b = nengo.Ensemble(10, 1, label="a"), nengo.Ensemble(10, 1, label="b")
        nengo.Connection(nengo.Node(np.sin, label="stimulus"), a)
        nengo.Connection(a, b)
        nengo.Probe(b.neurons)
    graph = graph_of(network)
    program = lower(graph, Machine())
    (kernel, *_) = (k for k in kernels_of(graph) if hasattr(k, "tau_rc"))
    left = iter(taus)
    phases = [
        [
            replace(
                i,
                parameters=type(kernel)(**{**kernel.values, "tau_rc": next(left)}).registers(
                    0.001, Machine()
                ),
            )
            if isinstance(i, Map) and i.kernel == "LIF"
            else i
            for i in phase
        ]
        for phase in program.phases
    ]
    assert not list(left)
    return replace(program, phases=phases), phases

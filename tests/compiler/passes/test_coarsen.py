import nengo
import numpy as np
import pytest
import scipy.sparse as sp

from spikeloom.compiler.compile import compile_graph
from spikeloom.compiler.errors import InputError
from spikeloom.compiler.frontends.nengo import convert
from spikeloom.compiler.machine import Machine
from spikeloom.compiler.passes.coarsen import WeightBits, layer_names, rounded


@pytest.mark.parametrize("bits", [2, 4, 7, 12])
def test_rounded_weights_are_integers_of_so_many_bits(bits):
    rng = np.random.default_rng(bits)
    matrix = rng.normal(size=(30, 40)) * rng.choice([0.01, 3.0])
    found = rounded(matrix, bits)
    steps = np.abs(found[found != 0])
    unit = 2.0 ** np.floor(np.log2(steps.min()))
    while not np.all(found / unit == np.rint(found / unit)):
        unit /= 2
    largest = np.abs(found).max() / unit
    assert largest <= 2 ** (bits - 1) - 1
    # The scale is the finest: twice as fine, and the largest weight would not fit.
    assert np.rint(np.abs(matrix).max() / unit * 2) > 2 ** (bits - 1) - 1
    assert np.abs(found - matrix).max() <= unit / 2
    assert found.min() < 0 < found.max()
    some = np.where(matrix > matrix.max() / 8, matrix, 0)
    sparse = rounded(sp.csr_array(some), bits)
    np.testing.assert_array_equal(sparse.toarray(), rounded(some, bits))


def test_tables_of_one_magnitude_are_left_alone():
    matrix = 0.0952 * np.eye(5)
    assert rounded(matrix, 4) is matrix
    assert rounded(-matrix, 4).max() == 0
    mixed = matrix + np.eye(5, k=1)
    assert np.abs(rounded(mixed, 4) - mixed).max() > 0.001
    empty = sp.csr_array((3, 3))
    assert rounded(empty, 4) is empty


@pytest.fixture(scope="module")
def graph():
    rng = np.random.default_rng(0)
    with nengo.Network(seed=1) as net:
        image = nengo.Node(nengo.processes.PresentInput(rng.uniform(size=(2, 6)), 0.1), label="in")
        hidden = nengo.Ensemble(20, 1, gain=np.ones(20), bias=np.zeros(20), label="hidden")
        out = nengo.Node(size_in=3, label="out")
        nengo.Connection(image, hidden.neurons, transform=rng.normal(size=(20, 6)), synapse=None)
        nengo.Connection(hidden.neurons, out, transform=rng.normal(size=(3, 20)), synapse=0.01)
        nengo.Probe(out)
    model = nengo.builder.Model(dt=0.001)
    model.build(net)
    return convert(model).graph


def used_bits(compilation, target):
    """Bits of the weights into a node: of their integers without the zeros at their ends."""
    (edge,) = (e for _, _, e in compilation.graphs["group"].edges_into(target))
    matrix = edge.matrix.toarray() if sp.issparse(edge.matrix) else edge.matrix
    integers = np.rint(np.abs(matrix) * 2.0**40).astype(np.int64).ravel()
    low = min(int(i & -i).bit_length() - 1 for i in integers if i)
    return (int(integers.max()) >> low).bit_length() + 1


def test_bits_by_layer(graph):
    names = list(compile_graph(graph).graphs["group"].nx)
    synapse = next(n for n in names if n.endswith(".synapse"))
    found = compile_graph(graph, weight_bits=WeightBits(6))
    assert used_bits(found, "hidden") <= 6
    assert used_bits(found, synapse) <= 6
    found = compile_graph(graph, weight_bits=WeightBits(None, {"hidden": 5}))
    assert used_bits(found, "hidden") <= 5
    assert used_bits(found, synapse) > 18
    for name in ("out", "hidden -> out"):
        found = compile_graph(graph, weight_bits=WeightBits(12, {name: 4}))
        assert 4 < used_bits(found, "hidden") <= 12
        assert used_bits(found, synapse) <= 4


def test_what_is_stored_is_what_was_rounded(graph):
    program = compile_graph(graph, weight_bits=WeightBits(5)).program
    whole = compile_graph(graph).program
    assert program.weight.shape == whole.weight.shape
    assert 1 < len(np.unique(program.weight)) < len(np.unique(whole.weight))
    assert program.machine.weight_bits == 18


def test_names_lead_to_neurons(graph):
    final = compile_graph(graph).graphs["group"]
    assert "hidden" in layer_names(final, "hidden")
    assert "in" not in layer_names(final, "hidden")
    assert "hidden" not in layer_names(final, next(n for n in final.nx if n.endswith(".synapse")))


@pytest.mark.parametrize("bits", [1, 19])
def test_bits_that_weights_cannot_have(graph, bits):
    with pytest.raises(InputError, match=f"weights of {bits} bits: must be 2 to 18"):
        compile_graph(graph, weight_bits=WeightBits(bits))
    with pytest.raises(InputError, match="must be 2 to 18"):
        WeightBits(8, {"hidden": bits}).check(Machine())


def test_unknown_layers(graph):
    with pytest.raises(InputError, match="bits of 'hiden': no layer has that name; there are: hid"):
        compile_graph(graph, weight_bits=WeightBits(8, {"hiden": 4}))

"""Random NIR graphs: imported, exported and in fixed point, against a plain interpreter of NIR."""

import numpy as np
import pytest
from nir_graphs import outputs
from numpy.testing import assert_allclose
from random_nir import DT, interpret, random_graph

from spikeloom.compiler.frontends.nir.export import export_nir
from spikeloom.compiler.frontends.nir.network import import_nir

STEPS = 40
SEEDS = range(30)


def data(seed, shape):
    return np.random.default_rng(seed).random((STEPS, *shape)) * 2 - 0.3


@pytest.mark.parametrize("seed", SEEDS)
def test_import_does_what_the_interpreter_does(seed):
    made, shape = random_graph(seed)
    given = data(seed, shape)
    wanted, found = interpret(made, given), outputs(made, given)
    assert found.keys() == wanted.keys()
    for name, values in wanted.items():
        assert_allclose(found[name], values, atol=1e-9 * max(1, np.abs(values).max()))


def test_the_graphs_do_something():
    share, kinds = [], set()
    for seed in SEEDS:
        made, shape = random_graph(seed)
        kinds |= {type(node).__name__ for node in made.nodes.values()}
        share += [np.mean(v != 0) for v in interpret(made, data(seed, shape)).values()]
    assert np.mean(np.array(share) > 0.01) > 0.8
    assert len(kinds) >= 17


@pytest.mark.parametrize("seed", SEEDS[:12])
def test_what_is_exported_comes_back(seed):
    made, shape = random_graph(seed)
    given = data(seed, shape)
    first = import_nir(made, dt=DT)
    wanted = outputs(first, given)
    again = export_nir(first, dt=DT)
    found = outputs(again, given.reshape(STEPS, -1))
    for name, values in wanted.items():
        assert_allclose(found[name], values, atol=1e-8 * max(1, np.abs(values).max()))


@pytest.mark.parametrize("seed", SEEDS[:4])
def test_native_equals_golden(seed):
    made, shape = random_graph(seed)
    given = data(seed, shape)
    native, golden = (outputs(made, given, engine) for engine in ("native", "golden"))
    for name, values in golden.items():
        assert_allclose(native[name], values, rtol=0, atol=0)

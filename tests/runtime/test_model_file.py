from pathlib import Path

import nengo
import numpy as np
import pytest

from spikeloom.compiler.errors import ModelError
from spikeloom.runtime.model_file import load_network, time_step

NETWORK = "import nengo\nmodel = nengo.Network(seed=1)\n"


@pytest.fixture
def write(tmp_path):
    def write(text, name="net.py"):
        (tmp_path / name).write_text(text)
        return str(tmp_path / name)

    return write


def test_the_variable_model_by_default(write):
    network, name = load_network(write(NETWORK + "other = nengo.Network()\n"))
    assert isinstance(network, nengo.Network)
    assert (network.seed, name) == (1, "net")


def test_a_name_behind_a_colon(write):
    path = write(NETWORK + "other = nengo.Network(label='second', seed=2)\n")
    network, name = load_network(f"{path}:other")
    assert (network.seed, name) == (2, "second")


def test_the_only_network_whatever_its_name(write):
    assert load_network(write("import nengo\nnet = nengo.Network(seed=3)\n"))[0].seed == 3


def test_the_file_may_import_its_neighbours_and_is_no_script(write):
    write("import nengo\nSEED = 4\n", "neighbour_of_net.py")
    text = "import nengo, neighbour_of_net\nmodel = nengo.Network(seed=neighbour_of_net.SEED)\n"
    text += "if __name__ == '__main__':\n    raise RuntimeError\n"
    assert load_network(write(text))[0].seed == 4


@pytest.mark.parametrize(
    ("text", "name", "message"),
    [
        ("x = 1\n", "", "defines no nengo.Network; assign one to the variable 'model'"),
        (
            "import nengo\na = nengo.Network()\nb = nengo.Network()\n",
            "",
            "several networks (a, b); choose one",
        ),
        (NETWORK, ":net", "net is not defined, not a nengo.Network; networks in it: model"),
        (NETWORK + "x = 1\n", ":x", "x is a int, not a nengo.Network; networks in it: model"),
        ("import nengo\n\nx = 1 / 0\n", "", "net.py:3: running it failed with ZeroDivisionError"),
        ("model = (\n", "", "net.py:1: running it failed with SyntaxError"),
        (
            "import no_such_module_here\n",
            "",
            "net.py:1: running it failed with ModuleNotFoundError",
        ),
        ("import sys\nsys.exit(3)\n", "", "it ended Python (SystemExit: 3)"),
    ],
)
def test_files_that_will_not_do(write, text, name, message):
    with pytest.raises(ModelError) as e:
        load_network(write(text) + name)
    assert message in str(e.value)
    assert "\n" not in str(e.value)


def test_no_such_file(tmp_path):
    with pytest.raises(ModelError, match="no such file"):
        load_network(str(tmp_path / "nothing.py"))
    with pytest.raises(ModelError, match="no such file"):
        load_network(str(tmp_path / "nothing.py:model"))
    with pytest.raises(ModelError, match="no such file"):
        load_network(str(tmp_path))
    (tmp_path / "net.txt").write_text("x")
    with pytest.raises(ModelError, match="not a Python file"):
        load_network(str(tmp_path / "net.txt"))


NIR = Path(__file__).parents[1] / "fixtures" / "nir" / "feedforward.nir"


def test_nir_files_with_choices():
    network, name = load_network(f"{NIR}:dt=1e-4,reset=late-subtract,method=exponential")
    assert name == "feedforward"
    first, second = network.ensembles
    assert type(first.neuron_type).__name__ == "VariedStepLIFLateSubtract"
    assert second.neuron_type.leak == pytest.approx(1 - np.exp(-0.1))
    assert load_network(str(NIR), 5e-5)[0].ensembles[1].neuron_type.time_step == 5e-5
    assert time_step(f"{NIR}:dt=1e-4", None) == 1e-4
    assert time_step(f"{NIR}:dt=1e-4", 2e-4) == 2e-4
    assert time_step("model.py", None) == 1e-3


@pytest.mark.parametrize("choice", ["resets=nir", "reset", "reset=", "dt"])
def test_nir_files_with_choices_that_there_are_not(choice):
    reference = f"{NIR}:{choice}"
    for ask in (load_network, time_step):
        with pytest.raises(ModelError, match=r"choose by dt, method, reset, as in .*:reset=sub"):
            ask(reference, None)

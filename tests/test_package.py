import subprocess
import sys

import pytest

import spikeloom


def run_python(code):
    """Run `code` in a fresh interpreter and return what it prints."""
    return subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd="/"
    ).stdout


def test_every_public_name_exists():
    for name in spikeloom.__all__:
        assert getattr(spikeloom, name) is not None
    assert set(spikeloom.__all__) <= set(dir(spikeloom))


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'Simulater'"):
        _ = spikeloom.Simulater


def test_import_is_light():
    heavy = run_python(
        "import sys, spikeloom; print(*{'nengo', 'numpy', 'scipy', 'networkx'} & set(sys.modules))"
    )
    assert heavy.split() == []


def test_programs_load_without_nengo():
    loaded = run_python(
        "import sys, spikeloom; spikeloom.load_program, spikeloom.Program; "
        "print('nengo' in sys.modules)"
    )
    assert loaded.strip() == "False"

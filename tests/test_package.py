import subprocess
import sys
import tomllib
from pathlib import Path

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


def test_import_takes_less_than_half_a_second():
    code = "import time; b = time.perf_counter(); import spikeloom; print(time.perf_counter() - b)"
    assert min(float(run_python(code)) for _ in range(3)) < 0.5


def test_all_folders_with_code_are_packaged():
    root = Path(spikeloom.__file__).parent
    with open(root / "pyproject.toml", "rb") as file:
        listed = tomllib.load(file)["tool"]["setuptools"]["packages"]
    top = ("boards", "compiler", "hdl", "runtime", "sim")
    found = {"spikeloom"} | {
        ".".join(("spikeloom", *path.parent.relative_to(root).parts))
        for name in top
        for path in (root / name).rglob("*.py")
    }
    assert found == set(listed)
    for name in top:
        for path in (root / name).rglob("*.py"):
            assert (path.parent / "__init__.py").is_file(), path

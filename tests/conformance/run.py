"""Run Nengo's own backend suite with `spikeloom.Simulator`, and count where the work was done.

python tests/conformance/run.py [options of pytest]
"""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

HERE = Path(__file__).resolve().parent


def command(*options):
    """The command line of the run.

    Tests draw their seeds from their names: with the folder above Nengo as pytest's root they have
    the names, and so the seeds, that they have in Nengo's own repository, wherever they lie.
    """
    above_nengo = Path(find_spec("nengo").submodule_search_locations[0]).parent
    return [
        *(sys.executable, "-m", "pytest", "-c", str(HERE / "nengo_suite.ini"), "-p", "workcount"),
        *("-p", "no:cacheprovider", f"--rootdir={above_nengo}", "--unsupported"),
        *("--pyargs", "nengo"),
        *options,
    ]


def environment():
    """Environment in which the plugin beside this file can be imported."""
    paths = [str(HERE), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in paths if p)}


if __name__ == "__main__":
    sys.exit(subprocess.run(command(*sys.argv[1:]), env=environment()).returncode)

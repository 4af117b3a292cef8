"""Run Nengo's own backend suite with `spikeloom.Simulator`, and count where the work was done.

python tests/conformance/run.py [options of pytest]
"""

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent


def command(*options):
    """The command line of the run."""
    return [
        *(sys.executable, "-m", "pytest", "-c", str(HERE / "pytest.ini"), "-p", "workcount"),
        *("-p", "no:cacheprovider", "--pyargs", "nengo", *options),
    ]


def environment():
    """Environment in which the plugin beside this file can be imported."""
    paths = [str(HERE), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in paths if p)}


if __name__ == "__main__":
    sys.exit(subprocess.run(command(*sys.argv[1:]), env=environment()).returncode)

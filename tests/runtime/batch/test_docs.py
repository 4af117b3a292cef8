"""The examples of docs/batches.md run."""

import re
from pathlib import Path

import numpy as np

import spikeloom

PAGE = (Path(spikeloom.__file__).parent / "docs" / "batches.md").read_text()


def test_examples_run(capsys):
    variables = {}
    for code in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
        exec(compile(code, "batches.md", "exec"), variables)
    said = capsys.readouterr().out
    assert "(4, 500, 1)" in said and "(4, 1, 50)" in said
    shown = variables["sim"].data[variables["output"]]
    assert shown.shape == (5, 100, 1)
    learned = variables["sim"].learned(variables["learned"])
    assert len(np.unique(learned[:, 0, 0])) == 5
    assert callable(variables["stimulus"].output), "the user's network was changed"

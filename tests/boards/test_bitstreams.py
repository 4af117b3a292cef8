"""Both boards get a placed and routed bitstream that meets the board's clock."""

import json

import pytest

from spikeloom.boards import get
from spikeloom.boards.build import build_shape, deliver
from spikeloom.compiler.kernels.filters import Lowpass
from spikeloom.compiler.kernels.neurons import LIF, Relay

pytestmark = [pytest.mark.hardware, pytest.mark.slow]


@pytest.mark.parametrize("name", ["ulx3s-85f", "icebreaker"])
def test_bitstream(name, tmp_path):
    board = get(name)
    kernels = [kernel.code(board.machine) for kernel in (LIF, Lowpass, Relay)]
    built = build_shape(board.shape(kernels), board)
    assert built.routed.met
    assert built.routed.wanted_mhz == board.clock_hz / 1e6
    assert all(used <= there for used, there in built.routed.utilisation.values())
    deliver(built, tmp_path)
    bitstream = (tmp_path / board.bitstream).read_bytes()
    assert len(bitstream) > 50_000
    said = json.loads((tmp_path / "hardware.json").read_text())
    assert said["board"] == name and said["routed"]["met"]
    assert said["fingerprint"] == built.shape.fingerprint()
    assert sorted(file.suffix for file in (tmp_path / "rtl").iterdir()) == [".v"] * len(
        list((tmp_path / "rtl").iterdir())
    )
    # The second time it comes out of the cache.
    again = build_shape(board.shape(kernels), board)
    assert again.folder == built.folder and again.data == built.data

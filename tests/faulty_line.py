"""A line to simulated hardware that damages what goes over it, for tests of the link."""

from __future__ import annotations

from collections import Counter

import numpy as np

from spikeloom.compiler.shape import Shape
from spikeloom.runtime.hardware import generate_linked
from spikeloom.sim.rtl.linked import VerilatedStream

CLOCK_HZ = 24_000_000
FAULTS = ("flip", "drop", "insert", "cut", "lose", "repeat", "late")


def stream(shape: Shape) -> VerilatedStream:
    """Hardware of this shape, driven in bytes."""
    return VerilatedStream(*generate_linked(shape, CLOCK_HZ))


class FaultyLine:
    """A port on hardware in simulation.

    Parameters
    ----------
    hardware : VerilatedStream
    seed : int
    rate : float
        How often what is sent, either way, suffers one of `FAULTS`.
    stall : int
        In that many of 256 clock cycles either side holds the stream up, in half of the exchanges.

    Attributes
    ----------
    done : Counter
        How often each fault happened.
    """

    name = "the faulty line"

    def __init__(
        self, hardware: VerilatedStream, seed: int = 0, rate: float = 0.0, stall: int = 0
    ) -> None:
        self.hardware = hardware
        self.rng = np.random.default_rng(seed)
        self.rate = rate
        self.stall = stall
        self.done: Counter[str] = Counter()
        self._arriving: list[bytes] = []
        self._late = b""
        hardware.seed(seed + 1)

    def write(self, data: bytes) -> None:
        stalls = self.stall if self.rng.random() < 0.5 else 0
        self.done["stall"] += bool(stalls)
        reply = self.hardware.exchange(self._transmit(data), stalls)
        late, self._late = self._late, b""
        self._arriving.append(late)
        reply = self._transmit(reply, answer=True)
        split = int(self.rng.integers(len(reply) + 1))
        self._arriving += [reply[:split], reply[split:]]

    def read(self, timeout: float) -> bytes:
        while self._arriving:
            data = self._arriving.pop(0)
            if data:
                return data
        return b""

    def close(self) -> None:
        pass

    def _transmit(self, data: bytes, answer: bool = False) -> bytes:
        """What arrives of `data`."""
        if not data or self.rng.random() >= self.rate:
            return data
        rng = self.rng
        fault = FAULTS[rng.integers(len(FAULTS) - (not answer))]
        self.done[fault] += 1
        damaged = bytearray(data)
        place = int(rng.integers(len(data)))
        if fault == "flip":
            for _ in range(rng.integers(1, 4)):
                damaged[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))
        elif fault == "drop":
            del damaged[place : place + int(rng.integers(1, 6))]
        elif fault == "insert":
            damaged[place:place] = rng.bytes(int(rng.integers(1, 6)))
        elif fault == "cut":
            del damaged[place:]
        elif fault == "lose":
            damaged.clear()
        elif fault == "repeat":
            damaged += data
        else:  # after the host has given up waiting for it
            self._late = data
            damaged.clear()
        return bytes(damaged)

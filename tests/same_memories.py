"""Two engines that did the same have the same in all memories."""

import numpy as np

from spikeloom.sim.check import MEMORIES


def assert_same_memories(a, b, what=""):
    """All memories and counters of saturations are equal; `what` says of what."""
    for name in MEMORIES:
        different = np.argwhere(a.memory(name) != b.memory(name))
        assert not len(different), f"{what}: memory {name} differs at {different[:5].tolist()}"
    assert a.saturations() == b.saturations(), what

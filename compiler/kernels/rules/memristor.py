"""Memristors as weights."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..expression import (
    clip,
    maximum,
    minimum,
    rounded,
    scale,
    scaled,
    select,
    table,
)
from ..parametrised import Parameter
from ..rule import Error, Pre, Rule, Synapse

LARGEST = 1 - 2**-10
"""Largest normalised conductance: tables over it have 1024 entries."""

LARGEST_RISE = 0.125
"""Of a normalised conductance by one pulse; reached by no device of more than 4096 pulses."""


class MPES(Rule):
    """Memristive PES: each weight is a pair of devices, pulsed by the sign of the error.

    The devices follow the bidirectional power law: a positive pulse moves the resistance R by
    ``r_max a n**(a-1)`` with ``n = ((R - r_min) / r_max)**(1/a)``, a negative one by
    ``-r_3 c n**(c-1)`` with ``n = ((r_3 - R) / r_3)**(1/c)`` (Tiotto, Goossens, Borst, Banerjee and
    Taatgen 2021; the numbers are those of Nb-doped SrTiO3). Where the pre neuron fires and the
    error is larger than `dead_zone`, one device gets a positive and the other a negative pulse, so
    that the weight moves against the error.

    What is stored of a device is its conductance 1/R, normalised so that the resistance before the
    first pulse is 0 and the one after `pulses` positive pulses is 1. R itself spans six decades of
    which the pulses reach less than one, and the weight is the difference of conductances: stored
    like this it is read without a table, a pulse moves it even where it is smallest, and 28 bits
    resolve all of it evenly. The weight is `gain` times the difference; it begins as the
    connection's transform says.
    """

    modifies = "decoders"
    gain = Parameter(low=1e-12, default=1e-3)
    dead_zone = Parameter(low=1e-3, default=1e-2)
    r_min = Parameter(low=1, default=200.0, unit="ohm")
    r_max = Parameter(low=1, default=2.3e8, unit="ohm")
    r_3 = Parameter(low=1, default=2.5e8, unit="ohm")
    a = Parameter(low=-0.9, high=-0.01, default=-0.146)
    c = Parameter(low=-0.9, high=-0.01, default=-0.146)
    pulses = Parameter(low=4096, default=65536.0)
    pre_spike = Pre("spike")
    error = Error()
    plus = Synapse(range=(0, LARGEST), fraction=28, initial=(0.2, 0.25))
    minus = Synapse(range=(0, LARGEST), fraction=28, initial=(0.2, 0.25))

    def step(self, now: Any, dt: Any) -> dict[str, Any]:
        """One step of one pair; of the two devices `up` gets the positive pulse."""
        pulse = now.pre_spike & (scale(abs(now.error), scaled(1 / self.dead_zone, bound=16), 6) > 1)
        raising = now.error < 0
        up = select(raising, now.plus, now.minus)
        down = select(raising, now.minus, now.plus)
        rise = table(self.risen, rounded(up, 10), (0, LARGEST_RISE), 20)
        fall = table(self.fallen, rounded(down, 10), (-1, 0), 20)
        rise, fall = minimum(rise, LARGEST - up), maximum(fall, -down)
        plus = clip(now.plus + select(raising, rise, fall), 0, LARGEST)
        minus = clip(now.minus + select(raising, fall, rise), 0, LARGEST)
        change = self.read(now, raising, rise, fall) * scaled(self.gain)
        return {
            "weight": select(pulse, now.weight + change, now.weight),
            "plus": select(pulse, plus, now.plus),
            "minus": select(pulse, minus, now.minus),
        }

    def read(self, now: Any, raising: Any, rise: Any, fall: Any) -> Any:
        """The change of the difference; plus rises and minus falls, if not `raising` vice versa."""
        return select(raising, rise - fall, fall - rise)

    def risen(self, g: Any) -> Any:
        """Change of the normalised conductance `g` by a positive pulse."""
        r = self.resistance(g)
        y = np.maximum((r - self.r_min) / self.r_max, 0)
        r = r + self.r_max * self.a * np.power(y, (self.a - 1) / self.a)
        return np.minimum(np.maximum(self.conductance(r) - g, 0), LARGEST_RISE)

    def fallen(self, g: Any) -> Any:
        """Change of the normalised conductance `g` by a negative pulse."""
        r = self.resistance(g)
        y = np.maximum((self.r_3 - r) / self.r_3, 0)
        r = r - self.r_3 * self.c * np.power(y, (self.c - 1) / self.c)
        return np.minimum(np.maximum(self.conductance(r) - g, -1), 0)

    def ends(self) -> tuple[Any, Any]:
        """Conductances that are 0 and 1 normalised: before any and after `pulses` pulses."""
        last = self.r_min + self.r_max * np.power(self.pulses, self.a)
        return 1 / (self.r_min + self.r_max), 1 / last

    def resistance(self, g: Any) -> Any:
        """Ohms of a normalised conductance."""
        zero, one = self.ends()
        return 1 / (zero + g * (one - zero))

    def conductance(self, r: Any) -> Any:
        """Normalised conductance of a resistance in ohms."""
        zero, one = self.ends()
        return (1 / np.maximum(r, self.r_min) - zero) / (one - zero)


class VariedMPES(MPES):
    """`MPES` with devices that differ: each one's conductances are its own factor times nominal.

    Factors are drawn evenly between 1 - `spread` and 1 + `spread`, once for each device, and kept
    as constant states of the synapse.
    """

    spread = Parameter(low=0, high=0.9, default=0.2)
    plus_device = Synapse(range=(-1, 1), fraction=16, initial=(-1, 1))
    minus_device = Synapse(range=(-1, 1), fraction=16, initial=(-1, 1))

    def read(self, now: Any, raising: Any, rise: Any, fall: Any) -> Any:
        """The change of the difference, each device's times its factor.

        Which device it is, and the sign, go to the factors, for these are at hand early.
        """
        spread = scaled(self.spread, bound=2**-11)
        plus, minus = (scale(x, spread, 15) for x in (now.plus_device, now.minus_device))
        rising, falling = select(raising, plus, -minus), select(raising, minus, -plus)
        more = rounded(rise, 16) * rising - rounded(fall, 16) * falling
        return super().read(now, raising, rise, fall) + more

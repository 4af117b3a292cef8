"""Advice: what a trained network does that costs it accuracy or time, and what helps.

Each rule looks at what was measured and gives at most one piece of advice for each thing that it
finds wanting. A network in order gets none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from .measured import Measured

FEW_SPIKES = 3.0
"""Spikes in a presentation below which a rate is told badly: one more or less is a third."""

MOST_SILENT = 0.7
"""Of the neurons of a layer, so many may fire less than that: a sparse code is no fault."""

NEAR_LIMIT = 0.8
"""Of ``1 / tau_ref``: from there on, more current hardly makes more spikes."""

MOST_SATURATED = 0.05
"""So many of a layer's neurons may be there."""

LARGEST_ERROR = 0.01
"""Rounding error of a neuron's weights, relative to them: that of about seven bits."""

MOST_COARSE = 0.05
"""So many of the neurons behind a table may have larger errors."""

FAR = 20.0
"""Amplitude times largest rate should be within this factor of 1."""

TIME_CONSTANTS = 3.0
"""A presentation should last so many time constants of the slowest synapse."""

STILL_RISING = 0.01
"""Accuracy that a curve still gains over its last quarter."""

LARGE_PIXEL, MOSTLY_RIGHT = 64.0, 0.5
"""Images with such values, and fewer right answers than this, look like bytes left unscaled."""

DOMINANT = 0.75
"""Share of the clock cycles of one part that is worth a word ..."""

MANY_CYCLES = 10_000
"""... in a step of at least so many cycles."""


@dataclass(frozen=True)
class Advice:
    """A finding, its number, and what to do.

    Attributes
    ----------
    rule : str
        Which rule gave it: a key of `RULES`, ``"rising"`` or ``"unscaled"``.
    subject : str
        The layer, connection or table.
    what : str
        What was found, with its number.
    number : float
    remedy : str
    """

    rule: str
    subject: str
    what: str
    number: float
    remedy: str

    def __str__(self) -> str:
        return f"{self.subject}: {self.what}; {self.remedy}"

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return asdict(self)


def silent(m: Measured) -> Iterator[Advice]:
    """Layers most of whose neurons fire less than a few times in a presentation."""
    span = m.seconds if m.presentation is None else min(m.presentation, m.seconds)
    for layer in m.layers:
        share = float(np.mean(layer.rates * span < FEW_SPIKES))
        if share > MOST_SILENT and not layer.learns:
            yield Advice(
                "silent",
                layer.name,
                f"{100 * share:.0f} % of its {len(layer.rates)} neurons fire fewer than "
                f"{FEW_SPIKES:.0f} times in {span:g} s (mean rate {layer.rates.mean():.3g} Hz)",
                share,
                "raise the rates (scale_firing_rates, or gains and biases times a factor and the "
                "amplitude divided by it), show each input for longer, or train again with a "
                "regulariser that holds rates near 50 to 100 Hz",
            )


def saturated(m: Measured) -> Iterator[Advice]:
    """Layers with neurons near the highest rate that their refractory period allows."""
    for layer in m.layers:
        if layer.tau_ref is None:
            continue
        limit = 1 / layer.tau_ref
        share = float(np.mean(layer.rates > NEAR_LIMIT * limit))
        if share > MOST_SATURATED:
            yield Advice(
                "saturated",
                layer.name,
                f"{100 * share:.0f} % of its {len(layer.rates)} neurons fire at more than "
                f"{100 * NEAR_LIMIT:.0f} % of 1/tau_ref = {limit:.4g} Hz (largest "
                f"{layer.rates.max():.4g} Hz)",
                share,
                "lower the rates (a smaller scale_firing_rates, smaller gains), train again with a "
                "regulariser on rates, or shorten tau_ref",
            )


def coarse(m: Measured) -> Iterator[Advice]:
    """Tables whose weights lost their bits to a large one beside them, or were clipped."""
    for table in m.tables:
        share = float(np.mean(table.errors > LARGEST_ERROR)) if len(table.errors) else 0.0
        if share > MOST_COARSE:
            ratio = float(np.abs(table.floats).max() / np.median(np.abs(table.floats)))
            yield Advice(
                "coarse",
                f"weights {table.source} -> {table.target}",
                f"for {100 * share:.0f} % of its {len(table.errors)} targets rounding is more than "
                f"{100 * LARGEST_ERROR:.0f} % of their weights ({100 * table.errors.max():.3g} % "
                f"at most); {table.lost} of {len(table.floats)} weights became 0 (the largest has "
                f"{table.bits} bits and is {ratio:.3g} times the median)",
                share,
                "give more bits (--weight-bits, a machine with wider weights), split off what "
                "shares its scale and is much larger, or train again with weight decay",
            )
        elif table.clipped:
            yield Advice(
                "coarse",
                f"weights {table.source} -> {table.target}",
                f"{table.clipped} of {len(table.floats)} weights are larger than the largest "
                "integer",
                float(table.clipped),
                "scale the weights of this layer down and the amplitude before it up",
            )


def amplitude(m: Measured) -> Iterator[Advice]:
    """Layers that put out far more or less than 1 at their largest rate."""
    for layer in m.layers:
        if not layer.raw:
            continue  # decoders were solved for what its neurons put out
        largest = float(layer.rates.max(initial=0.0))
        output = abs(layer.amplitude) * largest
        if largest and not 1 / FAR <= output <= FAR:
            yield Advice(
                "amplitude",
                layer.name,
                f"its amplitude is {layer.amplitude:.4g} and its largest rate {largest:.4g} Hz: "
                f"it puts out {output:.3g}, far from 1",
                output,
                f"set the amplitude to about 1 / rate = {1 / largest:.3g} (scale_firing_rates "
                "does so) and multiply the weights behind it by what that changes",
            )


def unfiltered(m: Measured) -> Iterator[Advice]:
    """Spikes that go on without a synapse."""
    for link in m.links:
        if link.synapse is None and not link.intended and not link.filtered:
            yield Advice(
                "unfiltered",
                link.name,
                f"spikes pass without a synapse: {link.spike:.4g} in one step and 0 in the others",
                link.spike,
                "give the connection a synapse, such as synapse=0.005, which averages over a few "
                "milliseconds",
            )


def short(m: Measured) -> Iterator[Advice]:
    """Presentations that end before the synapses have settled."""
    constants = {link.name: link.synapse for link in m.links if link.synapse}
    if m.presentation is None or not constants:
        return
    slowest = max(constants, key=lambda name: constants[name] or 0.0)
    tau = constants[slowest] or 0.0
    if m.presentation < TIME_CONSTANTS * tau:
        yield Advice(
            "short",
            slowest,
            f"each input is shown for {m.presentation:g} s, {m.presentation / tau:.2g} time "
            f"constants of this synapse ({tau:g} s)",
            m.presentation / tau,
            f"show each for at least {TIME_CONSTANTS * tau:g} s, or take a faster synapse; "
            "`spikeloom accuracy` prints accuracy against time",
        )


def dominant(m: Measured) -> Iterator[Advice]:
    """A part that takes most of the clock cycles of a long step."""
    total = sum(m.cycles.values())
    if total < MANY_CYCLES or len(m.cycles) < 2:
        return
    worst = max(m.cycles, key=lambda name: m.cycles[name])
    share = m.cycles[worst] / total
    if share > DOMINANT:
        yield Advice(
            "dominant",
            worst,
            f"it takes {100 * share:.0f} % of the {total:,.0f} clock cycles of a step",
            share,
            "this is where lanes (--lanes, a larger board), fewer neurons or weights set to zero "
            "help; inputs that are values are multiplied in every step, spikes only when there "
            "are some",
        )


RULES: Mapping[str, Callable[[Measured], Iterator[Advice]]] = {
    "silent": silent,
    "saturated": saturated,
    "coarse": coarse,
    "amplitude": amplitude,
    "unfiltered": unfiltered,
    "short": short,
    "dominant": dominant,
}
"""Rules by name, in the order in which their advice is given."""


def advise(m: Measured) -> list[Advice]:
    """All that there is to say."""
    return [advice for rule in RULES.values() for advice in rule(m)]


def unscaled(images: np.ndarray, accuracy: float) -> list[Advice]:
    """Advice on images that are perhaps not scaled as those of the training were.

    Parameters
    ----------
    images : (n, size) ndarray
    accuracy : float
        Share of right answers: if most are right, the scale is.
    """
    largest = float(np.abs(images).max(initial=0.0))
    if largest < LARGE_PIXEL or accuracy > MOSTLY_RIGHT:
        return []
    return [
        Advice(
            "unscaled",
            "images",
            f"their values reach {largest:g}, and {100 * accuracy:.0f} % of the answers are right",
            largest,
            "scale them as those of the training were, such as by 1/255",
        )
    ]


def rising(times: list[int], accuracy: list[float], images: int) -> list[Advice]:
    """Advice on a curve of accuracy against time that has not levelled off.

    Parameters
    ----------
    times : list of int
        Steps.
    accuracy : list of float
        Share of right answers at each.
    images : int
        How many images the shares are of: what chance makes of them is no rise.
    """
    earlier = [a for t, a in zip(times, accuracy, strict=True) if t <= 0.75 * times[-1]]
    if not earlier:
        return []
    gain, share = accuracy[-1] - earlier[-1], accuracy[-1]
    # Twice the standard deviation of a share; differences on the same images vary less than that.
    chance = 2 * float(np.sqrt(max(share * (1 - share), 0.0) / max(images, 1)))
    if gain <= max(STILL_RISING, chance):
        return []
    return [
        Advice(
            "rising",
            "presentation time",
            f"accuracy still rises by {100 * gain:.1f} points in the last quarter of "
            f"{times[-1]} steps",
            gain,
            "show each image for longer (--steps), or raise the firing rates",
        )
    ]

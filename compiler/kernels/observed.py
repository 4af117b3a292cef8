"""Observed kernels: a neuron's kernel with more states, which learning rules look at.

Filters of a neuron's own activity, its spike and copies of its states cost no cycles of their own:
they are computed in the same pass of ``MAP``, right behind the neuron.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any
from zlib import crc32

import numpy as np

from ..errors import KernelError
from ..machine import Machine
from .expression import clip, minimum, scaled
from .kernel import Input, Kernel, Parameter, State


@dataclass(frozen=True)
class Sight:
    """Something to be seen of a neuron.

    Attributes
    ----------
    of : str
        ``"spike"``, ``"activity"``, ``"constant"`` or the name of a state.
    tau : float or None
        Time constant of a filtered activity in seconds; None: not filtered.
    range, fraction :
        Format of a state or constant that is seen.
    tag : str
        Tells constants apart.
    """

    of: str
    tau: float | None = None
    range: tuple[float, float] | None = None
    fraction: int | None = None
    tag: str = ""


def observed(kernel: Kernel, sights: Sequence[Sight]) -> tuple[Kernel, dict[Sight, str]]:
    """A kernel that steps as `kernel` does, with a narrow state for each of `sights`.

    Parameters
    ----------
    kernel : Kernel
        One that emits events.
    sights : sequence of Sight

    Returns
    -------
    kernel : Kernel
        Its name says what is seen; equal sights of equal kernels give equal code.
    states : dict of Sight -> str
        Name of the state in which each is found.

    Raises
    ------
    KernelError
        If the kernel has no such state, or emits values.
    """
    if kernel.emits != "events":
        raise KernelError(f"{kernel!r} emits no events: what rules see of it needs a capture")
    unique = tuple(dict.fromkeys(sights))
    forms = tuple((s.of, s.tau is not None, s.range, s.fraction) for s in unique)
    this: Any = type(kernel)
    made = _observed_class(this, forms)
    taus = {f"seen_tau_{k}": s.tau for k, s in enumerate(unique) if s.tau is not None}
    return made(**kernel.values, **taus), {s: f"seen_{k}" for k, s in enumerate(unique)}


MOST_ACTIVITY_BITS = 3
"""An activity holds fewer than 2**3 spikes a step, even of neurons that could have more."""


def activity_bits(kernel: Kernel | type[Kernel]) -> int:
    """Bits of the largest activity, in spikes a step."""
    return min(kernel.payload_bits, MOST_ACTIVITY_BITS)


def activity_unit(kernel: Kernel) -> float:
    """What 1 of an activity's normal form is worth, in spikes a step."""
    return float(1 << activity_bits(kernel))


Form = tuple[str, bool, tuple[float, float] | None, int | None]


@cache
def _observed_class(base: Any, forms: tuple[Form, ...]) -> type[Kernel]:
    declared = base.declared(State)
    body: dict[str, Any] = {"__doc__": f"{base.__name__}, observed by learning rules."}
    names = []
    bits = activity_bits(base)
    whole = 1 << bits
    for k, (of, filtered, limits, fraction) in enumerate(forms):
        if of == "spike":
            body[f"seen_{k}"] = State(range=(0, 1), fraction=0)
        elif of == "activity":
            body[f"seen_{k}"] = State(range=(0, whole - 1), fraction=17 - bits)
            if filtered:
                body[f"seen_filter_{k}"] = State(range=(0, whole), fraction=30 - bits)
                body[f"seen_tau_{k}"] = Parameter(low=1e-9, unit="s")
        elif of == "constant" or of in declared:
            body[f"seen_{k}"] = State(range=limits or (-1, 1), fraction=fraction)
        else:
            known = ", ".join(sorted(declared)) or "none"
            raise KernelError(f"{base.__name__} neurons have no state {of!r}; they have: {known}")
        form = f"_{crc32(repr((limits, fraction)).encode()) & 0xFFFF:04x}" if limits else ""
        names.append(of + ("_filtered" if filtered else "") + form)

    def step(self: Any, state: Any, u: Any, dt: Any) -> tuple[Any, dict[str, Any]]:
        output, new = base.step(self, state, u, dt)
        new = dict(new)
        count = minimum(output * 1.0 if isinstance(output, np.ndarray) else output, whole - 1)
        for k, (of, filtered, limits, _) in enumerate(forms):
            if of == "spike":
                new[f"seen_{k}"] = minimum(count, 1)
            elif of == "activity" and filtered:
                tau = getattr(self, f"seen_tau_{k}")
                before = getattr(state, f"seen_filter_{k}")
                now = before + (count - before) * scaled(-np.expm1(-dt / tau), bound=1)
                new[f"seen_filter_{k}"] = now
                new[f"seen_{k}"] = now
            elif of == "activity":
                new[f"seen_{k}"] = count
            elif of == "constant":
                new[f"seen_{k}"] = getattr(state, f"seen_{k}")
            else:
                low, high = limits or (-1, 1)
                new[f"seen_{k}"] = clip(new[of], low, high)
        return output, new

    body["step"] = step
    made: type[Kernel] = type("_".join([base.__name__, *names]), (base,), body)
    return made


class Capture(Kernel):
    """Keeps its input as a state that learning rules can see."""

    homogeneous = True
    u = Input()
    value = State(narrow=True)

    def step(self, state: Any, u: Any, dt: Any) -> tuple[Any, dict[str, Any]]:
        """One step."""
        return u, {"value": u}

    def output_limit(self, input_limit: float, dt: float) -> float:
        """The input's own bound."""
        return input_limit


class FilteredCapture(Kernel):
    """As `Capture`, behind a low-pass filter without delay.

    ``y_n = y_{n-1} + (1 - pole) (u_n - y_{n-1})``, as the synapses of learning rules in Nengo 4.1.
    """

    homogeneous = True
    tau = Parameter(low=1e-9, unit="s")
    u = Input()
    filtered = State()
    value = State(narrow=True)

    def step(self, state: Any, u: Any, dt: Any) -> tuple[Any, dict[str, Any]]:
        """One step."""
        y = state.filtered + (u - state.filtered) * scaled(-np.expm1(-dt / self.tau), bound=1)
        return y, {"filtered": y, "value": y}

    def output_limit(self, input_limit: float, dt: float) -> float:
        """A low-pass filter never passes its input's bound."""
        return input_limit


CAPTURES = (Capture, FilteredCapture)
"""Kernels whose format follows from the limit of what they capture."""


@cache
def fixed_capture(limits: tuple[float, float], fraction: int) -> type[Kernel]:
    """The class of a kernel that captures its input in a fixed format."""

    def step(self: Any, state: Any, u: Any, dt: Any) -> tuple[Any, dict[str, Any]]:
        return u, {"value": u}

    name = f"Capture_{crc32(repr((limits, fraction)).encode()) & 0xFFFF:04x}"
    body = {
        "__doc__": "Keeps its input, in a fixed format, as a state that learning rules can see.",
        "u": Input(range=limits, fraction=fraction),
        "value": State(range=limits, fraction=fraction),
        "step": step,
        "output_limit": lambda self, input_limit, dt: max(map(abs, limits)),
    }
    return type(name, (Kernel,), body)


def captured_unit(state_fraction: int, machine: Machine) -> float:
    """What 1 of the normal form of a captured signal is worth, given its state's fraction bits."""
    return 2.0 ** (machine.value_bits - 1 - state_fraction)

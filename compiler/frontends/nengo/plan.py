"""What the host has to do beside the chip, and in which order."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(eq=False)
class Run:
    """Run one of Nengo's operators."""

    operator: Any


@dataclass(eq=False)
class Send:
    """Write a vector to an `Input` of the Graph before the phase that reads it.

    Attributes
    ----------
    name : str
        Name of the `Input`.
    signal : nengo Signal
        The base signal whose elements are sent.
    elements : (size,) int64 ndarray
    offset : (size,) float64 ndarray or None
        What the chip adds itself and the host's sum holds, too: it is subtracted.
    """

    name: str
    signal: Any
    elements: np.ndarray
    offset: np.ndarray | None = None


@dataclass(eq=False)
class Receive:
    """Read one or several `Observation`s (which add up) into a base signal.

    Attributes
    ----------
    names : tuple of str
    signal : nengo Signal
    elements : (size,) int64 ndarray
    adds : bool
        Whether the values are added to what the host computed, instead of taking its place.
    at_end : bool
        Whether they are needed after the step only (by probes, or by the next step).
    """

    names: tuple[str, ...]
    signal: Any
    elements: np.ndarray
    adds: bool
    at_end: bool


Action = Run | Send | Receive


@dataclass
class HostPlan:
    """The host's part of a step.

    Attributes
    ----------
    actions : list of Run, Send, Receive
        In an order in which they can be done, receptions at the end of the step last.
    before : dict of Action -> list of Action
        What must be done before each action, within the host. That a reception follows the
        sendings that it depends on inside the chip is the phases' business.
    learned : dict of Signal -> (projection, state)
        What the chip learns: the weights (state ``""``), and states of the synapses. The host sees
        them as they are before a step.
    """

    actions: list[Action] = field(default_factory=list)
    before: dict[Action, list[Action]] = field(default_factory=dict)
    learned: dict[Any, tuple[str, str]] = field(default_factory=dict)

    @property
    def runs(self) -> list[Run]:
        """The operators to run."""
        return [a for a in self.actions if isinstance(a, Run)]

    @property
    def sends(self) -> list[Send]:
        """The vectors to write."""
        return [a for a in self.actions if isinstance(a, Send)]

    @property
    def receives(self) -> list[Receive]:
        """The vectors to read."""
        return [a for a in self.actions if isinstance(a, Receive)]

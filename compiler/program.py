"""The Program: integer tables and instructions, all that any engine ever sees."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .instructions import Cnv, Evt, Instruction, Mac, Map, Upd
from .kernels.code import KernelCode
from .kernels.rule_code import RuleCode
from .machine import Machine

FORMAT_VERSION = 2


@dataclass(frozen=True)
class InputPort:
    """A vector that the host writes into the value memory before a phase starts.

    The value stays in place (held) until the host writes it again. The integer of a float x is
    ``rint(x * 2**fraction)``, saturated to `Machine.value_bits`.
    """

    name: str
    phase: int
    base: int
    size: int
    fraction: int
    origin: str = ""


@dataclass(frozen=True)
class OutputPort:
    """A vector that the host can read.

    Attributes
    ----------
    name : str
    memory : str
        ``"accumulator"``, ``"value"``, ``"state"`` (with `slot`), or ``"event"`` (the list number
        is `slot`; read as a dense vector of payloads).
    base, size, slot : int
    unit : float
        What one count is worth in the model's own unit: ``float = integer * unit``.
    phase : int
        It may be read from the end of this phase on; values persist until that phase of the
        next step.
    origin : str
        What it is, in the names of the user's model.
    start : int
        The vector begins with this element of the population at `base`, for one of several
        populations that were joined.
    """

    name: str
    memory: str
    base: int
    size: int
    slot: int
    unit: float
    phase: int
    origin: str = ""
    start: int = 0

    def first_element(self, lanes: int) -> int:
        """Address of the vector in its memory, counted in elements; not for events."""
        return self.base * (lanes if self.memory == "accumulator" else 1) + self.start

    def from_events(self, index: np.ndarray, payload: np.ndarray) -> np.ndarray:
        """The dense vector, int64 (size,), that a list of events means."""
        mine = (index >= self.start) & (index < self.start + self.size)
        dense = np.zeros(self.size, np.int64)
        dense[index[mine] - self.start] = payload[mine]
        return dense


@dataclass(frozen=True)
class PopulationInfo:
    """What a ``MAP`` runs over, for reports, disassembly and locating a divergence.

    `input_unit`, `state_units`, `output_unit`: value of one count of the kernel's input, of each
    state, and of the output. `members`: (name, first element, size) of the user's populations that
    were joined into this one; empty if it is a single one.
    """

    name: str
    kernel: str
    size: int
    origin: str
    input_unit: float
    state_units: tuple[float, ...]
    output_unit: float
    members: tuple[tuple[str, int, int], ...] = ()


@dataclass(frozen=True)
class ProjectionInfo:
    """A learned matrix: where it lies, and what its numbers mean.

    Attributes
    ----------
    name : str
    rule : str
        Key into `Program.rules`.
    weights, rows, words, length : int
        As in `Upd`: `rows` sources, `length` targets.
    unit : float
        Value of one count of the *full* weight in the user's model (the learned weight, decoder or
        encoder as Nengo holds it).
    synapse_units : tuple of float
        The same for each state of a synapse.
    origin : str
    """

    name: str
    rule: str
    weights: int
    rows: int
    words: int
    length: int
    unit: float
    synapse_units: tuple[float, ...]
    origin: str = ""


@dataclass
class Program:
    """Everything that an engine needs to run a model, and the names to talk about it.

    Attributes
    ----------
    name : str
    machine : Machine
    dt : float
        Length of one step in seconds.
    kernels : dict of str -> KernelCode
    phases : list of list of Instruction
        The chip's phases of a step in order; the host may act before each and after the last.
    weight : (words, lanes) int32 ndarray
    value : (n,) int64 ndarray
        Initial content: constants, inputs before the first write, outputs before the first step.
    state : (slots, n) int64 ndarray
        Initial state.
    tables : dict of "kernel.table" -> (sets, entries) int64 ndarray
    accumulator_words, event_words, event_lists : int
        Sizes of the memories that start as zero.
    rules : dict of str -> RuleCode
    projections : dict of str -> ProjectionInfo
    residual : (plastic words, lanes) int32 ndarray
        Residuals of the learned weights, which are the first words of `weight`.
    synapse : (synapse slots, plastic words, lanes) int64 ndarray
        Initial states of the synapses.
    post_memories, post_words : int
        How many post memories there are, and how deep each is; they start as zero.
    stencil : (n, 2) int32 ndarray
        What ``CNV`` reaches: accumulator word, weight word, both relative to the instruction's;
        the first is -1 where there is nothing.
    inputs, outputs : dict of str -> port
    populations : dict of str -> PopulationInfo
    notes : dict
        JSON data for the report only (formats, ranges, passes); engines ignore it.
    """

    name: str
    machine: Machine
    dt: float
    kernels: dict[str, KernelCode]
    phases: list[list[Instruction]]
    weight: np.ndarray
    value: np.ndarray
    state: np.ndarray
    tables: dict[str, np.ndarray]
    accumulator_words: int
    event_words: int
    event_lists: int
    inputs: dict[str, InputPort]
    outputs: dict[str, OutputPort]
    populations: dict[str, PopulationInfo]
    rules: dict[str, RuleCode] = field(default_factory=dict)
    projections: dict[str, ProjectionInfo] = field(default_factory=dict)
    residual: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), np.int32))
    synapse: np.ndarray = field(default_factory=lambda: np.zeros((0, 0, 0), np.int64))
    post_memories: int = 0
    post_words: int = 0
    stencil: np.ndarray = field(default_factory=lambda: np.zeros((0, 2), np.int32))
    notes: dict[str, Any] = field(default_factory=dict)

    @property
    def plastic_words(self) -> int:
        """Words of the weight memory that are learned: the first ones."""
        return int(self.residual.shape[0])

    @property
    def instructions(self) -> list[Instruction]:
        """All instructions of a step, in order."""
        return [instruction for phase in self.phases for instruction in phase]


__all__ = [
    "FORMAT_VERSION",
    "Cnv",
    "Evt",
    "InputPort",
    "Instruction",
    "KernelCode",
    "Mac",
    "Machine",
    "Map",
    "OutputPort",
    "PopulationInfo",
    "Program",
    "ProjectionInfo",
    "RuleCode",
    "Upd",
]

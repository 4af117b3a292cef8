"""What a language has to offer for kernels to be written in it, and the parts of a function."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from ....compiler.kernels.code import KernelCode
from ....compiler.kernels.rule_code import RuleCode
from ....compiler.machine import Machine


@dataclass(frozen=True)
class Number:
    """A number in the generated source: its text, and whether it is 32 or 64 bits wide."""

    text: str
    width: int


@dataclass(frozen=True)
class Slot:
    """Where a parameter or table stands in the parameter block of a ``MAP``'s instruction.

    A scaled parameter takes two entries, mantissa and shift, and a table too: the place of its
    first entry in the memory of tables of its width, and the bits of its largest.
    """

    name: str
    kind: str
    place: int
    width: int

    @property
    def places(self) -> int:
        """How many entries it takes."""
        return 1 if self.kind == "plain" else 2


class Target(Protocol):
    """A language that kernels can be written in."""

    def cast(self, number: Number, width: int) -> Number:
        """The same number with another width."""

    def constant(self, value: int, width: int) -> Number:
        """A number written into the source."""

    def operation(
        self, kind: str, operands: Sequence[str], numbers: Sequence[int], width: int
    ) -> str:
        """The text of an arithmetic operation on operands of this width."""

    def assign_condition(self, name: str, text: str) -> str:
        """A statement that names the outcome of a comparison or of a logical operation."""

    def condition(self, number: Number) -> str:
        """A 0/1 number as a condition."""

    def select(self, condition: str, a: str, b: str) -> str:
        """One of two numbers of equal width."""

    def select_by_mask(self, condition: str, a: str, b: str, width: int) -> str:
        """The same without a branch: for rules, whose conditions often are those of a whole row."""

    def truth(self, condition: str) -> Number:
        """A condition as a 0/1 number."""

    def sign(self, condition: str) -> str:
        """A 32-bit number that is negative where a condition holds, and else not."""

    def split_product(self, a: str, b: str, upper: str, low: int, n: int, half: int) -> str:
        """(a * b + half) >> n by way of the lower bits of b and of ``upper``, b without these."""

    def read_input(self) -> str:
        """The kernel's input."""

    def read_remembered(self, table: int) -> str:
        """The entry that is remembered for the step in which it is needed."""

    def read_sign(self) -> str:
        """The number that was negative where the rare part's condition holds."""

    def read_saved(self, name: str) -> str:
        """A number that the body saved for the rare part."""

    def read_state(self, slot: int) -> str:
        """The word of a state."""

    def read_parameter(self, slot: Slot, width: int) -> str:
        """A parameter of fixed format as a number of this width."""

    def read_carried(self, name: str) -> str:
        """A number that the rare part made for what follows from tables."""

    def read_reduction(self, number: int) -> str:
        """What the first pass made of a reduction; of a ``winner`` the neuron's index."""

    def read_reduced(self, number: int) -> str:
        """What the first pass reduced of this neuron, for a reduction with an array."""

    def is_neuron(self, index: str) -> str:
        """The condition that this neuron has an index."""

    def scale(self, a: Number, slot: Slot) -> str:
        """A number times a scaled parameter, rounded, 64 bits wide."""

    def table(self, argument: str, first: int, slot: Slot) -> str:
        """An entry of a table."""

    def beyond(self, number: Number, bits: int) -> str:
        """A 32-bit number that is negative if another is not within -2**bits..2**bits - 1."""

    def between(self, number: Number, lo: int, hi: int) -> str:
        """A 32-bit number that is negative if another is between two, and is neither."""

    def differ(self, a: Number, b: Number) -> str:
        """A 32-bit number that is negative if two others, of equal width, are not the same."""

    def parameter_fits(self, slot: Slot, bits: int) -> str:
        """The condition that a parameter, or all entries of a table, are so small."""

    def divide(self, a: str, b: str, bits: int, by: str) -> Number:
        """A fraction, in ``"single"`` or ``"double"`` precision or in ``"whole"`` numbers."""

    def assign(self, name: str, number: Number) -> str:
        """A statement that names a number."""

    def count_limited(self, before: str, after: str) -> str:
        """A statement that counts a saturation where the two differ."""

    def kernel(self, number: int, code: KernelCode, body: Sequence[str], outputs: Outputs) -> str:
        """The whole function of a kernel."""

    def read_variable(self, kind: str, number: int) -> Number:
        """Of a rule: the full ``weight``, state `number` of the ``synapse``, variable of a side."""

    def rule(
        self, number: int, code: RuleCode, body: Sequence[str], outputs: RuleOutputs, bits: int
    ) -> str:
        """The whole function of a rule; `bits` are those of a residual."""

    def source(
        self,
        machine: Machine,
        kernels: Sequence[str],
        late: Collection[int],
        rules: Sequence[str],
    ) -> str:
        """The whole source; the kernels of these numbers have late states."""


@dataclass(frozen=True)
class Outputs:
    """What a kernel's body leaves behind: the next states and the emitted number.

    `states` are already within the machine's state words; `emitted` is negative where the output
    is not zero; `narrow` tells that every output is certain to fit a payload, `unit` that it
    is 0 or 1. `reduce` is the first pass of a kernel with reductions, `usual` the body for most.
    """

    slots: tuple[Slot, ...]
    states: tuple[str, ...]
    emit: Number
    emitted: str
    narrow: bool
    unit: bool
    rare: Rare | None
    reduce: Reduce | None = None
    usual: Usual | None = None
    late: Late | None = None


@dataclass(frozen=True)
class Late:
    """Statements that make some states from the others, and these by their slots."""

    body: tuple[str, ...]
    states: dict[int, str]


@dataclass(frozen=True)
class Reduce:
    """The first pass over the population: its body, and what is reduced afterwards.

    `operands` are the numbers of the body that are reduced, by the number of the reduction, and
    `arrays` the first reductions of the same: what is reduced is kept under their numbers.
    """

    body: tuple[str, ...]
    operands: dict[int, Number]
    arrays: dict[int, int]


@dataclass(frozen=True)
class Rare:
    """What follows the body for the neurons where a condition holds, which then is negative.

    `saved` are the numbers that it reads of those made for all neurons, by the name that it reads
    them with. `carried` are the numbers that its own body makes for what follows from tables, which
    is done `after`, one neuron at a time; `states` are the slots that are stored then.
    """

    condition: str
    saved: dict[str, Number]
    body: tuple[str, ...]
    carried: dict[str, Number]
    after: tuple[str, ...]
    states: dict[int, str]


@dataclass(frozen=True)
class Remembered:
    """A table's entry that is looked up when a state is set, since it is known when it is needed.

    `state` is the slot of a state that falls by `period` in each step, `first` the least that it
    has when the entry is needed. The statements of `body` make the `entry` from what it has then,
    which is called `when`.
    """

    table: int
    state: int
    first: int
    period: int
    when: str
    body: tuple[str, ...]
    entry: str


@dataclass(frozen=True)
class Usual:
    """The body for usual neurons, and how to find out which are to be done in full.

    The conditions `holds` concern parameters: without them no neuron is usual. If none of the
    numbers `listed`, known after the body, is negative, then the body and the rare part give what
    the whole one gives, and nothing is counted. Where all inputs are within `tame_bits`, so do
    `tame_body` and `tame_listed`, in less time. `closed` are the bits of states that usual neurons
    leave within these bits: they are tested where they come from elsewhere. `constants` are to be
    defined before; `reads` are the states that the body reads. `emitted` is negative where the
    output is not zero.
    """

    holds: tuple[str, ...]
    constants: tuple[str, ...]
    body: tuple[str, ...]
    listed: tuple[str, ...]
    tame_bits: int | None
    tame_body: tuple[str, ...]
    tame_listed: tuple[str, ...]
    closed: dict[int, int]
    reads: frozenset[int]
    states: tuple[str, ...]
    emit: Number
    emitted: str
    rare: Rare | None
    remembered: tuple[Remembered, ...]
    whole: Whole


@dataclass(frozen=True)
class Whole:
    """The body with everything, and what it leaves behind.

    `counts` tells that it counts saturations; `emitted` is negative where the output is not zero.
    """

    body: tuple[str, ...]
    counts: bool
    states: tuple[str, ...]
    emit: Number
    emitted: str


@dataclass(frozen=True)
class RuleOutputs:
    """What the body of a rule leaves behind: the full weight and the synapse's states."""

    slots: tuple[Slot, ...]
    weight: Number
    synapses: tuple[Number, ...]

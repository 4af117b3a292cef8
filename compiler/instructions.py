"""The instructions of the loom, as data.

Addresses count words of the memory they point into. In ``accumulator`` and ``weight`` a word is
one element per lane (so in ``post``); in ``value``, ``state``, ``event`` and ``count`` it is one
element. An entry of ``stencil`` is a pair. Element i of a population whose accumulators start at
word b lies in word ``b + i // lanes``, lane ``i % lanes``.

The two multiplying instructions are output-stationary: for each accumulator word w (outer loop)
all rows k (inner loop) are added in a register, which is written once. `words` times `rows` cycles,
whatever the shape, and no read-modify-write hazard.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

from .errors import ProgramError


@dataclass(frozen=True)
class Instruction:
    """Base of all instructions.

    Attributes
    ----------
    comment : str
        What it computes, in the names of the user's model; for people only.
    wait : bool
        True if it must not start before all earlier instructions have written their results.
    """

    opcode: ClassVar[str] = ""

    def to_json(self) -> dict[str, Any]:
        """The instruction as a JSON object with its opcode."""
        return {"opcode": self.opcode, **asdict(self)}


@dataclass(frozen=True)
class Mac(Instruction):
    """Dense matrix times vector.

    ``for w in range(words): acc[target + w, :] = (0 if clear else acc[target + w, :])
    + sum over k in range(rows) of weight[weights + k * words + w, :] * value[source + k]``

    `length` is the number of elements of the row that mean something (the rest of its last word is
    padding, weights 0).
    """

    opcode: ClassVar[str] = "MAC"
    weights: int
    source: int
    rows: int
    target: int
    words: int
    length: int
    clear: bool
    wait: bool
    comment: str = ""


@dataclass(frozen=True)
class Evt(Instruction):
    """Event-driven matrix times sparse vector.

    Like `Mac`, with the sum over the ``count[list]`` events ``(k, payload)`` at ``event[source:]``
    of ``weight[weights + k * words + w, :] * payload``. Without events a `clear` one still writes
    zeros (it runs one row with payload 0), another one does nothing.
    """

    opcode: ClassVar[str] = "EVT"
    weights: int
    source: int
    list: int
    rows: int
    target: int
    words: int
    length: int
    clear: bool
    wait: bool
    comment: str = ""


@dataclass(frozen=True)
class Map(Instruction):
    """Run a kernel over a population, one neuron per clock cycle.

    For each i: the kernel's input is accumulator element i of `source`, times 2**-input_shift
    (rounded where that is a right shift, exact where it is a left shift), saturated to the input's
    range; its states are ``state[slot, state + i]``. Afterwards the states are saturated to
    `Machine.state_bits` (the code itself limits them to their declared range first).

    A kernel that emits events appends ``(i, payload)`` at ``event[target:]`` in the order of i
    and finally sets ``count[list]``; one that emits a value stores the output times
    2**-output_shift, rounded and saturated to `Machine.value_bits`, at ``value[target + i]``.
    A payload is saturated to `Machine.value_bits` too.

    Attributes
    ----------
    population : str
        Key into `Program.populations`.
    parameters : dict
        Name -> integer, or name -> (mantissa, shift) for scaled ones.
    table_set : int
        Which set of entries of the kernel's tables.
    list : int
        Number of the event list, -1 for a kernel that emits a value.
    captures : tuple of (slot, memory, base)
        The new state `slot` of neuron i also becomes element i of the post memory `memory` from
        word `base` on. At most one for each memory; it fits `Machine.value_bits`. Elements of the
        last word beyond `length` become 0.
    """

    opcode: ClassVar[str] = "MAP"
    kernel: str
    population: str
    length: int
    source: int
    input_shift: int
    state: int
    target: int
    list: int
    output_shift: int
    table_set: int
    parameters: dict[str, Any] = field(hash=False)
    captures: tuple[tuple[int, int, int], ...] = ()
    wait: bool = True
    comment: str = ""


@dataclass(frozen=True)
class Upd(Instruction):
    """Change learned weights by a rule, one word of all lanes per clock cycle.

    For each selected row k and word w, and each lane l whose element ``j = w * lanes + l`` is less
    than `length`: the full weight and the synapse's states at word ``weights + k * words + w``
    become what the rule says (`RuleCode`). The pre neuron's variables are
    ``state[pre_slots[v], pre + k]``, the post neuron's ``post[memory][base + w, l]`` for the pairs
    (memory, base) in `post`. Each synapse is done at most once, so their order cannot matter.

    Attributes
    ----------
    rule : str
        Key into `Program.rules`.
    projection : str
        Key into `Program.projections`; saturations are counted under this name.
    gate : str
        ``"always"``: all rows and words. ``"pre"``: the rows k of the ``count[list]`` events at
        ``event[source:]``, all words. ``"post"``: the words that hold an element of one of these
        events, in ascending order, all rows.
    source, list : int
        0 where `gate` is ``"always"``.
    skip : int
        Number of a pre variable: rows where it is not 0 are left out. -1: none.
    pre : int
        State address of row 0.
    pre_slots : tuple of int
        One for each pre variable of the rule.
    post : tuple of (memory, base)
        One for each post variable of the rule.
    table_set, parameters :
        As in `Map`.
    """

    opcode: ClassVar[str] = "UPD"
    rule: str
    projection: str
    weights: int
    rows: int
    words: int
    length: int
    gate: str
    source: int
    list: int
    skip: int
    pre: int
    pre_slots: tuple[int, ...]
    post: tuple[tuple[int, int], ...]
    table_set: int
    parameters: dict[str, Any] = field(hash=False)
    wait: bool = True
    comment: str = ""


@dataclass(frozen=True)
class Cnv(Instruction):
    """A matrix of recurring blocks times a vector: a convolution.

    For each source element k with value x, and each s in range(slots), with
    ``t, w = stencil[stencil + s * positions + (k >> shift)]``, unless t is negative:
    ``acc[target + t, :] += weight[weights + w + k % 2**shift, :] * x``

    The source elements are the ``count[list]`` events ``(k, payload)`` at ``event[source:]``, or,
    if `list` is -1, the values ``value[source + k]`` for all k in range(rows). An accumulator word
    that is reached in one slot is reached in no other one. Nothing is cleared.

    Attributes
    ----------
    weights, kernel : int
        First word of the blocks of weights, and how many words there are.
    rows : int
        Number of source elements, a multiple of ``2**shift``.
    target, words, length : int
        The accumulators that may be reached: `words` of them, `length` elements.
    """

    opcode: ClassVar[str] = "CNV"
    weights: int
    kernel: int
    source: int
    list: int
    rows: int
    shift: int
    stencil: int
    slots: int
    target: int
    words: int
    length: int
    wait: bool = True
    comment: str = ""

    @property
    def positions(self) -> int:
        """Groups of source elements that reach the same accumulators."""
        return self.rows >> self.shift

    @property
    def stencil_words(self) -> int:
        """Entries of the stencil."""
        return self.positions * self.slots


OPCODES: dict[str, type[Instruction]] = {
    "MAC": Mac,
    "EVT": Evt,
    "MAP": Map,
    "UPD": Upd,
    "CNV": Cnv,
}


def instruction_from_json(data: dict[str, Any]) -> Instruction:
    """The inverse of `Instruction.to_json`."""
    fields = dict(data)
    opcode = fields.pop("opcode", None)
    if opcode not in OPCODES:
        raise ProgramError(f"unknown instruction {opcode!r}: this Program needs a newer Spikeloom")
    try:
        if opcode in ("MAP", "UPD"):
            fields["parameters"] = {
                name: tuple(p) if isinstance(p, list) else p
                for name, p in fields["parameters"].items()
            }
        for name in ("captures", "post"):
            if name in fields:
                fields[name] = tuple(tuple(item) for item in fields[name])
        if "pre_slots" in fields:
            fields["pre_slots"] = tuple(fields["pre_slots"])
        return OPCODES[opcode](**fields)
    except (TypeError, KeyError) as e:
        raise ProgramError(f"malformed {opcode} instruction: {e}") from e

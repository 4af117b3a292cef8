"""Kernel code: a kernel as a short list of integer operations in single-assignment form.

This is what every engine executes: golden with NumPy, native as C, the hardware as a pipeline with
one stage or more per operation. It is independent of any network's numbers: parameters and tables
are uploaded, so two networks with the same kernels share the same code.

Every operation's result is an integer whose range `lo..hi` is known, hence its width in hardware.
`fraction` says how many of its bits lie behind the binary point; it is documentation for people
and for conversion at the edges, engines never need it.

The operations (`a`, `b`, ... are earlier results; `n` are integers written in the operation):

==========  ===========  ==========================================================================
kind        args         result
==========  ===========  ==========================================================================
``input``   name         the kernel's input, already scaled and saturated by the ``MAP`` instruction
``state``   name         a state variable's word, as stored
``param``   name         a fixed-format parameter, uploaded
``const``   n            the integer n
``add``     a, b         a + b
``sub``     a, b         a - b
``neg``     a            -a
``abs``     a            abs(a)
``mul``     a, b         a * b
``shl``     a, n         a << n
``round``   a, n         (a + (1 << (n - 1))) >> n, n >= 1: the one rounding of the machine
``floor``   a, n         a >> n
``scale``   a, name      a times the scaled parameter `name` = (mantissa m, shift s):
                         (a * m + (1 << (s - 1))) >> s, with s >= 1
``min``     a, b         the smaller
``max``     a, b         the larger
``gt``      a, b         1 if a > b else 0
``ge``      a, b         1 if a >= b else 0
``eq``      a, b         1 if a == b else 0
``and``     a, b         of two 0/1 results
``or``      a, b         of two 0/1 results
``not``     a            of a 0/1 result
``select``  c, a, b      a where c is 1, else b
``sat``     a, lo, hi    a limited to lo..hi; each time it limits, the saturation counter counts
``table``   a, name      entry a - first of the uploaded table `name` (see `Table`)
``divide``  a, b, n      fraction a / b with n bits: 0 if a <= 0; else 1 << n if b <= a (or b <= 0);
                         else (floor((a << (n + 1)) / b) + 1) >> 1
``any_of``  a            1 if a is not 0 for any neuron of the population, else 0
``sum_of``  a            the sum of a over all neurons of the population
``max_of``  a            the largest a of all neurons of the population
``winner``  a            1 for the neuron with the largest a (of equals the first), else 0
==========  ===========  ==========================================================================

The last four are reductions over all neurons of a ``MAP``. A kernel with any of them runs in two
passes over its population: the first computes what they reduce, the second all results. So their
operands depend on no reduction. Saturations count in the second pass only.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

OPERANDS = {
    **dict.fromkeys("input state param const weight synapse pre post".split(), 0),
    **dict.fromkeys("neg abs not shl round floor sat table scale".split(), 1),
    **dict.fromkeys("add sub mul min max gt ge eq and or divide".split(), 2),
    "select": 3,
    **dict.fromkeys("any_of sum_of max_of winner".split(), 1),
}
"""How many of an operation's arguments are results of earlier ones; they come first."""

KINDS = frozenset(OPERANDS)

REDUCTIONS = frozenset({"any_of", "sum_of", "max_of", "winner"})
"""Operations over the whole population."""


@dataclass(frozen=True)
class Op:
    """One operation; its position in `KernelCode.ops` is its result's number.

    Attributes
    ----------
    kind : str
        One of `KINDS`.
    args : tuple of int or str
        Numbers of earlier results, then written-in integers or names, as the table above says.
    lo, hi : int
        Smallest and largest result possible.
    fraction : int
        Bits of the result behind the binary point.
    """

    kind: str
    args: tuple[int | str, ...]
    lo: int
    hi: int
    fraction: int

    @property
    def operands(self) -> tuple[int, ...]:
        """Numbers of the earlier results that it uses."""
        return tuple(int(a) for a in self.args[: OPERANDS[self.kind]])

    @property
    def bits(self) -> int:
        """Width in bits as a signed number."""
        return signed_bits(self.lo, self.hi)


def signed_bits(lo: int, hi: int) -> int:
    """Bits of the smallest two's complement word that holds both `lo` and `hi`."""
    return max((lo if lo >= 0 else ~lo).bit_length(), (hi if hi >= 0 else ~hi).bit_length()) + 1


@dataclass(frozen=True)
class Port:
    """The kernel's input, or a state variable: name, stored range, fraction bits.

    `fraction` is None where the whole kernel is homogeneous (linear, such as a filter): then every
    signal of a population is stored relative to that population's own power-of-two scale.
    """

    name: str
    lo: int
    hi: int
    fraction: int | None


@dataclass(frozen=True)
class Parameter:
    """A parameter register of the pipeline, loaded by each ``MAP``.

    ``scaled`` parameters hold a mantissa of `Machine.parameter_bits` and a shift, used by ``scale``
    only; the others are plain integers of a fixed format, used by ``param``.
    """

    name: str
    scaled: bool
    lo: int
    hi: int
    fraction: int


@dataclass(frozen=True)
class Table:
    """A lookup table of the pipeline: entry i is the function at the argument ``first + i``.

    Several sets of entries may be resident (populations with other parameters); ``MAP`` names one.
    """

    name: str
    first: int
    entries: int
    lo: int
    hi: int
    fraction: int


@dataclass(frozen=True)
class KernelCode:
    """A kernel, lowered to integers.

    Attributes
    ----------
    name : str
        Name of the kernel, such as ``LIF``.
    input : Port
        Its one input, read from an accumulator.
    states : tuple of Port
        State variables; slot k of the state memory holds ``states[k]``.
    parameters : tuple of Parameter
    tables : tuple of Table
    ops : tuple of Op
    next_state : tuple of int
        Result numbers to be stored, one per state.
    emit : int
        Result number of the output.
    emits : str
        ``"events"``: every non-zero output is appended to the population's event list with the
        output as its payload. ``"value"``: the output is stored as the population's value.
    emit_fraction : int or None
        Fraction bits of the output, also of an event's payload; None where homogeneous.
    delayed : bool
        True if readers in a step see the output of the step before (synapses), so that the
        ``MAP`` must come after all that read it.
    """

    name: str
    input: Port
    states: tuple[Port, ...]
    parameters: tuple[Parameter, ...]
    tables: tuple[Table, ...]
    ops: tuple[Op, ...]
    next_state: tuple[int, ...]
    emit: int
    emits: str
    emit_fraction: int | None
    delayed: bool

    @property
    def homogeneous(self) -> bool:
        """True if all signals are stored relative to the population's own scale."""
        return self.input.fraction is None

    @property
    def outputs(self) -> tuple[int, ...]:
        """Result numbers of everything that is stored: the states, then the output."""
        return (*self.next_state, self.emit)

    @property
    def reductions(self) -> tuple[int, ...]:
        """Numbers of the reductions over the population; it runs in two passes if there are any."""
        return tuple(n for n, op in enumerate(self.ops) if op.kind in REDUCTIONS)

    @property
    def reduced(self) -> tuple[int, ...]:
        """Numbers of all operations on which reductions depend: those of the first pass."""
        used = {self.ops[n].operands[0] for n in self.reductions}
        for number in reversed(range(len(self.ops))):
            if number in used:
                used.update(self.ops[number].operands)
        return tuple(sorted(used))

    def to_json(self) -> dict[str, Any]:
        """The code as a JSON object."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> KernelCode:
        """The inverse of `to_json`."""
        return cls(
            name=data["name"],
            input=Port(**data["input"]),
            states=tuple(Port(**s) for s in data["states"]),
            parameters=tuple(Parameter(**p) for p in data["parameters"]),
            tables=tuple(Table(**t) for t in data["tables"]),
            ops=tuple(Op(**{**op, "args": tuple(op["args"])}) for op in data["ops"]),
            next_state=tuple(data["next_state"]),
            emit=data["emit"],
            emits=data["emits"],
            emit_fraction=data["emit_fraction"],
            delayed=data["delayed"],
        )

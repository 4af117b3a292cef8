"""Rule code: a learning rule as a short list of integer operations in single-assignment form.

As `KernelCode` is for one neuron, this is for one synapse. Operations are those of `code`, with
four sources of their own:

==========  ===========  ==========================================================================
kind        args         result
==========  ===========  ==========================================================================
``weight``               the synapse's full weight, before the step
``synapse`` name         a state of the synapse, as stored
``pre``     name         a variable of the pre neuron
``post``    name         a variable of the post neuron
==========  ===========  ==========================================================================
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from .code import Op, Parameter, Port, Table

GATES = ("always", "pre", "post", "either")


@dataclass(frozen=True)
class Variable:
    """Something that a rule sees of a neuron.

    Attributes
    ----------
    name : str
    side : str
        ``"pre"`` or ``"post"``.
    lo, hi : int
        Its range; within `Machine.value_bits`.
    fraction : int
        Bits behind the binary point; for a free variable those of its normal form (-1..1).
    free : bool
        Whether what 1 is worth is chosen for each network.
    spike : bool
        Whether it is the number of spikes in this step.
    """

    name: str
    side: str
    lo: int
    hi: int
    fraction: int
    free: bool
    spike: bool


@dataclass(frozen=True)
class RuleCode:
    """A rule, lowered to integers.

    Attributes
    ----------
    name : str
    weight : Port
        Range of the full weight; its fraction is None where it is free.
    synapses : tuple of Port
        Further states of a synapse.
    variables : tuple of Variable
    parameters : tuple of Parameter
    tables : tuple of Table
    ops : tuple of Op
    next_weight : int
        Result number of the new full weight, within the range of `weight`.
    next_synapses : tuple of int
        Result numbers of the new states, within their ranges.
    gate : str
        One of `GATES`: without which spikes nothing changes. ``"pre"``: nothing changes for a pre
        neuron that did not fire; ``"either"``: nothing changes if neither neuron fired. Nothing is
        limited then either: a ``sat`` stands behind all else.
    """

    name: str
    weight: Port
    synapses: tuple[Port, ...]
    variables: tuple[Variable, ...]
    parameters: tuple[Parameter, ...]
    tables: tuple[Table, ...]
    ops: tuple[Op, ...]
    next_weight: int
    next_synapses: tuple[int, ...]
    gate: str

    @property
    def pre(self) -> tuple[Variable, ...]:
        """The variables of the pre neuron, in the order of `Upd.pre_slots`."""
        return tuple(v for v in self.variables if v.side == "pre")

    @property
    def post(self) -> tuple[Variable, ...]:
        """The variables of the post neuron, in the order of `Upd.post`."""
        return tuple(v for v in self.variables if v.side == "post")

    @property
    def outputs(self) -> tuple[int, ...]:
        """Result numbers of everything that is stored: the weight, then the states."""
        return (self.next_weight, *self.next_synapses)

    def to_json(self) -> dict[str, Any]:
        """The code as a JSON object."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> RuleCode:
        """The inverse of `to_json`."""
        return cls(
            name=data["name"],
            weight=Port(**data["weight"]),
            synapses=tuple(Port(**s) for s in data["synapses"]),
            variables=tuple(Variable(**v) for v in data["variables"]),
            parameters=tuple(Parameter(**p) for p in data["parameters"]),
            tables=tuple(Table(**t) for t in data["tables"]),
            ops=tuple(Op(**{**op, "args": tuple(op["args"])}) for op in data["ops"]),
            next_weight=data["next_weight"],
            next_synapses=tuple(data["next_synapses"]),
            gate=data["gate"],
        )

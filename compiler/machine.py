"""The shape of the loom that a Program is compiled for: lanes, word widths, memory depths."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

from .errors import ProgramError


@dataclass(frozen=True)
class Machine:
    """Lanes and word widths of one loom.

    Attributes
    ----------
    lanes : int
        Weights read, multiplied and added per clock cycle. A power of two.
    weight_bits, value_bits : int
        Width (signed) of a weight and of a value, the two factors of each lane's multiplier.
    accumulator_bits : int
        Width (signed) of an accumulator. Schedules are only made whose sums provably fit.
    state_bits : int
        Width (signed) of one word of kernel state.
    parameter_bits : int
        Width (signed) of the mantissa of a scaled kernel parameter.
    residual_bits : int
        Bits that a learned weight has behind those of `weight_bits`.
    index_bits : int
        Width (unsigned) of a neuron's index inside its population in an event.
    operations_per_stage : int
        Simple operations (an addition, a comparison and a choice, ...) that a signal passes in one
        clock cycle: more of them make pipelines of fewer registers, for a slower clock.
    """

    lanes: int = 16
    weight_bits: int = 18
    value_bits: int = 18
    accumulator_bits: int = 40
    state_bits: int = 32
    parameter_bits: int = 18
    residual_bits: int = 18
    index_bits: int = 16
    operations_per_stage: int = 1

    def __post_init__(self) -> None:
        if self.lanes < 1 or self.lanes & (self.lanes - 1):
            raise ValueError(f"lanes must be a power of two, not {self.lanes}")

    def words(self, elements: int) -> int:
        """Words of all lanes that `elements` elements take (the last one padded with zeros)."""
        return -(-elements // self.lanes)

    def to_json(self) -> dict[str, int]:
        """The attributes as a JSON object."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Machine:
        """The inverse of `to_json`; refuses unknown or missing attributes."""
        names = {f.name for f in fields(cls)}
        if set(data) != names:
            odd = sorted(set(data) ^ names)
            raise ProgramError(f"machine description has unknown or missing fields: {odd}")
        return cls(**{name: int(value) for name, value in data.items()})

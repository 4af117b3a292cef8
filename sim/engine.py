"""The few calls that every engine offers, and what they mean.

All vectors are integers as they stand in the machine's memories; conversion to and from floats is
the host's business (`InputPort.fraction`, `OutputPort.unit`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

import numpy as np

from ..compiler.program import Program


@runtime_checkable
class Engine(Protocol):
    """A machine with a Program loaded.

    Every engine gives identical integers for the same Program and inputs, in every memory.
    """

    program: Program

    def reset(self) -> None:
        """Put all memories and counters back to the Program's initial content."""

    def write(self, name: str, values: np.ndarray) -> None:
        """Write input port `name`: int64 (size,), within `Machine.value_bits` (else InputError)."""

    def step(self, phase: int | None = None) -> None:
        """Run one phase of a step, or all of them if `phase` is None."""

    def read(self, name: str) -> np.ndarray:
        """Read output port `name`: int64 (size,)."""

    def run(
        self, steps: int, inputs: Mapping[str, np.ndarray], record: Sequence[str]
    ) -> dict[str, np.ndarray]:
        """Run `steps` whole steps.

        Parameters
        ----------
        steps : int
        inputs : mapping of port name -> int64 (steps, size)
            Written before the port's phase in each step; ports not named keep their value.
        record : sequence of output port names

        Returns
        -------
        dict of name -> int64 (steps, size)
            What `read` would give after each step.
        """

    def memory(self, name: str) -> np.ndarray:
        """A copy of a whole memory.

        ``"accumulator"`` int64 (words, lanes), ``"value"`` (n,), ``"state"`` (slots, n),
        ``"event"`` (n, 2) as (index, payload), ``"count"`` (lists,), ``"weight"`` (words, lanes),
        ``"residual"`` (plastic words, lanes), ``"synapse"`` (synapse slots, plastic words, lanes);
        weights row after row, as `Program.weight`.
        """

    def load_memory(self, name: str, content: np.ndarray) -> None:
        """Overwrite a memory with `content` of `memory`'s shape.

        ``"value"``, ``"state"``, ``"weight"`` (of which only learned words may differ),
        ``"residual"`` or ``"synapse"``. What weights and residuals are together is checked before
        the next step.
        """

    def learning(self, on: bool) -> None:
        """Run the ``UPD`` instructions from now on, or skip them; `reset` leaves this alone."""

    def saturations(self) -> dict[str, int]:
        """Times that something was limited to its format since `reset`, per population name.

        Counted for each kernel ``sat`` operation, for a ``MAP``'s input and for its output.
        Populations without any are left out.
        """

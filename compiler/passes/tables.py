"""Sets of tables: populations and rules whose tables are equal share a set."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..machine import Machine


class TableSets:
    """Numbers the sets of tables of each kernel and rule in the order in which they come.

    Parameters
    ----------
    dt : float
        Seconds of a step.
    machine : Machine
    """

    def __init__(self, dt: float, machine: Machine) -> None:
        self._dt, self._machine = dt, machine
        self._sets: dict[str, list[np.ndarray]] = {}
        self._numbers: dict[tuple[Any, ...], int] = {}

    def number(self, kernel: Any, code: Any) -> int:
        """The set of a kernel or rule with its parameters; 0 where it has no tables.

        Parameters
        ----------
        kernel : Kernel or Rule
        code : KernelCode or RuleCode
            Its code.
        """
        if not code.tables:
            return 0
        entries = kernel.table_entries(self._dt, self._machine)
        key = (code.name, *(entries[t.name].tobytes() for t in code.tables))
        if key not in self._numbers:
            for table in code.tables:
                self._sets.setdefault(f"{code.name}.{table.name}", []).append(entries[table.name])
            self._numbers[key] = len(self._sets[f"{code.name}.{code.tables[0].name}"]) - 1
        return self._numbers[key]

    def tables(self) -> dict[str, np.ndarray]:
        """As `Program.tables`."""
        return {n: np.array(sets, dtype=np.int64) for n, sets in sorted(self._sets.items())}

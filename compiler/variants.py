"""Programs of Graphs that differ in the parameters of kernels and rules alone.

Lowering looks at a kernel through a few questions: the factor that its input takes, the largest
output, its impulse response, its registers, ... While one Graph is lowered, the `Template` takes
note of all questions and answers. Another Graph with the same nodes, matrices and classes of
kernels whose answers are the same would be lowered in the same way, step by step: its Program is
that of the first with its own registers and tables. Where an answer differs, it must be lowered.
Nothing is assumed about which parameters matter; whatever a pass asks is noted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from .compile import compile_graph
from .graph import Graph, Population
from .instructions import Instruction, Map, Upd
from .machine import Machine
from .passes.learned import learned_edges
from .passes.tables import TableSets
from .program import Program
from .watched import Watch, plain, same


def kernels_of(graph: Graph) -> list[Any]:
    """The kernels of a Graph's nodes, then the rules of its edges, in order."""
    found = [node.kernel for node in graph.nodes() if isinstance(node, Population)]
    return found + [learned.rule for _, _, _, learned in learned_edges(graph)]


class Template:
    """A lowered Graph, and what its lowering depended on.

    Parameters
    ----------
    graph : Graph
    machine : Machine

    Attributes
    ----------
    program : Program
        The Graph's.
    """

    def __init__(self, graph: Graph, machine: Machine) -> None:
        self._machine = machine
        self._watches = [Watch(kernel) for kernel in kernels_of(graph)]
        watched = graph.copy()
        watches = iter(self._watches)
        for node in watched.nodes():
            if isinstance(node, Population):
                node.kernel = next(watches).watched
        for _, _, edge, learned in learned_edges(watched):
            edge.plasticity = replace(learned, rule=next(watches).watched)
        lowered = compile_graph(watched, machine)
        self.program = lowered.program
        final = lowered.graphs["group"]
        number = {id(watch.watched): i for i, watch in enumerate(self._watches)}
        self._of_map = {
            node.name: number[id(node.kernel)]
            for node in final.nodes()
            if isinstance(node, Population)
        }
        self._of_update = {
            learned.name: number[id(learned.rule)] for _, _, _, learned in learned_edges(final)
        }
        originals = [watch.original for watch in self._watches]
        self._good = self._is_program(self.program, self._written(originals))

    @staticmethod
    def fits(graph: Graph) -> bool:
        """Whether the kernels of a Graph can be watched."""
        return all(map(plain, kernels_of(graph)))

    def variant(self, kernels: Sequence[Any]) -> Program | None:
        """The Program with other parameters, or None where the Graph must be lowered for them.

        Parameters
        ----------
        kernels : sequence of Kernel or Rule
            `kernels_of` a Graph that equals this one but for their parameters.
        """
        if not self._good or [type(k) for k in kernels] != [
            type(w.original) for w in self._watches
        ]:
            return None
        other = [
            None if same(kernel.values, watch.original.values) else kernel
            for kernel, watch in zip(kernels, self._watches, strict=True)
        ]
        try:
            for kernel, watch in zip(other, self._watches, strict=True):
                if kernel is not None and not watch.answers_alike(kernel):
                    return None
            if any(k is not None and w.compared for k, w in zip(other, self._watches, strict=True)):
                compared = [i for i, watch in enumerate(self._watches) if watch.compared]
                before = [self._watches[i].original.parameter_key() for i in compared]
                if _classes(before) != _classes([kernels[i].parameter_key() for i in compared]):
                    return None
            return self._written(kernels)
        except Exception:
            # Whatever is wrong with a parameter: lowering the Graph will tell it in full.
            return None

    def _written(self, kernels: Sequence[Any]) -> Program | None:
        """The Program with the registers and tables of some kernels; None if it is not known."""
        dt, machine = self.program.dt, self._machine
        sets = TableSets(dt, machine)
        phases: list[list[Instruction]] = []
        for phase in self.program.phases:
            made: list[Instruction] = []
            for instruction in phase:
                number = self._number(instruction)
                if number is not None and isinstance(instruction, (Map, Upd)):
                    calls = self._watches[number].written["registers"]
                    if len(calls) != 1:
                        return None
                    args, options = calls[0]
                    instruction = replace(
                        instruction,
                        parameters=kernels[number].registers(*args, **options),
                        table_set=sets.number(kernels[number], kernels[number].code(machine)),
                    )
                made.append(instruction)
            phases.append(made)
        return replace(self.program, phases=phases, tables=sets.tables())

    def _number(self, instruction: Instruction) -> int | None:
        if isinstance(instruction, Map):
            return self._of_map.get(instruction.population)
        if isinstance(instruction, Upd):
            return self._of_update[instruction.projection]
        return None

    @staticmethod
    def _is_program(program: Program, made: Program | None) -> bool:
        """Whether registers and tables are where they are looked for."""
        return (
            made is not None and made.phases == program.phases and same(made.tables, program.tables)
        )


def _classes(keys: Sequence[Any]) -> list[int]:
    """For each key the number of the first that equals it."""
    first: dict[Any, int] = {}
    return [first.setdefault(key, i) for i, key in enumerate(keys)]

"""Where each operator of a built model runs: on the chip, on the host, or on both.

The core of the chip's part are the neurons that have a kernel. A linear operator with a constant
matrix, or a synapse, joins them if it lies on a way from or to such neurons; the rest of the model
(Python functions, learning rules, other neuron types, ...) runs on the host. Linear operators whose
sources the host knows anyway may run on both sides, so that the host need not ask the chip.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

import numpy as np
from nengo.builder import Model
from nengo.builder.learning_rules import SimBCM, SimOja, SimPES, SimRLS, SimVoja
from nengo.builder.neurons import SimNeurons
from nengo.builder.operator import Operator, Reset, SimPyFunc, TimeUpdate
from nengo.builder.probe import SimProbe
from nengo.builder.processes import SimProcess
from nengo.builder.signal import Signal

from ...kernels.kernel import Kernel
from .kernels import neuron_kernel, synapse_kernels
from .learning import Learned, find_learning
from .linear import LINEAR, LinearMap, elements, linear_map, operands

NOT_REACHED = "no neuron on the chip reads or writes it"
BEHIND = "it leads from the chip to the host alone"
LEARNING = (SimPES, SimBCM, SimOja, SimVoja, SimRLS)


class Placement:
    """Decides and remembers the place of each operator.

    Parameters
    ----------
    model : nengo.builder.Model
    operators : list of Operator
        Its operators in an order in which they can run.

    Attributes
    ----------
    chip, host : set of Operator
        An operator in both runs on both sides.
    reasons : dict of Operator -> str
        Why an operator is on the host only.
    sections : dict of SimProcess -> list of Kernel
        Kernels of the synapses on the chip.
    maps : dict of Operator -> LinearMap
        What the linear operators with one varying operand do to it.
    neurons : dict of SimNeurons -> Kernel
        Kernels of the neurons on the chip.
    learned : dict of Operator -> Learned
        Learning rules on the chip, by their operator.
    products : dict of Operator -> Learned
        The same by the operator that multiplies with the learned weights.
    learning_ops : set of Operator
        Operators that these take the place of; in `chip`, but no part of its sums.
    writers, readers : dict of base Signal -> list of Operator
        `writers` without updates; `updaters` are those.
    """

    def __init__(
        self, model: Model, operators: list[Operator], refused: Mapping[Operator, str]
    ) -> None:
        self.model = model
        self.operators = [op for op in operators if not isinstance(op, SimProbe)]
        self.writers: dict[Signal, list[Operator]] = defaultdict(list)
        self.updaters: dict[Signal, list[Operator]] = defaultdict(list)
        self.readers: dict[Signal, list[Operator]] = defaultdict(list)
        for op in self.operators:
            for table, signals in (
                (self.writers, op.sets + op.incs),
                (self.updaters, op.updates),
                (self.readers, op.reads),
            ):
                for base in dict.fromkeys(s.base for s in signals):
                    table[base].append(op)
        self.probed = {model.sig[probe]["in"].base for probe in model.probes}
        self.reasons: dict[Operator, str] = {}
        self.neurons: dict[SimNeurons, Kernel] = {}
        self.sections: dict[SimProcess, list[Kernel]] = {}
        self.maps: dict[Operator, LinearMap] = {}
        self._behind: set[Operator] = set()
        self._states: set[Signal] = set()
        self._sums: dict[Signal, bool] = {}
        self.learned: dict[Operator, Learned] = {}
        self._constant_ops = {op for op in self.operators if self._is_constant_op(op)}
        self._find_neurons()
        self.learned = {item.op: item for item in find_learning(self, refused)}
        possible = self._settle_learning()
        self.host = {op for op in self.operators if op not in self.chip}
        for op in self.host & possible:
            self.reasons[op] = BEHIND if op in self._behind else NOT_REACHED
        self._share()

    # -- learning ----------------------------------------------------------------------------

    def _settle_learning(self) -> set[Operator]:
        """Choose the chip's operators, with those learning rules that go there whole."""
        while True:
            self._behind.clear()
            self._find_products()
            possible = {op for op in self.operators if self._possible(op)}
            self.chip = self._reached(possible)
            away = [item for item in self.learned.values() if item.product not in self.chip]
            for item in away:
                del self.learned[item.op]
                reason = self.reasons.get(item.product, NOT_REACHED)
                self.reasons[item.op] = f"learning rule: what it teaches is on the host ({reason})"
            if not away:
                break
        self.learning_ops = self._learning_ops()
        self.chip |= self.learning_ops
        return possible

    def _find_products(self) -> None:
        self.products = {item.product: item for item in self.learned.values()}
        self._learned_weights = {item.weights for item in self.learned.values()}

    def _learning_ops(self) -> set[Operator]:
        """Operators whose work ``UPD`` does, and filters that nothing but rules reads."""
        ops: set[Operator] = {op for i in self.learned.values() for op in (i.op, i.copy)}
        for item in self.learned.values():
            for op in item.filters:
                base = op.output.base
                if base not in self.probed and all(r in self.learned for r in self.readers[base]):
                    ops.add(op)
        return ops

    def captured(self) -> list[Signal]:
        """The signals that rules on the chip look at."""
        return [c.signal for item in self.learned.values() for c in item.captured()]

    # -- what is constant --------------------------------------------------------------------

    def constant(self, base: Signal) -> bool:
        """Whether no operator ever writes this base signal, or only a rule on the chip does."""
        if self.learned and base in self._learned_weights:
            return True
        return not self.writers[base] and not self.updaters[base]

    def _is_constant_op(self, op: Operator) -> bool:
        if isinstance(op, Reset):
            return True
        return isinstance(op, LINEAR) and all(self.constant(s.base) for s in op.reads)

    def constant_ops(self, base: Signal) -> list[Operator]:
        """The writers of a base signal that have only constant operands."""
        return [op for op in self.writers[base] if op in self._constant_ops]

    def is_constant(self, op: Operator) -> bool:
        """Whether an operator has only constant operands."""
        return op in self._constant_ops

    def varying(self, base: Signal) -> list[Operator]:
        """The other writers (sets and increments) of a base signal."""
        return [op for op in self.writers[base] if op not in self._constant_ops]

    def source(self, op: Operator) -> Signal | None:
        """The one varying operand of a linear operator, None if there are two."""
        varying = [s for s in dict.fromkeys(op.reads) if not self.constant(s.base)]
        if len(varying) != 1:
            return None
        matrix, factor = operands(op)
        if varying[0] is not factor and not (
            varying[0] is matrix and type(op).__name__ == "ElementwiseInc"
        ):
            return None
        return varying[0]

    # -- what could run on the chip ----------------------------------------------------------

    def _find_neurons(self) -> None:
        for op in self.operators:
            if not isinstance(op, SimNeurons):
                continue
            kernel = neuron_kernel(op, self.model.dt)
            written = list(dict.fromkeys(s.base for s in op.sets))
            if isinstance(kernel, Kernel):
                if any(isinstance(r, SimNeurons) for r in self.readers[op.output.base]):
                    kernel = "its rates drive a spike generator on the host"
                elif (
                    op.J.is_view
                    or op.J.ndim != 1
                    or not self._is_sum(op.J.base)
                    or any(s.is_view for s in op.sets)
                    or any(self.writers[b] != [op] or self.updaters[b] for b in written)
                ):
                    kernel = "its signals are shared with other operators"
            if isinstance(kernel, str):
                self.reasons[op] = kernel
            else:
                self.neurons[op] = kernel
                self._states.update(b for b in written if b is not op.output.base)

    def _is_sum(self, base: Signal) -> bool:
        """Whether a base signal is set anew in each step, element by element, and not updated."""
        if base not in self._sums:
            self._sums[base] = self._is_set_anew(base)
        return self._sums[base]

    def _is_set_anew(self, base: Signal) -> bool:
        if base.ndim == 0 or base.sparse or self.updaters[base] or base.dtype.kind != "f":
            return False
        fresh = np.zeros(base.size, dtype=bool)
        for op in self.writers[base]:
            for signal in op.sets:
                if signal.base is base:
                    fresh[_set_elements(op, signal)] = True
        return all(
            fresh[elements(signal)].all()
            for op in self.writers[base]
            for signal in op.incs
            if signal.base is base
        )

    def _possible(self, op: Operator) -> bool:
        """Whether an operator could run on the chip; notes the reason if not."""
        if op in self.neurons or op in self._constant_ops:
            return True
        if op in self.learned or any(op is i.copy for i in self.learned.values()):
            return False
        if isinstance(op, SimProcess):
            sections = synapse_kernels(op, self.model.dt)
            if not isinstance(sections, str):
                bases = [s.base for s in op.updates]
                if (
                    op.output.is_view
                    or op.output.ndim != 1
                    or op.input is None
                    or any(self.writers[b] or self.updaters[b] != [op] for b in bases)
                ):
                    sections = "its signals are shared with other operators"
                elif not self._readable(op.input.base):
                    sections = "its input is no vector that the chip can hold"
            if isinstance(sections, str):
                self.reasons[op] = sections
                return False
            self.sections[op] = sections
            return True
        if not isinstance(op, LINEAR):
            self.reasons.setdefault(op, _why_not_linear(op))
            return False
        target = (op.sets + op.incs)[0].base
        source = self.source(op)
        if source is None:
            self.reasons[op] = self._why_two_operands(op)
        elif not self._is_sum(target):
            learned = any(s.base in self._learned() for s in op.sets + op.incs)
            self.reasons[op] = (
                "learned weights" if learned else "it accumulates over steps without a synapse"
            )
        elif not self._readable(source.base) or not self._has_map(op, source):
            self.reasons[op] = "its source is no vector that the chip can hold"
        else:
            return True
        return False

    def _has_map(self, op: Operator, source: Signal) -> bool:
        found = linear_map(op, source)
        if found is not None:
            self.maps[op] = found
        return found is not None

    def _readable(self, base: Signal) -> bool:
        """Whether the chip could read a base signal: a float vector that is no neuron state."""
        return (
            base.ndim > 0
            and not base.sparse
            and base.dtype.kind == "f"
            and base not in self._states
        )

    def _learned(self) -> set[Signal]:
        found = set()
        for signals in self.model.sig.values():
            if isinstance(signals.get("delta"), Signal):
                found.add(signals["delta"].base)
        for delta in list(found):
            for op in self.readers[delta]:
                found.update(s.base for s in op.incs)
        return found

    def _why_two_operands(self, op: Operator) -> str:
        matrix, _ = operands(op)
        if matrix is not None and matrix.base in self._learned():
            rules = {
                type(rule.learning_rule_type).__name__
                for rule, signals in self.model.sig.items()
                if isinstance(signals.get("delta"), Signal)
                for op in self.readers[signals["delta"].base]
                if any(s.base is matrix.base for s in op.incs)
            }
            return f"learned weights ({', '.join(sorted(rules))})"
        return "product of two signals"

    # -- what shall run on the chip ----------------------------------------------------------

    def _reached(self, possible: set[Operator]) -> set[Operator]:
        """The neurons, what leads to them, and what leads on from them on the chip alone."""
        chip: set[Operator] = set(self.neurons)
        todo = [op.J.base for op in self.neurons] + [s.base for s in self.captured()]
        seen = set(todo)
        while todo:
            base = todo.pop()
            for op in self.writers[base] + self.updaters[base]:
                if op in possible and op not in chip and not isinstance(op, SimNeurons):
                    chip.add(op)
                    source = self._input(op)
                    if source is not None and source.base not in seen:
                        seen.add(source.base)
                        todo.append(source.base)
        forward: set[Operator] = set()
        todo = [op.output.base for op in self.neurons]
        seen = set(todo)
        while todo:
            for op in self.readers[todo.pop()]:
                if op not in possible or op in self.neurons:
                    continue
                if op not in chip:
                    forward.add(op)
                target = _target(op)
                if target not in seen:
                    seen.add(target)
                    todo.append(target)
        # What leads to no neuron goes on on the host from where the host knows all of it: behind a
        # synapse, whose last value it has before the step, or behind a sum to which it adds. But a
        # readout that makes fewer numbers of many is the chip's: the host need not ask for them.
        readout = self._readout(forward)
        moved = True
        while moved:
            moved = False
            for op in list(forward):
                source = self._input(op)
                if source is not None and (
                    (
                        self.updaters[source.base]
                        and not isinstance(op, SimProcess)
                        and op not in readout
                    )
                    or any(
                        w not in chip and w not in forward
                        for w in self.varying(source.base) + self.updaters[source.base]
                    )
                ):
                    forward.discard(op)
                    self._behind.add(op)
                    moved = True
        chip |= forward
        touched = {_target(op) for op in chip} | {op.J.base for op in self.neurons}
        touched |= {s.base for s in self.captured()}
        constant = {op for op in self._constant_ops if _target(op) in touched}
        return chip | constant

    def _readout(self, operators: set[Operator]) -> set[Operator]:
        """Those that have fewer results than operands, and what leads to them."""
        found = {
            op
            for op in operators
            if op in self.maps
            and len(np.unique(self.maps[op].rows)) < len(np.unique(self.maps[op].cols))
        }
        grown = True
        while grown:
            more = {
                op
                for op in operators - found
                if op in self.maps and any(r in found for r in self.readers[_target(op)])
            }
            found |= more
            grown = bool(more)
        return found

    def _input(self, op: Operator) -> Signal | None:
        if isinstance(op, SimProcess):
            return op.input
        if op in self._constant_ops:
            return None
        return self.source(op)

    # -- what runs on both sides -------------------------------------------------------------

    def on_chip(self, base: Signal) -> bool:
        """Whether operators on the chip write this signal with more than constants."""
        return any(op in self.chip for op in self.varying(base) + self.updaters[base])

    def on_host(self, base: Signal) -> bool:
        """Whether operators on the host alone write this signal with more than constants."""
        return any(op not in self.chip for op in self.varying(base) + self.updaters[base])

    def _share(self) -> None:
        """Let the host run linear operators of the chip, too, where it knows their sources."""
        wanted = [s.base for op in self.host for s in op.reads] + list(self.probed)
        for base in dict.fromkeys(wanted):
            self._make_known(base, set())
        for base in list(self.writers):
            if self.on_host(base) or (
                not self.varying(base)
                and not self.updaters[base]
                and (base in self.probed or any(r in self.host for r in self.readers[base]))
            ):
                self.host.update(self.constant_ops(base))

    def _make_known(self, base: Signal, below: set[Signal]) -> bool:
        """Whether the host knows a signal, after adding to its operators what it needs for that."""
        if not self._knowable(base, below):
            return False
        for op in self.varying(base):
            if op in self.chip and op not in self.host and op not in self.learning_ops:
                source = self._input(op)
                if source is not None:
                    self._make_known(source.base, set())
                self.host.add(op)
                self.host.update(self.constant_ops(base))
        return True

    def _knowable(self, base: Signal, below: set[Signal]) -> bool:
        if self.constant(base) or (not self.varying(base) and not self.updaters[base]):
            return True
        if not self.on_chip(base):
            return True
        if base in below or self.updaters[base] or self.on_host(base):
            return False
        below = below | {base}
        if any(op in self.products for op in self.varying(base)):
            return False
        for op in self.varying(base):
            source = None if isinstance(op, SimNeurons) else self._input(op)
            if source is None or not self._knowable(source.base, below):
                return False
        return True

    def known(self, base: Signal) -> bool:
        """Whether the host has the signal's full value without asking the chip."""
        if not self.on_chip(base):
            return True
        return not self.updaters[base] and all(op in self.host for op in self.varying(base))


def _set_elements(op: Operator, signal: Signal) -> np.ndarray:
    numbers = elements(signal)
    dst_slice = getattr(op, "dst_slice", None)
    return numbers if dst_slice is None else numbers[dst_slice]


def _target(op: Operator) -> Signal:
    return (op.sets + op.incs + op.updates)[0].base


def _why_not_linear(op: Operator) -> str:
    if isinstance(op, SimPyFunc):
        return "Python function"
    if isinstance(op, LEARNING):
        return f"learning rule {type(op).__name__.removeprefix('Sim')}"
    if isinstance(op, TimeUpdate):
        return "the clock"
    return f"operator {type(op).__name__} has no counterpart on the chip"

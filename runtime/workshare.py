"""Where the work of a model is done: counts of neurons, connections and synapses, and reasons."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import nengo
from nengo.builder.neurons import SimNeurons
from nengo.builder.operator import Operator
from nengo.builder.processes import SimProcess
from nengo.ensemble import Neurons

from ..compiler.frontends.nengo import Conversion
from ..compiler.frontends.nengo.kernels import NEURONS
from ..compiler.frontends.nengo.learning import RULES
from ..compiler.frontends.nengo.placement import BEHIND


@dataclass(frozen=True)
class Item:
    """One object of the model.

    Attributes
    ----------
    name : str
    kind : str
        ``"ensemble"``, ``"connection"``, ``"synapse"``, ``"node"``, ``"learning rule"``,
        ``"probe"`` or ``"other"``.
    where : str
        ``"chip"`` or ``"host"``.
    size : int
        Neurons of an ensemble, dimensions of the others.
    reason : str
        Why it is on the host; empty on the chip.
    counted : bool
        Whether it is of a kind that the chip supports: neurons with a kernel, and the connections
        (their weights) and synapses between them.
    exempt : str
        What keeps a counted object off the chip by its nature: ``"learned"`` weights, or a
        ``"synapse"`` that is no linear filter; empty otherwise.
    """

    name: str
    kind: str
    where: str
    size: int
    reason: str = ""
    counted: bool = False
    exempt: str = ""


@dataclass(frozen=True)
class WorkShare:
    """What runs on the chip, what on the host and why.

    Attributes
    ----------
    items : tuple of Item
    """

    items: tuple[Item, ...]

    def count(self, kind: str, where: str | None = None, **conditions: Any) -> int:
        """Number of items of a kind; of ensembles, the number of their neurons."""
        return sum(
            item.size if kind == "ensemble" else 1
            for item in self.items
            if item.kind == kind
            and (where is None or item.where == where)
            and all(getattr(item, name) == value for name, value in conditions.items())
        )

    @property
    def on_host(self) -> tuple[Item, ...]:
        """What the host does."""
        return tuple(item for item in self.items if item.where == "host")

    def to_json(self) -> dict[str, Any]:
        """Counts and items as a JSON object."""
        counts = {
            kind: {where: self.count(kind, where) for where in ("chip", "host")}
            for kind in ("ensemble", "connection", "synapse")
        }
        return {"counts": counts, "items": [asdict(item) for item in self.items]}

    def __str__(self) -> str:
        lines = [
            f"{title} on the chip: {self.count(kind, 'chip')} of {self.count(kind)}"
            for title, kind in (
                ("neurons", "ensemble"),
                ("connections", "connection"),
                ("synapses", "synapse"),
            )
        ]
        lines += [f"on the host: {i.kind} {i.name} ({i.reason})" for i in self.on_host]
        return "\n".join(lines)


def share_work(conversion: Conversion) -> WorkShare:
    """Count the work of a converted model."""
    return WorkShare(tuple(_Counter(conversion).items()))


class _Counter:
    def __init__(self, conversion: Conversion) -> None:
        self.placement = conversion.placement
        self.model = conversion.placement.model
        self.names = conversion.names
        self.connections = [o for o in self.model.sig if isinstance(o, nengo.Connection)]
        self.counted = self._counted_connections()

    def items(self) -> list[Item]:
        found = [self._ensemble(o) for o in self.model.sig if isinstance(o, nengo.Ensemble)]
        for connection in self.connections:
            found += self._connection(connection)
        for learned in self.placement.learned.values():
            name = self.names.of_signal(learned.op.delta.base).removesuffix(".delta")
            found.append(Item(name, "learning rule", "chip", learned.weights.size))
        seen = {item.name for item in found}
        # A rule's own reason says more than those of its parts.
        for op in sorted(self.placement.operators, key=lambda op: type(op) not in RULES):
            reason = self.placement.reasons.get(op)
            if reason in (None, "the clock", BEHIND) or op in self.placement.chip:
                continue
            owner = self._owner(op)
            name = self.names.of(owner) if owner is not None else str(op)
            if name not in seen:
                seen.add(name)
                size = sum(s.size for s in op.sets + op.incs + op.updates[:1])
                found.append(Item(name, _kind(owner), "host", size, str(reason)))
        return found

    def _owner(self, op: Operator) -> object | None:
        for signal in op.sets + op.incs + op.updates + op.reads:
            owner = self.names.owner(signal.base)
            if owner is not None:
                return owner
        return None

    def _supported(self, obj: object) -> bool:
        ensemble = obj.ensemble if isinstance(obj, Neurons) else obj
        return isinstance(ensemble, nengo.Ensemble) and type(ensemble.neuron_type) in NEURONS

    def _ensemble(self, ensemble: nengo.Ensemble) -> Item:
        signal = self.model.sig[ensemble.neurons].get("out")
        ops = [
            op
            for op in (self.placement.writers[signal.base] if signal is not None else [])
            if isinstance(op, SimNeurons)
        ]
        name = self.names.of(ensemble)
        counted = self._supported(ensemble)
        if ops and all(op in self.placement.chip for op in ops):
            return Item(name, "ensemble", "chip", ensemble.n_neurons, counted=counted)
        kind = type(ensemble.neuron_type).__name__
        reason = next(
            (self.placement.reasons[op] for op in ops if op in self.placement.reasons),
            f"{kind} neurons have no kernel",
        )
        return Item(name, "ensemble", "host", ensemble.n_neurons, reason, counted)

    def _counted_connections(self) -> set[nengo.Connection]:
        """Connections from supported neurons to such, by way of passthrough nodes or directly."""

        def reach(start: str, end: str) -> set[object]:
            reached: set[object] = set()
            grown = True
            while grown:
                grown = False
                for c in self.connections:
                    a, b = getattr(c, start), getattr(c, end)
                    through = isinstance(b, nengo.Node) and b.output is None
                    if through and b not in reached and (self._supported(a) or a in reached):
                        reached.add(b)
                        grown = True
            return reached

        fed, feeding = reach("pre_obj", "post_obj"), reach("post_obj", "pre_obj")
        return {
            c
            for c in self.connections
            if (self._supported(c.pre_obj) or c.pre_obj in fed)
            and (self._supported(c.post_obj) or c.post_obj in feeding)
        }

    def _connection(self, connection: nengo.Connection) -> list[Item]:
        signals = self.model.sig[connection]
        weighted, out = signals.get("weighted"), signals.get("out")
        if weighted is None or out is None:
            return []
        name, placement = self.names.of(connection), self.placement
        weights = signals.get("weights")
        ops = list(placement.readers[weights.base]) if weights is not None else []
        ops = [op for op in ops if not _is_rule(op)]
        synapse = [op for op in placement.updaters[weighted.base] if isinstance(op, SimProcess)]
        if not (ops or synapse):
            ops = [op for op in placement.readers[weighted.base] if _adds_to(op, out.base)]
        counted = connection in self.counted
        learned = connection.learning_rule is not None
        found = [self._item(name, "connection", ops, connection.size_out, counted, learned)]
        if synapse:
            found.append(
                self._item(
                    f"{name}: {connection.synapse}",
                    "synapse",
                    synapse,
                    connection.size_out,
                    counted,
                    False,
                )
            )
        return found

    def _item(
        self, name: str, kind: str, ops: list[Any], size: int, counted: bool, learned: bool
    ) -> Item:
        away = [op for op in ops if op not in self.placement.chip]
        if not away:
            return Item(name, kind, "chip", size, "", counted)
        reason = next(
            (self.placement.reasons[op] for op in away if op in self.placement.reasons), ""
        )
        exempt = "learned" if learned and "learned" in reason else ""
        if kind == "synapse" and reason.startswith("synapse "):
            exempt = "synapse"
        return Item(name, kind, "host", size, reason, counted, exempt)


def _adds_to(op: Operator, base: Any) -> bool:
    return any(s.base is base for s in op.sets + op.incs)


def _is_rule(op: Operator) -> bool:
    return type(op).__name__.startswith("Sim")


def _kind(owner: object | None) -> str:
    if isinstance(owner, nengo.Node):
        return "node"
    if isinstance(owner, nengo.Probe):
        return "probe"
    if isinstance(owner, nengo.connection.LearningRule):
        return "learning rule"
    if isinstance(owner, (nengo.Ensemble, Neurons)):
        return "ensemble"
    return "connection" if isinstance(owner, nengo.Connection) else "other"

"""Learning rules of Nengo out of rules: written once, they learn in Nengo and on the chip."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from nengo import Connection, Ensemble, Lowpass
from nengo.builder import Builder, Model
from nengo.builder.operator import DotInc, Reset
from nengo.builder.signal import Signal
from nengo.connection import LearningRule
from nengo.ensemble import Neurons
from nengo.learning_rules import LearningRuleType
from nengo.params import NumberParam

from ...errors import KernelError
from ...kernels.expression import fitting
from ...kernels.observed import Sight
from ...kernels.parametrised import Parameter
from ...kernels.rule import Error, Rule, Seen, Synapse
from ...machine import Machine
from .rule_operator import SimRule

_MODIFIES = ("weights", "decoders", "encoders")
_TAKEN = ("size_in", "modifies", "probeable", "rule", "rule_class")


class KernelRule(LearningRuleType):
    """Base of the learning rule types that `rule_type` makes.

    Parameters
    ----------
    **values : float
        Parameters of the rule.
    """

    rule_class: ClassVar[type[Rule]]
    probeable = ("delta",)

    def __init__(self, **values: float) -> None:
        rule = self.rule_class(**values)
        errors = [s for s in rule.seen().values() if isinstance(s, Error)]
        size_in: Any = 0
        if errors:
            size_in = 1 if all(e.scalar for e in errors) else "post_state"
        # Nengo gives every learning rule type a rate; where the rule has none, nothing reads it.
        super().__init__(rule.values.get("learning_rate", 1.0), size_in)
        for name, value in rule.values.items():
            if name != "learning_rate":
                setattr(self, name, value)

    def rule(self) -> Rule:
        """The rule with this type's parameters."""
        names = self.rule_class.declared(Parameter)
        return self.rule_class(**{name: getattr(self, name) for name in names})


def rule_type(rule: type[Rule]) -> type[KernelRule]:
    """Make a learning rule type of Nengo from a rule.

    Its parameters are those that the rule declares; its synapses' states and ``"delta"`` can be
    probed. It runs in float in any Nengo simulator, and as the rule's integers on the chip. A
    learning signal, where the rule declares an `Error`, enters at ``connection.learning_rule``,
    as for ``nengo.PES``. Can be used as a decorator::

        @rule_type
        class Hebb(Rule):
            ...

        nengo.Connection(a.neurons, b.neurons, transform=w, learning_rule_type=Hebb())

    Parameters
    ----------
    rule : type
        A class of `Rule`.

    Returns
    -------
    type
        A class of `nengo.learning_rules.LearningRuleType`.

    Raises
    ------
    KernelError
        If a name is one that Nengo needs itself, or the equations cannot be traced.
    """
    if rule.modifies not in _MODIFIES:
        raise KernelError(
            f"rule {rule.__name__}: modifies must be one of {_MODIFIES}, not {rule.modifies!r}"
        )
    for name in (*rule.declared(Synapse), *rule.declared(Parameter)):
        if name in _TAKEN or name in ("in", "delta"):
            raise KernelError(f"rule {rule.__name__}: Nengo uses {name!r} itself, rename it")
    rule.code(Machine())  # so that what is wrong with its equations shows at once
    made: type[KernelRule] = type(
        rule.__name__,
        (KernelRule,),
        {
            **{name: NumberParam(name, readonly=True) for name in rule.declared(Parameter)},
            "__doc__": rule.__doc__,
            "__module__": rule.__module__,
            "rule_class": rule,
            "modifies": rule.modifies,
            "probeable": ("delta", *rule.declared(Synapse)),
        },
    )
    return made


@Builder.register(KernelRule)
def build_kernel_rule(model: Model, kernel_rule: KernelRule, rule: LearningRule) -> None:
    """Add the operator of a rule, and the filters of the activities that it looks at.

    Raises
    ------
    KernelError
        If the rule looks at something that its connection does not have.
    """
    connection = rule.connection
    kernel = kernel_rule.rule()
    if rule.size_in:
        error = Signal(shape=rule.size_in, name=f"{type(kernel).__name__}:error")
        model.add_op(Reset(error))
        model.sig[rule]["in"] = error
    encoders = rule.modifies == "encoders"
    owner, key = (connection.post_obj, "encoders") if encoders else (connection, "weights")
    weights = model.sig[owner][key]
    variables: dict[str, Signal] = {}
    constants: dict[str, np.ndarray] = {}
    sights: dict[str, Sight] = {}
    for name, seen in kernel.seen().items():
        if seen.of == "gain":
            ensemble = _ensemble(connection, seen, name, kernel)
            constants[name] = model.params[ensemble].gain / ensemble.radius
            continue
        variables[name] = _signal(model, rule, kernel, name, seen)
        if seen.of == "spike":
            sights[name] = Sight("spike")
        elif isinstance(seen, Error) or seen.of in ("activity", "input"):
            continue
        else:
            assert seen.range is not None
            fraction = fitting(seen.range, 30 if seen.fraction is None else seen.fraction, 18)
            sights[name] = Sight(seen.of, None, seen.range, fraction)
    rng = np.random.RandomState(model.seeds[connection])
    states = {}
    for name, declared in kernel.declared(Synapse).items():
        start = declared.initial
        low, high = start if isinstance(start, tuple) else (start, start)
        drawn = rng.uniform(low, high, size=weights.shape)
        states[name] = Signal(drawn, name=f"{type(kernel).__name__}.{name}")
        model.sig[rule][name] = states[name]
    delta = model.sig[rule]["delta"]
    tag = f"{type(kernel).__name__} of {connection}"
    model.add_op(SimRule(kernel, weights, delta, variables, states, constants, sights, tag))


def _ensemble(connection: Connection, seen: Seen, name: str, kernel: Rule) -> Ensemble:
    """The neurons that a variable belongs to."""
    end = connection.pre_obj if seen.side == "pre" else connection.post_obj
    ensemble = end.ensemble if isinstance(end, Neurons) else end
    if not isinstance(ensemble, Ensemble):
        raise KernelError(
            f"{connection}: rule {type(kernel).__name__} looks at the {seen.side} neuron's "
            f"{seen.of} ({name}), but the {seen.side} object is a {type(end).__name__}; connect "
            "from and to neurons"
        )
    return ensemble


def _signal(model: Model, rule: LearningRule, kernel: Rule, name: str, seen: Seen) -> Signal:
    """What a variable is in Nengo."""
    connection = rule.connection
    if isinstance(seen, Error):
        return _error(model, rule, seen)
    if seen.of == "input":
        if rule.modifies != "encoders":
            raise KernelError(
                f"{connection}: rule {type(kernel).__name__} looks at the connection's input "
                f"({name}), which only rules that modify encoders can"
            )
        return model.sig[connection]["out"]
    neurons = _ensemble(connection, seen, name, kernel).neurons
    if seen.of in ("activity", "spike"):
        output = model.sig[neurons]["out"]
        if seen.of == "spike" and not neurons.ensemble.neuron_type.spiking:
            raise KernelError(
                f"{connection}: rule {type(kernel).__name__} looks at the {seen.side} neuron's "
                f"spike ({name}), but {type(neurons.ensemble.neuron_type).__name__} neurons have "
                "rates; use spiking neurons, or an activity"
            )
        if seen.tau is None:
            return output
        return model.build(Lowpass(getattr(kernel, seen.tau)), output)
    if seen.of not in model.sig[neurons]:
        known = sorted(neurons.ensemble.neuron_type.state)
        raise KernelError(
            f"{connection}: rule {type(kernel).__name__} looks at the {seen.side} neuron's "
            f"{seen.of} ({name}), but {type(neurons.ensemble.neuron_type).__name__} neurons have "
            f"only: {', '.join(known) or 'no states'}"
        )
    return model.sig[neurons][seen.of]


def _error(model: Model, rule: LearningRule, seen: Error) -> Signal:
    """The learning signal of each row; as for PES, encoded where rows are neurons."""
    connection, error = rule.connection, model.sig[rule]["in"]
    if seen.scalar or not connection._to_neurons or rule.modifies == "encoders":
        return error
    post = connection.post_obj
    encoders = model.sig[post.ensemble if isinstance(post, Neurons) else post]["encoders"]
    local = Signal(shape=(encoders.shape[0],), name=f"{error.name} of each neuron")
    model.add_op(Reset(local))
    model.add_op(DotInc(encoders, error, local, tag="encode error"))
    return local

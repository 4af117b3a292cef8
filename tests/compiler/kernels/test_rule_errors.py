"""What is wrong with a rule is refused with the line of its definition, and with a remedy."""

import inspect

import numpy as np
import pytest

from spikeloom import Post, Pre, Rule, Synapse, Weight, clip, rule_type, sum_of
from spikeloom.compiler.errors import KernelError


class OfAllSynapses(Rule):
    weight = Weight(range=(0, 1))
    x = Pre("activity")

    def step(self, now, dt):
        return {"weight": clip(now.weight - sum_of(now.weight) * 0.01, 0, 1)}  # here


class Branches(Rule):
    weight = Weight(range=(0, 1))
    fired = Post("spike")

    def step(self, now, dt):
        if now.fired:  # here
            return {"weight": now.weight}
        return {"weight": now.weight}


class ChangesWithoutSpike(Rule):
    gate = "post"
    weight = Weight(range=(0, 1))
    fired = Post("spike")

    def step(self, now, dt):  # here
        return {"weight": clip(now.weight + now.fired * 0.1 + 0.001, 0, 1)}


class Divides(Rule):
    weight = Weight(range=(0, 1))

    def step(self, now, dt):
        return {"weight": now.weight / (now.weight + 1)}  # here


class Endless(Rule):
    weight = Weight(range=(0, float("inf")))  # here

    def step(self, now, dt):
        return {"weight": now.weight}


class EndlessSynapse(Rule):
    weight = Weight(range=(0, 1))
    trace = Synapse(range=(0, float("inf")), fraction=8)  # here

    def step(self, now, dt):
        return {"weight": now.weight}


class StateWithoutRange(Rule):
    weight = Weight(range=(0, 1))
    v = Pre("voltage")  # here

    def step(self, now, dt):
        return {"weight": now.weight + now.v}


class MixesUnits(Rule):
    v = Pre("voltage", range=(0, 1), fraction=10)

    def step(self, now, dt):
        return {"weight": now.weight + now.v}  # here


class UnknownFunction(Rule):
    weight = Weight(range=(0, 1))
    v = Pre("voltage", range=(0, 1), fraction=10)

    def step(self, now, dt):
        return {"weight": np.exp(now.v)}  # here


REMEDIES = {
    OfAllSynapses: "a rule sees one synapse",
    Branches: "use select",
    ChangesWithoutSpike: "select(spike, ..., 0) around the whole change",
    Divides: "use divide(a, b, bits)",
    Endless: "is not finite",
    EndlessSynapse: "is not finite",
    StateWithoutRange: "give its range and fraction",
    MixesUnits: "declare their ranges",
    UnknownFunction: "use table(np.exp",
}


@pytest.mark.parametrize("rule", REMEDIES, ids=lambda rule: rule.__name__)
def test_refused_with_line_and_remedy(rule):
    lines, first = inspect.getsourcelines(rule)
    line = first + next(n for n, text in enumerate(lines) if "# here" in text)
    with pytest.raises(KernelError) as e:
        rule_type(rule)
    assert f"{__file__}:{line}: " in str(e.value)
    assert REMEDIES[rule] in str(e.value)

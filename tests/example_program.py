"""A small Program written by hand: two leaky neurons that drive a running sum.

The value memory holds a constant 1 (the bias), two inputs and the sum. Weights are laid out for
four lanes, of which two are used.
"""

import numpy as np

from spikeloom.compiler.instructions import Evt, Mac, Map
from spikeloom.compiler.kernels.code import KernelCode, Op, Parameter, Port, Table
from spikeloom.compiler.machine import Machine
from spikeloom.compiler.program import InputPort, OutputPort, PopulationInfo, Program

MACHINE = Machine(lanes=4)

LEAKY = KernelCode(
    name="Leaky",
    input=Port("current", -1024, 1023, 8),
    states=(Port("voltage", -4096, 4095, 8),),
    parameters=(Parameter("decay", True, -(1 << 17), (1 << 17) - 1, 17),),
    tables=(Table("threshold", 0, 2, 0, 4095, 8),),
    ops=(
        Op("input", ("current",), -1024, 1023, 8),
        Op("state", ("voltage",), -4096, 4095, 8),
        Op("scale", (1, "decay"), -4096, 4096, 8),
        Op("add", (2, 0), -5120, 5119, 8),
        Op("sat", (3, -4096, 4095), -4096, 4095, 8),
        Op("const", (0,), 0, 0, 0),
        Op("table", (5, "threshold"), 0, 4095, 8),
        Op("gt", (4, 6), 0, 1, 0),
        Op("select", (7, 5, 4), -4096, 4095, 8),
    ),
    next_state=(8,),
    emit=7,
    emits="events",
    emit_fraction=0,
    delayed=False,
)

SUM = KernelCode(
    name="Sum",
    input=Port("input", -(1 << 17), (1 << 17) - 1, None),
    states=(Port("total", -(1 << 17), (1 << 17) - 1, None),),
    parameters=(),
    tables=(),
    ops=(
        Op("input", ("input",), -(1 << 17), (1 << 17) - 1, 0),
        Op("state", ("total",), -(1 << 17), (1 << 17) - 1, 0),
        Op("add", (0, 1), -(1 << 18), (1 << 18) - 2, 0),
        Op("sat", (2, -(1 << 17), (1 << 17) - 1), -(1 << 17), (1 << 17) - 1, 0),
    ),
    next_state=(3,),
    emit=3,
    emits="value",
    emit_fraction=None,
    delayed=True,
)


def example_program() -> Program:
    """A fresh copy of the example."""
    weight = np.zeros((5, 4), dtype=np.int32)
    weight[0, :2] = [40, 10]  # bias
    weight[1, :2] = [3, 0]  # first input
    weight[2, :2] = [0, 3]  # second input
    weight[3, 0] = 100  # spike of neuron 0 -> sum
    weight[4, 0] = -7  # spike of neuron 1 -> sum
    return Program(
        name="example",
        machine=MACHINE,
        dt=0.001,
        kernels={"Leaky": LEAKY, "Sum": SUM},
        phases=[
            [
                Mac(0, 0, 3, 0, 1, 2, clear=True, wait=True, comment="stimulus -> leaky"),
                Map(
                    kernel="Leaky",
                    population="leaky",
                    length=2,
                    source=0,
                    input_shift=0,
                    state=0,
                    target=0,
                    list=0,
                    output_shift=0,
                    table_set=0,
                    parameters={"decay": (118000, 17)},
                    comment="leaky",
                ),
                Evt(3, 0, 0, 2, 1, 1, 1, clear=True, wait=True, comment="leaky -> sum"),
                Map(
                    kernel="Sum",
                    population="sum",
                    length=1,
                    source=1,
                    input_shift=0,
                    state=2,
                    target=3,
                    list=-1,
                    output_shift=0,
                    table_set=0,
                    parameters={},
                    comment="sum",
                ),
            ]
        ],
        weight=weight,
        value=np.array([1, 0, 0, 0], dtype=np.int64),
        state=np.array([[5, 9, 0]], dtype=np.int64),
        tables={"Leaky.threshold": np.array([[256, 300]], dtype=np.int64)},
        accumulator_words=2,
        event_words=2,
        event_lists=1,
        inputs={"stimulus": InputPort("stimulus", 0, 1, 2, 6, "stimulus")},
        outputs={
            "spikes": OutputPort("spikes", "event", 0, 2, 0, 1000.0, 0, "spikes of leaky"),
            "voltage": OutputPort("voltage", "state", 0, 2, 0, 2.0**-8, 0, "voltage of leaky"),
            "current": OutputPort("current", "accumulator", 0, 2, 0, 2.0**-8, 0, "input of leaky"),
            "sum": OutputPort("sum", "value", 3, 1, 0, 0.25, 0, "sum"),
        },
        populations={
            "leaky": PopulationInfo("leaky", "Leaky", 2, "leaky", 2.0**-8, (2.0**-8,), 1000.0),
            "sum": PopulationInfo("sum", "Sum", 1, "sum", 0.25, (0.25,), 0.25),
        },
        notes={"signals": [{"name": "leaky", "range": [-1.0, 1.0]}], "limit": float("inf")},
    )

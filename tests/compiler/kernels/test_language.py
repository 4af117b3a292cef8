"""The kernel language: formats follow from declarations, and bad definitions are explained."""

import numpy as np
import pytest

from spikeloom.compiler.errors import KernelError, RangeError
from spikeloom.compiler.kernels.code import Parameter as Register
from spikeloom.compiler.kernels.code import signed_bits
from spikeloom.compiler.kernels.expression import (
    clip,
    constant,
    divide,
    floor,
    maximum,
    scale,
    scaled,
    select,
    table,
)
from spikeloom.compiler.kernels.kernel import (
    Input,
    Kernel,
    Parameter,
    State,
    payload_fraction,
    scaled_register,
)
from spikeloom.compiler.machine import Machine
from spikeloom.sim.evaluate import evaluate

MACHINE = Machine()


def run(kernel, u, dt=0.001, **states):
    """Outputs and next states of the integer code, for integer inputs."""
    code = kernel.code(MACHINE)
    entries = kernel.table_entries(dt, MACHINE)
    result = evaluate(
        code,
        np.asarray(u, np.int64),
        [np.broadcast_to(np.int64(states[s.name]), np.shape(u)) for s in code.states],
        kernel.registers(dt, MACHINE),
        {t.name: entries[t.name] for t in code.tables},
    )
    return result


class Leaky(Kernel):
    tau = Parameter(low=0, unit="s")
    current = Input(range=(-8, 8), fraction=16)
    voltage = State(range=(-8, 8), fraction=20)
    emits = "events"

    def step(self, state, current, dt):
        decay = scaled(-np.expm1(-dt / self.tau), bound=1)
        voltage = state.voltage + (current - state.voltage) * decay
        spike = voltage > 1
        return spike, {"voltage": select(spike, 0, voltage)}


def test_a_kernel_of_a_few_lines_runs_in_float_and_in_integers():
    kernel = Leaky(tau=0.02)
    current, voltage = np.array([0.5, 3.0, -2.0]), np.array([0.2, 0.99, 0.0])
    spikes, state = kernel.step_float({"voltage": voltage}, current, 0.001)
    assert spikes.tolist() == [0, 1, 0]
    result = evaluate(
        Leaky.code(MACHINE),
        np.rint(current * 2**16).astype(np.int64),
        [np.rint(voltage * 2**20).astype(np.int64)],
        kernel.registers(0.001, MACHINE),
        {},
    )
    unit = 2 ** Leaky.code(MACHINE).emit_fraction
    assert result.output.tolist() == [0, unit, 0]
    np.testing.assert_allclose(
        np.asarray(result.next_state[0]) / 2**20, state["voltage"], atol=2.0**-19 + 8 * 2.0**-18
    )


def test_formats_follow_from_the_declarations():
    class Square(Kernel):
        x = Input(range=(-4, 4), fraction=10)
        y = State(range=(0, 1), fraction=12)

        def step(self, state, x, dt):
            return x * x, {"y": x * x + state.y}

    code = Square.code(MACHINE)
    product = next(op for op in code.ops if op.kind == "mul")
    assert (product.lo, product.hi, product.fraction) == (-(2**24), 2**24, 20)
    rounded = next(op for op in code.ops if op.kind == "round")
    assert rounded.args[1] == 10 and rounded.fraction == 10
    assert code.ops[code.next_state[0]].kind == "sat"
    assert code.emit_fraction == 10


def test_the_same_operation_is_traced_once():
    class Twice(Kernel):
        x = Input(range=(-1, 1), fraction=8)

        def step(self, state, x, dt):
            return maximum(x, 0) + maximum(x, 0), {}

    assert [op.kind for op in Twice.code(MACHINE).ops].count("max") == 1


def test_divide_is_total_and_rounds_to_nearest():
    class Ratio(Kernel):
        a = Input(range=(-8, 8), fraction=4)
        b = State(range=(-8, 8), fraction=4)

        def step(self, state, a, dt):
            return divide(a, state.b, bits=8), {"b": state.b}

    def ratio(a, b):
        return int(run(Ratio(), [a], b=b).output[0])

    assert ratio(1, 3) == 85  # 85.33
    assert ratio(2, 3) == 171  # 170.67
    assert ratio(0, 3) == 0 and ratio(-5, 3) == 0 and ratio(-5, -3) == 0
    assert ratio(3, 3) == 256 and ratio(7, 3) == 256
    assert ratio(1, 0) == 256 and ratio(1, -4) == 256
    assert divide(np.array([1.0, -1.0, 5.0, 1.0]), np.array([4.0, 4, 4, 0]), 8).tolist() == [
        0.25,
        0.0,
        1.0,
        1.0,
    ]


def test_a_table_has_one_entry_for_each_argument():
    class Exponential(Kernel):
        tau = Parameter(low=0)
        x = Input(range=(-1, 1), fraction=3)

        def step(self, state, x, dt):
            return table(lambda v: np.exp(v * self.tau), x, range=(0, 4), fraction=10), {}

    kernel = Exponential(tau=1.0)
    entries = kernel.table_entries(0.001, MACHINE)["table0"]
    assert len(entries) == 17
    np.testing.assert_array_equal(entries, np.rint(np.exp(np.arange(-8, 9) / 8) * 1024))
    assert run(kernel, [-8, 8]).output.tolist() == [377, 2784]


def test_floor_rounds_towards_minus_infinity():
    class Whole(Kernel):
        x = Input(range=(-4, 4), fraction=4)

        def step(self, state, x, dt):
            return floor(x), {}

    assert run(Whole(), [-1, 0, 15, 16, -16, -17]).output.tolist() == [-1, 0, 0, 1, -1, -2]


@pytest.mark.parametrize("value", [1.0, -1.0, 0.0487705755, 1e-7, -0.99999, 0.5, 2.0, 0.0])
def test_scaled_parameters_keep_all_bits_of_the_mantissa(value):
    register = Register("p", True, -(2**17), 2**17 - 1, 0)
    mantissa, shift = scaled_register(value, register)
    assert 1 <= shift <= 62
    assert register.lo <= mantissa <= register.hi
    assert abs(mantissa * 2.0**-shift - value) <= abs(value) * 2.0**-17


def test_a_scaled_parameter_rounds_the_product_once():
    class Gain(Kernel):
        gain = Parameter(low=-1, high=1)
        x = Input(range=(-8, 8), fraction=8)

        def step(self, state, x, dt):
            return scale(x, scaled(self.gain, bound=1), fraction=8), {}

    assert run(Gain(gain=0.5), [3, -3, 5]).output.tolist() == [2, -1, 3]


def _kernel(step, **members):
    return type("Odd", (Kernel,), {"x": Input(range=(-1, 1), fraction=8), "step": step, **members})


@pytest.mark.parametrize(
    ("step", "members", "message"),
    [
        (lambda self, s, x, dt: (x if x > 0 else -x, {}), {}, "`if`.*select"),
        (lambda self, s, x, dt: (x + self.a, {}), {"a": Parameter()}, "wrap it in scaled"),
        (lambda self, s, x, dt: (x, {"y": x}), {}, "returns the states"),
        (lambda self, s, x, dt: ("x", {}), {}, "not a traced value"),
        (lambda self, s, x, dt: (x * x, {}), {"emits": "events"}, "must be whole"),
        (
            lambda self, s, x, dt: (table(np.exp, x, range=(0, 4), fraction=8), {}),
            {"x": Input(range=(-32, 32), fraction=8)},
            "a table over 16385 values is too large",
        ),
        (
            lambda self, s, x, dt: (x * x * x * x * x, {}),
            {"x": Input(range=(-(2**15), 2**15), fraction=16)},
            "more than 62 bits",
        ),
        (
            lambda self, s, x, dt: (x, {"v": s.v}),
            {"v": State(range=(-(2**40), 2**40), fraction=20)},
            "state v does not fit 32 bits",
        ),
        (
            lambda self, s, x, dt: (x, {"v": s.v}),
            {"v": State()},
            "state v has no range; declare one",
        ),
        (lambda self, s, x, dt: (x & x, {}), {}, "results of comparisons"),
    ],
)
def test_bad_definitions_are_explained(step, members, message):
    with pytest.raises(KernelError, match=message):
        _kernel(step, **members).code(MACHINE)


def test_a_narrow_machine_keeps_fewer_fraction_bits():
    class Sum(Kernel):
        x = Input(range=(-8, 8), fraction=30)
        v = State(range=(-4, 4), fraction=30)

        def step(self, state, x, dt):
            level = constant(0.5, range=(-2, 2), fraction=30, like=x)
            part = table(np.exp, clip(x, 0, 0), range=(0, 4), fraction=30)
            return state.v + x + level + part, {"v": state.v}

    code = Sum.code(Machine(state_bits=24, parameter_bits=16))
    kept = {op.kind: (op.fraction, op.bits) for op in code.ops}
    assert kept["input"] == (20, 24)
    assert kept["state"] == (21, 24)
    assert kept["param"] == (22, 25)  # up to 2, included
    assert kept["table"] == (13, 17)


def test_parameters_are_checked_by_name_and_range():
    with pytest.raises(KernelError, match="needs the parameter 'tau'"):
        Leaky()
    with pytest.raises(KernelError, match="no parameter 'tua'"):
        Leaky(tau=1, tua=2)
    with pytest.raises(KernelError, match=r"tau = -1 is outside 0\.\.inf"):
        Leaky(tau=-1)


def test_a_register_refuses_what_it_cannot_hold():
    class Shift(Kernel):
        by = Parameter()
        x = Input(range=(-1, 1), fraction=8)

        def step(self, state, x, dt):
            return x + constant(self.by, range=(-1, 1), fraction=8, like=x), {}

    assert Shift(by=0.5).registers(0.001, MACHINE) == {"by": 128}
    with pytest.raises(RangeError, match="by = 3 is outside"):
        Shift(by=3.0).registers(0.001, MACHINE)


def test_widths():
    assert [signed_bits(*r) for r in [(0, 0), (-1, 0), (0, 1), (-128, 127), (-129, 0)]] == [
        1,
        1,
        2,
        8,
        9,
    ]


@pytest.mark.parametrize(
    ("machine", "bits", "fraction"),
    [(Machine(), 1, 12), (Machine(), 8, 9), (Machine(4, 16, 16, 32), 1, 6), (Machine(), 17, 0)],
)
def test_payloads_carry_fraction_bits_where_the_accumulator_has_room(machine, bits, fraction):
    assert payload_fraction(bits, machine) == fraction


def test_more_spikes_than_a_payload_holds_are_limited_and_counted():
    class Burst(Kernel):
        n = Input(range=(-4, 40), fraction=0)
        emits = "events"
        payload_bits = 4

        def step(self, state, n, dt):
            return n, {}

    unit = 2 ** Burst.code(MACHINE).emit_fraction
    result = run(Burst(), [3, 15, 16, 40])
    assert (result.output // unit).tolist() == [3, 15, 15, 15]
    assert result.saturations == 2

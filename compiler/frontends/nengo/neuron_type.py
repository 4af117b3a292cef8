"""Neuron types of Nengo out of kernels: written once, they run in Nengo and on the chip."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, ClassVar, TypeAlias

import numpy as np
from nengo.builder import Builder, Model
from nengo.builder.neurons import SimNeurons, build_neurons
from nengo.dists import Choice, Distribution, Uniform
from nengo.neurons import NeuronType, settled_firingrate
from nengo.params import NumberParam

from ...errors import KernelError
from ...kernels.kernel import Kernel, Parameter, State
from ...machine import Machine
from .kernels import NEURONS

CURRENTS = 512
"""Currents at which spikes are counted, at most."""

TIME_STEP = 0.001
"""Seconds; of the runs in which rates are found."""

SETTLE_TIME = 0.2
RUN_TIME = 1.0

Parameters: TypeAlias = tuple[tuple[str, float], ...]

_TAKEN = ("amplitude", "initial_state", "state", "output", "J", "dt")


class SimPopulation(SimNeurons):
    """`SimNeurons` of a kernel that reduces over its population.

    Being of another type, it is not joined with others by Nengo's optimiser.
    """


class KernelNeurons(NeuronType):
    """Base of the neuron types that `neuron_type` makes.

    Parameters
    ----------
    amplitude : float
        Worth of a spike (divided by dt), or factor of a rate.
    initial_state : mapping of state name -> distribution or array
    **values : float
        Parameters of the kernel.
    """

    kernel_class: ClassVar[type[Kernel]]
    reduces: ClassVar[bool] = False
    state: ClassVar[dict[str, Distribution]] = {}

    amplitude = NumberParam("amplitude", low=0, low_open=True)

    def __init__(
        self,
        amplitude: float = 1.0,
        initial_state: Mapping[str, Any] | None = None,
        **values: float,
    ) -> None:
        super().__init__(initial_state)
        self.amplitude = amplitude
        for name, value in self.kernel_class(**values).values.items():
            setattr(self, name, value)

    @property
    def _argreprs(self) -> list[str]:
        """What its repr shows: the kernel's parameters, and an amplitude that is not 1."""
        shown = {
            **self.kernel().values,
            **({"amplitude": self.amplitude} if self.amplitude != 1 else {}),
        }
        return [f"{name}={value:g}" for name, value in shown.items()]

    def kernel(self) -> Kernel:
        """The kernel with this type's parameters."""
        names = self.kernel_class.declared(Parameter)
        return self.kernel_class(**{name: getattr(self, name) for name in names})

    def step(self, dt: float, J: np.ndarray, output: np.ndarray, **state: np.ndarray) -> None:
        """One step of the kernel's equations in floats; see `nengo.neurons.NeuronType.step`."""
        kernel = self.kernel()
        result, new = kernel.step_float(state, J * (kernel.input_gain(dt) or 1.0), dt)
        output[...] = result * (self.amplitude / dt if self.spiking else self.amplitude)
        for name, values in new.items():
            state[name][...] = values

    def rates(self, x: np.ndarray, gain: np.ndarray, bias: np.ndarray) -> np.ndarray:
        """Rates at the inputs `x`: by the kernel's own formula, or counted in a run.

        A kernel may define ``rates(self, current)``, in Hz (or in units of its output). Where it
        does not, neurons with states are run for a second, others for one step, each neuron as a
        population of its own. Neurons of one type differ in their currents alone, so where there
        are many currents only some are run, as densely as they lie, and the others interpolated.
        """
        current = self.current(x, gain, bias)
        formula = getattr(self.kernel(), "rates", None)
        if formula is not None:
            return self.amplitude * np.asarray(formula(current), dtype=float)
        if not self.state:
            output = np.zeros((*current.shape, 1))
            self.step(TIME_STEP, current[..., np.newaxis], output)
            return output[..., 0]
        run = np.unique(current)
        if len(run) > CURRENTS:
            run = np.unique(np.quantile(run, np.linspace(0, 1, CURRENTS)))
        kind: Any = type(self)
        parameters = tuple(self.kernel().values.items())
        counted = _counted_rates(kind, self.amplitude, parameters, run.tobytes())
        return np.asarray(np.interp(current, run, counted))


@lru_cache(maxsize=64)
def _counted_rates(
    kind: type[KernelNeurons], amplitude: float, parameters: Parameters, currents: bytes
) -> np.ndarray:
    """Rates of neurons at some currents, counted in a run; that of equal ones is not repeated."""
    neurons = kind(amplitude, None, **dict(parameters))
    alone = np.frombuffer(currents)[:, np.newaxis]
    start = {name: np.full(alone.shape, _middle(dist)) for name, dist in kind.state.items()}
    start["output"] = np.zeros(alone.shape)
    counted = settled_firingrate(neurons.step, alone, start, TIME_STEP, SETTLE_TIME, RUN_TIME)
    rates: np.ndarray = counted[:, 0]
    return rates


@Builder.register(KernelNeurons)
def build_kernel_neurons(
    model: Model, neuron_type: KernelNeurons, neurons: Any, *signals: Any, **named: Any
) -> None:
    """Add the operator of a kernel's neurons: one that stays alone if the kernel reduces."""
    build_neurons(model, neuron_type, neurons, *signals, **named)
    if neuron_type.reduces:
        op = model.operators.pop()
        state = {**op.state, **op.state_extra}
        model.add_op(SimPopulation(op.neurons, op.J, op.output, state, op.tag))


def _distribution(state: State) -> Distribution:
    if isinstance(state.initial, tuple):
        return Uniform(*state.initial)
    return Choice([state.initial])


def _middle(distribution: Distribution) -> float:
    return float(np.mean(distribution.sample(101, rng=np.random.RandomState(0))))


def neuron_type(
    kernel: type[Kernel], initial: Mapping[str, Distribution] | None = None
) -> type[KernelNeurons]:
    """Make a neuron type of Nengo from a kernel.

    Its parameters and states are those that the kernel declares. It runs in float in any Nengo
    simulator, and as the kernel's integers on the chip. Can be used as a decorator::

        @neuron_type
        class Leaky(Kernel):
            ...

        nengo.Ensemble(100, 1, neuron_type=Leaky(tau=0.02))

    Parameters
    ----------
    kernel : type
        A class of `Kernel`.
    initial : mapping of state name -> nengo Distribution, optional
        Where states begin; as `State` declares it where nothing is said.

    Returns
    -------
    type
        A class of `nengo.neurons.NeuronType`.

    Raises
    ------
    KernelError
        If a name is none of the kernel's states, or one that Nengo needs itself; if the equations
        cannot be traced.
    """
    states = kernel.declared(State)
    for name in initial or {}:
        if name not in states:
            raise KernelError(f"kernel {kernel.__name__} has no state {name!r}")
    for name in (*states, *kernel.declared(Parameter)):
        if name in _TAKEN or (name not in states and hasattr(KernelNeurons, name)):
            raise KernelError(f"kernel {kernel.__name__}: Nengo uses {name!r} itself, rename it")
    spiking = kernel.emits == "events"
    attributes: dict[str, Any] = {name: NumberParam(name) for name in kernel.declared(Parameter)}
    made: type[KernelNeurons] = type(
        kernel.__name__,
        (KernelNeurons,),
        {
            **attributes,
            "__doc__": kernel.__doc__,
            "__module__": kernel.__module__,
            "kernel_class": kernel,
            "state": {n: (initial or {}).get(n) or _distribution(s) for n, s in states.items()},
            "reduces": bool(kernel.code(Machine()).reductions),
            "spiking": spiking,
            "negative": not spiking,
        },
    )
    NEURONS[made] = lambda neurons: neurons.kernel()  # type: ignore[attr-defined]
    return made

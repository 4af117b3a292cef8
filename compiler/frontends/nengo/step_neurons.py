"""Neuron types of Nengo that are stepped once per time step; see the kernels of the same names."""

from __future__ import annotations

from ...kernels import step_neurons as kernels
from .neuron_type import neuron_type

StepLIF = neuron_type(kernels.StepLIF)
StepLIFSubtract = neuron_type(kernels.StepLIFSubtract)
StepLIFLateSubtract = neuron_type(kernels.StepLIFLateSubtract)
StepLIFLateReset = neuron_type(kernels.StepLIFLateReset)
StepCubaLIF = neuron_type(kernels.StepCubaLIF)
StepCubaLIFSubtract = neuron_type(kernels.StepCubaLIFSubtract)
StepCubaLIFLateSubtract = neuron_type(kernels.StepCubaLIFLateSubtract)
StepCubaLIFLateReset = neuron_type(kernels.StepCubaLIFLateReset)
VariedStepLIF = neuron_type(kernels.VariedStepLIF)
VariedStepLIFSubtract = neuron_type(kernels.VariedStepLIFSubtract)
VariedStepLIFLateSubtract = neuron_type(kernels.VariedStepLIFLateSubtract)
VariedStepLIFLateReset = neuron_type(kernels.VariedStepLIFLateReset)
VariedStepCubaLIF = neuron_type(kernels.VariedStepCubaLIF)
VariedStepCubaLIFSubtract = neuron_type(kernels.VariedStepCubaLIFSubtract)
VariedStepCubaLIFLateSubtract = neuron_type(kernels.VariedStepCubaLIFLateSubtract)
VariedStepCubaLIFLateReset = neuron_type(kernels.VariedStepCubaLIFLateReset)
StepLI = neuron_type(kernels.StepLI)
Heaviside = neuron_type(kernels.Heaviside)

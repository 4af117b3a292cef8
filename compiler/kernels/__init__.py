"""Kernels: neuron and synapse models as equations, and their integer code."""

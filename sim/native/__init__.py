"""The native engine: C generated from a Program's kernels."""

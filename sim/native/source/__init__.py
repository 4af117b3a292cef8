"""From kernels to C: what is done for all neurons, for usual ones, and for few."""

"""Parameter sweeps: many runs of one model, on all cores or on a cluster, into one table."""

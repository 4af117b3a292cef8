"""Settings that all tests share."""

import nengo

# The cache would hide differences between solvers, and workers would wait for each other's lock.
nengo.rc.set("decoder_cache", "enabled", "False")

"""Settings that all tests share."""

import nengo

# The cache would hide differences between solvers, and workers would wait for each other's lock.
nengo.rc.set("decoder_cache", "enabled", "False")


def pytest_addoption(parser):
    """Choose the board of the hardware-in-the-loop suite."""
    parser.addoption("--port", default="sim", help="serial port of a board, or 'sim'")
    parser.addoption("--board", default="ulx3s-85f", help="which board is at that port")

"""Trained networks of other tools, turned into pure Nengo networks with frozen parameters.

Float Nengo runs such a network as the reference, and the frontend of Nengo compiles it: so there is
one way into the compiler, whatever a network was trained with.
"""

"""The report of a compilation, with its pictures and its advice."""

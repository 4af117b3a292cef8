"""The numbers of a network, to be checked by hand."""

"""The commands of the `spikeloom` program, one module each.

A module offers ``HELP`` and ``EXAMPLE`` (texts), ``configure(parser)`` to add its arguments, and
``execute(arguments) -> int``, which does the work and returns the exit status. The file of the same
name as the command is imported only when that command is used.
"""

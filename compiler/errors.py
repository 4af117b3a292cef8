"""The errors that Spikeloom raises, all of one family.

Each message is one line that names the object at fault and says what to do about it. The command
line prints the message and exits with status 2; it never shows a traceback for one of these.
"""


class SpikeloomError(Exception):
    """Base of all errors that a user can cause and mend."""


class ModelError(SpikeloomError):
    """The network itself cannot be compiled: unknown object, no network, inconsistent shapes."""


class KernelError(SpikeloomError):
    """A kernel definition cannot be traced or lowered to integers."""


class GraphError(SpikeloomError):
    """A pass left a Graph that breaks the Graph's own rules (a defect of the compiler)."""


class RangeError(SpikeloomError):
    """A signal does not fit, or left, the range that its fixed-point format can hold."""


class CapacityError(SpikeloomError):
    """A Program is larger than the machine it is meant for."""


class ProgramError(SpikeloomError):
    """A Program on disk is corrupt, foreign, of another version, or does not suit the engine."""


class InputError(SpikeloomError):
    """Inputs given to a run have the wrong name, shape or values."""


class ToolError(SpikeloomError):
    """An outside tool (C compiler, Verilator, ...) is missing or failed."""


class LinkError(SpikeloomError):
    """A board does not answer, answers something else, or is not what the Program needs."""

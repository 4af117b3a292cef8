"""The components that differ between device families: memory, multiplier, accumulator, delay.

Everything that depends on how a family's block RAM and multipliers look lies behind these; the rest
of the hardware is plain Amaranth. All are Verilog modules, in one file for each family beside this
module. Those of the family ``plain`` are the meaning of the others and serve simulation.
"""

from __future__ import annotations

from importlib.resources import files

from amaranth import ClockSignal, Instance, Module, Value

READ_LATENCY = 2
"""Cycles from a memory's read address to its data: its own latch, and an output register."""

FAMILIES = ("plain", "ecp5", "ice40")


def text(family: str = "plain") -> str:
    """Verilog of the components for a device family, one of `FAMILIES`."""
    return (files(__package__) / f"{family}.v").read_text(encoding="utf-8")


def add_memory(
    m: Module,
    name: str,
    depth: int,
    *,
    write: tuple[Value, Value, Value],
    read_address: Value,
    read_data: Value,
    latency: int = READ_LATENCY,
    shared: bool = False,
) -> None:
    """Put a memory of `depth` words, as wide as `read_data`, into module `m`.

    Parameters
    ----------
    m : Module
    name : str
        Of the instance.
    depth : int
    write : (enable, address, data)
    read_address, read_data : Value
        `read_data` follows `latency` cycles after the address.
    latency : int
        1 or 2.
    shared : bool
        It is only written at the address that is read, so that a memory with a single port will do.
    """
    enable, write_address, write_data = write
    bits = max(1, (depth - 1).bit_length())
    m.submodules[name] = Instance(
        "spikeloom_memory",
        p_DEPTH=depth,
        p_WIDTH=len(read_data),
        p_ADDRESS=bits,
        p_SHARED=int(shared),
        p_LATENCY=latency,
        i_clk=ClockSignal(),
        i_write_enable=enable,
        i_write_address=Value.cast(write_address)[:bits],
        i_write_data=Value.cast(write_data)[: len(read_data)],
        i_read_address=Value.cast(read_address)[:bits],
        o_read_data=read_data,
    )


def add_multiplier(m: Module, name: str, a: Value, b: Value, product: Value, latency: int) -> None:
    """Put a signed multiplier into `m`; `product` follows `latency` (2 or 3) cycles after."""
    m.submodules[name] = Instance(
        "spikeloom_multiplier",
        p_A=len(a),
        p_B=len(b),
        p_LATENCY=latency,
        i_clk=ClockSignal(),
        i_a=a,
        i_b=b,
        o_product=product,
    )


def add_accumulator(
    m: Module,
    name: str,
    factors: tuple[Value, Value],
    *,
    before: Value,
    clear: Value,
    total: Value,
    latency: int,
) -> None:
    """Put a signed multiplier with an adder and a register behind it into `m`.

    Parameters
    ----------
    m : Module
    name : str
        Of the instance.
    factors : (Value, Value)
    before : Value
        Is added to the product `latency` (2 or 3) cycles after the factors.
    clear : Value
        The register becomes 0 instead.
    total : Value
        The register, `latency` + 1 cycles after the factors.
    latency : int
    """
    a, b = factors
    m.submodules[name] = Instance(
        "spikeloom_accumulator",
        p_A=len(a),
        p_B=len(b),
        p_SUM=len(total),
        p_LATENCY=latency,
        i_clk=ClockSignal(),
        i_clear=clear,
        i_a=a,
        i_b=b,
        i_prior=before,
        o_total=total,
    )


def add_delay(m: Module, name: str, value: Value, cycles: int, later: Value) -> None:
    """Let `later` be `value` some cycles (2 or more) later."""
    m.submodules[name] = Instance(
        "spikeloom_delay",
        p_WIDTH=len(value),
        p_CYCLES=cycles,
        i_clk=ClockSignal(),
        i_value=value,
        o_later=later,
    )

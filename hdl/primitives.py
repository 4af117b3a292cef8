"""The two components that differ between device families: a memory and a multiplier.

Everything that depends on how a family's block RAM and multipliers look lies behind these two; the
rest of the hardware is plain Amaranth. Both are Verilog modules that `text` gives for a family. The
family ``plain`` has inferred ones, which simulators and every synthesiser understand.
"""

from __future__ import annotations

from amaranth import ClockSignal, Instance, Module, Value

from ..compiler.kernels.pipeline import MULTIPLIER_LATENCY

READ_LATENCY = 2
"""Cycles from a memory's read address to its data: the array's own latch and an output register."""

PLAIN_MEMORY = """\
// One write port, one read port, registered output. What a read of a word that is being written
// gives is undefined; the loom never uses it.
module spikeloom_memory #(parameter DEPTH = 2, parameter WIDTH = 1, parameter ADDRESS = 1) (
  input clk,
  input write_enable,
  input [ADDRESS-1:0] write_address,
  input [WIDTH-1:0] write_data,
  input [ADDRESS-1:0] read_address,
  output reg [WIDTH-1:0] read_data
);
  (* no_rw_check *) reg [WIDTH-1:0] content [0:DEPTH-1];
  reg [WIDTH-1:0] latch;
  always @(posedge clk) begin
    if (write_enable) content[write_address] <= write_data;
    latch <= content[read_address];
    read_data <= latch;
  end
endmodule
"""

PLAIN_MULTIPLIER = """\
// Signed product with input, pipeline and output registers.
module spikeloom_multiplier #(parameter A = 18, parameter B = 18) (
  input clk,
  input signed [A-1:0] a,
  input signed [B-1:0] b,
  output reg signed [A+B-1:0] product
);
  reg signed [A-1:0] a_in;
  reg signed [B-1:0] b_in;
  reg signed [A+B-1:0] middle;
  always @(posedge clk) begin
    a_in <= a;
    b_in <= b;
    middle <= a_in * b_in;
    product <= middle;
  end
endmodule
"""

FAMILIES = {"plain": (PLAIN_MEMORY, PLAIN_MULTIPLIER)}

assert MULTIPLIER_LATENCY == 3


def text(family: str = "plain") -> str:
    """Verilog of both components for a device family, a key of `FAMILIES`."""
    return "\n".join(FAMILIES[family])


def add_memory(
    m: Module,
    name: str,
    depth: int,
    *,
    write: tuple[Value, Value, Value],
    read_address: Value,
    read_data: Value,
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
        `read_data` follows `READ_LATENCY` cycles after the address.
    """
    enable, write_address, write_data = write
    bits = max(1, (depth - 1).bit_length())
    m.submodules[name] = Instance(
        "spikeloom_memory",
        p_DEPTH=depth,
        p_WIDTH=len(read_data),
        p_ADDRESS=bits,
        i_clk=ClockSignal(),
        i_write_enable=enable,
        i_write_address=Value.cast(write_address)[:bits],
        i_write_data=Value.cast(write_data)[: len(read_data)],
        i_read_address=Value.cast(read_address)[:bits],
        o_read_data=read_data,
    )


def add_multiplier(m: Module, name: str, a: Value, b: Value, product: Value) -> None:
    """Put a signed multiplier into `m`; `product` follows `MULTIPLIER_LATENCY` cycles after."""
    m.submodules[name] = Instance(
        "spikeloom_multiplier",
        p_A=len(a),
        p_B=len(b),
        i_clk=ClockSignal(),
        i_a=a,
        i_b=b,
        o_product=product,
    )

// Memory and multiplier as every simulator and synthesiser understands them.

// One write port, one read port; data LATENCY (1 or 2) cycles after its address. What a read of a word that is being written
// gives is undefined; the loom never uses it. A SHARED one is never read while it is written.
module spikeloom_memory #(
  parameter DEPTH = 2, parameter WIDTH = 1, parameter ADDRESS = 1, parameter SHARED = 0,
  parameter LATENCY = 2
) (
  input clk,
  input write_enable,
  input [ADDRESS-1:0] write_address,
  input [WIDTH-1:0] write_data,
  input [ADDRESS-1:0] read_address,
  output [WIDTH-1:0] read_data
);
  (* no_rw_check *) reg [WIDTH-1:0] content [0:DEPTH-1];
  reg [WIDTH-1:0] latch, register;
  always @(posedge clk) begin
    if (write_enable) content[write_address] <= write_data;
    latch <= content[read_address];
    register <= latch;
  end
  assign read_data = LATENCY == 1 ? latch : register;
endmodule

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

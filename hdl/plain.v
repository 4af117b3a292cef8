// Memory, multiplier, accumulator and delay as every simulator and synthesiser understands them.

// One write port, one read port; data LATENCY (1 or 2) cycles after its address. What a read of a
// word that is being written gives is undefined; the loom never uses it. A SHARED one is written at
// its read address, so that one port will do.
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

// Signed product LATENCY cycles later: input and output registers, and for 3 one in between.
module spikeloom_multiplier #(parameter A = 18, parameter B = 18, parameter LATENCY = 3) (
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
    product <= LATENCY == 2 ? a_in * b_in : middle;
  end
endmodule

// A multiplier, and a register that takes over the product plus another number. It is cleared for
// two cycles or more.
module spikeloom_accumulator #(
  parameter A = 18, parameter B = 18, parameter SUM = 40, parameter LATENCY = 3
) (
  input clk,
  input clear,
  input signed [A-1:0] a,
  input signed [B-1:0] b,
  input signed [SUM-1:0] prior,
  output reg signed [SUM-1:0] total
);
  wire signed [A+B-1:0] product;
  spikeloom_multiplier #(.A(A), .B(B), .LATENCY(LATENCY)) multiplier (
    .clk(clk), .a(a), .b(b), .product(product)
  );
  always @(posedge clk) begin
    if (clear) total <= 0;
    else total <= prior + product;
  end
endmodule

// A value some cycles later.
module spikeloom_delay #(parameter WIDTH = 1, parameter CYCLES = 2) (
  input clk,
  input [WIDTH-1:0] value,
  output [WIDTH-1:0] later
);
  reg [CYCLES*WIDTH-1:0] values = 0;
  always @(posedge clk) values <= {values[(CYCLES-1)*WIDTH-1:0], value};
  assign later = values[CYCLES*WIDTH-1 -: WIDTH];
endmodule

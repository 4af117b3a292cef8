// Memory and multiplier of Lattice iCE40 UltraPlus.

// Small block RAMs, which synthesis infers well; a large memory that is written at its read address
// goes into the single-port RAMs.
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
  reg [WIDTH-1:0] register;
  generate
    if (SHARED && DEPTH > 2048 && DEPTH <= 16384) begin : single_port
      localparam COLUMNS = (WIDTH + 15) / 16;
      wire [13:0] address = read_address;
      wire [COLUMNS*16-1:0] data = write_data, latch;
      genvar column;
      for (column = 0; column < COLUMNS; column = column + 1) begin : column_of
        SB_SPRAM256KA ram (
          .CLOCK(clk), .ADDRESS(address), .WREN(write_enable), .MASKWREN(4'b1111),
          .CHIPSELECT(1'b1), .STANDBY(1'b0), .SLEEP(1'b0), .POWEROFF(1'b1),
          .DATAIN(data[column*16 +: 16]), .DATAOUT(latch[column*16 +: 16])
        );
      end
      always @(posedge clk) register <= latch[WIDTH-1:0];
      assign read_data = LATENCY == 1 ? latch[WIDTH-1:0] : register;
    end else begin : dual_port
      (* no_rw_check, ram_style = "block" *) reg [WIDTH-1:0] content [0:DEPTH-1];
      reg [WIDTH-1:0] latch;
      always @(posedge clk) begin
        if (write_enable) content[write_address] <= write_data;
        latch <= content[read_address];
        register <= latch;
      end
      assign read_data = LATENCY == 1 ? latch : register;
    end
  endgenerate
endmodule

// Signed product LATENCY cycles later: input and output registers, and for 3 one in between. A
// factor of few bits takes no multiplier.
module spikeloom_multiplier #(parameter A = 16, parameter B = 16, parameter LATENCY = 3) (
  input clk,
  input signed [A-1:0] a,
  input signed [B-1:0] b,
  output signed [A+B-1:0] product
);
  generate
    if (A <= 3 || B <= 3) begin : fabric
      reg signed [A-1:0] a_in;
      reg signed [B-1:0] b_in;
      reg signed [A+B-1:0] middle, last;
      always @(posedge clk) begin
        a_in <= a;
        b_in <= b;
        middle <= a_in * b_in;
        last <= LATENCY == 2 ? a_in * b_in : middle;
      end
      assign product = last;
    end else begin : whole
      wire [15:0] x = {{16 - A + 1{a[A-1]}}, a[A-2:0]};
      wire [15:0] y = {{16 - B + 1{b[B-1]}}, b[B-2:0]};
      wire [31:0] p;
      assign product = p[A+B-1:0];
      SB_MAC16 #(
        .NEG_TRIGGER(1'b0), .C_REG(1'b0), .A_REG(1'b1), .B_REG(1'b1), .D_REG(1'b0),
        .TOP_8x8_MULT_REG(LATENCY == 3), .BOT_8x8_MULT_REG(LATENCY == 3),
        .PIPELINE_16x16_MULT_REG1(LATENCY == 3), .PIPELINE_16x16_MULT_REG2(1'b1),
        .TOPOUTPUT_SELECT(2'b11), .TOPADDSUB_LOWERINPUT(2'b00), .TOPADDSUB_UPPERINPUT(1'b0),
        .TOPADDSUB_CARRYSELECT(2'b00),
        .BOTOUTPUT_SELECT(2'b11), .BOTADDSUB_LOWERINPUT(2'b00), .BOTADDSUB_UPPERINPUT(1'b0),
        .BOTADDSUB_CARRYSELECT(2'b00),
        .MODE_8x8(1'b0), .A_SIGNED(1'b1), .B_SIGNED(1'b1)
      ) multiplier (
        .CLK(clk), .CE(1'b1), .A(x), .B(y), .C(16'b0), .D(16'b0), .O(p),
        .AHOLD(1'b0), .BHOLD(1'b0), .CHOLD(1'b0), .DHOLD(1'b0),
        .IRSTTOP(1'b0), .IRSTBOT(1'b0), .ORSTTOP(1'b0), .ORSTBOT(1'b0),
        .OLOADTOP(1'b0), .OLOADBOT(1'b0), .ADDSUBTOP(1'b0), .ADDSUBBOT(1'b0),
        .OHOLDTOP(1'b0), .OHOLDBOT(1'b0), .CI(1'b0), .ACCUMCI(1'b0), .SIGNEXTIN(1'b0),
        .CO(), .ACCUMCO(), .SIGNEXTOUT()
      );
    end
  endgenerate
endmodule

// A multiplier, and a register that takes over the product plus another number. Sums of up to 32
// bits are made inside the multiplier block.
module spikeloom_accumulator #(
  parameter A = 16, parameter B = 16, parameter SUM = 32, parameter LATENCY = 3
) (
  input clk,
  input clear,
  input signed [A-1:0] a,
  input signed [B-1:0] b,
  input signed [SUM-1:0] prior,
  output signed [SUM-1:0] total
);
  generate
    if (A > 3 && B > 3 && SUM <= 32) begin : whole
      wire [15:0] x = {{16 - A + 1{a[A-1]}}, a[A-2:0]};
      wire [15:0] y = {{16 - B + 1{b[B-1]}}, b[B-2:0]};
      wire [31:0] z = {{32 - SUM + 1{prior[SUM-1]}}, prior[SUM-2:0]};
      wire [31:0] o;
      assign total = o[SUM-1:0];
      // The block's reset acts at once: one cycle late it does what a synchronous one would. A
      // clear of a single cycle is ignored; the loom clears while it idles, for what comes later.
      reg cleared = 1'b0;
      always @(posedge clk) cleared <= clear;
      wire reset = clear & cleared;
      SB_MAC16 #(
        .NEG_TRIGGER(1'b0), .C_REG(1'b0), .A_REG(1'b1), .B_REG(1'b1), .D_REG(1'b0),
        .TOP_8x8_MULT_REG(LATENCY == 3), .BOT_8x8_MULT_REG(LATENCY == 3),
        .PIPELINE_16x16_MULT_REG1(LATENCY == 3), .PIPELINE_16x16_MULT_REG2(1'b1),
        .TOPOUTPUT_SELECT(2'b01), .TOPADDSUB_LOWERINPUT(2'b10), .TOPADDSUB_UPPERINPUT(1'b1),
        .TOPADDSUB_CARRYSELECT(2'b10),
        .BOTOUTPUT_SELECT(2'b01), .BOTADDSUB_LOWERINPUT(2'b10), .BOTADDSUB_UPPERINPUT(1'b1),
        .BOTADDSUB_CARRYSELECT(2'b00),
        .MODE_8x8(1'b0), .A_SIGNED(1'b1), .B_SIGNED(1'b1)
      ) multiplier (
        .CLK(clk), .CE(1'b1), .A(x), .B(y), .C(z[31:16]), .D(z[15:0]), .O(o),
        .AHOLD(1'b0), .BHOLD(1'b0), .CHOLD(1'b0), .DHOLD(1'b0),
        .IRSTTOP(1'b0), .IRSTBOT(1'b0), .ORSTTOP(reset), .ORSTBOT(reset),
        .OLOADTOP(1'b0), .OLOADBOT(1'b0), .ADDSUBTOP(1'b0), .ADDSUBBOT(1'b0),
        .OHOLDTOP(1'b0), .OHOLDBOT(1'b0), .CI(1'b0), .ACCUMCI(1'b0), .SIGNEXTIN(1'b0),
        .CO(), .ACCUMCO(), .SIGNEXTOUT()
      );
    end else begin : apart
      wire signed [A+B-1:0] product;
      spikeloom_multiplier #(.A(A), .B(B), .LATENCY(LATENCY)) multiplier (
        .clk(clk), .a(a), .b(b), .product(product)
      );
      reg signed [SUM-1:0] register;
      always @(posedge clk) begin
        if (clear) register <= 0;
        else register <= prior + product;
      end
      assign total = register;
    end
  endgenerate
endmodule

// A value some cycles later; where it takes many registers, out of a block RAM.
module spikeloom_delay #(parameter WIDTH = 1, parameter CYCLES = 2) (
  input clk,
  input [WIDTH-1:0] value,
  output [WIDTH-1:0] later
);
  generate
    if (CYCLES > 2 && CYCLES < 256 && CYCLES * WIDTH >= 200) begin : long
      (* no_rw_check, ram_style = "block" *) reg [WIDTH-1:0] values [0:255];
      reg [WIDTH-1:0] latch;
      reg [7:0] now = 0, then = 256 - (CYCLES - 1);
      always @(posedge clk) begin
        now <= now + 1'b1;
        then <= then + 1'b1;
        values[now] <= value;
        latch <= values[then];
      end
      assign later = latch;
    end else begin : short
      reg [CYCLES*WIDTH-1:0] values = 0;
      always @(posedge clk) values <= {values[(CYCLES-1)*WIDTH-1:0], value};
      assign later = values[CYCLES*WIDTH-1 -: WIDTH];
    end
  endgenerate
endmodule

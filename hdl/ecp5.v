// Memory and multiplier of Lattice ECP5, as explicit block RAMs and multipliers: synthesis infers
// neither the output register of the one nor the registers inside the other.

// Block RAMs side by side, and above each other where that takes fewer of them. Port A writes,
// port B reads through its output register.
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
  // A block RAM holds 1024 x 18, 2048 x 9, 4096 x 4, 8192 x 2 or 16384 x 1 bits.
  localparam WHOLE = DEPTH <= 1024 ? 18 : DEPTH <= 2048 ? 9 : DEPTH <= 4096 ? 4 :
                     DEPTH <= 8192 ? 2 : 1;
  localparam WHOLE_DEPTH = 16384 / (WHOLE == 18 ? 16 : WHOLE == 9 ? 8 : WHOLE);
  localparam WHOLE_ROWS = (DEPTH + WHOLE_DEPTH - 1) / WHOLE_DEPTH;
  localparam WHOLE_COUNT = WHOLE_ROWS * ((WIDTH + WHOLE - 1) / WHOLE);
  localparam STACK_COUNT = ((DEPTH + 2047) / 2048) * ((WIDTH + 8) / 9);
  localparam STACKED = DEPTH > 2048 && STACK_COUNT < WHOLE_COUNT;
  localparam BITS = STACKED ? 9 : WHOLE;
  localparam ROW_ADDRESS = BITS == 18 ? 10 : BITS == 9 ? 11 : BITS == 4 ? 12 : BITS == 2 ? 13 : 14;
  localparam ROWS = (DEPTH + (1 << ROW_ADDRESS) - 1) >> ROW_ADDRESS;
  localparam COLUMNS = (WIDTH + BITS - 1) / BITS;
  localparam PADDED = COLUMNS * BITS;

  wire [31:0] from = read_address, to = write_address;
  wire [PADDED-1:0] data = write_data;
  wire [ROWS*PADDED-1:0] rows;

  genvar row, column;
  generate
    for (row = 0; row < ROWS; row = row + 1) begin : row_of
      wire here = write_enable && (ROWS == 1 || (to >> ROW_ADDRESS) == row);
      for (column = 0; column < COLUMNS; column = column + 1) begin : column_of
        spikeloom_block #(.BITS(BITS), .ADDRESS(ROW_ADDRESS), .LATENCY(LATENCY)) block (
          .clk(clk), .write_enable(here),
          .write_address(to[ROW_ADDRESS-1:0]),
          .write_data(data[column*BITS +: BITS]),
          .read_address(from[ROW_ADDRESS-1:0]),
          .read_data(rows[row*PADDED + column*BITS +: BITS])
        );
      end
    end
    if (ROWS == 1) begin : single
      assign read_data = rows[WIDTH-1:0];
    end else begin : several
      localparam CHOICE = $clog2(ROWS);
      reg [CHOICE-1:0] chosen, chosen_late;
      always @(posedge clk) begin
        chosen <= from >> ROW_ADDRESS;
        chosen_late <= chosen;
      end
      assign read_data = rows[(LATENCY == 1 ? chosen : chosen_late)*PADDED +: WIDTH];
    end
  endgenerate
endmodule

// One block RAM. Words of 18 bits have byte enables in the two lowest address bits.
module spikeloom_block #(
  parameter BITS = 18, parameter ADDRESS = 10, parameter LATENCY = 2
) (
  input clk,
  input write_enable,
  input [ADDRESS-1:0] write_address,
  input [BITS-1:0] write_data,
  input [ADDRESS-1:0] read_address,
  output [BITS-1:0] read_data
);
  wire [13:0] a, b;
  wire [17:0] di = write_data, q;
  generate
    if (BITS == 18) begin : bytes
      assign a = {write_address, 4'b0011};
      assign b = {read_address, 4'b0000};
    end else if (ADDRESS == 14) begin : bit_wide
      assign a = write_address;
      assign b = read_address;
    end else begin : narrow
      assign a = {write_address, {14 - ADDRESS{1'b0}}};
      assign b = {read_address, {14 - ADDRESS{1'b0}}};
    end
  endgenerate
  assign read_data = q[BITS-1:0];

  DP16KD #(
    .DATA_WIDTH_A(BITS), .DATA_WIDTH_B(BITS),
    .REGMODE_A("NOREG"), .REGMODE_B(LATENCY == 1 ? "NOREG" : "OUTREG"),
    .WRITEMODE_A("NORMAL"), .WRITEMODE_B("NORMAL"),
    .RESETMODE("SYNC"), .ASYNC_RESET_RELEASE("SYNC"),
    .CSDECODE_A("0b000"), .CSDECODE_B("0b000"),
    .CLKAMUX("CLKA"), .CLKBMUX("CLKB"), .GSR("AUTO")
  ) ram (
    .CLKA(clk), .CEA(1'b1), .OCEA(1'b0), .WEA(write_enable), .RSTA(1'b0),
    .CSA0(1'b0), .CSA1(1'b0), .CSA2(1'b0),
    .ADA0(a[0]), .ADA1(a[1]), .ADA2(a[2]), .ADA3(a[3]), .ADA4(a[4]), .ADA5(a[5]), .ADA6(a[6]),
    .ADA7(a[7]), .ADA8(a[8]), .ADA9(a[9]), .ADA10(a[10]), .ADA11(a[11]), .ADA12(a[12]),
    .ADA13(a[13]),
    .DIA0(di[0]), .DIA1(di[1]), .DIA2(di[2]), .DIA3(di[3]), .DIA4(di[4]), .DIA5(di[5]),
    .DIA6(di[6]), .DIA7(di[7]), .DIA8(di[8]), .DIA9(di[9]), .DIA10(di[10]), .DIA11(di[11]),
    .DIA12(di[12]), .DIA13(di[13]), .DIA14(di[14]), .DIA15(di[15]), .DIA16(di[16]), .DIA17(di[17]),
    .CLKB(clk), .CEB(1'b1), .OCEB(1'b1), .WEB(1'b0), .RSTB(1'b0),
    .CSB0(1'b0), .CSB1(1'b0), .CSB2(1'b0),
    .ADB0(b[0]), .ADB1(b[1]), .ADB2(b[2]), .ADB3(b[3]), .ADB4(b[4]), .ADB5(b[5]), .ADB6(b[6]),
    .ADB7(b[7]), .ADB8(b[8]), .ADB9(b[9]), .ADB10(b[10]), .ADB11(b[11]), .ADB12(b[12]),
    .ADB13(b[13]),
    .DOB0(q[0]), .DOB1(q[1]), .DOB2(q[2]), .DOB3(q[3]), .DOB4(q[4]), .DOB5(q[5]), .DOB6(q[6]),
    .DOB7(q[7]), .DOB8(q[8]), .DOB9(q[9]), .DOB10(q[10]), .DOB11(q[11]), .DOB12(q[12]),
    .DOB13(q[13]), .DOB14(q[14]), .DOB15(q[15]), .DOB16(q[16]), .DOB17(q[17])
  );
endmodule

// Signed product LATENCY cycles later: input and output registers, and for 3 one in between. A
// factor of few bits takes no multiplier.
module spikeloom_multiplier #(parameter A = 18, parameter B = 18, parameter LATENCY = 3) (
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
      wire [17:0] x = {{18 - A + 1{a[A-1]}}, a[A-2:0]};
      wire [17:0] y = {{18 - B + 1{b[B-1]}}, b[B-2:0]};
      wire [35:0] p;
      assign product = p[A+B-1:0];
      MULT18X18D #(
        .REG_INPUTA_CLK("CLK0"), .REG_INPUTB_CLK("CLK0"), .REG_INPUTC_CLK("NONE"),
        .REG_PIPELINE_CLK(LATENCY == 2 ? "NONE" : "CLK0"), .REG_OUTPUT_CLK("CLK0"),
        .REG_INPUTA_CE("CE0"), .REG_INPUTB_CE("CE0"), .REG_PIPELINE_CE("CE0"),
        .REG_OUTPUT_CE("CE0"),
        .REG_INPUTA_RST("RST0"), .REG_INPUTB_RST("RST0"), .REG_PIPELINE_RST("RST0"),
        .REG_OUTPUT_RST("RST0"),
        .CLK0_DIV("ENABLED"), .GSR("DISABLED"), .SOURCEB_MODE("B_SHIFT"), .RESETMODE("SYNC"),
        .MULT_BYPASS("DISABLED")
      ) multiplier (
        .CLK0(clk), .CE0(1'b1), .RST0(1'b0),
        .SIGNEDA(1'b1), .SIGNEDB(1'b1), .SOURCEA(1'b0), .SOURCEB(1'b0),
        .A0(x[0]), .A1(x[1]), .A2(x[2]), .A3(x[3]), .A4(x[4]), .A5(x[5]), .A6(x[6]), .A7(x[7]),
        .A8(x[8]), .A9(x[9]), .A10(x[10]), .A11(x[11]), .A12(x[12]), .A13(x[13]), .A14(x[14]),
        .A15(x[15]), .A16(x[16]), .A17(x[17]),
        .B0(y[0]), .B1(y[1]), .B2(y[2]), .B3(y[3]), .B4(y[4]), .B5(y[5]), .B6(y[6]), .B7(y[7]),
        .B8(y[8]), .B9(y[9]), .B10(y[10]), .B11(y[11]), .B12(y[12]), .B13(y[13]), .B14(y[14]),
        .B15(y[15]), .B16(y[16]), .B17(y[17]),
        .C0(1'b0), .C1(1'b0), .C2(1'b0), .C3(1'b0), .C4(1'b0), .C5(1'b0), .C6(1'b0), .C7(1'b0),
        .C8(1'b0), .C9(1'b0), .C10(1'b0), .C11(1'b0), .C12(1'b0), .C13(1'b0), .C14(1'b0),
        .C15(1'b0), .C16(1'b0), .C17(1'b0),
        .P0(p[0]), .P1(p[1]), .P2(p[2]), .P3(p[3]), .P4(p[4]), .P5(p[5]), .P6(p[6]), .P7(p[7]),
        .P8(p[8]), .P9(p[9]), .P10(p[10]), .P11(p[11]), .P12(p[12]), .P13(p[13]), .P14(p[14]),
        .P15(p[15]), .P16(p[16]), .P17(p[17]), .P18(p[18]), .P19(p[19]), .P20(p[20]), .P21(p[21]),
        .P22(p[22]), .P23(p[23]), .P24(p[24]), .P25(p[25]), .P26(p[26]), .P27(p[27]), .P28(p[28]),
        .P29(p[29]), .P30(p[30]), .P31(p[31]), .P32(p[32]), .P33(p[33]), .P34(p[34]), .P35(p[35])
      );
    end
  endgenerate
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

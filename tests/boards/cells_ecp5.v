// How the ECP5 cells that the loom instantiates behave, as far as it uses them.

module DP16KD #(
  parameter DATA_WIDTH_A = 18, parameter DATA_WIDTH_B = 18,
  parameter REGMODE_A = "NOREG", parameter REGMODE_B = "NOREG",
  parameter WRITEMODE_A = "NORMAL", parameter WRITEMODE_B = "NORMAL",
  parameter RESETMODE = "SYNC", parameter ASYNC_RESET_RELEASE = "SYNC",
  parameter CSDECODE_A = "0b000", parameter CSDECODE_B = "0b000",
  parameter CLKAMUX = "CLKA", parameter CLKBMUX = "CLKB", parameter GSR = "AUTO"
) (
  input CLKA, CEA, OCEA, WEA, RSTA, CSA0, CSA1, CSA2,
  input ADA0, ADA1, ADA2, ADA3, ADA4, ADA5, ADA6, ADA7, ADA8, ADA9, ADA10, ADA11, ADA12, ADA13,
  input DIA0, DIA1, DIA2, DIA3, DIA4, DIA5, DIA6, DIA7, DIA8,
  input DIA9, DIA10, DIA11, DIA12, DIA13, DIA14, DIA15, DIA16, DIA17,
  input CLKB, CEB, OCEB, WEB, RSTB, CSB0, CSB1, CSB2,
  input ADB0, ADB1, ADB2, ADB3, ADB4, ADB5, ADB6, ADB7, ADB8, ADB9, ADB10, ADB11, ADB12, ADB13,
  output DOB0, DOB1, DOB2, DOB3, DOB4, DOB5, DOB6, DOB7, DOB8,
  output DOB9, DOB10, DOB11, DOB12, DOB13, DOB14, DOB15, DOB16, DOB17
);
  // Bits that a word's address counts from: words of 18 bits have byte enables below.
  localparam LOW = DATA_WIDTH_A == 18 ? 4 : DATA_WIDTH_A == 9 ? 3 : DATA_WIDTH_A == 4 ? 2 :
                   DATA_WIDTH_A == 2 ? 1 : 0;
  wire [13:0] a = {ADA13, ADA12, ADA11, ADA10, ADA9, ADA8, ADA7, ADA6, ADA5, ADA4, ADA3, ADA2,
                   ADA1, ADA0};
  wire [13:0] b = {ADB13, ADB12, ADB11, ADB10, ADB9, ADB8, ADB7, ADB6, ADB5, ADB4, ADB3, ADB2,
                   ADB1, ADB0};
  wire [17:0] di = {DIA17, DIA16, DIA15, DIA14, DIA13, DIA12, DIA11, DIA10, DIA9, DIA8, DIA7, DIA6,
                    DIA5, DIA4, DIA3, DIA2, DIA1, DIA0};
  reg [DATA_WIDTH_A-1:0] content [0:(1 << (14 - LOW))-1];
  reg [DATA_WIDTH_B-1:0] latch, register;
  wire [17:0] q = REGMODE_B == "OUTREG" ? register : latch;
  assign {DOB17, DOB16, DOB15, DOB14, DOB13, DOB12, DOB11, DOB10, DOB9, DOB8, DOB7, DOB6, DOB5,
          DOB4, DOB3, DOB2, DOB1, DOB0} = q;
  wire [17:0] enabled = DATA_WIDTH_A == 18 ? {{9{a[1]}}, {9{a[0]}}} : 18'h3ffff;
  always @(posedge CLKA)
    if (CEA && WEA && !CSA0 && !CSA1 && !CSA2)
      content[a >> LOW] <= (content[a >> LOW] & ~enabled) | (di & enabled);
  always @(posedge CLKB) begin
    if (CEB && !CSB0 && !CSB1 && !CSB2) latch <= content[b >> LOW];
    if (OCEB) register <= latch;
  end
endmodule

module MULT18X18D #(
  parameter REG_INPUTA_CLK = "NONE", parameter REG_INPUTB_CLK = "NONE",
  parameter REG_INPUTC_CLK = "NONE", parameter REG_PIPELINE_CLK = "NONE",
  parameter REG_OUTPUT_CLK = "NONE",
  parameter REG_INPUTA_CE = "CE0", parameter REG_INPUTB_CE = "CE0",
  parameter REG_PIPELINE_CE = "CE0", parameter REG_OUTPUT_CE = "CE0",
  parameter REG_INPUTA_RST = "RST0", parameter REG_INPUTB_RST = "RST0",
  parameter REG_PIPELINE_RST = "RST0", parameter REG_OUTPUT_RST = "RST0",
  parameter CLK0_DIV = "ENABLED", parameter GSR = "ENABLED", parameter SOURCEB_MODE = "B_SHIFT",
  parameter RESETMODE = "SYNC", parameter MULT_BYPASS = "DISABLED"
) (
  input CLK0, CE0, RST0, SIGNEDA, SIGNEDB, SOURCEA, SOURCEB,
  input A0, A1, A2, A3, A4, A5, A6, A7, A8, A9, A10, A11, A12, A13, A14, A15, A16, A17,
  input B0, B1, B2, B3, B4, B5, B6, B7, B8, B9, B10, B11, B12, B13, B14, B15, B16, B17,
  input C0, C1, C2, C3, C4, C5, C6, C7, C8, C9, C10, C11, C12, C13, C14, C15, C16, C17,
  output P0, P1, P2, P3, P4, P5, P6, P7, P8, P9, P10, P11, P12, P13, P14, P15, P16, P17,
  output P18, P19, P20, P21, P22, P23, P24, P25, P26, P27, P28, P29, P30, P31, P32, P33, P34, P35
);
  wire signed [17:0] a = {A17, A16, A15, A14, A13, A12, A11, A10, A9, A8, A7, A6, A5, A4, A3, A2,
                          A1, A0};
  wire signed [17:0] b = {B17, B16, B15, B14, B13, B12, B11, B10, B9, B8, B7, B6, B5, B4, B3, B2,
                          B1, B0};
  reg signed [17:0] a_held, b_held;
  wire signed [17:0] x = REG_INPUTA_CLK == "CLK0" ? a_held : a;
  wire signed [17:0] y = REG_INPUTB_CLK == "CLK0" ? b_held : b;
  wire signed [18:0] x_signed = {SIGNEDA & x[17], x}, y_signed = {SIGNEDB & y[17], y};
  wire signed [37:0] product = x_signed * y_signed;
  reg [35:0] middle, last;
  wire [35:0] unpiped = REG_PIPELINE_CLK == "CLK0" ? middle : product[35:0];
  wire [35:0] p = REG_OUTPUT_CLK == "CLK0" ? last : unpiped;
  assign {P35, P34, P33, P32, P31, P30, P29, P28, P27, P26, P25, P24, P23, P22, P21, P20, P19, P18,
          P17, P16, P15, P14, P13, P12, P11, P10, P9, P8, P7, P6, P5, P4, P3, P2, P1, P0} = p;
  always @(posedge CLK0) if (CE0) begin
    a_held <= RST0 ? 0 : a;
    b_held <= RST0 ? 0 : b;
    middle <= RST0 ? 0 : product[35:0];
    last <= RST0 ? 0 : unpiped;
  end
endmodule

"""Radiona ULX3S with the large ECP5: 84k LUTs, 208 block RAMs, 156 multipliers."""

from __future__ import annotations

from ..compiler.machine import Machine
from .board import TOP, Board

CRYSTAL_HZ = 25_000_000

CONSTRAINTS = """\
LOCATE COMP "clk_25mhz" SITE "G2";
IOBUF PORT "clk_25mhz" PULLMODE=NONE IO_TYPE=LVCMOS33;
FREQUENCY PORT "clk_25mhz" 25 MHZ;
LOCATE COMP "ftdi_rxd" SITE "L4";
IOBUF PORT "ftdi_rxd" PULLMODE=UP IO_TYPE=LVCMOS33 DRIVE=4;
LOCATE COMP "ftdi_txd" SITE "M1";
IOBUF PORT "ftdi_txd" PULLMODE=UP IO_TYPE=LVCMOS33;
LOCATE COMP "led" SITE "B2";
IOBUF PORT "led" PULLMODE=NONE IO_TYPE=LVCMOS33 DRIVE=4;
LOCATE COMP "wifi_gpio0" SITE "L2";
IOBUF PORT "wifi_gpio0" PULLMODE=UP IO_TYPE=LVCMOS33 DRIVE=4;
"""


def pll(clock_hz: int) -> tuple[int, int, int]:
    """Dividers of the PLL for a clock: reference, feedback, output.

    The oscillator inside, output divider times the clock, must run at 400 to 800 MHz, and the
    divided reference at 3 MHz at least.

    Raises
    ------
    ValueError
        If the clock cannot be made exactly.
    """
    for reference in range(1, CRYSTAL_HZ // 3_125_000 + 1):
        feedback, rest = divmod(clock_hz * reference, CRYSTAL_HZ)
        output = round(600e6 / clock_hz)
        if not rest and 1 <= feedback <= 80 and 400e6 <= clock_hz * output <= 800e6:
            return reference, feedback, output
    raise ValueError(f"no clock of {clock_hz} Hz can be made from {CRYSTAL_HZ} Hz")


def top(clock_hz: int) -> str:
    """Verilog of the design around the loom."""
    reference, feedback, output = pll(clock_hz)
    return f"""\
module {TOP} (
  input clk_25mhz,
  input ftdi_txd,
  output ftdi_rxd,
  output led,
  output wifi_gpio0
);
  wire clk, locked;
  (* ICP_CURRENT="12" *) (* LPF_RESISTOR="8" *) (* MFG_ENABLE_FILTEROPAMP="1" *)
  (* MFG_GMCREF_SEL="2" *)
  EHXPLLL #(
    .PLLRST_ENA("DISABLED"), .INTFB_WAKE("DISABLED"), .STDBY_ENABLE("DISABLED"),
    .DPHASE_SOURCE("DISABLED"), .OUTDIVIDER_MUXA("DIVA"), .OUTDIVIDER_MUXB("DIVB"),
    .OUTDIVIDER_MUXC("DIVC"), .OUTDIVIDER_MUXD("DIVD"),
    .CLKI_DIV({reference}), .CLKFB_DIV({feedback}), .FEEDBK_PATH("CLKOP"),
    .CLKOP_ENABLE("ENABLED"), .CLKOP_DIV({output}), .CLKOP_CPHASE({output // 2 - 1}),
    .CLKOP_FPHASE(0)
  ) pll (
    .RST(1'b0), .STDBY(1'b0), .CLKI(clk_25mhz), .CLKOP(clk), .CLKFB(clk), .CLKINTFB(),
    .PHASESEL0(1'b0), .PHASESEL1(1'b0), .PHASEDIR(1'b1), .PHASESTEP(1'b1),
    .PHASELOADREG(1'b1), .PLLWAKESYNC(1'b0), .ENCLKOP(1'b0), .LOCK(locked)
  );
  reg [3:0] reset = 4'b1111;
  always @(posedge clk) reset <= {{reset[2:0], ~locked}};
  loom_top loom (.clk(clk), .rst(reset[3]), .rx(ftdi_txd), .tx(ftdi_rxd));
  assign led = locked;
  // Low would let the Wi-Fi module take over the board.
  assign wifi_gpio0 = 1'b1;
endmodule
"""


ULX3S_85F = Board(
    name="ulx3s-85f",
    title="ULX3S, Lattice ECP5 LFE5U-85F",
    family="ecp5",
    machine=Machine(lanes=16),
    depths={
        "weight_words": 2048,
        "accumulator_words": 1024,
        "value_words": 2048,
        "state_words": 4096,
        "event_words": 4096,
        "lists": 64,
        "instruction_words": 512,
        "populations": 64,
        "table_sets": 3,
    },
    clock_hz=80_000_000,
    baud=3_000_000,
    top=top,
    constraints=CONSTRAINTS,
    route=("--85k", "--package", "CABGA381", "--speed", "6"),
    bitstream="spikeloom.bit",
    programmer=("-b", "ulx3s"),
    attempts=3,
)

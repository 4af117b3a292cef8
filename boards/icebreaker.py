"""1BitSquared iCEBreaker with the iCE40UP5K: 5280 logic cells, 30 small and 4 large RAMs.

Its loom fills the device: the kernels LIF, Lowpass and Relay fit at once. States have 22 bits, with
which LIF neurons fire within 0.2 Hz rms of their analytic rates from 10 to 300 Hz; a neuron whose
current is so near the threshold that it should fire at 5 Hz may stay silent.
"""

from __future__ import annotations

from ..compiler.machine import Machine
from .board import TOP, Board

CRYSTAL_HZ = 12_000_000

CONSTRAINTS = """\
set_io clk12 35
set_io -pullup yes rx 6
set_io tx 9
set_io led_n 37
set_frequency clk12 12
"""


def pll(clock_hz: int) -> tuple[int, int]:
    """Settings ``DIVF`` and ``DIVQ`` of the PLL for a clock.

    The oscillator inside must run at 533 to 1066 MHz.

    Raises
    ------
    ValueError
        If the clock cannot be made exactly.
    """
    for divq in range(1, 7):
        multiple, rest = divmod(clock_hz << divq, CRYSTAL_HZ)
        if not rest and 533e6 <= clock_hz << divq <= 1066e6 and multiple <= 64:
            return multiple - 1, divq
    raise ValueError(f"no clock of {clock_hz} Hz can be made from {CRYSTAL_HZ} Hz")


def top(clock_hz: int) -> str:
    """Verilog of the design around the loom."""
    divf, divq = pll(clock_hz)
    return f"""\
module {TOP} (
  input clk12,
  input rx,
  output tx,
  output led_n
);
  wire clk, locked;
  SB_PLL40_PAD #(
    .FEEDBACK_PATH("SIMPLE"), .DIVR(4'd0), .DIVF(7'd{divf}), .DIVQ(3'd{divq}),
    .FILTER_RANGE(3'b001)
  ) pll (
    .PACKAGEPIN(clk12), .PLLOUTGLOBAL(clk), .LOCK(locked), .RESETB(1'b1), .BYPASS(1'b0)
  );
  // A release of the reset that the last flip-flop has seen twice.
  reg [3:0] ready = 4'b0000;
  always @(posedge clk) ready <= {{ready[2:0], locked}};
  loom_top loom (.clk(clk), .rst(~ready[3]), .rx(rx), .tx(tx));
  assign led_n = ~locked;
endmodule
"""


ICEBREAKER = Board(
    name="icebreaker",
    title="iCEBreaker, Lattice iCE40UP5K",
    family="ice40",
    machine=Machine(
        lanes=4,
        weight_bits=16,
        value_bits=16,
        accumulator_bits=32,
        state_bits=22,
        parameter_bits=14,
        index_bits=10,
        operations_per_stage=3,
    ),
    depths={
        "weight_words": 16384,
        "accumulator_words": 256,
        "value_words": 256,
        "state_words": 256,
        "event_words": 256,
        "lists": 8,
        "instruction_words": 256,
        "populations": 8,
        "table_sets": 1,
    },
    clock_hz=24_000_000,
    baud=3_000_000,
    top=top,
    constraints=CONSTRAINTS,
    route=("--up5k", "--package", "sg48"),
    bitstream="spikeloom.bin",
    programmer=("-b", "ice40_generic"),
    flash_only=True,
    attempts=3,
)

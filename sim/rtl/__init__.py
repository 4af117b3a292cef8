"""The engine ``rtl``: a core's Verilog, compiled by Verilator and driven at full speed."""

// Runs a bench that counts differences between components and their plain twins.

#include <cstdint>

#include "layout.h"

extern "C" void run(uint64_t cycles, uint32_t* result) {
  VerilatedContext context;
  BENCH bench(&context);
  for (uint64_t n = 0; n < cycles; n++) {
    bench.clk = 0;
    bench.eval();
    bench.clk = 1;
    bench.eval();
  }
  result[0] = bench.compared;
  result[1] = bench.differences;
}

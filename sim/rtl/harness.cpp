// Drives a Verilated loom core: loads and reads memories over the host's bus, runs phases, and
// records every write that the trace port shows. One call runs a whole phase.
//
// layout.h (written for each core) defines the core's class CORE and TRACES(X), which calls
// X(number, enable, address, data, words) for each traced memory.

#include <cstdint>
#include <cstring>
#include <vector>

#include "layout.h"

namespace {

// Copies a port of any width into 32-bit words.
template <typename T>
void copy_out(const T& port, uint32_t* to, int words) {
  uint64_t value = port;
  to[0] = static_cast<uint32_t>(value);
  if (words > 1) to[1] = static_cast<uint32_t>(value >> 32);
}
template <std::size_t N>
void copy_out(const VlWide<N>& port, uint32_t* to, int words) {
  for (int n = 0; n < words; n++) to[n] = port[n];
}

template <typename T>
void copy_in(T& port, const uint32_t* from, int words) {
  uint64_t value = from[0];
  if (words > 1) value |= static_cast<uint64_t>(from[1]) << 32;
  port = static_cast<T>(value);
}
template <std::size_t N>
void copy_in(VlWide<N>& port, const uint32_t* from, int words) {
  for (std::size_t n = 0; n < N; n++) port[n] = static_cast<int>(n) < words ? from[n] : 0;
}

struct Record {
  std::vector<uint32_t> phase, cycle, address, data;
};

struct Loom {
  VerilatedContext context;
  CORE core;
  Record records[TRACE_COUNT];
  bool tracing = false;
  uint32_t phases = 0;
  uint64_t cycles = 0;

  Loom() : core(&context) {}

  void tick() {
    core.clk = 1;
    core.eval();
    core.clk = 0;
    core.eval();
    cycles++;
  }

  void record(uint32_t cycle) {
#define RECORD(number, enable, address_port, data_port, words)    \
  if (core.enable) {                                              \
    Record& r = records[number];                                  \
    r.phase.push_back(phases);                                    \
    r.cycle.push_back(cycle);                                     \
    r.address.push_back(static_cast<uint32_t>(core.address_port)); \
    r.data.resize(r.data.size() + words);                         \
    copy_out(core.data_port, &r.data[r.data.size() - words], words); \
  }
    TRACES(RECORD)
#undef RECORD
  }
};

}  // namespace

extern "C" {

void* loom_create() {
  Loom* loom = new Loom;
  loom->core.start = 0;
  loom->core.write = 0;
  loom->core.clk = 0;
  loom->core.rst = 1;
  loom->tick();
  loom->tick();
  loom->core.rst = 0;
  loom->tick();
  return loom;
}

void loom_destroy(void* handle) {
  Loom* loom = static_cast<Loom*>(handle);
  loom->core.final();
  delete loom;
}

// Write `count` elements, each of `words` 32-bit words, at `first`, `first + step`, ...; `stride` is
// the distance of their data: 0 repeats the same.
void loom_write(void* handle, int memory, uint32_t first, uint32_t step, uint32_t count, int words,
                int stride, const uint32_t* data) {
  Loom* loom = static_cast<Loom*>(handle);
  loom->core.memory = memory;
  loom->core.write = 1;
  for (uint32_t n = 0; n < count; n++) {
    loom->core.address = first + n * step;
    copy_in(loom->core.data, data + static_cast<std::size_t>(n) * stride, words);
    loom->tick();
  }
  loom->core.write = 0;
  loom->tick();
}

// Read `count` elements from `first` on; one address per cycle.
void loom_read(void* handle, int memory, uint32_t first, uint32_t count, int words, uint32_t* data) {
  Loom* loom = static_cast<Loom*>(handle);
  loom->core.memory = memory;
  for (uint32_t n = 0; n < count + READ_CYCLES; n++) {
    loom->core.address = n < count ? first + n : first;
    if (n >= READ_CYCLES)
      copy_out(loom->core.host_q, data + static_cast<std::size_t>(n - READ_CYCLES) * words, words);
    loom->tick();
  }
}

// Run a phase. Returns its clock cycles, or -1 if it does not end within `limit`.
int64_t loom_run(void* handle, uint32_t start_address, int64_t limit) {
  Loom* loom = static_cast<Loom*>(handle);
  loom->core.start_address = start_address;
  loom->core.start = 1;
  loom->tick();
  loom->core.start = 0;
  int64_t cycle = 1;
  for (; cycle < limit && !loom->core.idle; cycle++) {
    if (loom->tracing) loom->record(static_cast<uint32_t>(cycle));
    loom->tick();
  }
  loom->phases++;
  return loom->core.idle ? cycle : -1;
}

void loom_trace(void* handle, int on) { static_cast<Loom*>(handle)->tracing = on != 0; }

uint64_t loom_cycles(void* handle) { return static_cast<Loom*>(handle)->cycles; }

// Number of writes recorded of a memory since the last `loom_take`.
uint64_t loom_recorded(void* handle, int trace) {
  return static_cast<Loom*>(handle)->records[trace].cycle.size();
}

// Copy the record of a memory out, and forget it.
void loom_take(void* handle, int trace, uint32_t* phase, uint32_t* cycle, uint32_t* address,
               uint32_t* data) {
  Record& r = static_cast<Loom*>(handle)->records[trace];
  std::memcpy(phase, r.phase.data(), r.phase.size() * sizeof(uint32_t));
  std::memcpy(cycle, r.cycle.data(), r.cycle.size() * sizeof(uint32_t));
  std::memcpy(address, r.address.data(), r.address.size() * sizeof(uint32_t));
  std::memcpy(data, r.data.data(), r.data.size() * sizeof(uint32_t));
  r = Record();
}

void loom_restart_phases(void* handle) { static_cast<Loom*>(handle)->phases = 0; }

}  // extern "C"

// Drives a Verilated core with its link in encoded bytes, without a serial line between.
//
// layout.h defines the class CORE.

#include <cstdint>

#include "layout.h"

namespace {

// Cycles without any activity after which nothing more will come: longer than any step between
// the end of a request and its execution.
constexpr int QUIET = 64;

struct Stream {
  VerilatedContext context;
  CORE core;
  uint64_t cycles = 0;
  uint32_t random = 1;

  Stream() : core(&context) {}

  void tick() {
    core.clk = 1;
    core.eval();
    core.clk = 0;
    core.eval();
    cycles++;
  }

  // True with a probability of `of_256` / 256.
  bool chance(uint32_t of_256) {
    random ^= random << 13;
    random ^= random >> 17;
    random ^= random << 5;
    return (random & 0xff) < of_256;
  }
};

}  // namespace

extern "C" {

void* stream_create() {
  Stream* stream = new Stream;
  stream->core.request = 0;
  stream->core.request_valid = 0;
  stream->core.reply_ready = 0;
  stream->core.clk = 0;
  stream->core.rst = 1;
  stream->tick();
  stream->tick();
  stream->core.rst = 0;
  stream->tick();
  return stream;
}

void stream_destroy(void* handle) {
  Stream* stream = static_cast<Stream*>(handle);
  stream->core.final();
  delete stream;
}

uint64_t stream_cycles(void* handle) { return static_cast<Stream*>(handle)->cycles; }

void stream_seed(void* handle, uint32_t seed) { static_cast<Stream*>(handle)->random = seed | 1; }

// Send `count` bytes, then go on until the hardware has nothing more to do or to say. `stall` of
// 256 cycles either side holds the stream up. Returns the bytes of the reply, of which up to `room`
// are stored, or -1 if that takes more than `limit` cycles.
int64_t stream_exchange(void* handle, const uint8_t* request, uint64_t count, uint8_t* reply,
                        uint64_t room, uint32_t stall, uint64_t limit) {
  Stream* stream = static_cast<Stream*>(handle);
  CORE& core = stream->core;
  uint64_t sent = 0, received = 0, end = stream->cycles + limit;
  for (int quiet = 0; quiet < QUIET; quiet++) {
    if (stream->cycles >= end) return -1;
    core.request_valid = sent < count && !(stall && stream->chance(stall));
    core.request = core.request_valid ? request[sent] : 0;
    core.reply_ready = !(stall && stream->chance(stall));
    // Neither request_ready nor reply depends on what was just set: they are the registers' alone.
    if (core.request_valid && core.request_ready) sent++;
    if (core.reply_valid && core.reply_ready) {
      if (received < room) reply[received] = core.reply;
      received++;
    }
    if (sent < count || core.busy || core.reply_valid) quiet = -1;
    stream->tick();
  }
  core.request_valid = 0;
  return static_cast<int64_t>(received);
}

}  // extern "C"

// Connects the serial line of Verilated hardware, bit by bit, with a file descriptor. The other end
// of the line has a clock of its own, so that the two need not agree exactly about its speed.
//
// layout.h defines the class CORE and DIVISOR, the hardware's clock cycles per bit.

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <cstdint>
#include <deque>
#include <vector>

#include "layout.h"

namespace {

constexpr int64_t FRACTION = 1024;  // times are in 1 / FRACTION clock cycles
constexpr int CHUNK = 512;          // clock cycles between looks at the file descriptor
constexpr int QUIET = 64 * DIVISOR; // clock cycles without activity after which it may sleep

struct Board {
  VerilatedContext context;
  CORE core;
  uint64_t cycles = 0;
  std::deque<uint8_t> to_send;
  std::vector<uint8_t> received;
  int64_t bit;                  // duration of a bit at the far end
  int send_left = 0;            // bits of the byte being sent that are still to come
  uint32_t send_bits = 0;
  int64_t send_wait = 0;
  int receive_left = 0;         // samples still to be taken of the byte being received
  uint32_t receive_bits = 0;
  int64_t receive_wait = 0;
  int quiet = 0;
  uint64_t framing_errors = 0;

  explicit Board(int64_t bit_duration) : core(&context), bit(bit_duration) {}

  void tick() {
    core.clk = 1;
    core.eval();
    core.clk = 0;
    core.eval();
    cycles++;
  }

  void send() {
    send_wait -= FRACTION;
    if (send_wait > 0) return;
    if (send_left == 0) {
      if (to_send.empty()) {
        core.rx = 1;
        send_wait = 0;
        return;
      }
      send_bits = 0x200u | (to_send.front() << 1);
      to_send.pop_front();
      send_left = 10;
    }
    core.rx = send_bits & 1;
    send_bits >>= 1;
    send_left--;
    send_wait += bit;
  }

  void receive() {
    if (receive_left == 0) {
      if (core.tx) return;
      receive_left = 10;
      receive_wait = bit / 2;
      return;
    }
    receive_wait -= FRACTION;
    if (receive_wait > 0) return;
    receive_wait += bit;
    receive_bits = (receive_bits >> 1) | (static_cast<uint32_t>(core.tx) << 9);
    if (--receive_left) return;
    if (receive_bits & 0x200u)
      received.push_back(static_cast<uint8_t>(receive_bits >> 1));
    else
      framing_errors++;
  }

  void run(int count) {
    for (int n = 0; n < count; n++) {
      send();
      tick();
      receive();
      bool active = send_left || !to_send.empty() || receive_left || core.busy;
      quiet = active ? 0 : quiet + 1;
    }
  }
};

// Wait until `fd` is ready; false if anything arrived on `stop`.
bool wait_for(int fd, short events, int stop) {
  pollfd ports[2] = {{fd, events, 0}, {stop, POLLIN, 0}};
  while (poll(ports, 2, -1) < 0)
    if (errno != EINTR) return false;
  return ports[1].revents == 0;
}

}  // namespace

extern "C" {

// `skew`: how much longer a bit is at the far end than in the hardware, in parts per thousand.
void* serial_create(int skew) {
  Board* board = new Board(DIVISOR * FRACTION * (1000 + skew) / 1000);
  board->core.rx = 1;
  board->core.clk = 0;
  board->core.rst = 1;
  board->tick();
  board->tick();
  board->core.rst = 0;
  board->tick();
  return board;
}

void serial_destroy(void* handle) {
  Board* board = static_cast<Board*>(handle);
  board->core.final();
  delete board;
}

uint64_t serial_cycles(void* handle) { return static_cast<Board*>(handle)->cycles; }

uint64_t serial_framing_errors(void* handle) {
  return static_cast<Board*>(handle)->framing_errors;
}

// Serve `fd` until something arrives on `stop` (returns 0) or `fd` fails (returns errno). The
// hardware's clock stands still while nothing happens.
int serial_serve(void* handle, int fd, int stop) {
  Board* board = static_cast<Board*>(handle);
  fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
  uint8_t buffer[4096];
  while (true) {
    if (board->quiet > QUIET) {
      if (!wait_for(fd, POLLIN, stop)) return 0;
    } else {
      pollfd stopping = {stop, POLLIN, 0};
      if (poll(&stopping, 1, 0) > 0) return 0;
    }
    ssize_t count = board->to_send.size() < sizeof buffer ? read(fd, buffer, sizeof buffer) : 0;
    if (count < 0 && errno != EAGAIN && errno != EINTR) return errno;
    for (ssize_t n = 0; n < count; n++) board->to_send.push_back(buffer[n]);
    if (count > 0) board->quiet = 0;
    board->run(CHUNK);
    std::size_t written = 0;
    while (written < board->received.size()) {
      ssize_t n = write(fd, board->received.data() + written, board->received.size() - written);
      if (n >= 0) {
        written += n;
      } else if (errno == EAGAIN || errno == EINTR) {
        if (!wait_for(fd, POLLOUT, stop)) return 0;
      } else {
        return errno;
      }
    }
    board->received.clear();
  }
}

}  // extern "C"

// SPDX-License-Identifier: Apache-2.0
// What a worker counts. One writes, anybody reads.
#pragma once
#include <array>
#include <atomic>
#include <cstdint>

namespace berth::proxy {

class Counter {
 public:
  void add(std::uint64_t count = 1) noexcept {  // by its one writer alone
    value_.store(value_.load(std::memory_order_relaxed) + count, std::memory_order_relaxed);
  }
  void subtract(std::uint64_t count = 1) noexcept {
    value_.store(value_.load(std::memory_order_relaxed) - count, std::memory_order_relaxed);
  }
  std::uint64_t value() const noexcept { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> value_{0};
};

struct Counters {
  static constexpr std::array<double, 10> kBounds{0.001, 0.0025, 0.005, 0.01, 0.05,
                                                  0.1,   0.5,    1,     5,    30};  // seconds

  std::array<Counter, 6> requests;  // by the class of the answer's status; 0: no answer was whole
  std::array<Counter, kBounds.size() + 1> durations;
  Counter microseconds;
  Counter connections, open_connections;
  Counter received_bytes, sent_bytes;
  Counter backend_connections, backend_failures, retries, no_route, refused;

  void answered(int status, double seconds) noexcept {
    requests[static_cast<std::size_t>(status < 100 || status > 599 ? 0 : status / 100)].add();
    std::size_t bound = 0;
    while (bound < kBounds.size() && seconds > kBounds[bound]) ++bound;
    durations[bound].add();
    microseconds.add(static_cast<std::uint64_t>(seconds * 1e6));
  }
};

}  // namespace berth::proxy

// SPDX-License-Identifier: Apache-2.0
// Counters of the server, and their text form for Prometheus. Thread-safe.
#pragma once
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <string>

#include "registryd/route.h"

namespace berth::registryd {

class Metrics {
 public:
  void request_done(Endpoint endpoint, int status, std::chrono::nanoseconds duration) noexcept;
  void received(std::uint64_t bytes) noexcept { received_.fetch_add(bytes, std::memory_order_relaxed); }
  void sent(std::uint64_t bytes) noexcept { sent_.fetch_add(bytes, std::memory_order_relaxed); }
  void cache_asked(bool hit) noexcept { (hit ? hits_ : misses_).fetch_add(1, std::memory_order_relaxed); }
  void garbage_collected(std::uint64_t blobs, std::uint64_t bytes) noexcept;

  // Values that are known elsewhere and asked for when the text is made.
  struct Gauges {
    std::int64_t repositories = 0, manifests = 0, tags = 0, blobs = 0;
    std::size_t connections = 0, uploads = 0;
    std::uint64_t notifications_dropped = 0;
  };
  std::string text(const Gauges& gauges) const;

 private:
  using Counter = std::atomic<std::uint64_t>;
  static constexpr std::array<double, 8> kBuckets{0.0005, 0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10};  // seconds
  struct PerEndpoint {
    std::array<Counter, 6> by_class{};  // 0 unused, 1xx to 5xx
    std::array<Counter, kBuckets.size()> by_duration{};
    Counter nanoseconds{0};
  };
  std::array<PerEndpoint, kEndpoints> endpoints_;
  Counter received_{0}, sent_{0}, hits_{0}, misses_{0}, collected_blobs_{0}, collected_bytes_{0};
};

}  // namespace berth::registryd

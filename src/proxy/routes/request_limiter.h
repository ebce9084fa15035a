// SPDX-License-Identifier: Apache-2.0
// Counting without locks: how often clients ask (the generic cell rate algorithm, which needs one number a
// client), and how often a request is tried again. Thread-safe.
#pragma once
#include <atomic>
#include <cstdint>
#include <memory>

#include "proxy/network.h"

namespace berth::proxy {

class RequestLimiter {
 public:
  struct Rate {
    double per_second = 0;
    std::uint32_t burst = 1;  // that may come at once
    bool each_client = true;  // an address, or a network of IPv6 (/64); otherwise all together
    bool operator==(const Rate&) const = default;
  };
  explicit RequestLimiter(const Rate& rate);

  // 0: the request may go on, and is counted. Otherwise how many microseconds it came too early. `now` is in
  // microseconds of any clock that does not go back.
  std::int64_t ask(const AddressBytes& client, std::int64_t now) noexcept;

 private:
  // A client's mark and when its last request would have been due, in one word. Where a set is full, the one
  // that is due first gives way: a client that is forgotten has waited longest.
  static constexpr std::size_t kSets = 2048, kWays = 4;
  static constexpr unsigned kMarkBits = 16;
  std::uint64_t mark_of(const AddressBytes& client) const noexcept;

  const std::int64_t interval_, tolerance_;  // microseconds
  const bool each_client_;
  const std::uint64_t secret_;  // so that nobody picks addresses that share a place
  std::atomic<std::int64_t> began_{0};
  std::unique_ptr<std::atomic<std::uint64_t>[]> due_;
};

// A part of the requests may be tried again, and a few beyond that: a backend that is down must not get
// several times the load that brought it down.
class RetryBudget {
 public:
  void request(double percent) noexcept;
  bool retry() noexcept;  // false: nothing is left

 private:
  static constexpr std::int64_t kOne = 1000, kMost = 100 * kOne;
  std::atomic<std::int64_t> left_{10 * kOne};
};

}  // namespace berth::proxy

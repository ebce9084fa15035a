// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>

namespace berth::proxy {

// For choices that nobody gains from guessing (xorshift64*).
class Random {
 public:
  explicit Random(std::uint64_t seed) noexcept : state_(seed | 1) {}
  std::uint64_t next() noexcept {
    state_ ^= state_ >> 12;
    state_ ^= state_ << 25;
    state_ ^= state_ >> 27;
    return state_ * 0x2545f4914f6cdd1dull;
  }
  std::uint32_t below(std::uint32_t bound) noexcept {
    return static_cast<std::uint32_t>((next() >> 32) * bound >> 32);
  }

  // Whether one that falls anywhere in a hundred falls into the first so many of them.
  bool is_in_percent(double percent) noexcept {
    return percent > 0 && static_cast<double>(below(1'000'000)) < percent * 10'000;
  }

 private:
  std::uint64_t state_;
};

}  // namespace berth::proxy

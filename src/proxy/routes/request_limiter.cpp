// SPDX-License-Identifier: Apache-2.0
#include "proxy/routes/request_limiter.h"

#include <sys/random.h>

#include <algorithm>

namespace berth::proxy {
namespace {

std::uint64_t draw_secret() {
  std::uint64_t secret = 0;
  if (getrandom(&secret, sizeof secret, 0) != sizeof secret) secret = 0x9e3779b97f4a7c15ull;
  return secret;
}

std::uint64_t mix(std::uint64_t value) noexcept {
  value = (value ^ (value >> 32)) * 0xd6e8feb86659fd93ull;
  value = (value ^ (value >> 32)) * 0xd6e8feb86659fd93ull;
  return value ^ (value >> 32);
}

std::uint64_t half(const AddressBytes& address, std::size_t from) noexcept {
  std::uint64_t value = 0;
  for (std::size_t at = from; at < from + 8; ++at) value = value << 8 | address[at];
  return value;
}

}  // namespace

RequestLimiter::RequestLimiter(const Rate& rate)
    : interval_(std::max<std::int64_t>(1, static_cast<std::int64_t>(1e6 / rate.per_second))),
      tolerance_(interval_ * std::max<std::uint32_t>(rate.burst, 1)),
      each_client_(rate.each_client),
      secret_(draw_secret()),
      due_(new std::atomic<std::uint64_t>[each_client_ ? kSets * kWays : 1] {}) {}

// Whoever has one network of IPv6 has 2^64 addresses.
std::uint64_t RequestLimiter::mark_of(const AddressBytes& client) const noexcept {
  const std::uint64_t high = half(client, 0);
  return mix(mix(high ^ secret_) ^ (high == 0 ? half(client, 8) : 0));
}

std::int64_t RequestLimiter::ask(const AddressBytes& client, std::int64_t now) noexcept {
  std::int64_t began = began_.load(std::memory_order_relaxed);
  if (began == 0 && began_.compare_exchange_strong(began, now)) began = now;
  const auto time = static_cast<std::uint64_t>(std::max<std::int64_t>(now - began, 0));
  constexpr std::uint64_t kMark = (1u << kMarkBits) - 1;
  const std::uint64_t hash = each_client_ ? mark_of(client) : 0, mark = hash & kMark;
  std::atomic<std::uint64_t>* const set = &due_[each_client_ ? (hash >> kMarkBits) % kSets * kWays : 0];
  for (;;) {
    std::atomic<std::uint64_t>* place = set;
    std::uint64_t had = set->load(std::memory_order_relaxed);
    for (std::size_t way = 1; each_client_ && way < kWays && (had & kMark) != mark; ++way) {
      const std::uint64_t other = set[way].load(std::memory_order_relaxed);
      if ((other & kMark) != mark && other >> kMarkBits >= had >> kMarkBits) continue;
      place = &set[way];
      had = other;
    }
    const std::uint64_t due = (had & kMark) == mark ? std::max(had >> kMarkBits, time) : time;
    const std::uint64_t next = due + static_cast<std::uint64_t>(interval_);
    const std::int64_t early = static_cast<std::int64_t>(next - time) - tolerance_;
    if (early > 0) return early;
    if (place->compare_exchange_weak(had, next << kMarkBits | mark, std::memory_order_relaxed)) return 0;
  }
}

void RetryBudget::request(double percent) noexcept {
  const auto more = static_cast<std::int64_t>(percent * kOne / 100);
  if (left_.load(std::memory_order_relaxed) < kMost) left_.fetch_add(more, std::memory_order_relaxed);
}

bool RetryBudget::retry() noexcept {
  std::int64_t left = left_.load(std::memory_order_relaxed);
  while (left >= kOne)
    if (left_.compare_exchange_weak(left, left - kOne, std::memory_order_relaxed)) return true;
  return false;
}

}  // namespace berth::proxy

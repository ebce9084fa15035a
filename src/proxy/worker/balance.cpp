// SPDX-License-Identifier: Apache-2.0
#include "proxy/worker/balance.h"

#include <fmt/format.h>

#include <functional>

namespace berth::proxy {
namespace {

// FNV-1a, spread: the same on every machine and in every version, since cookies outlive them.
std::uint64_t stable_hash(std::string_view first, std::string_view second = {}) noexcept {
  std::uint64_t hash = 0xcbf29ce484222325ull;
  for (const std::string_view part : {first, second}) {
    for (const char c : part) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3ull;
    hash = (hash ^ 0xff) * 0x100000001b3ull;
  }
  hash ^= hash >> 33;
  hash *= 0xff51afd7ed558ccdull;
  return hash ^ (hash >> 33);
}

class Candidates {
 public:
  // `all`: the canaries and the others.
  Candidates(const Route& route, const Choosing& choosing, bool dead_too, bool all)
      : route_(route), choosing_(choosing), dead_too_(dead_too), all_(all) {
    if (route.policy && route.policy->first_canary) first_canary_ = *route.policy->first_canary;
    for (std::size_t at = 0; at < route.backends.size(); ++at)
      if (has(at)) weight_ += route.backends[at].weight;
  }

  bool has(std::size_t at) const noexcept {
    if (at < 64 && (choosing_.tried >> at & 1)) return false;
    if (!all_ && choosing_.canary != (at >= first_canary_)) return false;
    return route_.backends[at].weight > 0 &&
           (dead_too_ || route_.backends[at].endpoint->alive(choosing_.now));
  }
  bool empty() const noexcept { return weight_ == 0; }

  // The one in whose part of all weights `point` lies.
  std::size_t at_weight(std::uint32_t point) const noexcept {
    std::size_t last = 0;
    for (std::size_t at = 0; at < route_.backends.size(); ++at) {
      if (!has(at)) continue;
      last = at;
      if (point < route_.backends[at].weight) break;
      point -= route_.backends[at].weight;
    }
    return last;
  }

  std::size_t random_of_two(Random& random) const noexcept {
    const std::size_t first = at_weight(random.below(weight_));
    const std::size_t second = at_weight(random.below(weight_));
    return load(second) < load(first) ? second : first;
  }

  std::size_t in_turn() const noexcept {
    return at_weight(route_.turn.fetch_add(1, std::memory_order_relaxed) % weight_);
  }

  // The highest of hashes with each: when one goes, only its clients move.
  std::size_t by_hash() const noexcept {
    std::size_t best = 0;
    std::uint64_t highest = 0;
    for (std::size_t at = 0; at < route_.backends.size(); ++at) {
      const std::uint64_t hash = has(at) ? stable_hash(choosing_.client, route_.backends[at].url) | 1 : 0;
      if (hash > highest) {
        highest = hash;
        best = at;
      }
    }
    return best;
  }

 private:
  double load(std::size_t at) const noexcept {
    const Backend& backend = route_.backends[at];
    return static_cast<double>(backend.endpoint->in_flight.load(std::memory_order_relaxed)) / backend.weight;
  }

  const Route& route_;
  const Choosing& choosing_;
  const bool dead_too_, all_;
  std::size_t first_canary_ = SIZE_MAX;
  std::uint32_t weight_ = 0;
};

std::size_t choose(const Route& route, const Candidates& candidates, Random& random) {
  switch (route.options.balancing) {
    case Balancing::round_robin:
      return candidates.in_turn();
    case Balancing::hash:
      return candidates.by_hash();
    case Balancing::random_of_two:
      break;
  }
  return candidates.random_of_two(random);
}

std::optional<std::size_t> same_as_before(const Route& route, const Choosing& choosing, bool dead_too) {
  const Candidates candidates(route, choosing, dead_too, true);
  for (std::size_t at = 0; at < route.backends.size(); ++at)
    if (candidates.has(at) && sticky_value(route.backends[at]) == choosing.sticky) return at;
  return std::nullopt;
}

}  // namespace

std::optional<std::size_t> choose_backend(const Route& route, const Choosing& choosing, Random& random) {
  for (const bool dead_too : {false, true}) {
    if (route.options.sticky && !choosing.sticky.empty())
      if (const auto same = same_as_before(route, choosing, dead_too)) return same;
    for (const bool all : {false, true}) {
      const Candidates candidates(route, choosing, dead_too, all);
      if (!candidates.empty()) return choose(route, candidates, random);
      if (!route.policy || !route.policy->first_canary) break;
    }
  }
  return std::nullopt;
}

std::string sticky_value(const Backend& backend) { return fmt::format("{:016x}", stable_hash(backend.url)); }

}  // namespace berth::proxy

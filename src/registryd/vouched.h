// SPDX-License-Identifier: Apache-2.0
// Digests of which a client was told "it is there" (HEAD) while no manifest used them: it will not upload
// them, and refer to them soon. Garbage collection leaves them alone for a while. Bounded; thread-safe.
#pragma once
#include <chrono>
#include <mutex>
#include <string>
#include <unordered_map>

#include "base/digest.h"

namespace berth::registryd {

class Vouched {
 public:
  void add(const Digest& digest) {
    std::lock_guard guard(mutex_);
    if (times_.size() >= kMost) times_.clear();  // a flood of requests: what is lost is a retried push
    times_[digest.text()] = Clock::now();
  }
  bool holds(const Digest& digest, std::chrono::seconds grace) const {
    std::lock_guard guard(mutex_);
    auto found = times_.find(digest.text());
    return found != times_.end() && Clock::now() - found->second < grace;
  }

 private:
  using Clock = std::chrono::steady_clock;
  static constexpr std::size_t kMost = 1 << 16;
  mutable std::mutex mutex_;
  std::unordered_map<std::string, Clock::time_point> times_;
};

}  // namespace berth::registryd

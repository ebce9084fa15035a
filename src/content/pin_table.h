// SPDX-License-Identifier: Apache-2.0
// Which digests are pinned, and which are being removed just now. Internal to this room.
#pragma once
#include <condition_variable>
#include <cstddef>
#include <functional>
#include <mutex>
#include <string>
#include <unordered_map>
#include <unordered_set>

#include "base/digest.h"
#include "base/error.h"

namespace berth::content {

class PinTable {
 public:
  void add(const Digest& digest);  // waits while the digest is being removed
  void drop(const Digest& digest) noexcept;

  // Runs `removal` unless the digest is pinned (false then). Pins of this digest wait for it, others don't.
  Result<bool> while_unpinned(const Digest& digest, const std::function<Result<bool>()>& removal);

 private:
  std::mutex mutex_;
  std::condition_variable removed_;
  std::unordered_map<std::string, std::size_t> pins_;  // by the digest's text
  std::unordered_set<std::string> being_removed_;
};

}  // namespace berth::content

// SPDX-License-Identifier: Apache-2.0
// What builds have come to, for as long as their clients fetch it: a tree, an archive. Such a result need not
// be an image on record; a lease keeps its layers. A client names it beforehand, by a word that cannot be
// guessed, and releases it. One that it does not release goes after kUnclaimed, or when there are too many.
// After a restart of the engine there is none. Thread-safe.
#pragma once
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "base/error.h"
#include "image/image_store.h"

namespace berth::build {

struct BuildResult {
  image::UnrecordedImage image;
  image::UnrecordedImage cache;        // cache_document.h: what the image's layers are results of
  image::UnrecordedImage whole_cache;  // and those of all stages
  image::Lease lease;                  // of the layers of all three
};

class HeldResults {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr auto kUnclaimed = std::chrono::minutes(10);  // since it was last asked for
  static constexpr std::size_t kMost = 100;

  explicit HeldResults(std::function<Clock::time_point()> clock = Clock::now) : clock_(std::move(clock)) {}

  // 64 lower-case hex digits.
  static Result<void> check_name(std::string_view name);
  Result<void> hold(const std::string& name, std::shared_ptr<const BuildResult> result);
  Result<std::shared_ptr<const BuildResult>> get(const std::string& name);
  void release(const std::string& name);
  void expire();

 private:
  struct Held {
    std::shared_ptr<const BuildResult> result;
    Clock::time_point used;
  };
  using Gone = std::map<std::string, Held>;  // leases end without the lock: layers may be collected then
  Gone take_expired();

  const std::function<Clock::time_point()> clock_;
  std::mutex mutex_;
  std::map<std::string, Held> held_;
};

}  // namespace berth::build

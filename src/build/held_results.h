// SPDX-License-Identifier: Apache-2.0
// What builds have come to, for as long as their clients fetch it: a tree, an archive. Such a result need not
// be an image on record; a lease keeps its layers. A client names it beforehand, by a word that cannot be
// guessed, and releases it. One that it does not release goes kUnclaimed after it was last used: a thread
// looks for such while anything is held. After a restart of the engine there is none. Thread-safe.
#pragma once
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <stop_token>
#include <string>
#include <thread>

#include "base/error.h"
#include "image/image_store.h"

namespace berth::build {

struct BuildResult {
  image::UnrecordedImage image;
  image::UnrecordedImage cache;        // cache_document.h: what the image's layers are results of
  image::UnrecordedImage whole_cache;  // and those of all stages
  image::Lease lease;                  // of the layers of all three
};

class HeldPlace;

// Outlives its places and results.
class HeldResults {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr auto kUnclaimed = std::chrono::minutes(10);  // since the last fetch of it ended
  static constexpr std::size_t kMost = 100;

  explicit HeldResults(std::function<Clock::time_point()> clock = Clock::now,
                       std::chrono::milliseconds look = std::chrono::seconds(30))
      : clock_(std::move(clock)), look_(look) {}

  // 64 lower-case hex digits.
  static Result<void> check_name(std::string_view name);
  // For a build that begins: what would be refused at its end is refused now. Names are taken once, and a
  // result that waits for its client goes for nobody else's.
  Result<std::shared_ptr<HeldPlace>> reserve(const std::string& name);
  // As long as somebody has it, it does not go.
  Result<std::shared_ptr<const BuildResult>> get(const std::string& name);
  void release(const std::string& name);
  void expire();

 private:
  friend class HeldPlace;
  struct Held {
    std::uint64_t number = 0;                   // of the reservation
    std::shared_ptr<const BuildResult> result;  // null until the build is done
    Clock::time_point used;
  };
  using Gone = std::map<std::string, Held>;  // leases end without the lock: layers may be collected then
  Gone take_expired();
  void put(const std::string& name, std::uint64_t number, std::shared_ptr<const BuildResult> result);
  void give_back(const std::string& name, std::uint64_t number);
  void touch(const std::string& name);
  void look_out();
  void keep_looking(const std::stop_token& stop);

  const std::function<Clock::time_point()> clock_;
  const std::chrono::milliseconds look_;
  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::map<std::string, Held> held_;
  std::uint64_t reservations_ = 0;
  std::jthread thread_;  // ends first
};

// A name that a build has for its result. Without a result it is free again at the place's end.
class HeldPlace {
 public:
  HeldPlace(HeldResults& held, std::string name, std::uint64_t number)
      : held_(held), name_(std::move(name)), number_(number) {}
  HeldPlace(const HeldPlace&) = delete;
  HeldPlace& operator=(const HeldPlace&) = delete;
  ~HeldPlace() { held_.give_back(name_, number_); }

  // If the name was released meanwhile, nobody waits for it.
  void put(std::shared_ptr<const BuildResult> result) { held_.put(name_, number_, std::move(result)); }

 private:
  HeldResults& held_;
  const std::string name_;
  const std::uint64_t number_;
};

}  // namespace berth::build

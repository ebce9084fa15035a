// SPDX-License-Identifier: Apache-2.0
// What pull and push share: reporting from several threads, work in several threads, and one download at a
// time for one layer. Internal to this room.
#pragma once
#include <chrono>
#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <stop_token>
#include <vector>

#include "base/digest.h"
#include "base/error.h"
#include "image/transfer.h"

namespace berth::image {

// Passes statuses on, one at a time and not more often than clients can use. A listener that is gone stops
// the whole transfer.
class Reporter {
 public:
  Reporter(OnStatus listener, std::stop_source& stop) : listener_(std::move(listener)), stop_(stop) {}

  void say(std::string id, std::string text) { send({std::move(id), std::move(text), 0, 0}); }
  void progress(const std::string& id, const char* text, std::uint64_t current, std::uint64_t total);

 private:
  void send(const TransferStatus& status);
  OnStatus listener_;
  std::stop_source& stop_;
  std::mutex mutex_;
  std::map<std::string, std::chrono::steady_clock::time_point> last_;
};

// Runs `work(0)` ... `work(count - 1)` in at most `threads` threads. The first error stops the others through
// `stop` and is the result.
Result<void> in_parallel(std::size_t count, int threads, std::stop_source& stop,
                         const std::function<Result<void>(std::size_t)>& work);

// Digests that somebody works on. Who comes second waits.
class Busy {
 public:
  // Holds the digest. Cancelled while waiting: an error.
  class Turn {
   public:
    Turn(Turn&& other) noexcept : busy_(std::exchange(other.busy_, nullptr)), digest_(other.digest_) {}
    Turn& operator=(Turn&&) = delete;
    ~Turn();

   private:
    friend class Busy;
    Turn(Busy& busy, Digest digest) : busy_(&busy), digest_(std::move(digest)) {}
    Busy* busy_;
    Digest digest_;
  };
  Result<Turn> wait_for(const Digest& digest, const std::stop_token& stop);

 private:
  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::set<Digest> held_;
};

}  // namespace berth::image

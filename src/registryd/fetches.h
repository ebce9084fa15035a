// SPDX-License-Identifier: Apache-2.0
// Blobs that a pull-through cache is getting from its upstream. Whoever asks for one reads it while it comes,
// from the file that grows; whoever asks for the same one meanwhile reads along.
//
// A fetch has a thread of its own, and goes on when everybody who asked has left: what came is of use to the
// next one, who else would start over. It ends with the blob, with an upstream that fails, is silent or
// drips, or with the registry. Only a blob whose digest turned out right is kept; until then nobody may be
// given all that he asked for, so that a wrong one is cut off and never looks whole.
#pragma once
#include <condition_variable>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>

#include "base/digest.h"
#include "base/error.h"
#include "base/fd.h"
#include "registryd/catalog.h"
#include "registryd/storage.h"
#include "registryd/upstream.h"

namespace berth::registryd {

// One blob for one repository: another repository may not have it at the upstream. Thread-safe.
class Fetch {
 public:
  struct Progress {
    bool begun = false;                     // the upstream has the blob
    bool ended = false;                     // and it is in the catalog, unless there is a failure
    std::optional<std::int64_t> size = {};  // bytes, where it is known by now
    std::int64_t ready = 0;                 // bytes that may be read; before the end, one fewer than came
    std::optional<Error> failure = {};
  };
  Fetch(std::string of, Digest wanted) : repository(std::move(of)), digest(std::move(wanted)) {}

  Progress progress() const;
  // The same, once it differs from `known` or the time is over.
  Progress wait_for_more(const Progress& known, std::chrono::milliseconds time) const;
  // What is there of `offset` and behind: less than the buffer takes, as a rule. Below Progress::ready.
  Result<std::size_t> read(std::int64_t offset, std::span<char> buffer) const;

  const std::string repository;
  const Digest digest;

 private:
  friend class Fetches;
  Progress progress_locked() const;
  void run(Storage& storage, Catalog& catalog, Upstream& upstream, const std::stop_token& stop);
  Result<void> get(Storage& storage, Catalog& catalog, Upstream& upstream, const std::stop_token& stop);

  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  Progress state_;  // `ready` counts all that is there
  Fd file_;         // set before `begun`
};

class Fetches {
 public:
  static constexpr std::size_t kMost = 64;  // at a time
  Fetches(Storage& storage, Catalog& catalog, Upstream& upstream)
      : storage_(storage), catalog_(catalog), upstream_(upstream) {}
  // What the fetches of a process that was killed have left: nothing goes on with it.
  static Result<std::size_t> sweep(Storage& storage);
  ~Fetches() { stop(); }

  // The fetch of this blob that is under way, or null.
  std::shared_ptr<const Fetch> find(const std::string& repository, const Digest& digest);
  // The same, or a new one. Null: it has come meanwhile, see the catalog.
  // ErrorKind::exhausted: there are too many.
  Result<std::shared_ptr<const Fetch>> join(const std::string& repository, const Digest& digest);
  void stop();  // ends all of them, and waits for that

 private:
  struct Running {
    std::shared_ptr<Fetch> fetch;
    std::thread thread;
  };
  std::list<Running> take_ended();
  std::shared_ptr<const Fetch> find_locked(const std::string& repository, const Digest& digest) const;

  Storage& storage_;
  Catalog& catalog_;
  Upstream& upstream_;
  std::stop_source stop_;
  std::mutex mutex_;
  std::list<Running> running_;
};

}  // namespace berth::registryd

// SPDX-License-Identifier: Apache-2.0
// Equal work runs once: whoever comes second waits for the first's result, in whichever builds the two are.
#pragma once
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>

#include "base/digest.h"
#include "base/error.h"

namespace berth::build {

// Whose a failure is: of the work, or of whoever does it (his files, his permissions), so that another may do
// better. One that is `cancelled` is always the latter.
enum class Failure { shared, own };

template <class T>
class InFlight {
 public:
  // The result of `work` for this key, from here or from another thread that is at it. If that one is
  // cancelled, this one does it: a build does not fail because another was given up. `waited` tells the
  // caller which of the two it was.
  Result<T> once(const Digest& key, const std::stop_token& stop, const std::function<Result<T>()>& work,
                 Failure failure = Failure::shared, bool* waited = nullptr) {
    for (;;) {
      auto [running, mine] = join(key);
      if (mine) return finish(key, running, work(), failure);
      if (waited) *waited = true;
      std::unique_lock lock(mutex_);
      const bool ended = changed_.wait(lock, stop, [&] { return running->result.has_value(); });
      if (!ended) return fail(ErrorKind::cancelled, "the build was cancelled");
      if (*running->result || running->failure == Failure::shared) return *running->result;
      if (waited) *waited = false;
    }
  }

 private:
  struct Running {
    std::optional<Result<T>> result;
    Failure failure = Failure::shared;
  };

  std::pair<std::shared_ptr<Running>, bool> join(const Digest& key) {
    std::lock_guard lock(mutex_);
    auto [found, made] = running_.try_emplace(key);
    if (made) found->second = std::make_shared<Running>();
    return {found->second, made};
  }

  Result<T> finish(const Digest& key, const std::shared_ptr<Running>& running, Result<T> result,
                   Failure failure) {
    std::lock_guard lock(mutex_);
    const bool cancelled = !result && result.error().kind == ErrorKind::cancelled;
    running->failure = cancelled ? Failure::own : failure;
    running->result = result;
    running_.erase(key);
    changed_.notify_all();
    return result;
  }

  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::map<Digest, std::shared_ptr<Running>> running_;
};

}  // namespace berth::build

// SPDX-License-Identifier: Apache-2.0
#include "image/transfer_support.h"

#include <algorithm>
#include <atomic>
#include <optional>
#include <thread>

namespace berth::image {
namespace {
constexpr std::chrono::milliseconds kBetweenReports(100);
}

void Reporter::progress(const std::string& id, const char* text, std::uint64_t current, std::uint64_t total) {
  if (!listener_) return;
  const auto time = std::chrono::steady_clock::now();
  {
    std::lock_guard lock(mutex_);
    auto [last, is_new] = last_.try_emplace(id, time);
    if (!is_new && time - last->second < kBetweenReports && current < total) return;
    last->second = time;
  }
  send({id, text, current, total});
}

void Reporter::send(const TransferStatus& status) {
  if (!listener_) return;
  std::lock_guard lock(mutex_);
  if (stop_.stop_requested()) return;
  if (!listener_(status)) stop_.request_stop();
}

Result<void> in_parallel(std::size_t count, int threads, std::stop_source& stop,
                         const std::function<Result<void>(std::size_t)>& work) {
  std::atomic<std::size_t> next = 0;
  std::mutex mutex;
  std::optional<Error> failure;
  auto run = [&] {
    for (std::size_t i; (i = next++) < count;) {
      if (stop.stop_requested()) return;
      Result<void> done = work(i);
      if (done) continue;
      std::lock_guard lock(mutex);
      // The first is the reason; what follows was only stopped by it.
      if (!failure) failure = std::move(done).error();
      stop.request_stop();
      return;
    }
  };
  std::vector<std::jthread> helpers;
  for (std::size_t i = 1; i < std::min<std::size_t>(count, static_cast<std::size_t>(std::max(threads, 1)));
       ++i)
    helpers.emplace_back(run);
  run();
  helpers.clear();
  if (failure) return std::unexpected(*std::move(failure));
  if (stop.stop_requested()) return fail(ErrorKind::cancelled, "cancelled");
  return {};
}

Busy::Turn::~Turn() {
  if (!busy_) return;
  {
    std::lock_guard lock(busy_->mutex_);
    busy_->held_.erase(digest_);
  }
  busy_->changed_.notify_all();
}

Result<Busy::Turn> Busy::wait_for(const Digest& digest, const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  if (!changed_.wait(lock, stop, [&] { return !held_.contains(digest); }))
    return fail(ErrorKind::cancelled, "cancelled");
  held_.insert(digest);
  return Turn(*this, digest);
}

}  // namespace berth::image

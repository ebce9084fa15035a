// SPDX-License-Identifier: Apache-2.0
#include "build/held_results.h"

#include <pthread.h>
#include <signal.h>

#include <system_error>

#include "base/log.h"

namespace berth::build {
namespace {
constexpr std::size_t kNameLength = 64;
}

Result<void> HeldResults::check_name(std::string_view name) {
  const bool right = name.size() == kNameLength && name.find_first_not_of("0123456789abcdef") == name.npos;
  if (right) return {};
  return fail(ErrorKind::invalid, "a build's result is held under {} lower-case hex digits", kNameLength);
}

// With the lock held. One that is being fetched is used.
HeldResults::Gone HeldResults::take_expired() {
  Gone gone;
  const Clock::time_point now = clock_();
  for (auto at = held_.begin(); at != held_.end();) {
    const auto next = std::next(at);
    Held& held = at->second;
    if (!held.result || held.result.use_count() > 1) held.used = now;
    if (now - held.used > kUnclaimed) gone.insert(held_.extract(at));
    at = next;
  }
  return gone;
}

Result<std::shared_ptr<HeldPlace>> HeldResults::reserve(const std::string& name) {
  TRY(check_name(name));
  Gone gone;
  std::lock_guard lock(mutex_);
  if (held_.contains(name)) return fail(ErrorKind::conflict, "a build's result of that name is held already");
  gone = take_expired();
  if (held_.size() >= kMost)
    return fail(ErrorKind::unavailable,
                "{} results of builds are held for their clients, and that is all that there may be: try "
                "again later",
                kMost);
  look_out();
  const std::uint64_t number = ++reservations_;
  auto place = std::make_shared<HeldPlace>(*this, name, number);
  held_.emplace(name, Held{.number = number, .result = {}, .used = clock_()});
  return place;
}

void HeldResults::put(const std::string& name, std::uint64_t number,
                      std::shared_ptr<const BuildResult> result) {
  std::lock_guard lock(mutex_);
  const auto found = held_.find(name);
  if (found == held_.end() || found->second.number != number) return;
  found->second.result = std::move(result);
  found->second.used = clock_();
}

void HeldResults::give_back(const std::string& name, std::uint64_t number) {
  std::lock_guard lock(mutex_);
  const auto found = held_.find(name);
  if (found != held_.end() && found->second.number == number && !found->second.result) held_.erase(found);
}

Result<std::shared_ptr<const BuildResult>> HeldResults::get(const std::string& name) {
  Gone gone;
  std::shared_ptr<const BuildResult> result;
  {
    std::lock_guard lock(mutex_);
    gone = take_expired();
    const auto found = held_.find(name);
    if (found == held_.end() || !found->second.result)
      return fail(ErrorKind::not_found, "the engine does not hold that build's result, or no longer");
    result = found->second.result;
  }
  // The end of a fetch is a use as well.
  const BuildResult* const plain = result.get();
  return std::shared_ptr<const BuildResult>(
      plain, [this, name, kept = std::move(result)](const BuildResult*) { touch(name); });
}

void HeldResults::touch(const std::string& name) {
  std::lock_guard lock(mutex_);
  if (const auto found = held_.find(name); found != held_.end()) found->second.used = clock_();
}

void HeldResults::release(const std::string& name) {
  Gone gone;
  std::lock_guard lock(mutex_);
  if (auto node = held_.extract(name)) gone.insert(std::move(node));
}

void HeldResults::expire() {
  Gone gone;
  std::lock_guard lock(mutex_);
  gone = take_expired();
}

// With the lock held. Without a thread they go when somebody asks for another.
void HeldResults::look_out() {
  changed_.notify_all();
  if (thread_.joinable()) return;
  try {
    thread_ = std::jthread([this](const std::stop_token& stop) { keep_looking(stop); });
  } catch (const std::system_error& error) {
    log_warning("build", "nobody looks after results of builds: {}", error.what());
  }
}

void HeldResults::keep_looking(const std::stop_token& stop) {
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, nullptr);  // the program's signals are not this thread's business
  while (!stop.stop_requested()) {
    {
      std::unique_lock lock(mutex_);
      if (!changed_.wait(lock, stop, [this] { return !held_.empty(); })) return;
      changed_.wait_for(lock, stop, look_, [] { return false; });
    }
    expire();
  }
}

}  // namespace berth::build

// SPDX-License-Identifier: Apache-2.0
#include "build/held_results.h"

#include <algorithm>

namespace berth::build {
namespace {
constexpr std::size_t kNameLength = 64;
}

Result<void> HeldResults::check_name(std::string_view name) {
  const bool right = name.size() == kNameLength && name.find_first_not_of("0123456789abcdef") == name.npos;
  if (right) return {};
  return fail(ErrorKind::invalid, "a build's result is held under {} lower-case hex digits", kNameLength);
}

// With the lock held.
HeldResults::Gone HeldResults::take_expired() {
  Gone gone;
  const Clock::time_point now = clock_();
  for (auto at = held_.begin(); at != held_.end();) {
    const auto next = std::next(at);
    if (now - at->second.used > kUnclaimed) gone.insert(held_.extract(at));
    at = next;
  }
  return gone;
}

Result<void> HeldResults::hold(const std::string& name, std::shared_ptr<const BuildResult> result) {
  TRY(check_name(name));
  Gone gone;
  std::lock_guard lock(mutex_);
  if (held_.contains(name)) return fail(ErrorKind::conflict, "a build's result of that name is held already");
  gone = take_expired();
  if (held_.size() >= kMost)
    gone.insert(held_.extract(
        std::ranges::min_element(held_, {}, [](const auto& entry) { return entry.second.used; })));
  held_.emplace(name, Held{std::move(result), clock_()});
  return {};
}

Result<std::shared_ptr<const BuildResult>> HeldResults::get(const std::string& name) {
  Gone gone;
  std::lock_guard lock(mutex_);
  gone = take_expired();
  const auto found = held_.find(name);
  if (found == held_.end())
    return fail(ErrorKind::not_found, "the engine does not hold that build's result, or no longer");
  found->second.used = clock_();
  return found->second.result;
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

}  // namespace berth::build

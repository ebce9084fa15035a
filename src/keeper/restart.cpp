// SPDX-License-Identifier: Apache-2.0
#include "keeper/restart.h"

#include <algorithm>

namespace berth::keeper {

std::optional<std::chrono::nanoseconds> RestartTracker::next(int exit_code, std::chrono::nanoseconds lasted) {
  using namespace std::chrono_literals;
  switch (policy_.condition) {
    case RestartCondition::no:
      return std::nullopt;
    case RestartCondition::on_failure:
      if (exit_code == 0) return std::nullopt;
      if (policy_.maximum_retries > 0 && count_ >= policy_.maximum_retries) return std::nullopt;
      break;
    case RestartCondition::always:
    case RestartCondition::unless_stopped:
      break;
  }
  if (lasted >= 10s || delay_ == 0ns)
    delay_ = 100ms;
  else
    delay_ = std::min<std::chrono::nanoseconds>(delay_ * 2, 1min);
  ++count_;
  return delay_;
}

}  // namespace berth::keeper

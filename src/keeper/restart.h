// SPDX-License-Identifier: Apache-2.0
// Whether, and after what delay, a container that ended starts again. Pure: the clock is an argument.
//
// The delay doubles from 100 ms to a minute; a run of ten seconds or more starts over at 100 ms.
#pragma once
#include <chrono>
#include <optional>

#include "keeper/settings.h"

namespace berth::keeper {

class RestartTracker {
 public:
  RestartTracker(RestartPolicy policy, int count) : policy_(policy), count_(count) {}

  void set_policy(RestartPolicy policy) { policy_ = policy; }

  // The container ended with `exit_code` after running for `lasted`. Nothing: it stays ended.
  std::optional<std::chrono::nanoseconds> next(int exit_code, std::chrono::nanoseconds lasted);

  int count() const { return count_; }

 private:
  RestartPolicy policy_;
  int count_ = 0;
  std::chrono::nanoseconds delay_{0};
};

}  // namespace berth::keeper

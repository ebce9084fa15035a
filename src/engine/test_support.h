// SPDX-License-Identifier: Apache-2.0
// For tests of what takes an engine's database, and of who waits for whom.
#pragma once
#include <chrono>
#include <vector>

#include "engine/network_record.h"
#include "engine/records.h"

namespace berth::engine::test {

// Long enough for somebody who does not wait to be through. Nothing fails on a machine that is slower.
inline constexpr std::chrono::milliseconds kMoment(100);

inline std::vector<db::Migration> all_migrations() {
  std::vector<db::Migration> steps = migrations();
  for (const auto& more : {volume_migrations(), network_migrations()})
    steps.insert(steps.end(), more.begin(), more.end());
  return steps;
}

}  // namespace berth::engine::test

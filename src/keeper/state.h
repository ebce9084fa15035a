// SPDX-License-Identifier: Apache-2.0
// state.json: what a keeper has observed of its container. The keeper is its only writer; it replaces the
// file at every change, before it tells anybody. An engine that was away reads it and knows all that
// happened.
//
//   created -> running -> exited
//                 |  ^
//                 v  |  (restart policy)
//              restarting
#pragma once
#include <sys/types.h>

#include <cstdint>
#include <string>

#include "base/clock.h"
#include "base/error.h"

namespace berth::keeper {

enum class Phase { created, running, restarting, exited };

struct State {
  Phase phase = Phase::created;
  pid_t keeper_pid = 0;
  pid_t pid = 0;  // of the container's first process; 0 when it does not run
  std::uint64_t pid_start_time =
      0;  // field 22 of /proc/<pid>/stat: tells this process from a later one of that number
  Timestamp started_at;
  Timestamp finished_at;
  int exit_code = 0;  // 128 + signal when killed by one
  bool oom_killed = false;
  int restart_count = 0;
  std::string error;  // why the last start failed; empty when it did not
};

std::string encode(const State& state);
Result<State> decode_state(std::string_view text);

// Reads <run directory>/state.json.
Result<State> read_state(const std::string& run_directory);

// Field 22 of /proc/<pid>/stat; 0 when there is no such process.
std::uint64_t process_start_time(pid_t pid);

}  // namespace berth::keeper

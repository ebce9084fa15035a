// SPDX-License-Identifier: Apache-2.0
// keeper.json: what a keeper needs to know besides the OCI configuration. Written by the engine before the
// keeper starts, read once. Members that a reader does not know are ignored, so that engines and keepers of
// neighbouring versions understand each other.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"

namespace berth::keeper {

enum class RestartCondition { no, always, unless_stopped, on_failure };

struct RestartPolicy {
  RestartCondition condition = RestartCondition::no;
  int maximum_retries = 0;  // on_failure only; 0 means no limit
  bool operator==(const RestartPolicy&) const = default;
};

std::string_view to_text(RestartCondition condition);                     // Docker's names; "no" for none
Result<RestartCondition> parse_restart_condition(std::string_view text);  // "" is "no"

struct LogSettings {
  std::string path;                        // empty: nothing is kept
  std::int64_t maximum_size = 20'000'000;  // bytes a file; <= 0 means no limit
  int maximum_files = 5;                   // the current one included
};

struct OverlaySettings {
  // Directories, top first; "layer:N" is the N-th mount of the assignment, counted from 0.
  std::vector<std::string> lower;
  std::string upper;
  std::string work;
  bool is_volatile =
      false;  // the upper directory need not survive a power cut: the container is removed at its end
};

struct Settings {
  std::string id;
  bool terminal = false;
  bool open_stdin = false;
  bool stdin_once = false;  // the first attached client's end of input is the container's
  std::optional<OverlaySettings> overlay;
  LogSettings log;
  RestartPolicy restart;
  int restart_count = 0;  // what an earlier keeper of this container had counted
};

std::string encode(const Settings& settings);
Result<Settings> decode_settings(std::string_view text);

}  // namespace berth::keeper

// SPDX-License-Identifier: Apache-2.0
// What an engine tells of a build while it goes (api/build_events.h has the lines), and who shows it.
#pragma once
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/clock.h"
#include "base/error.h"

namespace boost::json {
class value;
}

namespace berth::cli {

// A step. The same one is told of again when something about it changes.
struct VertexEvent {
  std::int64_t id = 0;
  std::string name;
  Timestamp started, completed;  // by the engine's clock; 0: not yet
  bool cached = false;
  bool cancelled = false;
  std::string error;
  std::size_t total = 0;  // how many there will be, as far as it is known
};
struct LogEvent {
  std::int64_t vertex = 0;
  int stream = 1;
  Timestamp time;
  std::string data;
};
struct StatusEvent {
  std::int64_t vertex = 0;
  std::string id, text;
  std::uint64_t current = 0, total = 0;  // a total of 0 is not known
  Timestamp time;
};
// Something is wrong, and the build goes on.
struct Warning {
  std::string text, file;
  std::int64_t first_line = 0, last_line = 0;  // 0: of no line
};
struct WarningEvent {
  std::string shown;  // to people, when all is over: whole lines, clean
  std::vector<Warning> list;
};
using Event = std::variant<VertexEvent, LogEvent, StatusEvent, WarningEvent>;

// Nothing for a line that tells of something else.
Result<std::optional<Event>> read_event(const boost::json::value& line);

// This side's own vertex: the context on its way to the engine.
inline constexpr std::int64_t kContextVertex = 0;

using Moment = std::chrono::nanoseconds;  // since the build was begun, by the clock of this machine

class ProgressView {
 public:
  virtual ~ProgressView() = default;
  virtual void show(const Event& event, Moment now) = 0;
  virtual void finish(bool failed, Moment now) = 0;
};

}  // namespace berth::cli

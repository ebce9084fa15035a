// SPDX-License-Identifier: Apache-2.0
// A build as far as it has been told of: what a display is drawn from.
#pragma once
#include <deque>
#include <map>
#include <string>
#include <vector>

#include "cli/build/clean_text.h"
#include "cli/build/events.h"

namespace berth::cli {

struct BuildState {
  static constexpr std::size_t kKept = 20;           // last lines of a vertex
  static constexpr std::size_t kMostStatuses = 200;  // of a vertex

  struct Line {
    std::chrono::nanoseconds after{};  // since its vertex began
    std::string text;                  // clean
  };
  struct Status {
    std::string id, text;  // clean
    std::uint64_t current = 0, total = 0;
  };
  struct Vertex {
    std::int64_t id = 0;
    std::string name;  // clean, one line
    Timestamp engine_started;
    Moment started{};  // by this machine's clock
    std::optional<Moment> completed;
    bool cached = false, cancelled = false;
    std::string error;             // clean, its first line
    std::vector<Status> statuses;  // while it runs
    std::deque<Line> tail;         // of its output, while it runs or if it has failed
    OutputLines output;
    bool running() const { return !completed; }
  };

  std::vector<Vertex> vertices;  // in the order in which they began
  std::string warnings;          // to be shown at the end: clean, whole lines
  std::size_t total = 0;
  bool finished = false, failed = false;

  Vertex* find(std::int64_t id);
};

// What has become whole by this event: lines of output, for who prints them.
std::vector<BuildState::Line> apply(BuildState& state, const Event& event, Moment now);

// "1.2s", as progress says how long something took: 0.123 below ten seconds where `precise`.
std::string seconds_text(std::chrono::nanoseconds duration, bool precise = false);

// The vertex that failed and what it said last, between rules; nothing if it said nothing.
std::string failure_excerpt(const BuildState& state);

}  // namespace berth::cli

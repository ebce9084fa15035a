// SPDX-License-Identifier: Apache-2.0
#include "cli/build/state.h"

#include <algorithm>

#include "base/text.h"

namespace berth::cli {
namespace {

using Lines = std::vector<BuildState::Line>;

// Of several lines the first: a name is one.
std::string clean_name(std::string_view text) {
  const auto [first, rest] = split_once(text, '\n');
  return clean_line(first) + (rest.empty() ? "" : " ...");
}

void keep(BuildState::Vertex& vertex, Lines& whole, std::vector<std::string> lines,
          std::chrono::nanoseconds after) {
  for (std::string& text : lines) {
    vertex.tail.push_back({after, text});
    if (vertex.tail.size() > BuildState::kKept) vertex.tail.pop_front();
    whole.push_back({after, std::move(text)});
  }
}

std::chrono::nanoseconds between(Timestamp from, Timestamp to) {
  return std::chrono::nanoseconds(std::max<std::int64_t>(to.nanoseconds - from.nanoseconds, 0));
}

Lines apply(BuildState& state, const VertexEvent& event, Moment now) {
  state.total = std::max(state.total, event.total);
  BuildState::Vertex* vertex = state.find(event.id);
  if (!vertex) {
    vertex = &state.vertices.emplace_back();
    vertex->id = event.id;
    vertex->name = clean_name(event.name);
    vertex->engine_started = event.started;
    vertex->started = now;
  }
  Lines whole;
  if (!event.completed || vertex->completed) return whole;
  // The engine's clock may be another: what it says of two times is right, what they are is not.
  const std::chrono::nanoseconds took = between(vertex->engine_started, event.completed);
  vertex->completed = vertex->started + took;
  vertex->cached = event.cached;
  vertex->cancelled = event.cancelled;
  vertex->error = clean_name(event.error);
  keep(*vertex, whole, vertex->output.finish(), took);
  // Builds have many steps, and none of this is shown of one that is done.
  vertex->statuses = {};
  if (vertex->error.empty()) vertex->tail = {};
  return whole;
}

Lines apply(BuildState& state, const LogEvent& event, Moment) {
  Lines whole;
  if (BuildState::Vertex* vertex = state.find(event.vertex))
    keep(*vertex, whole, vertex->output.take(event.data), between(vertex->engine_started, event.time));
  return whole;
}

Lines apply(BuildState& state, const StatusEvent& event, Moment) {
  BuildState::Vertex* vertex = state.find(event.vertex);
  if (!vertex) return {};
  const std::string id = clean_line(event.id);
  auto same = std::ranges::find(vertex->statuses, id, &BuildState::Status::id);
  if (same == vertex->statuses.end()) {
    if (vertex->statuses.size() >= BuildState::kMostStatuses)
      vertex->statuses.erase(vertex->statuses.begin());
    same = vertex->statuses.insert(vertex->statuses.end(), {id, "", 0, 0});
  }
  same->text = clean_line(event.text);
  same->current = event.current;
  same->total = event.total;
  return {};
}

Lines apply(BuildState& state, const WarningEvent& event, Moment) {
  state.warnings += event.shown;
  return {};
}

}  // namespace

BuildState::Vertex* BuildState::find(std::int64_t id) {
  const auto found = std::ranges::find(vertices, id, &Vertex::id);
  return found == vertices.end() ? nullptr : &*found;
}

std::vector<BuildState::Line> apply(BuildState& state, const Event& event, Moment now) {
  return std::visit([&](const auto& one) { return apply(state, one, now); }, event);
}

std::string seconds_text(std::chrono::nanoseconds duration, bool precise) {
  const double seconds = std::chrono::duration<double>(std::max(duration, {})).count();
  const int digits = !precise ? 1 : seconds < 10 ? 3 : seconds < 100 ? 2 : 1;
  return fmt::format("{:.{}f}", seconds, digits);
}

std::string failure_excerpt(const BuildState& state) {
  const auto failed =
      std::ranges::find_if(state.vertices, [](const BuildState::Vertex& one) { return !one.error.empty(); });
  if (failed == state.vertices.end() || failed->tail.empty()) return "";
  std::string text = fmt::format("------\n > {}:\n", failed->name);
  for (const BuildState::Line& line : failed->tail)
    text += fmt::format("{} {}\n", seconds_text(line.after, true), line.text);
  return text + "------\n";
}

}  // namespace berth::cli

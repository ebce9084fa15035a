// SPDX-License-Identifier: Apache-2.0
#include "cli/build/plain.h"

#include <algorithm>

#include "base/text.h"

namespace berth::cli {
namespace {

std::int64_t vertex_of(const VertexEvent& event) { return event.id; }
std::int64_t vertex_of(const LogEvent& event) { return event.vertex; }
std::int64_t vertex_of(const StatusEvent& event) { return event.vertex; }
std::int64_t vertex_of(const WarningEvent&) { return -1; }  // of the whole

}  // namespace

void PlainProgress::show(const Event& event, Moment now) {
  const std::vector<BuildState::Line> lines = apply(state_, event, now);
  const std::int64_t id = std::visit([](const auto& one) { return vertex_of(one); }, event);
  const BuildState::Vertex* vertex = state_.find(id);
  if (!vertex) return;
  Told& told = of(*vertex);
  for (const BuildState::Line& line : lines) tell(told, seconds_text(line.after, true) + " " + line.text);
  // Bars mean nothing in a log.
  if (const auto* status = std::get_if<StatusEvent>(&event); status && status->total == 0)
    tell(told, clean_line(status->id) + (status->id.empty() || status->text.empty() ? "" : ": ") +
                   clean_line(status->text));
  if (vertex->completed && !told.completed) tell_end(told, *vertex);
  pump(now);
}

void PlainProgress::finish(bool failed, Moment) {
  for (Told* told = next(); told; told = next()) {
    if (told != current_) write_(title(*told));
    write_(std::exchange(told->waiting, {}) + "\n");
    told->announced = true;
    current_ = nullptr;
  }
  if (failed) write_(failure_excerpt(state_));
  write_(state_.warnings);
}

PlainProgress::Told& PlainProgress::of(const BuildState::Vertex& vertex) {
  const auto [found, made] = vertices_.try_emplace(vertex.id);
  if (made) {
    found->second.id = vertex.id;
    found->second.number = vertices_.size();
  }
  return found->second;
}

std::string PlainProgress::title(const Told& told) {
  return fmt::format("#{} {}\n", told.number, state_.find(told.id)->name);
}

void PlainProgress::tell(Told& told, std::string_view text) {
  told.waiting += fmt::format("#{} {}\n", told.number, text);
}

void PlainProgress::tell_end(Told& told, const BuildState::Vertex& vertex) {
  told.completed = true;
  if (!vertex.error.empty())
    tell(told, "ERROR: " + vertex.error);
  else if (vertex.cancelled)
    tell(told, "CANCELED");
  else if (vertex.cached)
    tell(told, "CACHED");
  else
    tell(told, fmt::format("DONE {}s", seconds_text(*vertex.completed - vertex.started)));
}

// In the order of their numbers, but what is complete comes first: it does not come again.
PlainProgress::Told* PlainProgress::next() {
  Told* best = nullptr;
  for (auto& [id, told] : vertices_) {
    if (told.waiting.empty() && told.announced) continue;
    const bool better = !best || (told.completed && !best->completed) ||
                        (told.completed == best->completed && told.number < best->number);
    if (better) best = &told;
  }
  return best;
}

bool PlainProgress::others_wait() const {
  return std::ranges::any_of(vertices_, [&](const auto& one) {
    return &one.second != current_ && (!one.second.waiting.empty() || !one.second.announced);
  });
}

void PlainProgress::pump(Moment now) {
  for (;;) {
    if (!current_) {
      current_ = next();
      if (!current_) return;
      since_ = now;
      current_->announced = true;
      write_(title(*current_));
    }
    if (!current_->waiting.empty()) write_(std::exchange(current_->waiting, {}));
    if (current_->completed) {
      write_("\n");
    } else if (now - since_ > kLongestTurn && others_wait()) {
      write_(fmt::format("#{} ...\n\n", current_->number));
    } else {
      return;
    }
    current_ = nullptr;
  }
}

}  // namespace berth::cli

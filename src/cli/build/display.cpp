// SPDX-License-Identifier: Apache-2.0
#include "cli/build/display.h"

#include <algorithm>

#include "base/text.h"

namespace berth::cli {
namespace {

constexpr std::size_t kMostDetails = 6;  // of one vertex
constexpr std::size_t kLeastWidth = 20;  // below it there are no times

using Kind = DisplayLine::Kind;
using Vertex = BuildState::Vertex;

// The text on the left, the time on the right.
std::string row(std::string_view text, std::string_view time, std::size_t width) {
  if (width < kLeastWidth || time.empty()) return cut_to_columns(text, width);
  const std::size_t room = width - time.size() - 1;
  std::string line = cut_to_columns(text, room);
  line.append(room - columns_of(line) + 1, ' ');
  return line + std::string(time);
}

Kind kind_of(const Vertex& vertex) {
  if (vertex.running()) return Kind::running;
  return !vertex.error.empty() ? Kind::failed : vertex.cancelled ? Kind::cancelled : Kind::done;
}

DisplayLine line_of(const Vertex& vertex, std::size_t width, Moment now) {
  const Kind kind = kind_of(vertex);
  const std::string_view mark = kind == Kind::failed      ? "ERROR "
                                : kind == Kind::cancelled ? "CANCELED "
                                : vertex.cached           ? "CACHED "
                                                          : "";
  const std::chrono::nanoseconds took = vertex.completed.value_or(now) - vertex.started;
  return {kind, row(fmt::format(" => {}{}", mark, vertex.name), seconds_text(took) + "s", width)};
}

std::string status_text(const BuildState::Status& status) {
  std::string text = status.id + (status.id.empty() || status.text.empty() ? "" : " ") + status.text;
  if (status.total > 0)
    text += fmt::format(" {} / {}", format_size_decimal(static_cast<double>(status.current)),
                        format_size_decimal(static_cast<double>(status.total)));
  return text;
}

// A layer that is here is worth no line.
bool is_over(const BuildState::Status& status) {
  return status.text == "Pull complete" || status.text == "Download complete" ||
         status.text == "Already exists";
}

// The last `count` of what a running vertex says: transfers that are under way, then output.
std::vector<DisplayLine> details_of(const Vertex& vertex, std::size_t count, std::size_t width) {
  std::vector<std::string> texts;
  for (const BuildState::Status& status : vertex.statuses)
    if (!is_over(status)) texts.push_back(" => => " + status_text(status));
  for (const BuildState::Line& line : vertex.tail) texts.push_back(" => => # " + line.text);
  if (const std::string rest = vertex.output.unfinished(); !rest.empty()) texts.push_back(" => => # " + rest);
  if (texts.size() > count) texts.erase(texts.begin(), texts.end() - static_cast<std::ptrdiff_t>(count));
  std::vector<DisplayLine> lines;
  for (const std::string& text : texts) lines.push_back({Kind::detail, cut_to_columns(text, width)});
  return lines;
}

DisplayLine header(const BuildState& state, std::size_t width, Moment now) {
  const auto done = std::ranges::count_if(state.vertices, [](const Vertex& one) { return !one.running(); });
  const bool own = !state.vertices.empty() && state.vertices.front().id == kContextVertex;
  const std::size_t total = std::max(state.total + (own ? 1 : 0), state.vertices.size());
  const std::string_view end = !state.finished ? "" : state.failed ? " FAILED" : " FINISHED";
  return {
      Kind::header,
      cut_to_columns(fmt::format("[+] Building {}s ({}/{}){}", seconds_text(now), done, total, end), width)};
}

// Which vertices there is room for: those that run or have failed, and the newest of the others.
std::vector<const Vertex*> choose(const BuildState& state, std::size_t room) {
  std::vector<const Vertex*> all;
  for (const Vertex& vertex : state.vertices) all.push_back(&vertex);
  std::size_t excess = all.size() > room ? all.size() - room : 0;
  auto drop = [&](auto may_go) {
    std::erase_if(all, [&](const Vertex* one) {
      if (excess == 0 || !may_go(*one)) return false;
      --excess;
      return true;
    });
  };
  drop([](const Vertex& one) { return !one.running() && one.error.empty(); });
  drop([](const Vertex& one) { return !one.running(); });
  drop([](const Vertex&) { return true; });
  return all;
}

std::string_view colour_of(Kind kind) {
  switch (kind) {
    case Kind::done:
      return "\x1b[34m";
    case Kind::failed:
      return "\x1b[31m";
    case Kind::cancelled:
      return "\x1b[33m";
    case Kind::detail:
      return "\x1b[2m";
    case Kind::header:
    case Kind::running:
      break;
  }
  return "";
}

// A terminal that has become narrower has broken the lines that it shows.
std::size_t rows_of(const std::vector<DisplayLine>& lines, std::size_t width) {
  std::size_t rows = 0;
  for (const DisplayLine& line : lines)
    rows += std::max<std::size_t>((columns_of(line.text) + width - 1) / std::max<std::size_t>(width, 1), 1);
  return rows;
}

}  // namespace

std::vector<DisplayLine> lay_out(const BuildState& state, DisplaySize size, Moment now) {
  std::vector<DisplayLine> lines{header(state, size.width, now)};
  const std::size_t room = size.height > 2 ? size.height - 2 : 0;
  const std::vector<const Vertex*> chosen = choose(state, state.finished ? state.vertices.size() : room);
  const auto running = static_cast<std::size_t>(
      std::ranges::count_if(chosen, [](const Vertex* one) { return one->running(); }));
  std::size_t left = state.finished || running == 0 ? 0 : room - chosen.size();
  const std::size_t each = running == 0 ? 0 : std::min(kMostDetails, left / running);
  for (const Vertex* vertex : chosen) {
    lines.push_back(line_of(*vertex, size.width, now));
    if (!vertex->running() || each == 0) continue;
    for (DisplayLine& detail : details_of(*vertex, each, size.width)) lines.push_back(std::move(detail));
  }
  return lines;
}

std::string redraw(const std::vector<DisplayLine>& before, const std::vector<DisplayLine>& lines,
                   std::size_t width, bool colour) {
  // No cursor that jumps about, and no line that breaks because the terminal takes a character for wider.
  std::string out = "\x1b[?25l\x1b[?7l\r";
  if (const std::size_t up = rows_of(before, width); up > 0) out += fmt::format("\x1b[{}A", up);
  for (const DisplayLine& line : lines) {
    const std::string_view code = colour ? colour_of(line.kind) : "";
    out += fmt::format("{}{}{}\x1b[K\n", code, line.text, code.empty() ? "" : "\x1b[0m");
  }
  return out + "\x1b[J\x1b[?7h\x1b[?25h";
}

}  // namespace berth::cli

// SPDX-License-Identifier: Apache-2.0
#include "cli/build/raw_json.h"

#include "base/digest.h"
#include "base/text.h"

namespace berth::cli {
namespace {

json::object wrapped(std::string_view list, json::object one) {
  return {{list, json::array{std::move(one)}}};
}

}  // namespace

void RawJsonProgress::show(const Event& event, Moment) {
  const json::object line = std::visit([this](const auto& one) { return to_json(one); }, event);
  write_(json::serialize(line) + "\n");
}

json::value RawJsonProgress::digest_of(std::int64_t vertex) const {
  const auto found = digests_.find(vertex);
  return found == digests_.end() ? json::value(nullptr) : json::value(found->second);
}

// Vertices are known by digests there: any will do that is the same for one vertex and no other's.
json::object RawJsonProgress::to_json(const VertexEvent& event) {
  digests_.try_emplace(event.id, sha256_of(fmt::format("{} {}", event.id, event.name)).text());
  json::object vertex{{"digest", digest_of(event.id)}, {"name", event.name}};
  if (event.started) vertex["started"] = format_time(event.started);
  if (event.completed) vertex["completed"] = format_time(event.completed);
  if (event.cached) vertex["cached"] = true;
  if (event.cancelled)
    vertex["error"] = "context canceled";
  else if (!event.error.empty())
    vertex["error"] = event.error;
  return wrapped("vertexes", std::move(vertex));
}

json::object RawJsonProgress::to_json(const LogEvent& event) {
  return wrapped("logs", {{"vertex", digest_of(event.vertex)},
                          {"stream", event.stream},
                          {"data", to_base64(event.data)},
                          {"timestamp", format_time(event.time)}});
}

json::object RawJsonProgress::to_json(const StatusEvent& event) {
  json::object status{{"id", event.id},
                      {"vertex", digest_of(event.vertex)},
                      {"name", event.text},
                      {"current", event.current},
                      {"timestamp", format_time(event.time)}};
  if (event.total > 0) status["total"] = event.total;
  return wrapped("statuses", std::move(status));
}

json::object RawJsonProgress::to_json(const WarningEvent& event) {
  json::array warnings;
  for (const Warning& one : event.list) {
    json::object warning{{"level", 1}, {"short", to_base64(one.text)}};
    if (!one.file.empty()) warning["sourceInfo"] = json::object{{"filename", one.file}};
    if (one.first_line > 0)
      warning["range"] = json::array{json::object{{"start", json::object{{"line", one.first_line}}},
                                                  {"end", json::object{{"line", one.last_line}}}}};
    warnings.push_back(std::move(warning));
  }
  return {{"warnings", std::move(warnings)}};
}

}  // namespace berth::cli

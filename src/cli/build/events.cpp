// SPDX-License-Identifier: Apache-2.0
#include "cli/build/events.h"

#include "base/json.h"

namespace berth::cli {
namespace {

Timestamp read_time(ObjectReader& in, std::string_view name) {
  std::string text;
  in.read(name, text);
  return text.empty() ? Timestamp{} : parse_time(text).value_or(Timestamp{});
}

VertexEvent read_vertex(ObjectReader& in) {
  VertexEvent vertex;
  in.read("id", vertex.id);
  in.read("name", vertex.name);
  in.read("cached", vertex.cached);
  in.read("cancelled", vertex.cancelled);
  in.read("error", vertex.error);
  in.read("total", vertex.total);
  vertex.started = read_time(in, "started");
  vertex.completed = read_time(in, "completed");
  return vertex;
}

LogEvent read_log(ObjectReader& in) {
  LogEvent log;
  in.read("vertex", log.vertex);
  in.read("stream", log.stream);
  in.read("data", log.data);
  log.time = read_time(in, "time");
  return log;
}

StatusEvent read_status(ObjectReader& in) {
  StatusEvent status;
  in.read("vertex", status.vertex);
  in.read("id", status.id);
  in.read("text", status.text);
  in.read("current", status.current);
  in.read("total", status.total);
  status.time = read_time(in, "time");
  return status;
}

}  // namespace

Result<std::optional<Event>> read_event(const json::value& line) {
  std::optional<Event> event;
  ObjectReader in(line, "the engine's message");
  in.read_object("vertex", [&](ObjectReader& one) { event = read_vertex(one); });
  in.read_object("log", [&](ObjectReader& one) { event = read_log(one); });
  in.read_object("status", [&](ObjectReader& one) { event = read_status(one); });
  TRY(in.finish());
  return event;
}

}  // namespace berth::cli

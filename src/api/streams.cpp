// SPDX-License-Identifier: Apache-2.0
// What stays open: attach, wait, logs, stats.
#include "api/streams.h"

#include <array>

#include "api/respond.h"
#include "api/routes.h"
#include "base/text.h"
#include "engine/log_reader.h"
#include "engine/statistics.h"

namespace berth::api {

Result<http::HijackedConnection> hijack_stream(Call& call, bool terminal) {
  const bool upgrade = call.request().headers.has("Upgrade");
  const char* type = terminal || call.version < 42 ? "application/vnd.docker.raw-stream"
                                                   : "application/vnd.docker.multiplexed-stream";
  http::Headers headers{{"Content-Type", type}};
  if (upgrade) {
    headers.set("Connection", "Upgrade");
    headers.set("Upgrade", "tcp");
  }
  return call.exchange.hijack(upgrade ? 101 : 200, std::move(headers));
}

Result<std::string> parse_detach_keys(std::string_view text) {
  if (text.empty()) return std::string("\x10\x11");  // ctrl-p, ctrl-q
  std::string keys;
  for (std::string_view key : split(text, ',')) {
    constexpr std::string_view control = "ctrl-";
    if (key.size() == 1) {
      keys += key;
    } else if (key == "DEL") {
      keys += '\x7f';
    } else if (key.starts_with(control) && key.size() == control.size() + 1) {
      char letter = key.back();
      if (letter >= 'a' && letter <= 'z')
        keys += static_cast<char>(letter - 'a' + 1);
      else if (std::string_view symbols = "@[\\]^_"; symbols.find(letter) != std::string_view::npos)
        keys += static_cast<char>(letter == '@' ? 0 : letter - '[' + 27);
      else
        return fail(ErrorKind::invalid, "invalid detach keys ({}): unknown key '{}'", text, key);
    } else {
      return fail(ErrorKind::invalid, "invalid detach keys ({}): unknown key '{}'", text, key);
    }
  }
  return keys;
}

namespace {

using engine::ContainerPointer;

// Sends what the log has so far; for attach?logs=1.
Result<void> replay_log(Call& call, const ContainerPointer& container, int socket, bool framed, bool output,
                        bool errors) {
  engine::LogQuery query;
  query.output = output;
  query.errors = errors;
  engine::LogReader reader =
      TRY(engine::LogReader::open(call.engine.settings().log_path(container->record.id), query));
  std::string buffer;
  while (std::optional<engine::LogLine> line = TRY(reader.next())) {
    if (framed)
      append_frame(buffer, static_cast<int>(line->stream), line->text);
    else
      buffer += line->text;
    if (buffer.size() > 64 * 1024) {
      TRY(write_all(socket, buffer));
      buffer.clear();
    }
  }
  return write_all(socket, buffer);
}

Result<void> attach(Call& call) {
  ContainerPointer container = TRY(call.container());
  bool terminal, runs;
  {
    std::lock_guard lock(container->mutex);
    terminal = container->record.config.tty;
    runs = container->running();
    if (container->paused)
      return fail(ErrorKind::conflict, "container {} is paused, unpause the container before attach",
                  container->record.id);
    if (container->state.phase == keeper::Phase::restarting)
      return fail(ErrorKind::conflict, "container {} is restarting, wait until the container is running",
                  container->record.id);
  }
  keeper::Attach options;
  options.output = call.flag("stdout");
  options.errors = call.flag("stderr") && !terminal;
  if (terminal && call.flag("stderr")) options.output = true;
  options.framed = !terminal;
  if (terminal) options.detach_keys = TRY(parse_detach_keys(call.parameter("detachKeys")));
  {
    std::lock_guard lock(container->mutex);
    options.input = call.flag("stdin") && container->record.config.open_stdin;
  }
  std::optional<engine::AnnouncedClient> announced;  // one that runs has been started
  if (call.flag("stream") && !runs) announced.emplace(container);
  http::HijackedConnection connection = TRY(hijack_stream(call, terminal));
  options.initial_input = std::move(connection.leftover);
  if (call.flag("logs"))
    TRY(replay_log(call, container, connection.socket.get(), options.framed, options.output, options.errors));
  call.engine.lifecycle().publish(*container, "attach");
  if (!call.flag("stream")) return {};
  return call.engine.lifecycle().attach(container, std::move(connection.socket), options);
}

Result<void> wait(Call& call) {
  ContainerPointer container = TRY(call.container());
  std::string_view text = call.parameter("condition");
  engine::WaitCondition condition;
  if (text.empty() || text == "not-running")
    condition = engine::WaitCondition::not_running;
  else if (text == "next-exit")
    condition = engine::WaitCondition::next_exit;
  else if (text == "removed")
    condition = engine::WaitCondition::removed;
  else
    return fail(ErrorKind::invalid, "invalid condition: \"{}\"", text);
  std::shared_ptr<engine::ExitWaiter> waiter = TRY(container->wait_for(condition));
  // The head goes out before there is a result: clients start the container only when they have it.
  TRY(call.exchange.begin(200, {{"Content-Type", "application/json"}}));
  while (!waiter->report()) {
    bool there = TRY(wait_readable(call.exchange, {waiter->descriptor()}));
    if (!there) return {};
  }
  const engine::ExitReport report = *waiter->report();
  json::object answer{{"StatusCode", report.exit_code}};
  if (!report.error.empty()) answer["Error"] = json::object{{"Message", report.error}};
  TRY(call.exchange.write(json::serialize(answer) + "\n"));
  return call.exchange.finish();
}

struct LogFormat {
  bool framed = true;
  bool timestamps = false;
};

void append_line(std::string& out, const engine::LogLine& line, const LogFormat& format) {
  std::string text = format.timestamps ? format_time_fixed(line.time) + " " + line.text : line.text;
  if (format.framed)
    append_frame(out, static_cast<int>(line.stream), text);
  else
    out += text;
}

// Everything that is there now, in large pieces.
Result<void> send_lines(Call& call, engine::LogReader& reader, const LogFormat& format) {
  std::string buffer;
  while (std::optional<engine::LogLine> line = TRY(reader.next())) {
    append_line(buffer, *line, format);
    if (buffer.size() < 128 * 1024) continue;
    TRY(call.exchange.write(buffer));
    buffer.clear();
  }
  return buffer.empty() ? Result<void>() : call.exchange.write(buffer);
}

Result<engine::LogQuery> read_log_query(Call& call) {
  engine::LogQuery query;
  query.output = call.flag("stdout");
  query.errors = call.flag("stderr");
  if (!query.output && !query.errors)
    return fail(ErrorKind::invalid, "Bad parameters: you must choose at least one stream");
  if (std::string_view since = call.parameter("since"); !since.empty() && since != "0")
    query.since = TRY(parse_time_or_ago(since, now()));
  if (std::string_view until = call.parameter("until"); !until.empty() && until != "0")
    query.until = TRY(parse_time_or_ago(until, now()));
  query.follow = call.flag("follow");
  if (std::string_view tail = call.parameter("tail"); !tail.empty() && tail != "all")
    if (auto count = parse_integer<std::int64_t>(tail); count && *count >= 0)
      query.tail = static_cast<std::uint64_t>(*count);
  return query;
}

Result<void> logs(Call& call) {
  ContainerPointer container = TRY(call.container());
  engine::LogQuery query = TRY(read_log_query(call));
  LogFormat format;
  format.timestamps = call.flag("timestamps");
  std::shared_ptr<engine::ExitWaiter> waiter;
  {
    std::lock_guard lock(container->mutex);
    format.framed = !container->record.config.tty;
    if (container->record.host_config.log_driver == "none")
      return fail(ErrorKind::unsupported, "configured logging driver does not support reading");
  }
  const bool follow = call.flag("follow");
  if (follow) waiter = TRY(container->wait_for(engine::WaitCondition::not_running));
  engine::LogReader reader =
      TRY(engine::LogReader::open(call.engine.settings().log_path(container->record.id), query));
  TRY(call.exchange.begin(200, {{"Content-Type", format.framed ? "application/vnd.docker.multiplexed-stream"
                                                               : "application/vnd.docker.raw-stream"}}));
  for (;;) {
    // Asked before reading: the log is whole once the exit is reported.
    const bool over = !follow || waiter->report().has_value();
    TRY(send_lines(call, reader, format));
    if (over || reader.past_until()) return call.exchange.finish();
    bool there = TRY(wait_readable(call.exchange, {reader.descriptor(), waiter->descriptor()}));
    if (!there) return {};
    reader.acknowledge();
  }
}

json::object cpu_document(const engine::Sample& sample) {
  const sys::CgroupStatistics::Cpu& cpu = sample.group.cpu;
  json::object usage{
      {"total_usage", cpu.total}, {"usage_in_kernelmode", cpu.system}, {"usage_in_usermode", cpu.user}};
  if (!cpu.each.empty()) {
    json::array each;
    for (std::uint64_t time : cpu.each) each.emplace_back(time);
    usage["percpu_usage"] = std::move(each);
  }
  return {{"cpu_usage", std::move(usage)},
          {"system_cpu_usage", sample.host_cpu},
          {"online_cpus", sample.processors},
          {"throttling_data", json::object{{"periods", cpu.periods},
                                           {"throttled_periods", cpu.throttled_periods},
                                           {"throttled_time", cpu.throttled}}}};
}

json::object memory_document(const engine::Sample& sample) {
  const sys::CgroupStatistics::Memory& memory = sample.group.memory;
  json::object details;
  for (const auto& [name, value] : memory.details) details[name] = value;
  const auto host = static_cast<std::uint64_t>(sample.host_memory);
  json::object document{
      {"usage", memory.usage}, {"stats", std::move(details)}, {"limit", std::min(memory.limit, host)}};
  if (memory.maximum_usage > 0) document["max_usage"] = memory.maximum_usage;
  if (memory.failures > 0) document["failcnt"] = memory.failures;
  return document;
}

json::array block_document(const std::vector<sys::CgroupStatistics::BlockEntry>& entries) {
  json::array list;
  for (const auto& entry : entries)
    list.push_back(json::object{
        {"major", entry.major}, {"minor", entry.minor}, {"op", entry.operation}, {"value", entry.value}});
  return list;
}

json::object stats_document(const engine::Container& container, const engine::Sample& sample,
                            const std::optional<engine::Sample>& previous) {
  json::object networks;
  for (const auto& [name, counters] : sample.interfaces)
    networks[name] =
        json::object{{"rx_bytes", counters.received_bytes},   {"rx_packets", counters.received_packets},
                     {"rx_errors", counters.received_errors}, {"rx_dropped", counters.received_dropped},
                     {"tx_bytes", counters.sent_bytes},       {"tx_packets", counters.sent_packets},
                     {"tx_errors", counters.sent_errors},     {"tx_dropped", counters.sent_dropped}};
  json::object pids{{"current", sample.group.pids.current}};
  if (sample.group.pids.limit > 0) pids["limit"] = sample.group.pids.limit;
  json::object empty_cpu{
      {"cpu_usage", json::object{{"total_usage", 0}, {"usage_in_kernelmode", 0}, {"usage_in_usermode", 0}}},
      {"throttling_data", json::object{{"periods", 0}, {"throttled_periods", 0}, {"throttled_time", 0}}}};
  return {
      {"read", format_time(sample.time)},
      {"preread", previous ? format_time(previous->time) : "0001-01-01T00:00:00Z"},
      {"pids_stats", std::move(pids)},
      {"blkio_stats", json::object{{"io_service_bytes_recursive", block_document(sample.group.block_bytes)},
                                   {"io_serviced_recursive", block_document(sample.group.block_operations)}}},
      {"num_procs", 0},
      {"storage_stats", json::object()},
      {"cpu_stats", cpu_document(sample)},
      {"precpu_stats", previous ? cpu_document(*previous) : empty_cpu},
      {"memory_stats", memory_document(sample)},
      {"name", "/" + container.record.name},
      {"id", container.record.id},
      {"networks", std::move(networks)}};
}

// What clients are shown of a container that does not run.
json::object empty_stats(const engine::Container& container) {
  json::object document = stats_document(container, engine::Sample{}, std::nullopt);
  document["read"] = "0001-01-01T00:00:00Z";
  document["memory_stats"] = json::object();
  document["pids_stats"] = json::object();
  return document;
}

Result<void> stats(Call& call) {
  ContainerPointer container = TRY(call.container());
  const bool stream = call.parameter("stream").empty() || call.flag("stream");
  const bool one_shot = call.flag("one-shot");
  Result<engine::Sample> first = engine::take_sample(call.engine.settings(), container);
  if (!first && !stream) return send_json(call, 200, empty_stats(*container));
  std::optional<engine::Sample> previous;
  if (first) previous = std::move(*first);
  if (!stream && one_shot) return send_json(call, 200, stats_document(*container, *previous, std::nullopt));
  std::shared_ptr<engine::ExitWaiter> removed = TRY(container->wait_for(engine::WaitCondition::removed));
  TRY(call.exchange.begin(200, {{"Content-Type", "application/json"}}));
  if (stream && previous)
    TRY(call.exchange.write(json::serialize(stats_document(*container, *previous, std::nullopt)) + "\n"));
  for (;;) {
    // Rates need two samples a second apart.
    bool there = TRY(wait_readable(call.exchange, {removed->descriptor()}, 1000));
    if (!there || removed->report()) return call.exchange.finish();
    Result<engine::Sample> sample = engine::take_sample(call.engine.settings(), container);
    json::object document = sample ? stats_document(*container, *sample, previous) : empty_stats(*container);
    TRY(call.exchange.write(json::serialize(document) + "\n"));
    if (!stream) return call.exchange.finish();
    previous.reset();
    if (sample) previous = std::move(*sample);
  }
}

Result<void> resize(Call& call) {
  ContainerPointer container = TRY(call.container());
  auto rows = parse_integer<std::uint16_t>(call.parameter("h")),
       columns = parse_integer<std::uint16_t>(call.parameter("w"));
  if (!rows || !columns)
    return fail(ErrorKind::invalid, "invalid terminal size: h and w must be numbers up to 65535");
  TRY(call.engine.lifecycle().resize(container, {"", *rows, *columns}));
  return call.exchange.respond(200, {}, "");
}

}  // namespace

void add_stream_routes(Router& router) {
  router.add("POST", "/containers/{id}/attach", attach);
  router.add("POST", "/containers/{id}/wait", wait);
  router.add("GET", "/containers/{id}/logs", logs);
  router.add("GET", "/containers/{id}/stats", stats);
  router.add("POST", "/containers/{id}/resize", resize);
}

}  // namespace berth::api

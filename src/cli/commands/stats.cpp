// SPDX-License-Identifier: Apache-2.0
#include "cli/commands/stats.h"

#include <mutex>
#include <thread>

#include "base/json.h"
#include "base/text.h"
#include "cli/commands/common.h"
#include "cli/output/list_format.h"
#include "cli/output/units.h"
#include "cli/stream/terminal.h"

namespace berth::cli {
namespace {

constexpr auto kRedraw = std::chrono::milliseconds(500);
constexpr std::size_t kParallel = 64;

constexpr Column kColumns[] = {
    {"BlockIO", "BLOCK I/O"}, {"CPUPerc", "CPU %"}, {"Container", "CONTAINER"},
    {"ID", "CONTAINER ID"},   {"MemPerc", "MEM %"}, {"MemUsage", "MEM USAGE / LIMIT"},
    {"Name", "NAME"},         {"NetIO", "NET I/O"}, {"PIDs", "PIDS"}};
constexpr ListLayout kLayout{
    "*formatter.statsContext",
    "{{.ID}}\t{{.Name}}\t{{.CPUPerc}}\t{{.MemUsage}}\t{{.MemPerc}}\t{{.NetIO}}\t{{.BlockIO}}\t{{.PIDs}}",
    kColumns};

double number(const json::value& object, std::string_view member) {
  return static_cast<double>(number_of(object, member));
}

double cpu_percent(const json::value& sample) {
  const json::value& now = member_of(sample, "cpu_stats");
  const json::value& before = member_of(sample, "precpu_stats");
  double used = number(member_of(now, "cpu_usage"), "total_usage") -
                number(member_of(before, "cpu_usage"), "total_usage");
  double passed = number(now, "system_cpu_usage") - number(before, "system_cpu_usage");
  double cpus = number(now, "online_cpus");
  if (cpus == 0)
    if (const json::array* each = member_of(member_of(now, "cpu_usage"), "percpu_usage").if_array())
      cpus = static_cast<double>(each->size());
  return used > 0 && passed > 0 ? used / passed * cpus * 100 : 0;
}

double memory_used(const json::value& memory) {
  double usage = number(memory, "usage");
  for (std::string_view cache : {"total_inactive_file", "inactive_file"})  // cgroup v1, v2
    if (member_of(memory, "stats").is_object() && member_of(memory, "stats").get_object().contains(cache)) {
      double inactive = number(member_of(memory, "stats"), cache);
      return inactive < usage ? usage - inactive : usage;
    }
  return usage;
}

std::string network_bytes(const json::value& sample) {
  double received = 0, sent = 0;
  if (const json::object* networks = member_of(sample, "networks").if_object())
    for (const auto& network : *networks) {
      received += number(network.value(), "rx_bytes");
      sent += number(network.value(), "tx_bytes");
    }
  return fmt::format("{} / {}", format_size_decimal(received, 3), format_size_decimal(sent, 3));
}

std::string block_bytes(const json::value& sample) {
  double read = 0, written = 0;
  if (const json::array* entries =
          member_of(member_of(sample, "blkio_stats"), "io_service_bytes_recursive").if_array())
    for (const json::value& entry : *entries) {
      std::string operation = to_lower(text_of(entry, "op"));
      if (operation.starts_with('r')) read += number(entry, "value");
      if (operation.starts_with('w')) written += number(entry, "value");
    }
  return fmt::format("{} / {}", format_size_decimal(read, 3), format_size_decimal(written, 3));
}

// What is asked about one container, by the thread that asks, and shown by the main one.
struct Measured {
  std::string container;
  std::string id;
  std::optional<json::object> row;
  std::optional<Error> error;
};

Result<std::vector<std::string>> all_containers(Engine& engine, bool stopped) {
  http::Query query;
  if (stopped) query.add("all", "1");
  json::value list = TRY(engine.get_json("/containers/json", query));
  std::vector<std::string> ids;
  if (const json::array* all = list.if_array())
    for (const json::value& container : *all) ids.push_back(text_of(container, "Id"));
  return ids;
}

Result<json::object> measure_once(Engine engine, const std::string& container, bool shortened) {
  http::Query query;
  query.add("stream", "0");
  json::value sample = TRY(engine.get_json("/containers/" + segment(container) + "/stats", query));
  json::object row = stats_row(sample, shortened);
  row["Container"] = shortened && container.size() == 64 ? short_id(container) : container;
  return row;
}

std::vector<Measured> measure(Engine& engine, const std::vector<std::string>& containers, bool shortened) {
  std::vector<Measured> measured(containers.size());
  std::atomic<std::size_t> next = 0;
  auto work = [&] {
    for (std::size_t at; (at = next++) < containers.size();) {
      Result<json::object> row = measure_once(engine.another(), containers[at], shortened);
      if (row)
        measured[at].row = std::move(*row);
      else
        measured[at].error = std::move(row).error();
    }
  };
  std::vector<std::jthread> threads;
  for (std::size_t i = 0; i < std::min(containers.size(), kParallel); ++i) threads.emplace_back(work);
  threads.clear();
  return measured;
}

Result<std::string> show(const ListFormat& format, std::vector<Measured> measured, bool named,
                         std::string& failures) {
  std::vector<json::object> rows;
  for (Measured& one : measured) {
    if (one.row)
      rows.push_back(std::move(*one.row));
    else if (named && one.error)
      failures += one.error->message + "\n";  // others may end at any time
  }
  return format.render(rows);
}

}  // namespace

json::object stats_row(const json::value& sample, bool shortened) {
  const json::value& memory = member_of(sample, "memory_stats");
  double used = memory_used(memory), limit = number(memory, "limit");
  std::string id = text_of(sample, "id");
  std::string name = text_of(sample, "name");
  if (name.starts_with('/')) name.erase(0, 1);
  return {{"BlockIO", block_bytes(sample)},
          {"CPUPerc", fmt::format("{:.2f}%", cpu_percent(sample))},
          {"Container", id},
          {"ID", shortened ? short_id(id) : id},
          {"MemPerc", fmt::format("{:.2f}%", limit > 0 ? used / limit * 100 : 0)},
          {"MemUsage", fmt::format("{} / {}", format_size_binary(used), format_size_binary(limit))},
          {"Name", name},
          {"NetIO", network_bytes(sample)},
          {"PIDs", std::to_string(number_of(member_of(sample, "pids_stats"), "current"))}};
}

Result<int> stats(Invocation& invocation) {
  const Flags& flags = invocation.flags;
  std::string text =
      flags.given("format") ? flags.text("format") : invocation.context.configuration().stats_format;
  ListFormat format = TRY(ListFormat::parse(text, kLayout));
  bool shortened = !flags.on("no-trunc"), named = !invocation.words.empty();
  Engine* engine = TRY(invocation.context.engine());
  bool clears = is_terminal(1) && !flags.on("no-stream") && format.table();
  for (;;) {
    auto started = std::chrono::steady_clock::now();
    std::vector<std::string> containers = invocation.words;
    if (!named) containers = TRY(all_containers(*engine, flags.on("all")));
    std::string failures;
    std::string out = TRY(show(format, measure(*engine, containers, shortened), named, failures));
    if (!failures.empty()) {
      print_error(failures);
      return 1;
    }
    print_out(clears ? "\x1b[H\x1b[2J" + out : out);
    if (flags.on("no-stream")) return 0;
    std::this_thread::sleep_until(started + kRedraw);
  }
}

}  // namespace berth::cli

// SPDX-License-Identifier: Apache-2.0
#include "engine/statistics.h"

#include <unistd.h>

#include <algorithm>
#include <thread>

#include "base/file.h"
#include "base/process.h"
#include "base/text.h"
#include "engine/host_facts.h"
#include "engine/runtime_config.h"

namespace berth::engine {
namespace {

std::vector<std::string_view> words_of(std::string_view line) {
  std::vector<std::string_view> words;
  for (std::string_view word : split(line, ' '))
    if (!trim(word).empty()) words.push_back(trim(word));
  return words;
}

// The first line of /proc/stat, without guest time, which is part of user time.
std::uint64_t host_cpu_nanoseconds() {
  const std::string text = read_file("/proc/stat", 1 << 20).value_or("");
  std::vector<std::string_view> words = words_of(std::string_view(text).substr(0, text.find('\n')));
  std::uint64_t ticks = 0;
  for (std::size_t i = 1; i < words.size() && i <= 8; ++i)
    ticks += parse_integer<std::uint64_t>(words[i]).value_or(0);
  return ticks * (1'000'000'000 / static_cast<std::uint64_t>(sysconf(_SC_CLK_TCK)));
}

Result<pid_t> running_pid(const ContainerPointer& container) {
  std::lock_guard lock(container->mutex);
  if (!container->running())
    return fail(ErrorKind::conflict, "container {} is not running", container->record.id);
  return container->state.pid;
}

}  // namespace

std::map<std::string, InterfaceCounters> parse_interface_counters(std::string_view text) {
  std::map<std::string, InterfaceCounters> interfaces;
  for (std::string_view line : split(text, '\n')) {
    auto [name, rest] = split_once(line, ':');
    name = trim(name);
    std::vector<std::string_view> words = words_of(rest);
    if (words.size() < 16 || name == "lo") continue;
    auto number = [&](std::size_t index) { return parse_integer<std::uint64_t>(words[index]).value_or(0); };
    interfaces[std::string(name)] = {number(0), number(1), number(2),  number(3),
                                     number(8), number(9), number(10), number(11)};
  }
  return interfaces;
}

Result<Sample> take_sample(const Settings& settings, const ContainerPointer& container) {
  const pid_t pid = TRY(running_pid(container));
  sys::Cgroup group = TRY(sys::Cgroup::at(cgroup_path(settings, container->record)));
  Sample sample;
  sample.group = TRY(group.statistics());
  sample.time = now();
  sample.interfaces =
      parse_interface_counters(read_file(fmt::format("/proc/{}/net/dev", pid), 1 << 20).value_or(""));
  sample.host_cpu = host_cpu_nanoseconds();
  sample.processors = std::max(1u, std::thread::hardware_concurrency());
  sample.host_memory = host_memory();
  return sample;
}

Result<ProcessTable> parse_process_table(std::string_view text, const std::vector<pid_t>& members) {
  ProcessTable table;
  std::size_t pid_column = 0;
  for (std::string_view line : split(text, '\n')) {
    std::vector<std::string_view> words = words_of(line);
    if (words.empty()) continue;
    if (table.titles.empty()) {
      auto pid = std::find(words.begin(), words.end(), "PID");
      if (pid == words.end()) return fail(ErrorKind::invalid, "Couldn't find PID field in ps output");
      pid_column = static_cast<std::size_t>(pid - words.begin());
      table.titles.assign(words.begin(), words.end());
      continue;
    }
    if (words.size() <= pid_column) continue;
    auto pid = parse_integer<pid_t>(words[pid_column]);
    if (!pid || std::find(members.begin(), members.end(), *pid) == members.end()) continue;
    // The last column is the command line and may have blanks.
    std::vector<std::string> row(words.begin(), words.begin() + static_cast<std::ptrdiff_t>(std::min(
                                                                    words.size(), table.titles.size())));
    for (std::size_t i = table.titles.size(); i < words.size(); ++i) row.back().append(" ").append(words[i]);
    table.rows.push_back(std::move(row));
  }
  return table;
}

Result<ProcessTable> list_processes(const Settings& settings, const ContainerPointer& container,
                                    const std::string& arguments) {
  TRY(running_pid(container));
  sys::Cgroup group = TRY(sys::Cgroup::at(cgroup_path(settings, container->record)));
  std::vector<pid_t> members = TRY(group.members());
  std::vector<std::string> command{"ps"};
  const std::string options = arguments.empty() ? "-ef" : arguments;  // the words are views into it
  for (std::string_view word : words_of(options)) command.emplace_back(word);
  Result<Output> output = run_program(command);
  if (!output)
    return fail(ErrorKind::unavailable, "cannot run ps on the host: {}; install procps",
                output.error().message);
  if (output->exit_code != 0) return fail(ErrorKind::invalid, "ps: {}", trim(output->standard_error));
  return parse_process_table(output->standard_output, members);
}

}  // namespace berth::engine

// SPDX-License-Identifier: Apache-2.0
// A group's figures. Files that a kernel or a layout lacks leave their figure at zero.
#include <limits>

#include "base/file.h"
#include "base/text.h"
#include "sys/cgroup.h"

namespace berth::sys {
namespace {

constexpr std::uint64_t kUnlimited = std::numeric_limits<std::uint64_t>::max();

std::string text_of(const std::string& path) {
  Result<std::string> text = read_file(path);
  return text ? std::move(*text) : std::string();
}

std::uint64_t number_of(const std::string& path) {
  std::string text = text_of(path);
  std::string_view word = trim(text);
  if (word == "max") return kUnlimited;
  return parse_integer<std::uint64_t>(word).value_or(0);
}

// Lines of "key value".
std::map<std::string, std::uint64_t> table_of(const std::string& path) {
  std::map<std::string, std::uint64_t> out;
  std::string text = text_of(path);
  for (std::string_view line : split(text, '\n')) {
    auto [key, value] = split_once(line, ' ');
    if (std::optional<std::uint64_t> number = parse_integer<std::uint64_t>(trim(value)))
      out.emplace(key, *number);
  }
  return out;
}

std::uint64_t entry(const std::map<std::string, std::uint64_t>& table, const char* key) {
  auto found = table.find(key);
  return found == table.end() ? 0 : found->second;
}

void memory_one(const std::string& directory, CgroupStatistics::Memory& out) {
  out.usage = number_of(directory + "/memory.usage_in_bytes");
  out.maximum_usage = number_of(directory + "/memory.max_usage_in_bytes");
  out.limit = number_of(directory + "/memory.limit_in_bytes");
  if (out.limit > (1ull << 62)) out.limit = kUnlimited;  // v1 says "none" as LONG_MAX in whole pages
  out.failures = number_of(directory + "/memory.failcnt");
  out.details = table_of(directory + "/memory.stat");
  out.inactive_file = entry(out.details, "total_inactive_file");
  out.out_of_memory_kills = entry(table_of(directory + "/memory.oom_control"), "oom_kill");
}

void memory_two(const std::string& directory, CgroupStatistics::Memory& out) {
  out.usage = number_of(directory + "/memory.current");
  out.maximum_usage = number_of(directory + "/memory.peak");
  out.limit = number_of(directory + "/memory.max");
  out.details = table_of(directory + "/memory.stat");
  out.inactive_file = entry(out.details, "inactive_file");
  std::map<std::string, std::uint64_t> events = table_of(directory + "/memory.events");
  out.failures = entry(events, "max");
  out.out_of_memory_kills = entry(events, "oom_kill");
}

void cpuacct_one(const std::string& directory, CgroupStatistics::Cpu& out) {
  out.total = number_of(directory + "/cpuacct.usage");
  out.user = number_of(directory + "/cpuacct.usage_user");
  out.system = number_of(directory + "/cpuacct.usage_sys");
  std::string each = text_of(directory + "/cpuacct.usage_percpu");
  for (std::string_view word : split(trim(each), ' '))
    if (std::optional<std::uint64_t> number = parse_integer<std::uint64_t>(word)) out.each.push_back(*number);
}

void throttling_one(const std::string& directory, CgroupStatistics::Cpu& out) {
  std::map<std::string, std::uint64_t> table = table_of(directory + "/cpu.stat");
  out.periods = entry(table, "nr_periods");
  out.throttled_periods = entry(table, "nr_throttled");
  out.throttled = entry(table, "throttled_time");
}

void cpu_two(const std::string& directory, CgroupStatistics::Cpu& out) {
  std::map<std::string, std::uint64_t> table = table_of(directory + "/cpu.stat");
  out.total = entry(table, "usage_usec") * 1000;
  out.user = entry(table, "user_usec") * 1000;
  out.system = entry(table, "system_usec") * 1000;
  out.periods = entry(table, "nr_periods");
  out.throttled_periods = entry(table, "nr_throttled");
  out.throttled = entry(table, "throttled_usec") * 1000;
}

struct DeviceName {
  std::uint64_t major = 0;
  std::uint64_t minor = 0;
};

std::optional<DeviceName> device_of(std::string_view text) {
  auto [major_text, minor_text] = split_once(text, ':');
  std::optional<std::uint64_t> major_number = parse_integer<std::uint64_t>(major_text);
  std::optional<std::uint64_t> minor_number = parse_integer<std::uint64_t>(minor_text);
  if (!major_number || !minor_number) return std::nullopt;
  return DeviceName{*major_number, *minor_number};
}

// Lines of "8:0 Read 4096".
void block_one(const std::string& path, std::vector<CgroupStatistics::BlockEntry>& out) {
  std::string text = text_of(path);
  for (std::string_view line : split(text, '\n')) {
    std::vector<std::string_view> words = split(line, ' ');
    if (words.size() != 3) continue;
    std::optional<DeviceName> device = device_of(words[0]);
    std::optional<std::uint64_t> value = parse_integer<std::uint64_t>(words[2]);
    if (device && value) out.push_back({device->major, device->minor, to_lower(words[1]), *value});
  }
}

// Lines of "8:0 rbytes=4096 wbytes=0 rios=1 wios=0 ...".
void io_two(const std::string& path, CgroupStatistics& out) {
  std::string text = text_of(path);
  for (std::string_view line : split(text, '\n')) {
    std::vector<std::string_view> words = split(line, ' ');
    std::optional<DeviceName> device = device_of(words[0]);
    if (!device) continue;
    for (std::size_t i = 1; i < words.size(); ++i) {
      auto [key, number] = split_once(words[i], '=');
      std::uint64_t value = parse_integer<std::uint64_t>(number).value_or(0);
      auto add = [&](std::vector<CgroupStatistics::BlockEntry>& list, const char* operation) {
        list.push_back({device->major, device->minor, operation, value});
      };
      if (key == "rbytes") add(out.block_bytes, "read");
      if (key == "wbytes") add(out.block_bytes, "write");
      if (key == "rios") add(out.block_operations, "read");
      if (key == "wios") add(out.block_operations, "write");
    }
  }
}

void pids(const std::string& directory, CgroupStatistics::Pids& out) {
  out.current = number_of(directory + "/pids.current");
  out.limit = number_of(directory + "/pids.max");
  if (out.limit == kUnlimited) out.limit = 0;
}

}  // namespace

Result<CgroupStatistics> Cgroup::statistics() const {
  if (!exists()) return fail(ErrorKind::not_found, "there is no control group {}", path_);
  CgroupStatistics out;
  auto with = [&](const char* controller, auto one, auto two) {
    if (const CgroupHierarchy* hierarchy = layout_.of(controller))
      hierarchy->unified ? two(directory_in(*hierarchy)) : one(directory_in(*hierarchy));
  };
  using Path = const std::string&;
  with(
      "memory", [&](Path at) { memory_one(at, out.memory); }, [&](Path at) { memory_two(at, out.memory); });
  with(
      "cpuacct", [&](Path at) { cpuacct_one(at, out.cpu); }, [](Path) {});
  with(
      "cpu", [&](Path at) { throttling_one(at, out.cpu); }, [&](Path at) { cpu_two(at, out.cpu); });
  with(
      "pids", [&](Path at) { pids(at, out.pids); }, [&](Path at) { pids(at, out.pids); });
  if (const CgroupHierarchy* io = layout_.of("io"); io && io->unified)
    io_two(directory_in(*io) + "/io.stat", out);
  if (const CgroupHierarchy* block = layout_.of("blkio")) {
    block_one(directory_in(*block) + "/blkio.throttle.io_service_bytes_recursive", out.block_bytes);
    block_one(directory_in(*block) + "/blkio.throttle.io_serviced_recursive", out.block_operations);
  }
  return out;
}

Result<std::uint64_t> Cgroup::out_of_memory_kills() const {
  const CgroupHierarchy* memory = layout_.of("memory");
  if (!memory) return 0;
  std::string directory = directory_in(*memory);
  return entry(table_of(directory + (memory->unified ? "/memory.events" : "/memory.oom_control")),
               "oom_kill");
}

}  // namespace berth::sys

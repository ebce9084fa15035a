// SPDX-License-Identifier: Apache-2.0
// What a running container uses, read from its control group and its network namespace.
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/error.h"
#include "engine/container.h"
#include "engine/settings.h"
#include "sys/cgroup.h"

namespace berth::engine {

struct InterfaceCounters {
  std::uint64_t received_bytes = 0, received_packets = 0, received_errors = 0, received_dropped = 0;
  std::uint64_t sent_bytes = 0, sent_packets = 0, sent_errors = 0, sent_dropped = 0;
};

struct Sample {
  Timestamp time;
  sys::CgroupStatistics group;
  std::map<std::string, InterfaceCounters> interfaces;  // without lo
  std::uint64_t host_cpu = 0;                           // nanoseconds of all processors since boot
  unsigned processors = 1;
  std::int64_t host_memory = 0;
};

Result<Sample> take_sample(const Settings& settings, const ContainerPointer& container);

std::map<std::string, InterfaceCounters> parse_interface_counters(
    std::string_view text);  // /proc/<pid>/net/dev

struct ProcessTable {
  std::vector<std::string> titles;
  std::vector<std::vector<std::string>> rows;
};
// `docker top`: the host's ps with these arguments, cut down to the container's processes.
Result<ProcessTable> list_processes(const Settings& settings, const ContainerPointer& container,
                                    const std::string& arguments);
// The part that does not run anything: keeps the title line and the lines whose PID column is among
// `members`.
Result<ProcessTable> parse_process_table(std::string_view text, const std::vector<pid_t>& members);

}  // namespace berth::engine

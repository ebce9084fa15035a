// SPDX-License-Identifier: Apache-2.0
// Control groups behind one face for the three layouts that machines have: v2 alone, v1 alone, and hybrid
// (v1 controllers with an empty v2 tree beside them, which then serves to freeze and to kill).
//
// A Cgroup is a name: a path below the root of every hierarchy, such as "/berth/4f2a...". It holds no
// descriptor, so that the engine can read, pause and update what a keeper created:
//
//   Cgroup group = TRY(Cgroup::at("/berth/4f2a"));
//   TRY(group.create(spec.linux_.resources, &warnings));   // makes the directories, applies the limits
//   TRY(group.add(pid));
//   CgroupStatistics now = TRY(group.statistics());
//   TRY(group.kill());
//   TRY(group.remove());
#pragma once
#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/fd.h"

namespace berth::oci {
struct Resources;
}

namespace berth::sys {

// One mounted hierarchy.
struct CgroupHierarchy {
  std::string mount;                     // "/sys/fs/cgroup/memory"
  std::vector<std::string> controllers;  // {"memory"}; of the v2 tree: what its root offers
  std::string name;  // its directory's name: "memory", "cpu,cpuacct", "systemd"; v2: empty
  bool unified = false;
};

// What is mounted below /sys/fs/cgroup.
struct CgroupLayout {
  std::vector<CgroupHierarchy> hierarchies;

  static Result<CgroupLayout> detect(const std::string& directory = "/sys/fs/cgroup");
  const CgroupHierarchy* unified() const;                        // null when there is no v2 tree
  const CgroupHierarchy* of(std::string_view controller) const;  // null when nobody has it
  bool pure_unified() const { return hierarchies.size() == 1 && hierarchies[0].unified; }
};

struct CgroupStatistics {
  struct Memory {
    std::uint64_t usage = 0;          // bytes, page cache included
    std::uint64_t maximum_usage = 0;  // since creation; 0 where the kernel does not tell
    std::uint64_t limit = 0;          // bytes; UINT64_MAX: no limit
    std::uint64_t inactive_file = 0;  // what tools subtract from usage
    std::uint64_t failures = 0;       // times the limit was hit
    std::uint64_t out_of_memory_kills = 0;
    std::map<std::string, std::uint64_t> details;  // memory.stat as it is
  } memory;
  struct Cpu {
    std::uint64_t total = 0;  // nanoseconds
    std::uint64_t user = 0;
    std::uint64_t system = 0;
    std::vector<std::uint64_t> each;  // nanoseconds a processor; empty on v2
    std::uint64_t periods = 0;
    std::uint64_t throttled_periods = 0;
    std::uint64_t throttled = 0;  // nanoseconds
  } cpu;
  struct Pids {
    std::uint64_t current = 0;
    std::uint64_t limit = 0;  // 0: no limit
  } pids;
  struct BlockEntry {
    std::uint64_t major = 0;
    std::uint64_t minor = 0;
    std::string operation;  // "read", "write"
    std::uint64_t value = 0;
  };
  std::vector<BlockEntry> block_bytes;
  std::vector<BlockEntry> block_operations;
};

class Cgroup {
 public:
  // Refuses paths with "." and ".." components and relative ones. Does not touch the kernel's tree.
  static Result<Cgroup> at(std::string_view path);
  static Result<Cgroup> at(std::string_view path, CgroupLayout layout);

  const std::string& path() const noexcept { return path_; }
  const CgroupLayout& layout() const noexcept { return layout_; }
  std::string directory_in(const CgroupHierarchy& hierarchy) const { return hierarchy.mount + path_; }

  // Makes the directory in every hierarchy and applies the limits. A limit whose controller is missing is an
  // error. Existing directories are taken over. What could not be done without being asked for is a line in
  // `warnings`.
  Result<void> create(const oci::Resources& resources, std::vector<std::string>* warnings = nullptr) const;
  // Changes limits of an existing group; what `resources` leaves out stays.
  Result<void> update(const oci::Resources& resources) const;
  // Moves a process, with all its threads, into the group. 0 stands for the caller.
  Result<void> add(pid_t process) const;
  // The v2 directory, for clone3's CLONE_INTO_CGROUP; an empty Fd when there is no v2 tree.
  Result<Fd> open_unified() const;
  // The `tasks` files of the group in the v1 hierarchies, for a process of one thread that writes "0" to each
  // and so enters the group by itself. That is much cheaper than add(): for another process, or for one of
  // many threads, the kernel stops all forks on the machine first, which takes an RCU grace period
  // (milliseconds).
  Result<std::vector<Fd>> open_tasks_files() const;

  bool exists() const;
  Result<std::vector<pid_t>> members() const;  // of subgroups too, in this process's pid namespace
  Result<void> freeze() const;                 // returns once all members stand still
  Result<void> thaw() const;
  Result<bool> frozen() const;
  // SIGKILL to every member and member of a subgroup, so that none can fork away. Returns once it is sent.
  Result<void> kill() const;
  // Sends `signal` to every member.
  Result<void> signal(int signal) const;

  Result<CgroupStatistics> statistics() const;
  Result<std::uint64_t> out_of_memory_kills() const;

  // Removes the group and its subgroups in every hierarchy. Members that are just exiting are waited for, for
  // up to a second. Missing is success.
  Result<void> remove() const;

 private:
  Cgroup(std::string path, CgroupLayout layout) : path_(std::move(path)), layout_(std::move(layout)) {}
  const CgroupHierarchy& principal() const;
  std::string path_;
  CgroupLayout layout_;
};

}  // namespace berth::sys

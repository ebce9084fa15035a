// SPDX-License-Identifier: Apache-2.0
// The child of create(): does the plan's steps, waits, executes. Runs between clone and exec.
#pragma once
#include <span>
#include <string>
#include <vector>

#include "runtime/hooks.h"
#include "runtime/plan.h"
#include "runtime/program.h"

namespace berth::runtime {

// A v1 hierarchy's directory of the container, to be bound below the cgroup mount.
struct CgroupView {
  std::string name;                // "cpu,cpuacct"
  std::vector<std::string> links;  // "cpu", "cpuacct": when they are not the name itself
};

// All that the child needs, prepared by the parent. Descriptors are indices into `kept`, because their
// numbers may change when the child arranges its own.
struct ContainerChild {
  const Plan* plan = nullptr;
  const Program* program = nullptr;
  std::string attach_root_at = "/";  // a path of the host
  std::vector<int> kept;             // the root, then the binds, the joins, the cgroup views
  std::vector<int> scratch;          // as long as `kept` and three more
  std::vector<char> bind_is_directory;
  std::vector<CgroupView> cgroups;
  std::vector<PreparedHook> start_hooks;
  std::string hook_state;       // what the hooks get on their standard input
  bool will_be_placed = false;  // the parent sends `placed`

  int root() const { return kept[0]; }
  int bind(std::size_t index) const { return kept[1 + index]; }
  int join(std::size_t index) const { return kept[1 + plan->binds.size() + index]; }
  int cgroup(std::size_t index) const { return kept[1 + plan->binds.size() + plan->joins.size() + index]; }

  [[noreturn]] void run(ChildChannel channel) noexcept;
};

}  // namespace berth::runtime

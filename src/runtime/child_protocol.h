// SPDX-License-Identifier: Apache-2.0
// What parent and child say to each other while a container is made. The child allocates nothing and throws
// nothing, so its words are records of a fixed size on a SOCK_SEQPACKET pair; the parent makes sentences of
// them.
//
//   child                              parent
//   (user namespace) waits  <-------   mapped
//   mounts ...                         puts the child into its cgroup
//   waits                   <-------   placed
//   hooks                   ------->   runs hooks
//                           <-------   hooks_done
//   ready (and terminal)    ------->   create() returns
//   waits                   <-------   go                    start()
//   exec: the end of the channel, or failed
#pragma once
#include <cstdint>
#include <string>

#include "base/error.h"
#include "base/fd.h"
#include "oci/runtime_spec.h"

namespace berth::runtime {

struct Plan;

enum class ParentSays : std::uint8_t { mapped = 1, placed, hooks_done, go };

enum class ChildSays : std::uint32_t { ready = 1, hooks_before_pivot, hooks_in_container, failed };

// What the child was about when it failed.
enum class Stage : std::uint32_t {
  control_group,
  descriptors,
  new_session,
  join_namespace,  // index: Plan::joins, or a CLONE_NEW* flag for exec
  user_mapping,
  step,  // index: Plan::steps
  terminal,
  terminal_filesystem,  // no devpts where one should be
  wait,                 // the parent is gone
  start_hook,
  keyring,
  rlimit,  // index: Process::rlimits
  scheduler,
  io_priority,
  groups,
  user,
  capabilities,
  no_new_privileges,
  working_directory,
  working_directory_outside,  // getcwd says that it is not below the root
  seccomp,
  lookup,   // the program, before exec; code: errno
  execute,  // execve itself
};

struct ChildRecord {
  ChildSays what = ChildSays::failed;
  Stage stage = Stage::descriptors;
  std::uint32_t index = 0;
  std::int32_t code = 0;    // errno
  std::int32_t detail = 0;  // which part of a step: see StepPart
};

// Where in a step: what the sentence says beyond the errno.
enum class StepPart : std::int32_t {
  whole,
  find_target,     // looking the destination up, or making it
  target_is_link,  // a link or a file where a directory must be
  new_filesystem,
  parameter,
  attach,
  not_null,  // /dev/null is not the null device
  not_procfs,
};

// The sentence for a record with ChildSays::failed.
Error failure_of(const ChildRecord& record, const Plan* plan, const oci::Process& process);

// An errno in the words that container tools share ("no such file or directory"): clients look for them.
std::string errno_words(int code);

}  // namespace berth::runtime

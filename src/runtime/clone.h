// SPDX-License-Identifier: Apache-2.0
// The parent's side of starting a child: clone3, its ids, its cgroup, its words.
#pragma once
#include <sys/types.h>

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/fd.h"
#include "oci/runtime_spec.h"
#include "runtime/child_protocol.h"
#include "runtime/program.h"
#include "sys/cgroup.h"

namespace berth::runtime {

// A child that has been cloned and is not yet known to be good: destruction kills and reaps it.
class Child {
 public:
  // `body` is called in the child with its end of the channel and must not return.
  struct Request {
    std::uint64_t namespaces = 0;    // CLONE_NEW*
    int pid_namespace = -1;          // to be born into: a namespace's descriptor or a pidfd
    int cgroup = -1;                 // a v2 directory to be born into
    std::span<const Fd> tasks = {};  // of v1 groups, to be entered first of all: Cgroup::open_tasks_files
  };
  template <class Body>
  static Result<Child> clone(const Request& request, Body body) {
    Child child;
    Fd other = TRY(child.prepare(request));
    long pid = child.fork_into(request);
    if (pid == 0) {
      ChildChannel channel(other.get());
      enter_groups(request, channel);
      body(channel);
    }
    TRY(child.adopt(request, pid));
    return child;
  }

  Child(Child&& other) noexcept;
  Child& operator=(Child&&) = delete;
  ~Child();

  pid_t pid() const noexcept { return pid_; }
  bool in_cgroup() const noexcept { return in_cgroup_; }  // born into Request::cgroup

  Result<void> say(ParentSays word) const;
  struct Heard {
    bool end = false;  // the channel closed: exec, or the end of the child
    ChildRecord record;
    Fd descriptor;
  };
  Result<Heard> listen() const;
  // The child is good: it belongs to the caller, who waits for it.
  void release() noexcept { pid_ = -1; }
  Fd take_pidfd() { return std::move(pidfd_); }
  Fd take_channel() { return std::move(channel_); }

 private:
  Child() = default;
  Result<Fd> prepare(const Request& request);
  long fork_into(const Request& request) noexcept;
  static void enter_groups(const Request& request, const ChildChannel& channel) noexcept;
  Result<void> adopt(const Request& request, long pid);

  pid_t pid_ = -1;
  int pidfd_number_ = -1;
  int error_ = 0;
  bool in_cgroup_ = false;
  Fd pidfd_;
  Fd channel_;
  Fd own_pid_namespace_;
};

Result<Child::Heard> listen_on(int channel);

// Moves the child into the v2 group if the kernel could not let it be born there, and sets its OOM score.
Result<void> place(const Child& child, const sys::Cgroup* group, const oci::Process& process);

Result<void> write_id_mappings(pid_t process, const oci::Linux& config);

}  // namespace berth::runtime

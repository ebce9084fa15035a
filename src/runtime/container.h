// SPDX-License-Identifier: Apache-2.0
// Containers from an OCI runtime configuration: create, start, exec. The caller becomes the PARENT of the
// container's init and of every process that is executed in it, and waits for them with waitpid. It should
// have one thread; nothing here starts another.
//
//   CreateRequest request{.spec = &spec, .bundle = "/bundle", .streams = {0, 1, 2}};
//   CreatedContainer container = TRY(create(request));    // namespaces, mounts, cgroup: all but exec
//   ... attach a network to container.pid()'s namespace ...
//   TRY(container.start());                               // the program runs, or this says why not
//   waitpid(container.pid(), &status, 0);
//   container.take_cgroup()->remove();
//
// Errors of start() and exec() that concern the program itself have messages that clients take exit codes
// from: `exec: "NAME": executable file not found in $PATH`, `exec: "/x": stat /x: no such file or directory`
// (both of kind not_found), `exec: "NAME": permission denied`, `exec: "NAME": is a directory` (both of kind
// denied).
#pragma once
#include <sys/types.h>

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/fd.h"
#include "oci/runtime_spec.h"
#include "sys/cgroup.h"
#include "sys/seccomp.h"

namespace berth::runtime {

// An overlay that is mounted inside the new mount namespace alone: the host never sees it.
struct OverlayRoot {
  std::vector<std::string> lower;  // absolute directories that the caller chose, the top one first
  std::string upper;               // both empty: a read-only root
  std::string work;
  bool volatile_ = false;  // never syncs the upper directory: for what is thrown away
};

// What the program gets as 0, 1 and 2 when it has no terminal; -1 stands for /dev/null. They stay the
// caller's.
struct StandardStreams {
  int input = -1;
  int output = -1;
  int error = -1;
};

// For a release by another process than the one that created the container (OCI's create and start): the
// child reads one byte from `go` and writes its outcome to `outcome`, both descriptors of FIFOs.
struct StartChannel {
  int go = -1;
  int outcome = -1;
};

struct CreateRequest {
  const oci::RuntimeSpec* spec = nullptr;
  std::string id;                      // for hooks and messages
  std::string bundle;                  // the base of a relative root.path and of relative bind sources
  std::optional<OverlayRoot> overlay;  // takes the place of root.path
  StandardStreams streams;
  // Namespaces to join by descriptor, by OCI type ("network"); they take the place of the spec's entry.
  std::map<std::string, int> namespace_descriptors;
  // Compiled from the spec's linux.seccomp already; null: compiled here.
  const sys::SeccompProgram* filter = nullptr;
  bool create_cwd = false;        // makes process.cwd when it is missing, owned by the process's user
  bool new_keyring = true;        // a session keyring of its own
  bool no_pivot = false;          // for roots on initramfs, which pivot_root(2) refuses
  int preserved_descriptors = 0;  // 3, 4, ... that are passed on
  std::optional<StartChannel> start_channel;
};

class CreatedContainer {
 public:
  CreatedContainer(CreatedContainer&&) noexcept = default;
  CreatedContainer& operator=(CreatedContainer&&) noexcept = default;

  pid_t pid() const noexcept { return pid_; }
  int pidfd() const noexcept { return pidfd_.get(); }
  Fd take_pidfd() { return std::move(pidfd_); }
  // The master of a pseudo-terminal on the container's own devpts; empty without process.terminal.
  Fd take_terminal() { return std::move(terminal_); }
  // Its control group, which whoever reaps the container removes; none without linux.cgroupsPath.
  std::optional<sys::Cgroup> take_cgroup() { return std::move(cgroup_); }
  // Things that were asked for and could be left out, one sentence each.
  const std::vector<std::string>& warnings() const noexcept { return warnings_; }

  // Releases the waiting child to exec. Returns once exec has succeeded, or with the failure; then the child
  // has exited and waits to be reaped. Not for containers with a start channel.
  Result<void> start();

 private:
  friend class Launcher;
  CreatedContainer() = default;
  pid_t pid_ = -1;
  Fd pidfd_;
  Fd terminal_;
  Fd control_;
  std::optional<sys::Cgroup> cgroup_;
  std::vector<std::string> warnings_;
  oci::Process process_;  // for messages
};

// On failure nothing is left: the child is reaped, its cgroup removed.
Result<CreatedContainer> create(const CreateRequest& request);

// start() for a container that was created with a start channel, from any process: `go` and `outcome` are the
// other ends.
Result<void> start_through(int go, int outcome, const oci::Process& process);

struct ExecRequest {
  pid_t target = -1;                       // the container's init
  const oci::RuntimeSpec* spec = nullptr;  // the container's: namespaces, seccomp, cgroup path
  const oci::Process* process = nullptr;   // what to execute
  StandardStreams streams;
  const sys::SeccompProgram* filter = nullptr;  // as in CreateRequest
  bool create_cwd = false;
  int preserved_descriptors = 0;
};

struct ExecProcess {
  pid_t pid = -1;
  Fd pidfd;
  Fd terminal;  // as CreatedContainer::take_terminal
};

// Returns once the program executes, or with the failure; then the child has been reaped.
Result<ExecProcess> exec(const ExecRequest& request);

// Makes this program's file safe from the containers that it starts (CVE-2019-5736): executes it again from a
// read-only copy of its mount, or from a sealed memory file where the kernel lacks that. Returns when it is
// safe already. Call it first in main, before any thread; `arguments` and `environment` are passed on.
Result<void> protect_own_executable(char** arguments, char** environment);

// A file of ours as such a read-only copy, for a parent that starts it many times: executed by the path
// "/proc/self/fd/<number>" it is safe from its start, and saves protect_own_executable a second exec. Lives
// as long as the descriptor.
Result<Fd> protected_executable(const std::string& path);

}  // namespace berth::runtime

// SPDX-License-Identifier: Apache-2.0
// The program that a container or an exec runs: prepared by the parent, put into effect by the child between
// clone and exec.
//
//   Program program = TRY(Program::prepare(process, seccomp, options));
//   ... in the child:
//   program.take_descriptors(channel);          // 0, 1, 2, and nothing else of the parent's
//   ... namespaces, mounts ...
//   program.take_terminal(...)
//   program.become_user(...)                    // limits, ids, bounding set
//   ... wait ...
//   program.execute(...)                        // seccomp, capabilities, exec
#pragma once
#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/fd.h"
#include "oci/runtime_spec.h"
#include "runtime/child_protocol.h"
#include "runtime/container.h"
#include "sys/capabilities.h"
#include "sys/seccomp.h"

namespace berth::runtime {

// The child's end of the conversation. Everything here is callable between clone and exec.
class ChildChannel {
 public:
  explicit ChildChannel(int socket) noexcept : socket_(socket) {}
  int socket() const noexcept { return socket_; }
  void moved_to(int socket) noexcept { socket_ = socket; }
  // From here on outcomes go into a pipe or FIFO, and the word to go comes from one (StartChannel).
  void use(int go, int outcome) noexcept {
    go_ = go;
    outcome_ = outcome;
  }
  int go() const noexcept { return go_; }
  int outcome() const noexcept { return outcome_; }

  void tell(const ChildRecord& record, int descriptor = -1) const noexcept;
  void wait_for(ParentSays word) const noexcept;  // exits when the parent is gone
  [[noreturn]] void fail(Stage stage, int code, std::uint32_t index = 0,
                         StepPart part = StepPart::whole) const noexcept;

 private:
  int socket_;
  int go_ = -1;
  int outcome_ = -1;
};

class Program {
 public:
  struct Options {
    StandardStreams streams;
    int preserved_descriptors = 0;
    bool new_keyring = true;
    const sys::SeccompProgram* filter = nullptr;  // `seccomp`, compiled already
  };
  // `seccomp` may be null. Names what was left out in `warnings`. The Program refers to `process`, which must
  // outlive it.
  static Result<Program> prepare(const oci::Process& process, const oci::LinuxSeccomp* seccomp,
                                 const Options& options, std::vector<std::string>* warnings);

  const oci::Process& process() const { return *process_; }

  // --- in the child ---
  // Closes every descriptor but the streams, the channel's, `kept` and the preserved ones. Entries of `kept`
  // change when a descriptor had to move; `scratch` has room for three more than `kept`.
  void take_descriptors(ChildChannel& channel, std::span<int> kept, std::span<int> scratch) const noexcept;
  // Makes a terminal on the devpts whose root is `devpts` and returns the master; the other end becomes 0, 1
  // and 2.
  int take_terminal(const ChildChannel& channel, int devpts) const noexcept;
  // Closes what was used on the way, but the channel and one more (-1: none): a working directory or a
  // program named /proc/self/fd/<n> finds nothing.
  void drop_descriptors(const ChildChannel& channel, int kept) const noexcept;
  // Everything up to exec that needs no filter.
  void become_user(const ChildChannel& channel) const noexcept;
  [[noreturn]] void execute(const ChildChannel& channel) const noexcept;

 private:
  void set_limits(const ChildChannel& channel) const noexcept;
  void set_schedule(const ChildChannel& channel) const noexcept;
  bool enter_directory(const ChildChannel& channel, bool last_try) const noexcept;
  void give_streams() const noexcept;
  void close_on_exec(const ChildChannel& channel) const noexcept;
  void load_filter_with_privileges(const ChildChannel& channel) const noexcept;
  void check_directory(const ChildChannel& channel) const noexcept;
  const char* find_program(const ChildChannel& channel) const noexcept;

  const oci::Process* process_ = nullptr;
  Options options_;
  Fd null_;  // the host's /dev/null, for streams that are -1
  std::vector<char*> arguments_;
  std::vector<char*> environment_;
  std::vector<std::string> candidates_;  // where the program may lie
  std::vector<int> limit_numbers_;
  sys::CapabilitySets capabilities_;  // empty sets when the configuration says nothing
  std::optional<sys::SeccompProgram> seccomp_;
  int scheduler_policy_ = -1;
  std::uint64_t scheduler_flags_ = 0;
  int io_priority_ = -1;
};

}  // namespace berth::runtime

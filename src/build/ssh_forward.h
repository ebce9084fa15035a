// SPDX-License-Identifier: Apache-2.0
// --mount=type=ssh: a socket in a step's reach, behind which is the client's SSH agent, for as long as the
// step runs.
//
// The step is hostile: it may ask which keys there are and have something signed, which is what the mount is
// for; all else (adding, removing and locking keys, extensions) the agent is not asked. What it sends is
// bounded, and so are its connections. Whether the socket may be connected to is decided by the client's
// permissions; the agent sees root connect all the same (SO_PEERCRED), so what it trusts in root for, it
// does.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "base/error.h"
#include "base/fd.h"
#include "sys/act_as.h"

namespace berth::build {

inline constexpr std::size_t kLargestAgentMessage = 256u << 10;  // as agents have it
inline constexpr std::size_t kMostAgentConnections = 32;         // of one step at a time

// The client's.
struct SshAgent {
  Fd socket;                              // O_PATH
  std::optional<sys::UserIdentity> user;  // with whose permissions it is connected to; missing: the engine's
};

class SshForward {
 public:
  struct Owner {
    std::uint32_t mode = 0600, uid = 0, gid = 0;
  };
  // Listens at `path`, where nothing is yet. `agent` outlives it.
  static Result<std::unique_ptr<SshForward>> start(const std::string& path, const SshAgent& agent,
                                                   const Owner& owner);
  ~SshForward();
  SshForward(const SshForward&) = delete;
  SshForward& operator=(const SshForward&) = delete;

 private:
  SshForward(Fd listener, Pipe end, const SshAgent& agent);
  void serve() const;

  Fd listener_;
  Pipe end_;  // its writing end is closed to end it
  const SshAgent& agent_;
  std::thread thread_;
};

}  // namespace berth::build

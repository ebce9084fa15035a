// SPDX-License-Identifier: Apache-2.0
// --ssh with files of private keys: an agent (ssh-agent) of this command's own that has them, for as long as
// the command runs. The keys are in its memory alone; what others get is its socket, which asks it to sign.
//
//   KeyAgent agent = TRY(KeyAgent::start("default", {"/home/me/.ssh/id_ed25519"}));
//   pass(agent.take_socket());
//
// However this program ends, by a signal that nothing catches too, the agent ends with it. Its socket has no
// name once start() has returned: it can be connected to by the descriptor alone, and leaves no file.
#pragma once
#include <sys/types.h>

#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/fd.h"

namespace berth::cli {

class KeyAgent {
 public:
  // `id` is that of --ssh, for what is said. Before there are other threads: it forks.
  static Result<KeyAgent> start(std::string_view id, const std::vector<std::string>& files);
  KeyAgent(KeyAgent&& other) noexcept;
  KeyAgent& operator=(KeyAgent&& other) noexcept;
  ~KeyAgent();

  Fd take_socket() { return std::move(socket_); }  // O_PATH

 private:
  KeyAgent(pid_t watcher, Fd life) : watcher_(watcher), life_(std::move(life)) {}

  pid_t watcher_ = -1;  // the agent's parent, which ends it
  Fd life_;             // a pipe's writing end: when it is closed, the watcher knows
  Fd socket_;
};

// Of a private key's text: whether it says of itself that it is encrypted.
bool has_passphrase(std::string_view key);

}  // namespace berth::cli

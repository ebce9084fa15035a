// SPDX-License-Identifier: Apache-2.0
// --ssh: the SSH agents that steps may use. What is passed to the engine is their sockets' places, not
// connections: it connects, as this user, each time a step does. Files of keys have an agent of this
// command's own (key_agent.h).
#pragma once
#include <map>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/fd.h"
#include "cli/build/key_agent.h"
#include "cli/flags/flags.h"

namespace berth::cli {

struct SshAgents {
  std::map<std::string, Fd> sockets;  // by id; O_PATH
  std::vector<KeyAgent> own;          // to be kept as long as they are used
};

// "default" alone, and an id without a path, is the agent of the environment.
Result<SshAgents> open_ssh_agents(const Flags& flags);

}  // namespace berth::cli

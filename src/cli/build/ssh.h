// SPDX-License-Identifier: Apache-2.0
// --ssh: the SSH agents that steps may use. What is passed to the engine is their sockets' places, not
// connections: it connects, as this user, each time a step does.
#pragma once
#include <map>
#include <string>

#include "base/error.h"
#include "base/fd.h"
#include "cli/flags/flags.h"

namespace berth::cli {

// By id; O_PATH. "default" alone, and an id without a path, is the agent of the environment.
Result<std::map<std::string, Fd>> open_ssh_agents(const Flags& flags);

}  // namespace berth::cli

// SPDX-License-Identifier: Apache-2.0
// Starting berthd when root asks for the engine of this machine and none runs.
#pragma once
#include <string>

#include "base/error.h"

namespace berth::cli {

// Starts the berthd that lies beside this program, or the one in PATH, in a session of its own, and waits
// until something answers at `socket`. Says so on standard error.
Result<void> start_engine(const std::string& socket);

}  // namespace berth::cli

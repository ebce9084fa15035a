// SPDX-License-Identifier: Apache-2.0
// The streams of an attached process: what the engine sends goes to standard output and error, standard
// input goes to the engine. One thread each way: either side may be slow without holding up the other.
#pragma once
#include <string>

#include "base/error.h"
#include "http/client.h"

namespace berth::cli {

struct SessionOptions {
  bool input = false;  // send standard input
  bool output = true;
  bool terminal = false;    // one raw stream instead of frames
  std::string detach_keys;  // bytes; only looked for on a terminal
};

enum class SessionEnd { closed, detached };

// Runs until the engine closes the stream. Standard input's end is passed on as a half-close. An error with
// the code EPIPE says that nobody reads standard output any more.
Result<SessionEnd> run_session(http::Upgraded& connection, const SessionOptions& options);

}  // namespace berth::cli

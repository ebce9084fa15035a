// SPDX-License-Identifier: Apache-2.0
// The control socket's file. Internal to this room.
#pragma once
#include <chrono>
#include <string>

#include "base/error.h"
#include "base/fd.h"

namespace berth::names {

// Both are stream sockets. A listener takes the place of whatever was at `path`; its mode is 0600 from the
// first moment.
Result<Fd> listen_at(const std::string& path);
// `limit` is that of the connection, and of every read and write on it. An error of the kind `timeout` when
// somebody listens and takes no connections: a process that was stopped, whose queue is full.
Result<Fd> connect_to(const std::string& path, std::chrono::milliseconds limit);

}  // namespace berth::names

// SPDX-License-Identifier: Apache-2.0
// Addresses of unix sockets. sun_path holds 107 bytes; a longer path is reached through its parent directory,
// opened, as /proc/self/fd/N/name.
#pragma once
#include <sys/socket.h>
#include <sys/un.h>

#include <string>

#include "base/error.h"
#include "base/fd.h"

namespace berth {

struct UnixAddress {
  sockaddr_un address{};
  socklen_t size = 0;
  Fd parent;  // must stay open while the address is used; none for a short path
  const sockaddr* get() const noexcept { return reinterpret_cast<const sockaddr*>(&address); }
};

// An error of the kind `invalid` when `path` is empty, holds a zero byte, or has a last part that is too
// long.
Result<UnixAddress> make_unix_address(const std::string& path);

}  // namespace berth

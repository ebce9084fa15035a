// SPDX-License-Identifier: Apache-2.0
// Listening sockets for the server: made here, or inherited from systemd.
#pragma once
#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/fd.h"
#include "http/tls.h"

namespace berth::http {

struct Listener {
  Fd socket;
  std::shared_ptr<TlsContext> tls;  // null: plain
  std::string name;                 // for logs: "unix:///run/berth/berth.sock", "tcp://127.0.0.1:2375"
};

// Binds `path` (of any length: the kernel's limit of 108 bytes is worked round) with that mode and, when
// given, group; at no moment is the socket more widely open than that. A socket left there by a program that
// is gone is replaced; one that answers is a conflict, and so is anything that is not a socket.
Result<Listener> listen_unix(const std::string& path, mode_t mode, std::optional<gid_t> group = {});

// `host` is a numeric address or a name, empty for all interfaces; port 0 lets the kernel choose.
Result<Listener> listen_tcp(const std::string& host, std::uint16_t port,
                            std::shared_ptr<TlsContext> tls = nullptr);

// A socket that someone else has bound and set listening.
Result<Listener> adopt_listener(Fd socket, std::shared_ptr<TlsContext> tls = nullptr);

// The sockets that systemd passed to this process (sd_listen_fds(3)); none when it was not started that way.
// Call it once, before other descriptors are opened and threads started: it takes ownership and clears the
// environment variables.
std::vector<Fd> take_systemd_sockets();

std::uint16_t port_of(const Listener& listener);  // 0 for unix sockets

}  // namespace berth::http

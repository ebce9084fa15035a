// SPDX-License-Identifier: Apache-2.0
// The connections that the kernel tracks (conntrack), through NETLINK_NETFILTER
// (linux/netfilter/nfnetlink_conntrack.h). How a connection is translated is decided by its first packet and
// kept for all that follow, so what has changed since is not seen by a client that goes on sending: somebody
// has to forget such connections.
//
// Like a Socket, it belongs for life to the network namespace in which it was opened. Not thread safe.
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/fd.h"
#include "netlink/ipv6.h"

namespace berth::netlink {

struct Connection {
  std::uint8_t protocol = 0;  // IPPROTO_UDP, ...
  IpAddress source;           // of its first packet
  IpAddress destination;      // likewise: before any translation
  std::uint16_t destination_port = 0;
  IpAddress answering;   // who answers: not the destination where that is translated
  std::string identity;  // the kernel's, for forget()
};

// Of one family. A zero matches everything in it. The kernel compares protocols and IPv4 addresses (since
// Linux 5.8), so that a large table is not copied.
struct ConnectionFilter {
  bool is_v6 = false;
  std::uint8_t protocol = 0;
  IpAddress source;
  IpAddress answering;
};

class Connections {
 public:
  static Result<Connections> open();

  Result<std::vector<Connection>> find(const ConnectionFilter& filter);
  // Those that are gone already are no error.
  Result<void> forget(const std::vector<Connection>& connections);
  // Of somebody at this address who is there no more: what he began, and what led to him.
  Result<void> forget_address(const IpAddress& address);

 private:
  explicit Connections(Fd socket) : socket_(std::move(socket)) {}
  Result<void> send(const std::string& bytes);
  Result<void> receive(const std::function<bool(std::string_view)>& each);
  Fd socket_;
  std::uint32_t sequence_ = 0;
};

}  // namespace berth::netlink

// SPDX-License-Identifier: Apache-2.0
// Which of the host's ports are published. A port is free when no container has it and nothing on the host
// listens there: both are asked before anything starts. Not kept from the host's programs afterwards: that
// would cost a socket a port. What is claimed belongs to its owner, a container's id, and is given back as a
// whole. Thread safe.
#pragma once
#include <cstdint>
#include <map>
#include <mutex>
#include <span>
#include <string>

#include "base/error.h"
#include "netlink/ipv6.h"

namespace berth::network {

struct PortRange {
  std::uint16_t first = 0, last = 0;  // both included; zero: any that is free
};

class PortTable {
 public:
  // The first of the range that is free at each of the addresses; a family's zero: at all of the host's.
  // ErrorKind::conflict when there is none, in Docker's words.
  Result<std::uint16_t> claim(const std::string& owner, const std::string& protocol,
                              std::span<const netlink::IpAddress> addresses, PortRange range);
  // Of a container that runs already: nothing on the host is asked.
  Result<void> reclaim(const std::string& owner, const std::string& protocol,
                       const netlink::IpAddress& address, std::uint16_t port);
  void release(const std::string& owner) noexcept;

 private:
  using Key = std::pair<std::string, std::uint16_t>;  // protocol and port
  struct Claim {
    netlink::IpAddress address;
    std::string owner;
  };
  bool claimed(const Key& key, const netlink::IpAddress& address) const;
  Result<void> try_claim(const std::string& owner, const std::string& protocol,
                         std::span<const netlink::IpAddress> addresses, std::uint16_t port);
  Result<std::uint16_t> claim_any(const std::string& owner, const std::string& protocol,
                                  std::span<const netlink::IpAddress> addresses);

  std::mutex mutex_;
  std::multimap<Key, Claim> claimed_;
  std::uint16_t next_ = 0;  // of those that are given out freely: none is soon given out again
};

}  // namespace berth::network

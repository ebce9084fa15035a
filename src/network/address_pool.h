// SPDX-License-Identifier: Apache-2.0
// Which addresses of a subnet are taken. Next-fit: an address that was given back is not given out again
// before the others had their turn, so that neighbours' ARP caches and clients with stale names don't reach a
// stranger. Not synchronised; its owner is.
#pragma once
#include <optional>
#include <unordered_set>

#include "base/error.h"
#include "netlink/ipv4.h"

namespace berth::network {

class AddressPool {
 public:
  // The subnet's network and broadcast addresses are never given out. With a range, which lies in the subnet,
  // allocate() keeps to it; reserve() takes any.
  explicit AddressPool(netlink::Ipv4Prefix subnet, std::optional<netlink::Ipv4Prefix> range = {});

  Result<netlink::Ipv4Address> allocate();             // ErrorKind::exhausted when all are taken
  Result<void> reserve(netlink::Ipv4Address address);  // taken: conflict; outside: invalid
  void release(netlink::Ipv4Address address) noexcept;
  std::size_t taken() const { return taken_.size(); }
  bool taken(netlink::Ipv4Address address) const { return taken_.contains(address.value); }

 private:
  bool in_range(std::uint32_t value) const { return value >= first_ && value <= last_; }
  netlink::Ipv4Prefix subnet_;
  std::uint32_t first_host_ = 0, last_host_ = 0;  // what hosts can have, both included
  std::uint32_t first_ = 0, last_ = 0;            // what allocate() gives out
  std::size_t taken_of_range_ = 0;
  std::uint32_t next_ = 0;
  std::unordered_set<std::uint32_t> taken_;
};

}  // namespace berth::network

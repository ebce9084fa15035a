// SPDX-License-Identifier: Apache-2.0
// Which addresses of a subnet are taken. Next-fit: an address that was given back is not given out again
// before the others had their turn, so that neighbours' ARP caches and clients with stale names don't reach a
// stranger. Not synchronised; its owner is.
#pragma once
#include <unordered_set>

#include "base/error.h"
#include "netlink/ipv4.h"

namespace berth::network {

class AddressPool {
 public:
  // The subnet's network and broadcast addresses are never given out.
  explicit AddressPool(netlink::Ipv4Prefix subnet);

  Result<netlink::Ipv4Address> allocate();             // ErrorKind::exhausted when all are taken
  Result<void> reserve(netlink::Ipv4Address address);  // taken: conflict; outside: invalid
  void release(netlink::Ipv4Address address) noexcept;
  std::size_t taken() const { return taken_.size(); }
  bool taken(netlink::Ipv4Address address) const { return taken_.contains(address.value); }

 private:
  netlink::Ipv4Prefix subnet_;
  std::uint32_t first_ = 0, last_ = 0;  // what can be given out, both included
  std::uint32_t next_ = 0;
  std::unordered_set<std::uint32_t> taken_;
};

}  // namespace berth::network

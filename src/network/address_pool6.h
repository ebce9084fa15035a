// SPDX-License-Identifier: Apache-2.0
// Which addresses of an IPv6 subnet are taken; as AddressPool, with more room. Not synchronised; its owner
// is.
#pragma once
#include <optional>
#include <set>

#include "base/error.h"
#include "netlink/ipv6.h"

namespace berth::network {

class AddressPool6 {
 public:
  // The subnet's first address is its routers' (RFC 4291, 2.6.1) and never given out.
  explicit AddressPool6(netlink::Ipv6Prefix subnet, std::optional<netlink::Ipv6Prefix> range = {});

  Result<netlink::Ipv6Address> allocate();                    // ErrorKind::exhausted when all are taken
  Result<void> reserve(const netlink::Ipv6Address& address);  // taken: conflict; outside: invalid
  void release(const netlink::Ipv6Address& address) noexcept { taken_.erase(address); }

 private:
  netlink::Ipv6Prefix subnet_;
  netlink::Ipv6Prefix range_;
  std::uint64_t first_ = 0, last_ = 0;  // numbers in range_, both included
  std::uint64_t next_ = 0;
  std::set<netlink::Ipv6Address> taken_;
};

}  // namespace berth::network

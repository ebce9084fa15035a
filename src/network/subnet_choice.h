// SPDX-License-Identifier: Apache-2.0
// The subnets of networks that name none: out of pools, the next that nobody has.
#pragma once
#include <optional>
#include <vector>

#include "base/error.h"
#include "netlink/ipv4.h"
#include "netlink/ipv6.h"

namespace berth::netlink {
class Socket;
}

namespace berth::network {

// `base` is cut into subnets with prefixes of `length`, which is not shorter than its own.
struct SubnetPool {
  netlink::Ipv4Prefix base;
  int length = 0;
};
struct SubnetPool6 {
  netlink::Ipv6Prefix base;
  int length = 0;
};

// 172.17.0.0/16 to 172.31.0.0/16, then 192.168.0.0/20 and on: the ranges that Docker's users expect.
std::vector<SubnetPool> usual_subnet_pools();

// The first that overlaps with none of the `used`.
std::optional<netlink::Ipv4Prefix> free_subnet(const std::vector<SubnetPool>& pools,
                                               const std::vector<netlink::Ipv4Prefix>& used);
std::optional<netlink::Ipv6Prefix> free_subnet(const std::vector<SubnetPool6>& pools,
                                               const std::vector<netlink::Ipv6Prefix>& used);

// The same, also without what the host routes or has an address in. ErrorKind::exhausted without one.
Result<netlink::Ipv4Prefix> choose_subnet(netlink::Socket& netlink, const std::vector<SubnetPool>& pools,
                                          std::vector<netlink::Ipv4Prefix> used);

}  // namespace berth::network

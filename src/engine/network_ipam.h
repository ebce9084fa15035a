// SPDX-License-Identifier: Apache-2.0
// The addresses that a client wants a network to have, read and checked: subnets, gateways, ranges, and those
// that no container gets.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "base/error.h"
#include "engine/network_record.h"

namespace berth::engine {

// As a client writes it; "" is not given. One for each family.
struct IpamSetting {
  std::string subnet, range, gateway;
  std::map<std::string, std::string> auxiliary;
};

// A subnet that a network may have.
Result<netlink::Ipv4Prefix> parse_subnet(const std::string& text);
Result<netlink::Ipv6Prefix> parse_subnet6(const std::string& text);

// Into the record, which has neither subnet yet. What is not given stays to be chosen.
Result<void> read_ipam(const std::string& driver, const std::vector<IpamSetting>& settings,
                       NetworkRecord& record, bool ipv6_wanted);

}  // namespace berth::engine

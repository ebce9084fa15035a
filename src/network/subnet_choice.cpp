// SPDX-License-Identifier: Apache-2.0
#include "network/subnet_choice.h"

#include <algorithm>

#include "netlink/netlink.h"

namespace berth::network {
namespace {

using netlink::Ipv4Prefix;
using netlink::Ipv6Prefix;

// The subnet of the same size behind it; none behind the last.
std::optional<Ipv4Prefix> next(const Ipv4Prefix& subnet) {
  if (subnet.length == 0) return std::nullopt;
  const std::uint32_t value = subnet.subnet().address.value + (1u << (32 - subnet.length));
  if (value == 0) return std::nullopt;
  return Ipv4Prefix{{value}, subnet.length};
}

std::optional<Ipv6Prefix> next(const Ipv6Prefix& subnet) {
  if (subnet.length == 0) return std::nullopt;
  Ipv6Prefix behind = subnet.subnet();
  auto byte = static_cast<std::size_t>(subnet.length - 1) / 8;
  unsigned carry = 1u << ((128 - subnet.length) % 8);
  for (;; --byte) {
    const unsigned sum = behind.address.bytes[byte] + carry;
    behind.address.bytes[byte] = static_cast<unsigned char>(sum);
    carry = sum >> 8;
    if (carry == 0) return behind;
    if (byte == 0) return std::nullopt;
  }
}

// A step leaves a used subnet behind: there are never more steps than these.
template <class Prefix>
std::optional<Prefix> first_free(const Prefix& base, int length, const std::vector<Prefix>& used) {
  std::optional<Prefix> candidate = Prefix{base.subnet().address, length};
  while (candidate && base.contains(candidate->address)) {
    auto in_the_way =
        std::find_if(used.begin(), used.end(), [&](const Prefix& one) { return one.overlaps(*candidate); });
    if (in_the_way == used.end()) return candidate;
    candidate = next(in_the_way->length < length ? *in_the_way : *candidate);
    if (candidate) candidate->length = length;
  }
  return std::nullopt;
}

template <class Pool, class Prefix>
std::optional<Prefix> first_free_of(const std::vector<Pool>& pools, const std::vector<Prefix>& used) {
  for (const Pool& pool : pools)
    if (std::optional<Prefix> free = first_free(pool.base, pool.length, used)) return free;
  return std::nullopt;
}

}  // namespace

std::vector<SubnetPool> usual_subnet_pools() {
  auto pool = [](std::uint32_t first, std::uint32_t second, int base, int length) {
    return SubnetPool{{{first << 24 | second << 16}, base}, length};
  };
  return {pool(172, 17, 16, 16), pool(172, 18, 15, 16), pool(172, 20, 14, 16), pool(172, 24, 13, 16),
          pool(192, 168, 16, 20)};
}

std::optional<Ipv4Prefix> free_subnet(const std::vector<SubnetPool>& pools,
                                      const std::vector<Ipv4Prefix>& used) {
  return first_free_of(pools, used);
}

std::optional<Ipv6Prefix> free_subnet(const std::vector<SubnetPool6>& pools,
                                      const std::vector<Ipv6Prefix>& used) {
  return first_free_of(pools, used);
}

Result<Ipv4Prefix> choose_subnet(netlink::Socket& netlink, const std::vector<SubnetPool>& pools,
                                 std::vector<Ipv4Prefix> used) {
  const std::vector<netlink::Route> routes = TRY(netlink.routes());
  for (const netlink::Route& route : routes)
    if (route.destination.length > 0) used.push_back(route.destination);
  const std::vector<netlink::InterfaceAddress> addresses = TRY(netlink.addresses());
  for (const netlink::InterfaceAddress& address : addresses) used.push_back(address.address.subnet());
  if (std::optional<Ipv4Prefix> free = free_subnet(pools, used)) return *free;
  return fail(ErrorKind::exhausted,
              "the host or its networks have every subnet that a network could be given: choose one with "
              "--subnet (the default bridge's with --bip), or set default-address-pools");
}

}  // namespace berth::network

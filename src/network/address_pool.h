// SPDX-License-Identifier: Apache-2.0
// Which addresses of a subnet are taken, and by whom. Next-fit: an address that was given back is not given
// out again before the others had their turn, so that neighbours' ARP caches and clients with stale names
// don't reach a stranger. Not synchronised; its owner is.
#pragma once
#include <map>
#include <optional>
#include <string>

#include "base/error.h"
#include "netlink/ipv4.h"
#include "netlink/ipv6.h"

namespace berth::network {

// One class for both families; Family says how addresses are counted (address_pool.cpp).
template <class Family>
class BasicAddressPool {
 public:
  using Address = typename Family::Address;
  using Prefix = typename Family::Prefix;
  using Number = typename Family::Number;

  // What no host of the subnet can have is never given out: IPv4's network and broadcast addresses, and
  // IPv6's first, which is all routers' (RFC 4291, 2.6.1). With a range, which lies in the subnet, allocate()
  // keeps to it; reserve() takes any.
  explicit BasicAddressPool(Prefix subnet, std::optional<Prefix> range = {});

  Result<Address> allocate(const std::string& owner = {});  // ErrorKind::exhausted when all are taken
  // Taken by another owner: conflict; outside: invalid. One's own once more is no error.
  Result<void> reserve(Address address, const std::string& owner = {});
  void release(Address address) noexcept { taken_.erase(Family::number(address)); }
  void release_all(const std::string& owner) noexcept;
  bool has_owner_beside(const std::string& owner) const noexcept;  // "": anybody

 private:
  Prefix subnet_;
  Number first_host_ = 0, last_host_ = 0;  // what hosts can have, both included
  Number first_ = 0, last_ = 0;  // what allocate() gives out; none when they are the wrong way round
  Number next_ = 0;
  std::map<Number, std::string> taken_;  // by whom; the network's own are nobody's
};

struct Ipv4Family {
  using Address = netlink::Ipv4Address;
  using Prefix = netlink::Ipv4Prefix;
  using Number = std::uint32_t;
  static Number number(Address address) noexcept { return address.value; }
  static Address address(Number number) noexcept { return {number}; }
};

struct Ipv6Family {
  using Address = netlink::Ipv6Address;
  using Prefix = netlink::Ipv6Prefix;
  using Number = unsigned __int128;
  static Number number(const Address& address) noexcept;
  static Address address(Number number) noexcept;
};

extern template class BasicAddressPool<Ipv4Family>;
extern template class BasicAddressPool<Ipv6Family>;
using AddressPool = BasicAddressPool<Ipv4Family>;
using AddressPool6 = BasicAddressPool<Ipv6Family>;

}  // namespace berth::network

// SPDX-License-Identifier: Apache-2.0
#include "network/address_pool.h"

#include <algorithm>

namespace berth::network {

AddressPool::AddressPool(netlink::Ipv4Prefix subnet, std::optional<netlink::Ipv4Prefix> range)
    : subnet_(subnet.subnet()) {
  const std::uint32_t network = subnet_.address.value, broadcast = subnet_.broadcast().value;
  // A /31 has neither a network nor a broadcast address (RFC 3021), and a /32 only itself.
  first_host_ = first_ = subnet_.length < 31 ? network + 1 : network;
  last_host_ = last_ = subnet_.length < 31 ? broadcast - 1 : broadcast;
  if (range) {
    first_ = std::max(first_, range->subnet().address.value);
    last_ = std::min(last_, range->broadcast().value);
  }
  next_ = first_;
}

Result<netlink::Ipv4Address> AddressPool::allocate() {
  const std::uint64_t size = std::uint64_t{last_} - first_ + 1;
  if (taken_of_range_ >= size)
    return fail(ErrorKind::exhausted, "all {} addresses of the subnet {} are taken", size, subnet_.text());
  auto advance = [this] { next_ = next_ == last_ ? first_ : next_ + 1; };
  while (taken_.contains(next_)) advance();
  const netlink::Ipv4Address address{next_};
  taken_.insert(next_);
  ++taken_of_range_;
  advance();
  return address;
}

Result<void> AddressPool::reserve(netlink::Ipv4Address address) {
  if (address.value < first_host_ || address.value > last_host_)
    return fail(ErrorKind::invalid, "{} is not an address that a host of the subnet {} can have",
                address.text(), subnet_.text());
  if (!taken_.insert(address.value).second)
    return fail(ErrorKind::conflict, "the address {} is taken", address.text());
  if (in_range(address.value)) ++taken_of_range_;
  return {};
}

void AddressPool::release(netlink::Ipv4Address address) noexcept {
  if (taken_.erase(address.value) == 1 && in_range(address.value)) --taken_of_range_;
}

}  // namespace berth::network

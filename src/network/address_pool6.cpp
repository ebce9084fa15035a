// SPDX-License-Identifier: Apache-2.0
#include "network/address_pool6.h"

namespace berth::network {

AddressPool6::AddressPool6(netlink::Ipv6Prefix subnet, std::optional<netlink::Ipv6Prefix> range)
    : subnet_(subnet.subnet()), range_(range.value_or(subnet).subnet()) {
  const int bits = 128 - range_.length;
  last_ = bits >= 64 ? UINT64_MAX : (std::uint64_t{1} << bits) - 1;
  first_ = next_ = range_.address == subnet_.address ? 1 : 0;
}

Result<netlink::Ipv6Address> AddressPool6::allocate() {
  if (first_ > last_) return fail(ErrorKind::exhausted, "the range {} has no address to give", range_.text());
  // One turn finds a free one, if there is any: no more are taken than there are steps.
  for (std::size_t step = 0; step <= taken_.size(); ++step) {
    if (step > last_ - first_) break;
    const netlink::Ipv6Address address = range_.host(next_);
    next_ = next_ == last_ ? first_ : next_ + 1;
    if (taken_.insert(address).second) return address;
  }
  return fail(ErrorKind::exhausted, "all addresses of the subnet {} are taken", range_.text());
}

Result<void> AddressPool6::reserve(const netlink::Ipv6Address& address) {
  if (!subnet_.contains(address) || address == subnet_.address)
    return fail(ErrorKind::invalid, "{} is not an address that a host of the subnet {} can have",
                address.text(), subnet_.text());
  if (!taken_.insert(address).second)
    return fail(ErrorKind::conflict, "the address {} is taken", address.text());
  return {};
}

}  // namespace berth::network

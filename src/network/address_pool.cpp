// SPDX-License-Identifier: Apache-2.0
#include "network/address_pool.h"

#include <algorithm>

namespace berth::network {
namespace {

template <class Number>
struct Bounds {
  Number first = 0, last = 0;
};

template <class Family>
Bounds<typename Family::Number> all_of(const typename Family::Prefix& prefix) {
  using Number = typename Family::Number;
  constexpr int kBits = 8 * sizeof(Number);
  const Number first = Family::number(prefix.subnet().address);
  const Number below = prefix.length == 0 ? ~Number{0} : (Number{1} << (kBits - prefix.length)) - 1;
  return {first, first | below};
}

// A /31 has neither a network nor a broadcast address (RFC 3021), and a /32 only itself.
Bounds<std::uint32_t> hosts_of(const netlink::Ipv4Prefix& subnet) {
  const auto all = all_of<Ipv4Family>(subnet);
  if (subnet.length >= 31) return all;
  return {all.first + 1, all.last - 1};
}

Bounds<Ipv6Family::Number> hosts_of(const netlink::Ipv6Prefix& subnet) {
  const auto all = all_of<Ipv6Family>(subnet);
  return {subnet.length == 128 ? all.first : all.first + 1, all.last};
}

}  // namespace

Ipv6Family::Number Ipv6Family::number(const Address& address) noexcept {
  Number number = 0;
  for (unsigned char byte : address.bytes) number = number << 8 | byte;
  return number;
}

Ipv6Family::Address Ipv6Family::address(Number number) noexcept {
  Address address;
  for (auto byte = address.bytes.rbegin(); byte != address.bytes.rend(); ++byte, number >>= 8)
    *byte = static_cast<unsigned char>(number & 0xff);
  return address;
}

template <class Family>
BasicAddressPool<Family>::BasicAddressPool(Prefix subnet, std::optional<Prefix> range)
    : subnet_(subnet.subnet()) {
  const Bounds<Number> hosts = hosts_of(subnet_);
  const Bounds<Number> given = range ? all_of<Family>(*range) : hosts;
  first_host_ = hosts.first;
  last_host_ = hosts.last;
  first_ = next_ = std::max(hosts.first, given.first);
  last_ = std::min(hosts.last, given.last);
}

template <class Family>
auto BasicAddressPool<Family>::allocate(const std::string& owner) -> Result<Address> {
  // One turn finds a free one if there is any: no more can be taken than there are steps.
  for (std::size_t step = 0; first_ <= last_ && step <= taken_.size() && step <= last_ - first_; ++step) {
    const Number number = next_;
    next_ = next_ == last_ ? first_ : next_ + 1;
    if (taken_.emplace(number, owner).second) return Family::address(number);
  }
  return fail(ErrorKind::exhausted, "all addresses that the subnet {} gives out are taken", subnet_.text());
}

template <class Family>
Result<void> BasicAddressPool<Family>::reserve(Address address, const std::string& owner) {
  const Number number = Family::number(address);
  if (number < first_host_ || number > last_host_)
    return fail(ErrorKind::invalid, "{} is not an address that a host of the subnet {} can have",
                address.text(), subnet_.text());
  auto [place, added] = taken_.emplace(number, owner);
  if (!added && (owner.empty() || place->second != owner))
    return fail(ErrorKind::conflict, "the address {} is taken", address.text());
  return {};
}

template <class Family>
void BasicAddressPool<Family>::release_all(const std::string& owner) noexcept {
  std::erase_if(taken_, [&](const auto& entry) { return entry.second == owner; });
}

template <class Family>
bool BasicAddressPool<Family>::has_owner_beside(const std::string& owner) const noexcept {
  return std::ranges::any_of(
      taken_, [&](const auto& entry) { return !entry.second.empty() && entry.second != owner; });
}

template class BasicAddressPool<Ipv4Family>;
template class BasicAddressPool<Ipv6Family>;

}  // namespace berth::network

// SPDX-License-Identifier: Apache-2.0
#include "engine/network_ipam.h"

namespace berth::engine {
namespace {

using netlink::Ipv4Address;
using netlink::Ipv4Prefix;
using netlink::Ipv6Address;
using netlink::Ipv6Prefix;

// RFC 1122, 3.2.1.3 and RFC 5771: "this" host, loopback, and from multicast to the end.
constexpr Ipv4Prefix kNoNetworks4[] = {{{0}, 8}, {{127u << 24}, 8}, {{224u << 24}, 3}};
// RFC 4291: unspecified, loopback and mapped addresses are in the first eight bits.
constexpr const char* kNoNetworks6[] = {"::/8", "fe80::/10", "ff00::/8"};

}  // namespace

Result<Ipv4Prefix> parse_subnet(const std::string& text) {
  std::optional<Ipv4Prefix> subnet = Ipv4Prefix::parse(text);
  if (!subnet) return fail(ErrorKind::invalid, "invalid subnet {} : invalid CIDR block notation", text);
  if (subnet->subnet() != *subnet)
    return fail(ErrorKind::invalid, "invalid subnet {}: it should be {}", text, subnet->subnet().text());
  if (subnet->length < 1 || subnet->length > 30)
    return fail(ErrorKind::invalid, "the subnet {} has no room for containers: use /1 to /30", text);
  for (const Ipv4Prefix& taken : kNoNetworks4)
    if (subnet->overlaps(taken))
      return fail(ErrorKind::invalid, "invalid subnet {}: {} is no network's ({})", text, taken.text(),
                  "loopback, multicast or reserved addresses");
  return *subnet;
}

Result<Ipv6Prefix> parse_subnet6(const std::string& text) {
  std::optional<Ipv6Prefix> subnet = Ipv6Prefix::parse(text);
  if (!subnet) return fail(ErrorKind::invalid, "invalid subnet {} : invalid CIDR block notation", text);
  if (subnet->subnet() != *subnet)
    return fail(ErrorKind::invalid, "invalid subnet {}: it should be {}", text, subnet->subnet().text());
  if (subnet->length < 8 || subnet->length > 126)
    return fail(ErrorKind::invalid, "the subnet {} has no room for containers: use /8 to /126", text);
  for (const char* taken : kNoNetworks6)
    if (subnet->overlaps(*Ipv6Prefix::parse(taken)))
      return fail(ErrorKind::invalid, "invalid subnet {}: {} is no network's ({})", text, taken,
                  "loopback, mapped, multicast or link-local addresses");
  return *subnet;
}

namespace {

Result<Ipv4Address> parse_address_in(const Ipv4Prefix& subnet, const std::string& what,
                                     const std::string& text) {
  std::optional<Ipv4Address> address = Ipv4Address::parse(text);
  if (!address) return fail(ErrorKind::invalid, "invalid {} \"{}\": not an IPv4 address", what, text);
  if (!subnet.contains(*address) || *address == subnet.address || *address == subnet.broadcast())
    return fail(ErrorKind::invalid, "invalid {} {}: not a host's address in the subnet {}", what, text,
                subnet.text());
  return *address;
}

Result<Ipv6Address> parse_address_in(const Ipv6Prefix& subnet, const std::string& what,
                                     const std::string& text) {
  std::optional<Ipv6Address> address = Ipv6Address::parse(text);
  if (!address) return fail(ErrorKind::invalid, "invalid {} \"{}\": not an IPv6 address", what, text);
  if (!subnet.contains(*address) || *address == subnet.address)
    return fail(ErrorKind::invalid, "invalid {} {}: not a host's address in the subnet {}", what, text,
                subnet.text());
  return *address;
}

template <class Prefix>
Result<std::optional<Prefix>> parse_range_in(const Prefix& subnet, const std::string& text) {
  if (text.empty()) return std::nullopt;
  std::optional<Prefix> range = Prefix::parse(text);
  if (!range || range->length < subnet.length || !subnet.contains(range->address))
    return fail(ErrorKind::invalid, "invalid ip-range {}: not a part of the subnet {}", text, subnet.text());
  return range->subnet();
}

Result<void> read_ipv4(const IpamSetting& ipam, NetworkRecord& record) {
  record.subnet = TRY(parse_subnet(ipam.subnet));
  record.subnet_chosen_by_user = true;
  record.gateway = Ipv4Address{record.subnet.address.value + 1};
  if (!ipam.gateway.empty()) record.gateway = TRY(parse_address_in(record.subnet, "gateway", ipam.gateway));
  record.range = TRY(parse_range_in(record.subnet, ipam.range));
  for (const auto& [name, text] : ipam.auxiliary)
    TRY(parse_address_in(record.subnet, "auxiliary address", text));
  record.auxiliary = ipam.auxiliary;
  return {};
}

Result<void> read_ipv6(const IpamSetting& ipam, NetworkRecord& record) {
  network::Ipv6Subnet ipv6;
  ipv6.subnet = TRY(parse_subnet6(ipam.subnet));
  record.subnet6_chosen_by_user = true;
  ipv6.gateway = ipv6.subnet.host(1);
  if (!ipam.gateway.empty()) ipv6.gateway = TRY(parse_address_in(ipv6.subnet, "gateway", ipam.gateway));
  ipv6.range = TRY(parse_range_in(ipv6.subnet, ipam.range));
  for (const auto& [name, text] : ipam.auxiliary)
    TRY(parse_address_in(ipv6.subnet, "auxiliary address", text));
  record.auxiliary6 = ipam.auxiliary;
  record.ipv6 = ipv6;
  return {};
}

}  // namespace

Result<void> read_ipam(const std::string& driver, const std::vector<IpamSetting>& settings,
                       NetworkRecord& record, bool ipv6_wanted) {
  if (!driver.empty() && driver != "default")
    return fail(ErrorKind::not_found, "IPAM driver \"{}\" is not installed: use default", driver);
  for (const IpamSetting& one : settings) {
    if (one.subnet.empty() && one.gateway.empty() && one.range.empty() && one.auxiliary.empty()) continue;
    if (one.subnet.empty())
      return fail(ErrorKind::invalid, "a gateway, an IP range or auxiliary addresses need a --subnet");
    const bool is_v6 = one.subnet.find(':') != std::string::npos;
    if (is_v6 && !ipv6_wanted)
      return fail(ErrorKind::invalid, "the subnet {} is IPv6: create the network with --ipv6", one.subnet);
    if (is_v6 ? record.ipv6.has_value() : record.subnet.length > 0)
      return fail(ErrorKind::unsupported, "a network has one subnet of each family here: {} is the second",
                  one.subnet);
    TRY(is_v6 ? read_ipv6(one, record) : read_ipv4(one, record));
  }
  return {};
}

}  // namespace berth::engine

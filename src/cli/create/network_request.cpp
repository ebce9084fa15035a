// SPDX-License-Identifier: Apache-2.0
#include "cli/create/network_request.h"

#include <arpa/inet.h>

#include <array>
#include <map>

#include "base/json.h"
#include "base/text.h"
#include "cli/create/json_forms.h"

namespace berth::cli {
namespace {

struct Address {
  std::array<unsigned char, 16> bytes{};
  unsigned length = 0;  // in bits: 32 or 128
};

struct Prefix {
  Address address;
  unsigned bits = 0;

  bool contains(const Address& other) const {
    if (address.length != other.length) return false;
    for (unsigned bit = 0; bit < bits; ++bit) {
      unsigned mask = 0x80u >> (bit % 8);
      if ((address.bytes[bit / 8] & mask) != (other.bytes[bit / 8] & mask)) return false;
    }
    return true;
  }
};

std::optional<Address> parse_address(std::string_view text) {
  Address address;
  std::string terminated(text);
  if (::inet_pton(AF_INET, terminated.c_str(), address.bytes.data()) == 1)
    address.length = 32;
  else if (::inet_pton(AF_INET6, terminated.c_str(), address.bytes.data()) == 1)
    address.length = 128;
  else
    return std::nullopt;
  return address;
}

Result<Prefix> parse_prefix(std::string_view text) {
  auto [address, bits] = split_once(text, '/');
  std::optional<Address> parsed = parse_address(address);
  auto length = parse_integer<unsigned>(bits);
  if (!parsed || !length || *length > parsed->length)
    return fail(ErrorKind::invalid, "invalid CIDR address: {}", text);
  return Prefix{*parsed, *length};
}

Result<Prefix> parse_subnet(std::string_view text) {
  Result<Prefix> prefix = parse_prefix(text);
  if (!prefix) return fail(ErrorKind::invalid, "invalid subnet: {}", prefix.error().message);
  return prefix;
}

struct Subnet {
  std::string text;
  std::string range;
  std::string gateway;
  std::map<std::string, std::string> taken;  // by name
};

// The first subnet that the address lies in; null when there is none.
Result<Subnet*> subnet_of(std::vector<Subnet>& subnets, const std::optional<Address>& address) {
  for (Subnet& subnet : subnets) {
    Prefix prefix = TRY(parse_subnet(subnet.text));
    if (address && prefix.contains(*address)) return &subnet;
  }
  return nullptr;
}

Result<std::vector<Subnet>> separate_subnets(const std::vector<std::string>& texts) {
  std::vector<Subnet> subnets;
  for (const std::string& text : texts) {
    for (const Subnet& other : subnets) {
      Prefix one = TRY(parse_subnet(text));
      Prefix two = TRY(parse_subnet(other.text));
      if (one.contains(two.address) || two.contains(one.address))
        return fail(ErrorKind::invalid, "multiple overlapping subnet configuration is not supported");
    }
    subnets.emplace_back().text = text;
  }
  return subnets;
}

Result<void> add_ranges(std::vector<Subnet>& subnets, const std::vector<std::string>& ranges) {
  for (const std::string& range : ranges) {
    Prefix prefix = TRY(parse_prefix(range));
    Subnet* subnet = TRY(subnet_of(subnets, prefix.address));
    if (!subnet) return fail(ErrorKind::invalid, "no matching subnet for range {}", range);
    if (!subnet->range.empty())
      return fail(ErrorKind::invalid, "cannot configure multiple ranges ({}, {}) on the same subnet ({})",
                  range, subnet->range, subnet->text);
    subnet->range = range;
  }
  return {};
}

Result<void> add_gateways(std::vector<Subnet>& subnets, const std::vector<std::string>& gateways) {
  for (const std::string& gateway : gateways) {
    Subnet* subnet = TRY(subnet_of(subnets, parse_address(split_once(gateway, '/').first)));
    if (!subnet) return fail(ErrorKind::invalid, "no matching subnet for gateway {}", gateway);
    if (!subnet->gateway.empty())
      return fail(ErrorKind::invalid, "cannot configure multiple gateways ({}, {}) for the same subnet ({})",
                  gateway, subnet->gateway, subnet->text);
    subnet->gateway = gateway;
  }
  return {};
}

Result<void> add_taken(std::vector<Subnet>& subnets, const std::vector<std::string>& addresses) {
  for (const std::string& item : addresses) {
    auto [name, address] = split_once(item, '=');
    Subnet* subnet = TRY(subnet_of(subnets, parse_address(address)));
    if (!subnet) return fail(ErrorKind::invalid, "no matching subnet for aux-address {}", address);
    subnet->taken[std::string(name)] = address;
  }
  return {};
}

json::array encode(const std::vector<Subnet>& subnets) {
  json::array all;
  for (const Subnet& subnet : subnets) {
    json::object one{{"Subnet", subnet.text}};
    if (!subnet.range.empty()) one["IPRange"] = subnet.range;
    if (!subnet.gateway.empty()) one["Gateway"] = subnet.gateway;
    if (!subnet.taken.empty()) one["AuxiliaryAddresses"] = to_json(subnet.taken);
    all.push_back(std::move(one));
  }
  return all;
}

Result<json::array> subnet_configuration(const Flags& flags) {
  const auto &texts = flags.list("subnet"), &ranges = flags.list("ip-range"),
             &gateways = flags.list("gateway");
  if (texts.size() < ranges.size() || texts.size() < gateways.size())
    return fail(ErrorKind::invalid, "every ip-range or gateway must have a corresponding subnet");
  std::vector<Subnet> subnets = TRY(separate_subnets(texts));
  TRY(add_ranges(subnets, ranges));
  TRY(add_gateways(subnets, gateways));
  TRY(add_taken(subnets, flags.list("aux-address")));
  return encode(subnets);
}

}  // namespace

Result<json::object> make_network_request(const Flags& flags, const std::string& name) {
  json::array subnets = TRY(subnet_configuration(flags));
  json::object body{{"Name", name},
                    {"Driver", flags.text("driver")},
                    {"Scope", flags.text("scope")},
                    {"IPAM", json::object{{"Driver", flags.text("ipam-driver")},
                                          {"Options", pairs(flags.list("ipam-opt"))},
                                          {"Config", std::move(subnets)}}},
                    {"Internal", flags.on("internal")},
                    {"Attachable", flags.on("attachable")},
                    {"Ingress", flags.on("ingress")},
                    {"ConfigOnly", flags.on("config-only")},
                    {"ConfigFrom", nullptr},
                    {"Options", pairs(flags.list("opt"))},
                    {"Labels", pairs(flags.list("label"))}};
  if (!flags.text("config-from").empty())
    body["ConfigFrom"] = json::object{{"Network", flags.text("config-from")}};
  // Left out, they are the engine's to choose.
  if (flags.given("ipv4")) body["EnableIPv4"] = flags.on("ipv4");
  if (flags.given("ipv6")) body["EnableIPv6"] = flags.on("ipv6");
  return body;
}

Result<json::object> make_connect_request(const Flags& flags, const std::string& container) {
  for (const std::string& option : flags.list("driver-opt"))
    if (option.find('=') == option.npos || option.starts_with('='))
      return fail(ErrorKind::invalid, "invalid key/value pair format in driver options");
  json::object addresses;
  if (!flags.text("ip").empty()) addresses["IPv4Address"] = flags.text("ip");
  if (!flags.text("ip6").empty()) addresses["IPv6Address"] = flags.text("ip6");
  if (!flags.list("link-local-ip").empty()) addresses["LinkLocalIPs"] = to_json(flags.list("link-local-ip"));
  json::object endpoint = empty_endpoint();
  endpoint["IPAMConfig"] = std::move(addresses);
  endpoint["Links"] = list_or_null(flags.list("link"));
  endpoint["Aliases"] = to_json(flags.list("alias"));
  endpoint["DriverOpts"] = pairs(flags.list("driver-opt"));
  endpoint["GwPriority"] = flags.integer("gw-priority");
  return json::object{{"Container", container}, {"EndpointConfig", std::move(endpoint)}};
}

}  // namespace berth::cli

// SPDX-License-Identifier: Apache-2.0
#include "engine/port_mapping.h"

#include <algorithm>

#include "base/text.h"

namespace berth::engine {
namespace {

std::optional<std::uint16_t> parse_number(std::string_view text) {
  std::optional<int> value = parse_integer<int>(text);
  if (!value || *value < 1 || *value > 65535) return std::nullopt;
  return static_cast<std::uint16_t>(*value);
}

Result<network::PortRange> parse_range(const std::string& text) {
  if (text.empty() || text == "0") return network::PortRange{};
  auto [first, last] = split_once(text, '-');
  std::optional<std::uint16_t> begin = parse_number(first), end = last.empty() ? begin : parse_number(last);
  if (!begin || !end || *end < *begin)
    return fail(ErrorKind::invalid,
                "invalid port specification: \"{}\" is not a host port or a range of them", text);
  return network::PortRange{*begin, *end};
}

Result<std::optional<netlink::IpAddress>> parse_host_address(const std::string& text) {
  if (text.empty()) return std::nullopt;
  std::optional<netlink::IpAddress> address = netlink::IpAddress::parse(text);
  if (address) return address;
  return fail(ErrorKind::invalid, "invalid port specification: \"{}\" is not an IP address", text);
}

}  // namespace

Result<PortSpec> parse_port(std::string_view text) {
  auto [number, protocol] = split_once(text, '/');
  std::optional<std::uint16_t> port = parse_number(number);
  const std::string lower = protocol.empty() ? "tcp" : to_lower(protocol);
  if (!port) return fail(ErrorKind::invalid, "invalid port specification: \"{}\"", text);
  if (lower != "tcp" && lower != "udp" && lower != "sctp")
    return fail(ErrorKind::invalid, "invalid port specification: \"{}\": the protocol is tcp, udp or sctp",
                text);
  return PortSpec{*port, lower};
}

Result<std::vector<WantedPort>> wanted_ports(const oci::ContainerConfig& config, const HostConfig& host) {
  std::vector<WantedPort> wanted;
  for (const auto& [text, bindings] : host.port_bindings) {
    const PortSpec container = TRY(parse_port(text));
    for (const PortBinding& binding : bindings)
      wanted.push_back(
          {container, TRY(parse_host_address(binding.host_ip)), TRY(parse_range(binding.host_port))});
    if (bindings.empty()) wanted.push_back({container, {}, {}});
  }
  if (!host.publish_all_ports) return wanted;
  for (const std::string& text : config.exposed_ports)
    if (!host.port_bindings.contains(text)) wanted.push_back({TRY(parse_port(text)), {}, {}});
  return wanted;
}

std::vector<network::PublishedPort> merge_ports(std::vector<network::PublishedPort> ports) {
  std::sort(ports.begin(), ports.end());
  std::vector<network::PublishedPort> merged;
  for (const network::PublishedPort& port : ports) {
    if (!merged.empty()) {
      network::PublishedPort& last = merged.back();
      if (last.protocol == port.protocol && last.host_address == port.host_address &&
          last.container_address == port.container_address && last.host_port + last.count == port.host_port &&
          last.container_port + last.count == port.container_port) {
        last.count = static_cast<std::uint16_t>(last.count + port.count);
        continue;
      }
    }
    merged.push_back(port);
  }
  return merged;
}

}  // namespace berth::engine

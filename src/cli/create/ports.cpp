// SPDX-License-Identifier: Apache-2.0
#include "cli/create/ports.h"

#include <arpa/inet.h>

#include "base/json.h"
#include "base/text.h"

namespace berth::cli {
namespace {

struct Range {
  unsigned first = 0;
  unsigned last = 0;
  unsigned size() const { return last - first + 1; }
};

std::optional<Range> parse_range(std::string_view text) {
  auto [first, last] = split_once(text, '-');
  auto from = parse_integer<std::uint16_t>(first);
  auto to = text.find('-') == text.npos ? from : parse_integer<std::uint16_t>(last);
  if (!from || !to || *to < *from) return std::nullopt;
  return Range{*from, *to};
}

struct Specification {
  std::string address;
  std::string host;
  std::string container;
  std::string protocol = "tcp";
};

Result<Specification> take_apart(std::string_view text) {
  Specification parts;
  if (std::size_t slash = text.rfind('/'); slash != text.npos) {
    parts.protocol = to_lower(text.substr(slash + 1));
    text = text.substr(0, slash);
    if (parts.protocol != "tcp" && parts.protocol != "udp" && parts.protocol != "sctp")
      return fail(ErrorKind::invalid, "invalid proto: {}", parts.protocol);
  }
  std::size_t colon = text.rfind(':');
  parts.container = text.substr(colon == text.npos ? 0 : colon + 1);
  if (colon == text.npos) return parts;
  text = text.substr(0, colon);
  colon = text.rfind(':');
  parts.host = text.substr(colon == text.npos ? 0 : colon + 1);
  if (colon == text.npos) return parts;
  std::string address(text.substr(0, colon));
  if (address.size() > 2 && address.front() == '[' && address.back() == ']')
    address = address.substr(1, address.size() - 2);
  unsigned char bytes[16];
  if (!address.empty() && inet_pton(AF_INET, address.c_str(), bytes) != 1 &&
      inet_pton(AF_INET6, address.c_str(), bytes) != 1)
    return fail(ErrorKind::invalid, "invalid IP address: {}", address);
  parts.address = address;
  return parts;
}

json::array& bindings_of(json::object& bindings, const std::string& port) {
  json::value& entry = bindings[port];
  if (!entry.is_array()) entry = json::array();
  return entry.get_array();
}

Result<void> add_one(std::string_view text, json::object& exposed, json::object& bindings) {
  Specification parts = TRY(take_apart(text));
  if (parts.container.empty()) return fail(ErrorKind::invalid, "no port specified: {}<empty>", text);
  std::optional<Range> container = parse_range(parts.container);
  if (!container) return fail(ErrorKind::invalid, "invalid containerPort: {}", parts.container);
  std::optional<Range> host;
  if (!parts.host.empty()) {
    host = parse_range(parts.host);
    if (!host) return fail(ErrorKind::invalid, "invalid hostPort: {}", parts.host);
    // A range of the host's for one port of the container: the engine picks a free one of it.
    bool choice = container->size() == 1 && host->size() > 1;
    if (host->size() != container->size() && !choice)
      return fail(ErrorKind::invalid, "invalid ranges specified for container and host Ports: {} and {}",
                  parts.container, parts.host);
  }
  for (unsigned i = 0; i < container->size(); ++i) {
    std::string port = fmt::format("{}/{}", container->first + i, parts.protocol);
    std::string host_port;
    if (host && host->size() > container->size())
      host_port = parts.host;
    else if (host)
      host_port = std::to_string(host->first + i);
    exposed[port] = json::object();
    bindings_of(bindings, port).push_back(json::object{{"HostIp", parts.address}, {"HostPort", host_port}});
  }
  return {};
}

}  // namespace

Result<void> add_published_ports(std::span<const std::string> specifications, json::object& exposed,
                                 json::object& bindings) {
  for (const std::string& text : specifications) TRY(add_one(text, exposed, bindings));
  return {};
}

Result<void> add_exposed_ports(std::span<const std::string> specifications, json::object& exposed) {
  for (const std::string& text : specifications) {
    if (text.find(':') != text.npos)
      return fail(ErrorKind::invalid, "invalid port format for --expose: {}", text);
    auto [ports, given] = split_once(text, '/');
    std::string protocol = given.empty() ? "tcp" : to_lower(given);
    std::optional<Range> range = parse_range(ports);
    if (!range)
      return fail(
          ErrorKind::invalid,
          "invalid range format for --expose: {}, error: strconv.ParseUint: parsing \"{}\": invalid syntax",
          text, ports);
    for (unsigned port = range->first; port <= range->last; ++port)
      exposed[fmt::format("{}/{}", port, protocol)] = json::object();
  }
  return {};
}

}  // namespace berth::cli

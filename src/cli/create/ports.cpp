// SPDX-License-Identifier: Apache-2.0
#include "cli/create/ports.h"

#include <arpa/inet.h>

#include "base/json.h"
#include "base/text.h"
#include "cli/create/mount.h"

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

// One end of a range of --expose, with the words of Go's refusals.
Result<std::uint16_t> parse_port(std::string_view text) {
  if (auto port = parse_integer<std::uint16_t>(text)) return *port;
  bool digits = !text.empty() && text.find_first_not_of("0123456789") == text.npos;
  return fail(ErrorKind::invalid, "strconv.ParseUint: parsing \"{}\": {}", text,
              digits ? "value out of range" : "invalid syntax");
}

Result<Range> parse_exposed_range(std::string_view text) {
  if (text.empty()) return fail(ErrorKind::invalid, "empty string specified for ports");
  auto [first, last] = split_once(text, '-');
  std::uint16_t from = TRY(parse_port(first));
  std::uint16_t to = text.find('-') == text.npos ? from : TRY(parse_port(last));
  if (to < from) return fail(ErrorKind::invalid, "invalid range specified for port: {}", text);
  return Range{from, to};
}

struct Specification {
  std::string address;
  std::string host;
  std::string container;
  std::string protocol = "tcp";
};

Result<void> check_protocol(std::string_view protocol) {
  if (protocol == "tcp" || protocol == "udp" || protocol == "sctp") return {};
  return fail(ErrorKind::invalid, "invalid proto: {}", protocol);
}

// target=80,published=8080,protocol=tcp,mode=host. The mode is a swarm's: a container's ports are the host's.
Result<Specification> take_fields_apart(std::string_view text) {
  Specification parts;
  std::vector<std::string> fields = TRY(parse_csv(text));
  for (const std::string& field : fields) {
    auto [name, value] = split_once(field, '=');
    if (field.find('=') == field.npos)
      return fail(ErrorKind::invalid, "invalid publish opts format (should be name=value but got '{}')",
                  field);
    std::string key = to_lower(trim(name));
    std::string setting = to_lower(trim(value));
    if (key == "target")
      parts.container = setting;
    else if (key == "published")
      parts.host = setting;
    else if (key == "protocol")
      parts.protocol = setting;
    else if (key != "mode")
      return fail(ErrorKind::invalid, "invalid publish option '{}': target, published, protocol and mode are",
                  name);
    else if (setting != "host" && setting != "ingress")
      return fail(ErrorKind::invalid, "invalid publish mode '{}': it is host or ingress", value);
  }
  TRY(check_protocol(parts.protocol));
  return parts;
}

// [[address:]host]:container[/protocol]
Result<Specification> take_apart(std::string_view text) {
  Specification parts;
  if (std::size_t slash = text.rfind('/'); slash != text.npos) {
    if (slash + 1 < text.size()) parts.protocol = to_lower(text.substr(slash + 1));
    text = text.substr(0, slash);
    TRY(check_protocol(parts.protocol));
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
  bool fields = text.find('=') != text.npos;
  Specification parts = TRY(fields ? take_fields_apart(text) : take_apart(text));
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
    Result<Range> range = parse_exposed_range(ports);
    if (!range)
      return fail(ErrorKind::invalid, "invalid range format for --expose: {}, error: {}", text,
                  range.error().message);
    for (unsigned port = range->first; port <= range->last; ++port)
      exposed[fmt::format("{}/{}", port, protocol)] = json::object();
  }
  return {};
}

}  // namespace berth::cli

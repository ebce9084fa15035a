// SPDX-License-Identifier: Apache-2.0
#include "engine/links.h"

#include <algorithm>
#include <functional>

#include "base/text.h"
#include "engine/modes.h"
#include "engine/port_mapping.h"

namespace berth::engine {
namespace {

const std::string kDefaultNetwork = "bridge";
// What a hosts file says of a line of ours, before the alias. Names change, and users have lines of their
// own.
const std::string kLinkMark = "\t# link ";

// A name is a word in the hosts file: more than that would be other words, or other lines.
bool is_word(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return static_cast<unsigned char>(c) > ' ' && c != '#' && c != '/' && c != 0x7f;
  });
}

bool linked_by_id(const ContainerRecord& record) {
  return network_kind(record.host_config.network_mode) == NetworkKind::bridge;
}

// TCP first, then by number: neighbours stand side by side.
std::vector<PortSpec> sorted_ports(const std::set<std::string>& texts) {
  std::vector<PortSpec> ports;
  for (const std::string& text : texts)
    if (Result<PortSpec> port = parse_port(text)) ports.push_back(std::move(*port));
  auto key = [](const PortSpec& port) {
    return std::tuple(port.protocol != "tcp", port.protocol, port.port);
  };
  std::sort(ports.begin(), ports.end(),
            [&](const PortSpec& one, const PortSpec& other) { return key(one) < key(other); });
  return ports;
}

std::string url(const PortSpec& port, const std::string& address) {
  return fmt::format("{}://{}:{}", port.protocol, address, port.port);
}

void add_port(std::vector<std::string>& variables, const std::string& prefix, const PortSpec& port,
              const std::string& address) {
  variables.push_back(prefix + "=" + url(port, address));
  variables.push_back(prefix + "_ADDR=" + address);
  variables.push_back(prefix + "_PORT=" + std::to_string(port.port));
  variables.push_back(prefix + "_PROTO=" + port.protocol);
}

void add_range(std::vector<std::string>& variables, const std::string& prefix, const PortSpec& first,
               const PortSpec& last, const std::string& address) {
  variables.push_back(prefix + "_START=" + url(first, address));
  variables.push_back(prefix + "_PORT_START=" + std::to_string(first.port));
  variables.push_back(prefix + "_END=" + url(last, address));
  variables.push_back(prefix + "_PORT_END=" + std::to_string(last.port));
}

const Attachment* place_on(const ContainerRecord& record, const std::string& network) {
  for (const Attachment& one : record.attachments)
    if (one.network == network || (network == kDefaultNetwork && one.network_name == kDefaultNetwork))
      return &one;
  return nullptr;
}

std::optional<std::string> address_on(const ContainerRecord& record, const std::string& network) {
  const Attachment* place = place_on(record, network);
  if (!place || !place->endpoint) return std::nullopt;
  return place->endpoint->address.text();
}

std::string hosts_names(const LinkedContainer& linked) {
  std::string names = linked.alias + " " + linked.hostname;
  if (linked.alias != linked.name) names += " " + linked.name;
  return names;
}

LinkedContainer description_of(const ContainerRecord& record, const std::string& alias) {
  return {.name = record.name,
          .alias = alias,
          .hostname = hostname_of(record),
          .address = address_on(record, kDefaultNetwork).value_or(""),
          .environment = record.config.env,
          .exposed_ports = record.config.exposed_ports};
}

// Of a container in another one's network, that one.
Result<ContainerPointer> owner_of_network(const Registry& registry, ContainerPointer container) {
  for (int depth = 0; depth < 16; ++depth) {
    std::string mode;
    {
      std::lock_guard lock(container->mutex);
      mode = container->record.host_config.network_mode;
    }
    if (network_kind(mode) == NetworkKind::host)
      return fail(ErrorKind::invalid,
                  "conflicting options: host type networking can't be used with links. This would result in "
                  "undefined behavior");
    std::optional<std::string> other = container_of_mode(mode);
    if (!other) return container;
    container = TRY(registry.find(*other));
  }
  return fail(ErrorKind::invalid, "cannot link to a container whose network is another's, and so on");
}

}  // namespace

Result<Link> parse_link(std::string_view text) {
  if (text.empty()) return fail(ErrorKind::invalid, "empty string specified for links");
  auto refused = [&] { return fail(ErrorKind::invalid, "bad format for links: {}", text); };
  const std::vector<std::string_view> parts = split(text, ':');
  if (parts.size() > 2) return refused();
  std::string_view container = parts[0], alias = parts.back();
  if (container.starts_with('/')) {
    container.remove_prefix(1);
    alias = alias.substr(alias.rfind('/') + 1);
  }
  if (!is_word(container) || !is_word(alias)) return refused();
  return Link{std::string(container), std::string(alias)};
}

std::vector<std::string> link_environment(const std::string& own_name, const LinkedContainer& linked) {
  std::string prefix = to_upper(linked.alias);
  std::replace(prefix.begin(), prefix.end(), '-', '_');
  std::vector<std::string> variables;
  const std::vector<PortSpec> ports = sorted_ports(linked.exposed_ports);
  auto prefix_of = [&](const PortSpec& port) {
    return fmt::format("{}_PORT_{}_{}", prefix, port.port, to_upper(port.protocol));
  };
  if (!ports.empty()) variables.push_back(prefix + "_PORT=" + url(ports.front(), linked.address));
  for (std::size_t first = 0, last = 0; first < ports.size(); first = ++last) {
    while (last + 1 < ports.size() && ports[last + 1].port == ports[last].port + 1 &&
           ports[last + 1].protocol == ports[first].protocol)
      ++last;
    for (std::size_t i = first; i <= last; ++i)
      add_port(variables, prefix_of(ports[i]), ports[i], linked.address);
    if (last > first)
      add_range(variables, prefix_of(ports[first]), ports[first], ports[last], linked.address);
  }
  variables.push_back(fmt::format("{}_NAME=/{}/{}", prefix, own_name, linked.alias));
  for (const std::string& entry : linked.environment) {
    auto [name, value] = split_once(entry, '=');
    if (entry.find('=') != std::string::npos && name != "HOME" && name != "PATH")
      variables.push_back(fmt::format("{}_ENV_{}", prefix, entry));
  }
  return variables;
}

std::vector<std::string> link_environment(const std::string& own_name,
                                          const std::vector<LinkedContainer>& linked) {
  std::vector<std::string> all;
  for (const LinkedContainer& one : linked) {
    std::vector<std::string> variables = link_environment(own_name, one);
    all.insert(all.end(), variables.begin(), variables.end());
  }
  return all;
}

namespace {

std::string without_lines(std::string_view text, const std::function<bool(std::string_view)>& unwanted) {
  std::string result;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size() - 1);
    const std::string_view line = text.substr(0, end + 1);
    text.remove_prefix(end + 1);
    if (!unwanted(trim(line))) result += line;
  }
  if (!result.empty() && result.back() != '\n') result += '\n';
  return result;
}

}  // namespace

std::string with_lines_replaced(std::string_view text, std::string_view before, std::string_view now) {
  const std::vector<std::string_view> old = split(before, '\n');
  std::string result = without_lines(text, [&](std::string_view line) {
    return !line.empty() && std::find(old.begin(), old.end(), line) != old.end();
  });
  return result.append(now);
}

std::string with_hosts_entry(std::string_view text, const HostsEntry& entry) {
  const std::string mark = kLinkMark + entry.alias;
  std::string result = without_lines(text, [&](std::string_view line) { return line.ends_with(mark); });
  if (entry.address) result += *entry.address + "\t" + entry.names + mark + "\n";
  return result;
}

Result<void> bind_links(const Registry& registry, HostConfig& host) {
  for (std::string& text : host.links) {
    const Link link = TRY(parse_link(text));
    if (network_kind(host.network_mode) != NetworkKind::bridge) continue;
    Result<ContainerPointer> found = registry.find(link.container);
    // Not "not found": a client would take the image for missing.
    if (!found)
      return fail(ErrorKind::invalid, "could not get container for {}: {}", link.container,
                  found.error().message);
    ContainerPointer linked = TRY(owner_of_network(registry, *found));
    text = linked->record.id + ":" + link.alias;  // an id never changes: no lock
  }
  return {};
}

bool has_links(const ContainerRecord& record) {
  return !record.host_config.links.empty() ||
         std::any_of(record.attachments.begin(), record.attachments.end(),
                     [](const Attachment& one) { return !one.settings.links.empty(); });
}

namespace {

struct Bound {
  ContainerPointer container;
  std::string alias;
};

// The links of the default bridge whose containers there still are.
std::vector<Bound> bound_links(const Registry& registry, const ContainerRecord& record) {
  std::vector<Bound> bound;
  if (!linked_by_id(record)) return bound;
  for (const std::string& text : record.host_config.links) {
    Result<Link> link = parse_link(text);
    if (!link) continue;
    if (ContainerPointer container = registry.find_by_id(link->container))
      bound.push_back({std::move(container), link->alias});
  }
  return bound;
}

}  // namespace

std::vector<std::string> linked_ids(const Registry& registry, const ContainerRecord& record) {
  std::vector<std::string> ids;
  for (const Bound& link : bound_links(registry, record)) ids.push_back(link.container->record.id);
  return ids;
}

std::vector<std::vector<std::string>> start_rounds(
    const std::map<std::string, std::vector<std::string>>& links) {
  std::vector<std::vector<std::string>> rounds;
  std::map<std::string, std::vector<std::string>> left = links;
  while (!left.empty()) {
    std::vector<std::string> ready;
    for (const auto& [one, others] : left)
      if (std::none_of(others.begin(), others.end(), [&](const auto& other) { return left.contains(other); }))
        ready.push_back(one);
    if (ready.empty())  // a circle
      for (const auto& [one, others] : left) ready.push_back(one);
    for (const std::string& one : ready) left.erase(one);
    rounds.push_back(std::move(ready));
  }
  return rounds;
}

std::vector<std::string> shown_links(const Registry& registry, const ContainerRecord& record) {
  if (!linked_by_id(record)) return record.host_config.links;
  std::vector<std::string> shown;
  for (const Bound& link : bound_links(registry, record)) {
    std::lock_guard lock(link.container->mutex);
    shown.push_back(fmt::format("/{}:/{}/{}", link.container->record.name, record.name, link.alias));
  }
  return shown;
}

Result<std::vector<LinkedContainer>> linked_containers(const Registry& registry,
                                                       const ContainerRecord& record) {
  std::vector<LinkedContainer> linked;
  if (!place_on(record, kDefaultNetwork)) return linked;
  for (const Bound& link : bound_links(registry, record)) {
    std::lock_guard lock(link.container->mutex);
    const ContainerRecord& other = link.container->record;
    if (!link.container->running())
      return fail(ErrorKind::conflict, "Cannot link to a non running container: /{} AS /{}/{}", other.name,
                  record.name, link.alias);
    if (!address_on(other, kDefaultNetwork))
      return fail(ErrorKind::conflict, "Cannot link to /{}, as it does not belong to the default network",
                  other.name);
    linked.push_back(description_of(other, link.alias));
  }
  return linked;
}

std::vector<HostsEntry> hosts_entries(const Registry& registry, const ContainerRecord& record) {
  std::vector<HostsEntry> entries;
  if (place_on(record, kDefaultNetwork))
    for (const Bound& link : bound_links(registry, record)) {
      std::lock_guard lock(link.container->mutex);
      const ContainerRecord& other = link.container->record;
      entries.push_back(
          {link.alias, hosts_names(description_of(other, link.alias)), address_on(other, kDefaultNetwork)});
    }
  for (const Attachment& place : record.attachments)
    for (const std::string& text : place.settings.links) {
      Result<Link> link = parse_link(text);
      if (!link || place.network_name == kDefaultNetwork) continue;
      HostsEntry entry{link->alias, link->alias, std::nullopt};
      if (Result<ContainerPointer> other = registry.find(link->container)) {
        std::lock_guard lock((*other)->mutex);
        entry.address = address_on((*other)->record, place.network);
      }
      entries.push_back(std::move(entry));
    }
  return entries;
}

}  // namespace berth::engine

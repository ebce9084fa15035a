// SPDX-License-Identifier: Apache-2.0
// `--link`. On the default bridge: a running container that the linking one finds under a name of its own
// choice and knows the ports and variables of. On networks that users make: an alias that only the linking
// container knows. Both are lines of its /etc/hosts.
//
// A link of the default bridge is in HostConfig.Links; once the container is created as "<id>:<alias>", so
// that it outlives a renaming, and it goes with the linked container's removal. One of another network is in
// that endpoint's settings as it was written, and means whoever has the name.
#pragma once
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "engine/container.h"
#include "engine/registry.h"

namespace berth::engine {

struct Link {
  std::string container, alias;
};
// "name", "name:alias", and "/name:/own/alias", which is how a container's links are shown.
Result<Link> parse_link(std::string_view text);

struct LinkedContainer {
  std::string name, alias, hostname, address;
  std::vector<std::string> environment;
  std::set<std::string> exposed_ports;  // "80/tcp"
};
// NAME_PORT_80_TCP=... and the like, for the container `own_name`. Pure.
std::vector<std::string> link_environment(const std::string& own_name, const LinkedContainer& linked);

struct HostsEntry {
  std::string alias;                   // by which its line is found again: names change
  std::string names;                   // what follows the address
  std::optional<std::string> address;  // none: not to be had now
};
// The text of a hosts file with one line for that link, or none without an address. What else is written
// there stays, also if it has the same names. Pure.
std::string with_hosts_entry(std::string_view text, const HostsEntry& entry);

// With these whole lines instead of those, at the end. Pure.
std::string with_lines_replaced(std::string_view text, std::string_view before, std::string_view now);

// Of a new container: checked, and those of the default bridge bound to ids.
Result<void> bind_links(const Registry& registry, HostConfig& host);

// Of the default bridge, by id; without those whose container is there no more.
std::vector<std::string> linked_ids(const Registry& registry, const ContainerRecord& record);
// Containers and what each links to, as groups to be started one after the other: a link wants the other to
// run. What links in a circle comes last. Pure.
std::vector<std::vector<std::string>> start_rounds(
    const std::map<std::string, std::vector<std::string>>& links);

// Whether a change of other containers can concern this one.
bool has_links(const ContainerRecord& record);

// As HostConfig.Links shows them: "/name:/own/alias".
std::vector<std::string> shown_links(const Registry& registry, const ContainerRecord& record);

// Those of the default bridge, for a start: each has to run. Takes the linked containers' mutexes.
Result<std::vector<LinkedContainer>> linked_containers(const Registry& registry,
                                                       const ContainerRecord& record);
std::vector<std::string> link_environment(const std::string& own_name,
                                          const std::vector<LinkedContainer>& linked);

// Of all links, as things are now. Takes the linked containers' mutexes.
std::vector<HostsEntry> hosts_entries(const Registry& registry, const ContainerRecord& record);

}  // namespace berth::engine

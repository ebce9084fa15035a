// SPDX-License-Identifier: Apache-2.0
#include "names/directory.h"

namespace berth::names {

Result<void> Directory::set_network(Network network) {
  TRY(check(network));
  auto known = networks_.find(network.id);
  if (known == networks_.end() && networks_.size() >= kMostNetworks)
    return fail(ErrorKind::exhausted, "network {} is one too many: the resolver takes {}", network.id,
                kMostNetworks);
  Zone zone(network.name);
  for (Endpoint& endpoint : network.endpoints) zone.set(std::move(endpoint));
  networks_.insert_or_assign(std::move(network.id), std::move(zone));
  return {};
}

void Directory::remove_network(const std::string& id) { networks_.erase(id); }

Result<void> Directory::set_endpoint(const std::string& network, Endpoint endpoint) {
  TRY(check(endpoint));
  auto zone = networks_.find(network);
  if (zone == networks_.end())
    return fail(ErrorKind::not_found, "the resolver does not know network {}: set it first", network);
  if (zone->second.size() >= kMostEndpoints && !zone->second.has(endpoint.container))
    return fail(ErrorKind::exhausted, "network {} is full: the resolver takes {} containers", network,
                kMostEndpoints);
  zone->second.set(std::move(endpoint));
  return {};
}

void Directory::remove_endpoint(const std::string& network, const std::string& container) {
  if (auto zone = networks_.find(network); zone != networks_.end()) zone->second.remove(container);
}

Result<void> Directory::set_view(const std::string& sandbox, View view) {
  TRY(check_identifier("sandbox", sandbox));
  TRY(check(view));
  if (!views_.contains(sandbox) && views_.size() >= kMostSandboxes)
    return fail(ErrorKind::exhausted, "sandbox {} is one too many: the resolver takes {}", sandbox,
                kMostSandboxes);
  views_.insert_or_assign(sandbox, std::move(view));
  return {};
}

void Directory::remove_view(const std::string& sandbox) { views_.erase(sandbox); }

const View* Directory::view(const std::string& sandbox) const {
  auto found = views_.find(sandbox);
  return found == views_.end() ? nullptr : &found->second;
}

// The first network in the view's order which has an address answers, as with Docker. A network that has the
// name without an address of this family does not keep others from answering.
std::optional<std::vector<Address>> Directory::find_addresses(const View& view, const std::string& name,
                                                              Family family) {
  bool known = false;
  for (const std::string& id : view.networks) {
    auto network = networks_.find(id);
    if (network == networks_.end()) continue;
    Zone& zone = network->second;
    std::optional<std::vector<Address>> found = zone.addresses_of_name(name, family);
    const std::string& suffix = zone.suffix();
    if (!found && !suffix.empty() && name.size() > suffix.size() + 1 && name.ends_with(suffix) &&
        name[name.size() - suffix.size() - 1] == '.')
      found = zone.addresses_of_name(name.substr(0, name.size() - suffix.size() - 1), family);
    if (!found) continue;
    if (!found->empty()) return found;
    known = true;
  }
  if (known) return std::vector<Address>();
  return std::nullopt;
}

Finding Directory::find(const View& view, const Question& question) {
  const std::uint16_t type = question.type;
  if (const std::optional<Address> address = address_of_reverse_name(question.name)) {
    for (const std::string& id : view.networks) {
      auto network = networks_.find(id);
      if (network == networks_.end()) continue;
      std::optional<std::string> name = network->second.name_of(*address);
      if (!name) continue;
      if (type != record_type::ptr && type != record_type::any) name->clear();
      return {.known = true, .pointer = std::move(*name)};
    }
    return {};
  }
  const Family family = type == record_type::a      ? Family::v4
                        : type == record_type::aaaa ? Family::v6
                                                    : Family::both;
  std::optional<std::vector<Address>> addresses = find_addresses(view, question.name, family);
  if (!addresses) return {};
  if (family == Family::both && type != record_type::any) addresses->clear();
  return {.known = true, .addresses = std::move(*addresses)};
}

}  // namespace berth::names

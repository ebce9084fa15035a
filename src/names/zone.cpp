// SPDX-License-Identifier: Apache-2.0
#include "names/zone.h"

#include <algorithm>

#include "base/text.h"
#include "names/message.h"

namespace berth::names {
namespace {

bool wanted(const Address& address, Family family) {
  return family == Family::both || address.is_v6 == (family == Family::v6);
}

void append_addresses(const Endpoint& endpoint, Family family, std::vector<Address>& out) {
  for (const Address& address : endpoint.addresses)
    if (wanted(address, family)) out.push_back(address);
}

}  // namespace

Zone::Zone(std::string name) : name_(std::move(name)) {
  if (valid_name(name_)) suffix_ = to_lower(name_);
}

void Zone::set(Endpoint endpoint) {
  std::string container = endpoint.container;
  auto [known, added] = endpoints_.try_emplace(container);
  if (!added) {
    if (known->second == endpoint) return;
    remove(container);
    known = endpoints_.try_emplace(std::move(container)).first;
  }
  known->second = std::move(endpoint);
  const Endpoint* kept = &known->second;
  for (const std::string& name : kept->names) {
    if (!valid_name(name)) continue;
    std::vector<const Endpoint*>& holders = by_name_[to_lower(name)].endpoints;
    if (std::ranges::find(holders, kept) == holders.end()) holders.push_back(kept);
  }
  for (const Address& address : kept->addresses) by_address_[address] = kept;
}

void Zone::remove(const std::string& container) {
  auto known = endpoints_.find(container);
  if (known == endpoints_.end()) return;
  const Endpoint* gone = &known->second;
  for (const std::string& name : gone->names) {
    auto holders = by_name_.find(to_lower(name));
    if (holders == by_name_.end()) continue;
    std::erase(holders->second.endpoints, gone);
    if (holders->second.endpoints.empty()) by_name_.erase(holders);
  }
  for (const Address& address : gone->addresses)
    if (auto holder = by_address_.find(address); holder != by_address_.end() && holder->second == gone)
      by_address_.erase(holder);
  endpoints_.erase(known);
}

std::optional<std::vector<Address>> Zone::addresses_of_name(const std::string& name, Family family) {
  auto found = by_name_.find(name);
  if (found == by_name_.end()) return std::nullopt;
  Holders& holders = found->second;
  std::vector<Address> addresses;
  const std::size_t count = holders.endpoints.size(), first = holders.turn++ % count;
  for (std::size_t i = 0; i < count; ++i)
    append_addresses(*holders.endpoints[(first + i) % count], family, addresses);
  return addresses;
}

std::optional<std::string> Zone::name_of(const Address& address) const {
  auto found = by_address_.find(address);
  if (found == by_address_.end() || found->second->names.empty()) return std::nullopt;
  const std::string& name = found->second->names.front();
  if (!valid_name(name)) return std::nullopt;
  std::string full = name + "." + name_;
  return valid_name(full) ? full : name;
}

}  // namespace berth::names

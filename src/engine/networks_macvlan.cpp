// SPDX-License-Identifier: Apache-2.0
// Networks of the driver macvlan: records made into settings, and parents that networks share.
#include <set>

#include "base/log.h"
#include "engine/network_options.h"
#include "engine/networks.h"

namespace berth::engine {
namespace {

constexpr const char* kMode = "macvlan_mode";

// As with Docker an internal network has a parent of its own, whatever was named.
std::string parent_of(const NetworkRecord& record) {
  return has_way_out(record) ? network_option(record, "parent") : network::unconnected_parent(record.id);
}

bool passthru(const NetworkRecord& record) { return network_option(record, kMode) == "passthru"; }

}  // namespace

Result<network::MacvlanSettings> Networks::macvlan_settings(const NetworkRecord& record) const {
  network::MacvlanSettings macvlan;
  macvlan.owner = engine_id_.substr(0, kOwnerLength);
  macvlan.parent = parent_of(record);
  macvlan.unconnected = !has_way_out(record);
  macvlan.mode = TRY(network::parse_macvlan_mode(network_option(record, kMode)));
  macvlan.subnet = record.subnet;
  macvlan.gateway = record.gateway;
  macvlan.range = record.range;
  for (const auto& [name, text] : record.auxiliary)
    if (std::optional<netlink::Ipv4Address> address = netlink::Ipv4Address::parse(text))
      macvlan.excluded.push_back(*address);
  macvlan.mtu = TRY(mtu_option(record, macvlan.mtu));
  return macvlan;
}

// A network of before is there also without its parent, which may come back; a new one needs it.
Result<void> Networks::open_macvlan(Live& live) {
  NetworkRecord& record = live.record;
  if (record.subnet.length == 0) {
    netlink::Socket netlink = TRY(netlink::Socket::open());
    record.subnet = TRY(network::choose_subnet(netlink, subnet_pools(), subnets_beside(live)));
    record.gateway = netlink::Ipv4Address{record.subnet.address.value + 1};
  }
  const network::MacvlanSettings settings = TRY(macvlan_settings(record));
  live.macvlan = TRY(network::MacvlanNetwork::open(settings));
  names_.set_network(record.id, record.name);
  return live.macvlan->make_parent();
}

// Passthru takes the whole parent.
Result<void> Networks::check_parent(const NetworkRecord& record) const {
  if (record.driver != "macvlan") return {};
  const std::string parent = parent_of(record);
  if (parent == "lo")
    return fail(ErrorKind::invalid, "loopback interface is not a valid macvlan parent link");
  for (const auto& [id, other] : by_id_) {
    if (!other->macvlan || other->macvlan->parent() != parent) continue;
    if (passthru(record) || passthru(other->record))
      return fail(ErrorKind::denied, "the macvlan network {} is already using the parent interface {}{}",
                  other->record.name, parent,
                  passthru(record) ? ": passthru takes the whole of it" : " in mode passthru");
  }
  return {};
}

// The live one is not among by_id_ any more, or not yet.
Result<void> Networks::close_macvlan(Live& live) {
  {
    std::lock_guard lock(mutex_);
    for (const auto& [id, other] : by_id_)
      if (other->macvlan && other->macvlan->parent() == live.macvlan->parent()) return {};
  }
  return live.macvlan->remove_parent();
}

void Networks::close_unused_macvlans() {
  std::set<std::string> used;
  for (const auto& [id, live] : by_id_)
    if (live->macvlan && live->macvlan->in_use()) used.insert(live->macvlan->parent());
  for (const auto& [id, live] : by_id_) {
    if (!live->macvlan || used.contains(live->macvlan->parent())) continue;
    if (Result<void> removed = live->macvlan->remove_parent(); !removed)
      log_warning("network", "remove {}: {}", live->macvlan->parent(), removed.error().message);
  }
}

void Networks::clear_abandoned_parents(const std::vector<NetworkRecord>& stored) const {
  Result<netlink::Socket> netlink = netlink::Socket::open();
  if (!netlink) return;
  std::set<std::string> used;
  for (const NetworkRecord& record : stored)
    if (record.driver == "macvlan") used.insert(parent_of(record));
  network::remove_abandoned_parents(*netlink, engine_id_.substr(0, kOwnerLength), used);
}

}  // namespace berth::engine

// SPDX-License-Identifier: Apache-2.0
// What an engine makes of the places on networks that it finds when it starts.
#include <algorithm>
#include <functional>
#include <set>

#include "base/log.h"
#include "engine/network_places.h"
#include "engine/networks.h"
#include "engine/port_mapping.h"

namespace berth::engine {

using netlink::IpAddress;

// A kill between a disconnect and its record: the interface is gone, and so is its place.
bool Networks::drop_lost_places(ContainerRecord& record) const {
  std::lock_guard lock(mutex_);
  auto lost = [&](const Attachment& one) {
    Result<LivePointer> live = look_up(one.network);
    return one.endpoint && live && (*live)->bridge && !(*live)->bridge->found_interface(*one.endpoint);
  };
  auto first = std::stable_partition(record.attachments.begin(), record.attachments.end(), std::not_fn(lost));
  if (first == record.attachments.end()) return false;
  for (auto one = first; one != record.attachments.end(); ++one) {
    log_warning("network", "container {} has no interface on {} any more: it counts as disconnected",
                record.name, one->network_name);
    const std::vector<IpAddress> gone = addresses_of(*one->endpoint);
    std::erase_if(record.ports, [&](const network::PublishedPort& port) {
      return std::find(gone.begin(), gone.end(), port.container_address) != gone.end();
    });
  }
  record.attachments.erase(first, record.attachments.end());
  return true;
}

bool Networks::adopt(ContainerRecord& record, const keeper::State& state) {
  const bool changed = drop_lost_places(record);
  for (Attachment& one : record.attachments) {
    std::lock_guard lock(mutex_);
    Result<LivePointer> live = look_up(one.network);
    if (!live || !(*live)->has_places() || !one.endpoint) continue;
    for (const IpAddress& address : addresses_of(*one.endpoint))
      if (Result<void> reserved = (*live)->reserve(address, record.id); !reserved)
        log_warning("network", "container {}: {}", record.id, reserved.error().message);
    (*live)->users[record.id] = {record.id, record.name, *one.endpoint};
    names_.set_endpoint((*live)->record.id, endpoint_names(record, one));
  }
  for (const network::PublishedPort& port : record.ports)
    if (Result<void> had = ports_.reclaim(record.id, port.protocol, port.host_address, port.host_port); !had)
      log_warning("network", "container {}: {}", record.id, had.error().message);
  if (firewall_) (void)firewall_->publish(merge_ports(record.ports));
  if (!record.named_by_resolver) return changed;
  if (Result<Fd> ns = open_network_of(state))
    names_.adopt_sandbox(record.id, view_of(record), std::move(*ns));
  else
    log_warning("network", "container {}: {}", record.id, ns.error().message);
  return changed;
}

// A kill between a connect and its record.
void Networks::remove_unrecorded_interfaces() {
  std::lock_guard lock(mutex_);
  for (const auto& [id, live] : by_id_) {
    if (!live->bridge) continue;
    std::set<std::string> known;
    for (const auto& [container, user] : live->users) known.insert(user.endpoint.host_interface_name);
    live->bridge->remove_others_found(known);
  }
}

// What the kernel tracks of a container whose end nobody saw. That is known when all have been adopted: its
// record can have an address that another has had since.
void Networks::clear_up(const Abandoned& one) {
  if (!one.live->bridge) return;
  const std::vector<IpAddress> addresses = addresses_of(one.endpoint);
  const bool nobodys = std::all_of(addresses.begin(), addresses.end(), [&](const IpAddress& address) {
    return one.live->reserve(address, one.container).has_value();
  });
  if (nobodys) (void)one.live->bridge->detach(one.endpoint, false);
  one.live->forget(one.container);
}

std::vector<std::string> Networks::warnings() const {
  std::vector<std::string> warnings;
  for (const std::string& chain : network::foreign_forward_drops().value_or(std::vector<std::string>()))
    if (default_->bridge)
      warnings.push_back(fmt::format(
          "The host's nft chain {0} drops forwarded packets that its rules do not accept: containers reach "
          "only this host, and others no published port, unless it lets them pass, as with: nft insert rule "
          "{0} iifname {1} accept; nft insert rule {0} oifname {1} accept",
          chain, default_->bridge->name()));
  return warnings;
}

void Networks::recovered() {
  if (firewall_)
    if (Result<void> loaded = firewall_->load(); !loaded)
      log_warning("network", "containers reach only this host and each other: {}", loaded.error().message);
  turn_forwarding_on();
  for (const std::string& warning : warnings()) log_warning("network", "{}", warning);
  remove_unrecorded_interfaces();
  std::optional<std::vector<Abandoned>> abandoned;
  {
    std::lock_guard lock(mutex_);
    abandoned.swap(abandoned_);
  }
  if (abandoned) std::for_each(abandoned->begin(), abandoned->end(), clear_up);
  names_.reconcile();
}

Result<void> Networks::Live::reserve(const IpAddress& address, const std::string& container) {
  if (macvlan) return macvlan->reserve(address, container);
  return bridge ? bridge->reserve(address, container) : Result<void>();
}

void Networks::Live::forget(const std::string& container) {
  if (macvlan) macvlan->forget(container);
  if (bridge) bridge->forget(container);
}

void Networks::expect(const ContainerRecord& record) {
  std::lock_guard lock(mutex_);
  for (const Attachment& one : record.attachments) {
    Result<LivePointer> live = look_up(one.network);
    if (!live) continue;
    for (const std::string& text : {one.settings.ipv4_address, one.settings.ipv6_address})
      if (std::optional<IpAddress> address = IpAddress::parse(text))
        (void)(*live)->reserve(*address, record.id);  // another's: that is told when this one starts
  }
}

void Networks::expect_no_more(const std::string& container) {
  std::lock_guard lock(mutex_);
  for (const auto& [id, live] : by_id_)
    if (!live->users.contains(container)) live->forget(container);
}

}  // namespace berth::engine

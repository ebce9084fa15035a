// SPDX-License-Identifier: Apache-2.0
// Published ports: where the host's packets reach a container, claimed, published and given back.
#include <algorithm>

#include "base/log.h"
#include "engine/network_options.h"
#include "engine/network_places.h"
#include "engine/networks.h"
#include "engine/port_mapping.h"

namespace berth::engine {

using netlink::IpAddress;
using netlink::Ipv4Address;
using netlink::Ipv6Address;

// Ports are published to where the host can send packets, and may.
bool Networks::publishes(const Attachment& attachment) const {
  std::lock_guard lock(mutex_);
  Result<LivePointer> live = look_up(attachment.network);
  return attachment.endpoint && live && (*live)->bridge && has_way_out((*live)->record);
}

std::string Networks::host_gateway(const ContainerRecord& record) const {
  if (!settings_.host_gateway.empty()) return settings_.host_gateway;
  std::lock_guard lock(mutex_);
  bool elsewhere = false;  // where the gateway is a stranger
  for (const Attachment& one : record.attachments) {
    Result<LivePointer> live = look_up(one.network);
    if (one.endpoint && live && (*live)->bridge) return one.endpoint->gateway.text();
    elsewhere = elsewhere || one.endpoint;
  }
  return elsewhere && default_->bridge ? default_->bridge->gateway().text() : "127.0.0.1";
}

// Where the container is reached in that family.
const Attachment* Networks::reached_by(const std::vector<Attachment>& attachments, bool v6) const {
  return way_out(attachments,
                 [&](const Attachment& one) { return publishes(one) && (!v6 || has_ipv6(one)); });
}

Networks::Reached Networks::reached(const ContainerRecord& record) const {
  Reached reached{reached_by(record.attachments, false), reached_by(record.attachments, true)};
  if (!reached.ipv4) return reached;
  std::lock_guard lock(mutex_);
  if (Result<LivePointer> live = look_up(reached.ipv4->network))
    reached.binding = host_binding((*live)->record);
  return reached;
}

// The host's addresses where it shall be.
static Result<std::vector<IpAddress>> published_at(const WantedPort& wanted,
                                                   const Networks::Reached& reached) {
  std::vector<IpAddress> addresses;
  if (wanted.host_address)
    addresses = {*wanted.host_address};
  else if (reached.binding)
    addresses = {*reached.binding};
  else if (reached.ipv6)
    addresses = {IpAddress(Ipv4Address{}), IpAddress(Ipv6Address{})};
  else
    addresses = {IpAddress(Ipv4Address{})};
  if (addresses.back().is_v6 && !reached.ipv6)
    return fail(
        ErrorKind::invalid,
        "cannot publish on the IPv6 address {}: the container has none itself; create its network with "
        "--ipv6",
        addresses.back().text());
  return addresses;
}

// Where it had a port of the host before, as that one if nobody else has it.
Result<void> Networks::claim_port(ContainerRecord& record, const WantedPort& wanted, const Reached& reached,
                                  const std::vector<network::PublishedPort>& before) {
  const std::vector<IpAddress> addresses = TRY(published_at(wanted, reached));
  const std::string& protocol = wanted.container.protocol;
  auto claim = [&]() -> Result<std::uint16_t> {
    for (const network::PublishedPort& port : before)
      if (port.protocol == protocol && port.container_port == wanted.container.port &&
          (wanted.host.first == 0 ||
           (wanted.host.first <= port.host_port && port.host_port <= wanted.host.last)))
        if (Result<std::uint16_t> same =
                ports_.claim(record.id, protocol, addresses, {port.host_port, port.host_port}))
          return same;
    return ports_.claim(record.id, protocol, addresses, wanted.host);
  };
  const std::uint16_t host_port = TRY(claim());
  for (const IpAddress& address : addresses)
    record.ports.push_back({protocol, address, host_port,
                            address.is_v6 ? IpAddress(reached.ipv6->endpoint->ipv6->address)
                                          : IpAddress(reached.ipv4->endpoint->address),
                            wanted.container.port, 1});
  return {};
}

Result<void> Networks::claim_ports(ContainerRecord& record,
                                   const std::vector<network::PublishedPort>& before) {
  const std::vector<WantedPort> wanted = TRY(wanted_ports(record.config, record.host_config));
  const Reached at = reached(record);
  if (wanted.empty() || !at.ipv4) return {};
  for (const WantedPort& port : wanted)
    TRY_AS("driver failed programming external connectivity on endpoint " + record.name,
           claim_port(record, port, at, before));
  if (!firewall_) return fail(ErrorKind::unavailable, "ports cannot be published: there is no firewall");
  return firewall_->publish(merge_ports(record.ports));
}

void Networks::release_ports(ContainerRecord& record) {
  ports_.release(record.id);
  if (firewall_)
    if (Result<void> withdrawn = firewall_->withdraw(merge_ports(record.ports)); !withdrawn)
      log_warning("network", "container {}: {}", record.id, withdrawn.error().message);
  record.ports.clear();
}

// Whether its ports can be published as they are wanted when that place is gone.
Result<void> Networks::check_ports_without(const ContainerRecord& record, const Attachment& gone) const {
  ContainerRecord left = record;
  std::erase_if(left.attachments, [&](const Attachment& one) { return one.network == gone.network; });
  const Reached at = reached(left);
  if (!at.ipv4) return {};
  const std::vector<WantedPort> wanted = TRY(wanted_ports(record.config, record.host_config));
  for (const WantedPort& port : wanted)
    TRY_AS("disconnect from the network " + gone.network_name, published_at(port, at));
  return {};
}

}  // namespace berth::engine

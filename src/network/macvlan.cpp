// SPDX-License-Identifier: Apache-2.0
#include "network/macvlan.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <thread>

#include "base/log.h"
#include "base/text.h"

namespace berth::network {
namespace {

constexpr std::uint16_t kMostVlan = 4094;
constexpr int kAttempts = 150;  // some three seconds
constexpr std::chrono::milliseconds kPause(20);

std::string parent_mark(const std::string& owner) { return "berth parent of " + owner; }

Result<netlink::Link> must_find(netlink::Socket& netlink, const std::string& name) {
  std::optional<netlink::Link> link = TRY(netlink.find_link(name));
  if (!link) return fail(ErrorKind::conflict, "the interface {} was removed as soon as it was made", name);
  return std::move(*link);
}

// Marked before anything else: what has no mark is somebody else's.
Result<netlink::Link> mark_and_raise(netlink::Socket& netlink, const std::string& name,
                                     const std::string& owner) {
  netlink::Link link = TRY(must_find(netlink, name));
  netlink::Batch batch;
  batch.set_alias(link.index, parent_mark(owner));
  batch.change_link(link.index, {.up = true});
  TRY(netlink.execute(batch));
  return must_find(netlink, name);
}

Result<void> delete_link(netlink::Socket& netlink, const std::string& name) {
  netlink::Batch batch;
  batch.delete_link(name);
  Result<void> deleted = netlink.execute(batch);
  if (!deleted && deleted.error().code == ENODEV) return {};
  return deleted;
}

}  // namespace

Result<MacvlanMode> parse_macvlan_mode(std::string_view text) {
  if (text.empty() || text == "bridge") return MacvlanMode::bridge;
  if (text == "private") return MacvlanMode::isolated;
  if (text == "vepa") return MacvlanMode::vepa;
  if (text == "passthru") return MacvlanMode::passthru;
  return fail(ErrorKind::invalid,
              "requested macvlan mode '{}' is not valid, 'bridge' mode is the macvlan driver default: use "
              "bridge, private, vepa or passthru",
              text);
}

std::optional<VlanName> parse_vlan_name(std::string_view name) {
  const std::size_t dot = name.rfind('.');
  if (dot == std::string_view::npos || dot == 0) return std::nullopt;
  std::optional<std::uint16_t> id = parse_integer<std::uint16_t>(name.substr(dot + 1));
  if (!id || *id < 1 || *id > kMostVlan) return std::nullopt;
  return VlanName{std::string(name.substr(0, dot)), *id};
}

std::string unconnected_parent(const std::string& network) { return "dm-" + network.substr(0, 12); }

MacvlanNetwork::MacvlanNetwork(netlink::Socket netlink, const MacvlanSettings& settings)
    : settings_(settings), netlink_(std::move(netlink)), pool_(settings.subnet, settings.range) {}

Result<std::unique_ptr<MacvlanNetwork>> MacvlanNetwork::open(const MacvlanSettings& settings) {
  netlink::Socket netlink = TRY(netlink::Socket::open());
  std::unique_ptr<MacvlanNetwork> network(new MacvlanNetwork(std::move(netlink), settings));
  TRY(network->pool_.reserve(settings.gateway));
  for (const Ipv4Address& excluded : settings.excluded)
    if (excluded != settings.gateway) TRY(network->pool_.reserve(excluded));
  return network;
}

Result<void> MacvlanNetwork::make_parent() {
  std::lock_guard lock(mutex_);
  TRY(find_or_make_parent());
  return {};
}

Result<netlink::Link> MacvlanNetwork::find_or_make_parent() {
  const std::string& name = settings_.parent;
  if (std::optional<netlink::Link> link = TRY(netlink_.find_link(name))) return std::move(*link);
  std::optional<VlanName> vlan = parse_vlan_name(name);
  if (!settings_.unconnected && !vlan)
    return fail(ErrorKind::invalid,
                "the parent interface {} is not on this host; a VLAN of one that is can be given as eth0.10, "
                "1 to {}",
                name, kMostVlan);
  TRY(settings_.unconnected ? make_unconnected() : make_vlan(*vlan));
  Result<netlink::Link> made = mark_and_raise(netlink_, name, settings_.owner);
  if (!made) (void)delete_link(netlink_, name);
  return made;
}

Result<void> MacvlanNetwork::make_vlan(const VlanName& vlan) {
  std::optional<netlink::Link> base = TRY(netlink_.find_link(vlan.parent));
  if (!base)
    return fail(ErrorKind::invalid, "there is neither {} nor its parent interface {} on this host",
                settings_.parent, vlan.parent);
  netlink::Batch batch;
  batch.create_vlan(settings_.parent, base->index, vlan.id);
  Result<void> made = netlink_.execute(batch);
  if (!made && made.error().code == EOPNOTSUPP)
    return fail(ErrorKind::unsupported, "{} cannot be made: this kernel has no VLANs (8021q)",
                settings_.parent);
  return made;
}

// A dummy; where the kernel has none, a veth pair that leads to itself. Its carrier is what containers' links
// take theirs from.
Result<void> MacvlanNetwork::make_unconnected() {
  netlink::Batch dummy;
  dummy.create_dummy(settings_.parent, {});
  Result<void> made = netlink_.execute(dummy);
  if (made || made.error().code != EOPNOTSUPP) return made;
  std::string other = settings_.parent;
  other[1] = 'p';
  netlink::Batch pair;
  pair.create_veth(other, {.up = true}, {.name = settings_.parent});
  return netlink_.execute(pair);
}

Result<netlink::Link> MacvlanNetwork::usable_parent() {
  netlink::Link parent = TRY(find_or_make_parent());
  if (!parent.up)
    return fail(ErrorKind::unavailable, "the parent interface {} is down: set it up first", parent.name);
  return parent;
}

Result<void> MacvlanNetwork::reserve(const netlink::IpAddress& address, const std::string& container) {
  if (address.is_v6 || !settings_.subnet.contains(address.v4())) return {};
  std::lock_guard lock(mutex_);
  return pool_.reserve(address.v4(), container);
}

void MacvlanNetwork::forget(const std::string& container) {
  std::lock_guard lock(mutex_);
  pool_.release_all(container);
}

Result<Ipv4Address> MacvlanNetwork::lease(const AttachRequest& request) {
  if (settings_.mode == MacvlanMode::passthru) {
    if (pool_.has_owner_beside(request.container))
      return fail(ErrorKind::conflict, "a macvlan network in passthru mode is for one container at a time");
    if (request.mac)
      return fail(ErrorKind::invalid,
                  "a container on a macvlan network in passthru mode has the MAC address of {}: it cannot be "
                  "given one",
                  settings_.parent);
  }
  if (!request.address) return pool_.allocate(request.container);
  TRY(pool_.reserve(*request.address, request.container));
  return *request.address;
}

Result<Endpoint> MacvlanNetwork::attach(Sandbox& sandbox, const AttachRequest& request) {
  const std::string task = "attach " + request.container + " to a network on " + settings_.parent;
  netlink::Link parent;
  Endpoint endpoint;
  {
    std::lock_guard lock(mutex_);
    parent = TRY_AS(task, usable_parent());
    endpoint.address = TRY_AS(task, lease(request));
  }
  endpoint.prefix_length = settings_.subnet.length;
  endpoint.gateway = settings_.gateway;
  endpoint.interface_name = request.interface_name;
  endpoint.mac = settings_.mode == MacvlanMode::passthru ? parent.mac.value_or(netlink::MacAddress{})
                                                         : request.mac.value_or(mac_for(endpoint.address));
  // The kernel takes a namespace apart in its own time: until then the link of the one before has the parent,
  // or the MAC address that goes with the network address.
  Result<void> connected = connect(sandbox, request, endpoint, parent);
  for (int attempt = 0; attempt < kAttempts && !connected && occupied(connected.error()); ++attempt) {
    std::this_thread::sleep_for(kPause);
    connected = connect(sandbox, request, endpoint, parent);
  }
  if (connected) return endpoint;
  detach(endpoint);
  return std::unexpected(std::move(connected).error().within(task));
}

Result<void> MacvlanNetwork::connect(Sandbox& sandbox, const AttachRequest& request, const Endpoint& endpoint,
                                     const netlink::Link& parent) {
  const bool passthru = settings_.mode == MacvlanMode::passthru;
  netlink::Batch batch;
  batch.create_macvlan({.name = request.interface_name,
                        .parent = parent.index,
                        .mode = settings_.mode,
                        .namespace_descriptor = sandbox.descriptor(),
                        .mac = passthru ? std::nullopt : std::optional(endpoint.mac),
                        .mtu = settings_.mtu});
  {
    std::lock_guard lock(mutex_);
    TRY(netlink_.execute(batch));
  }
  Result<void> configured = configure(sandbox, request, endpoint);
  if (!configured) (void)remove_from(sandbox, endpoint);
  return configured;
}

bool MacvlanNetwork::occupied(const Error& error) const {
  return error.code == EADDRINUSE || (settings_.mode == MacvlanMode::passthru && error.code == EINVAL);
}

Result<void> MacvlanNetwork::configure(Sandbox& sandbox, const AttachRequest& request,
                                       const Endpoint& endpoint) {
  const netlink::Link link = TRY(must_find(sandbox.netlink(), request.interface_name));
  netlink::Batch batch;
  batch.change_link(link.index, {.up = true});
  batch.add_address(link.index, {endpoint.address, endpoint.prefix_length});
  if (request.default_route && !settings_.unconnected)
    batch.add_route({.destination = {}, .gateway = endpoint.gateway, .interface = link.index});
  return sandbox.netlink().execute(batch);
}

Result<void> MacvlanNetwork::remove_from(Sandbox& sandbox, const Endpoint& endpoint) {
  return delete_link(sandbox.netlink(), endpoint.interface_name);
}

void MacvlanNetwork::detach(const Endpoint& endpoint) {
  std::lock_guard lock(mutex_);
  pool_.release(endpoint.address);
}

bool MacvlanNetwork::in_use() {
  std::lock_guard lock(mutex_);
  return pool_.has_owner_beside("");
}

Result<void> MacvlanNetwork::remove_parent() {
  std::lock_guard lock(mutex_);
  std::optional<netlink::Link> link = TRY(netlink_.find_link(settings_.parent));
  if (!link || link->alias != parent_mark(settings_.owner)) return {};
  return delete_link(netlink_, settings_.parent);
}

void remove_abandoned_parents(netlink::Socket& netlink, const std::string& owner,
                              const std::set<std::string>& used) {
  Result<std::vector<netlink::Link>> links = netlink.links();
  if (!links) return log_warning("network", "look for abandoned parents: {}", links.error().message);
  for (const netlink::Link& link : *links) {
    if (link.alias != parent_mark(owner) || used.contains(link.name)) continue;
    if (Result<void> deleted = delete_link(netlink, link.name); !deleted)
      log_warning("network", "remove the abandoned {}: {}", link.name, deleted.error().message);
  }
}

}  // namespace berth::network

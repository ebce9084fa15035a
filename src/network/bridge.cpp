// SPDX-License-Identifier: Apache-2.0
#include "network/bridge.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "network/abandoned.h"

namespace berth::network {
namespace {

constexpr int kMostNames = 100;  // tried when foreign devices have the ones before

// Stricter than the kernel: the name goes into nft text and sysctl paths as it is.
Result<void> check_bridge_name(std::string_view name) {
  auto plain = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
  };
  if (name.empty() || name.size() > 15 || !std::all_of(name.begin(), name.end(), plain))
    return fail(ErrorKind::invalid, "'{}' is not a bridge name: up to 15 letters, digits, '-' and '_'", name);
  if (name.starts_with(kSegmentPrefix))  // the Firewall has rules of its own for these
    return fail(ErrorKind::invalid, "the bridge name {} is taken: choose one without {} before it", name,
                kSegmentPrefix);
  return {};
}

// "berth0", "berth1", ...; a name without digits at its end gets some.
std::string numbered(const std::string& name, int offset) {
  if (offset == 0) return name;
  const std::size_t digits = name.find_last_not_of("0123456789") + 1;
  const int start = parse_integer<int>(name.substr(digits)).value_or(0);
  return name.substr(0, digits) + std::to_string(start + offset);
}

}  // namespace

netlink::MacAddress mac_for(Ipv4Address address) {
  const std::uint32_t value = address.value;
  return {0x02,
          0x42,
          static_cast<unsigned char>(value >> 24),
          static_cast<unsigned char>(value >> 16),
          static_cast<unsigned char>(value >> 8),
          static_cast<unsigned char>(value)};
}

namespace {

// The bridge as it is on the host, if it is there: found by its mark, for its name may be a later number.
Result<std::optional<netlink::Link>> find_ours(netlink::Socket& netlink, const BridgeSettings& settings) {
  std::vector<netlink::Link> links = TRY(netlink.links());
  for (netlink::Link& link : links)
    if (link.kind == "bridge" && link.alias == bridge_mark(settings.owner, settings.network))
      return std::move(link);
  return std::nullopt;
}

Result<netlink::Link> make_bridge(netlink::Socket& netlink, const BridgeSettings& settings) {
  for (int offset = 0; offset < kMostNames; ++offset) {
    const std::string name = numbered(settings.name, offset);
    TRY(check_bridge_name(name));
    netlink::Batch batch;
    batch.create_bridge(name, {.mtu = settings.mtu});
    Result<void> made = netlink.execute(batch);
    if (!made && made.error().code == EEXIST && !settings.named_by_user) continue;
    if (!made) return std::unexpected(std::move(made).error());
    std::optional<netlink::Link> link = TRY(netlink.find_link(name));
    if (!link) return fail(ErrorKind::conflict, "the bridge {} was removed as soon as it was made", name);
    netlink::Batch mark;
    mark.set_alias(link->index, bridge_mark(settings.owner, settings.network));
    TRY(netlink.execute(mark));
    return std::move(*link);
  }
  return fail(ErrorKind::conflict, "{} and the {} names after it belong to devices that are not ours",
              settings.name, kMostNames - 1);
}

// The address that the bridge shall have, with its subnet's prefix length.
Result<Ipv4Prefix> decide_address(netlink::Socket& netlink, const netlink::Link& link,
                                  const BridgeSettings& settings) {
  std::optional<Ipv4Prefix> present;
  std::vector<netlink::InterfaceAddress> addresses = TRY(netlink.addresses());
  for (const netlink::InterfaceAddress& address : addresses)
    if (address.interface == link.index) present = address.address;
  Ipv4Prefix subnet;
  if (settings.subnet)
    subnet = settings.subnet->subnet();
  else if (present)
    subnet = present->subnet();
  else
    subnet = TRY(choose_subnet(netlink, settings.pools, settings.avoided));
  if (subnet.length < 1 || subnet.length > 30)
    return fail(ErrorKind::invalid, "the subnet {} has no room for containers", subnet.text());
  const Ipv4Address gateway = settings.gateway.value_or(Ipv4Address{subnet.address.value + 1});
  if (!subnet.contains(gateway) || gateway == subnet.address || gateway == subnet.broadcast())
    return fail(ErrorKind::invalid, "the gateway {} is not a host's address in the subnet {}", gateway.text(),
                subnet.text());
  return Ipv4Prefix{gateway, subnet.length};
}

// Exactly that address, a MAC that does not change with the ports, and up.
Result<void> configure_bridge(netlink::Socket& netlink, const netlink::Link& link, const Ipv4Prefix& address,
                              const BridgeSettings& settings) {
  netlink::Batch batch;
  bool there = false;
  std::vector<netlink::InterfaceAddress> addresses = TRY(netlink.addresses());
  for (const netlink::InterfaceAddress& one : addresses) {
    if (one.interface != link.index) continue;
    if (one.address == address)
      there = true;
    else
      batch.remove_address(link.index, one.address);
  }
  if (!there) batch.add_address(link.index, address);
  batch.change_link(link.index, {.mac = mac_for(address.address), .mtu = settings.mtu, .up = true});
  if (settings.ipv6) {
    batch.set_address(link.index, {settings.ipv6->gateway, settings.ipv6->subnet.length});
    batch.accept_loopback(link.index);
  }
  return netlink.execute(batch);
}

// Where the kernel's br_netfilter translates addresses within the bridge, a published port of a neighbour's
// is the neighbour's own for an isolated port.
void warn_of_bridge_filter(const std::string& bridge) {
  Result<std::string> on = read_file("/proc/sys/net/bridge/bridge-nf-call-iptables");
  if (on && trim(*on) == "1")
    log_warning(
        "network",
        "net.bridge.bridge-nf-call-iptables is 1: containers on {} do not reach each other's published "
        "ports either",
        bridge);
}

std::string ipv6_setting(const std::string& bridge, const char* name) {
  return fmt::format("/proc/sys/net/ipv6/conf/{}/{}", bridge, name);
}

bool is_link_local(const Ipv6Address& address) {
  return address.bytes[0] == 0xfe && (address.bytes[1] & 0xc0) == 0x80;
}

// Whether it has an address that it should not have, of a network that was set up otherwise.
Result<bool> has_other_ipv6(netlink::Socket& netlink, const netlink::Link& link, const Ipv6Address& wanted) {
  const std::vector<netlink::InterfaceAddress6> addresses = TRY(netlink.ipv6_addresses());
  return std::any_of(addresses.begin(), addresses.end(), [&](const netlink::InterfaceAddress6& one) {
    return one.interface == link.index && one.address.address != wanted &&
           !is_link_local(one.address.address);
  });
}

// The host neither takes router advertisements from containers (they could become its IPv6 gateway) nor, on a
// network without IPv6, speaks it with them at all. A kernel without IPv6 has none of these files.
Result<void> set_ipv6_sysctls(netlink::Socket& netlink, const netlink::Link& link,
                              const BridgeSettings& settings) {
  const std::string disabled = ipv6_setting(link.name, "disable_ipv6");
  (void)write_existing(ipv6_setting(link.name, "accept_ra"), "0");
  if (!settings.ipv6) {
    (void)write_existing(disabled, "1");
    return {};
  }
  if (TRY(has_other_ipv6(netlink, link, settings.ipv6->gateway))) TRY(write_existing(disabled, "1"));
  Result<void> enabled = write_existing(disabled, "0");
  if (!enabled && enabled.error().code == ENOENT)
    return fail(ErrorKind::unsupported, "this kernel has no IPv6: create the network without --ipv6");
  TRY(std::move(enabled));
  // A neighbour's word must not take the gateway's address away.
  (void)write_existing(ipv6_setting(link.name, "accept_dad"), "0");
  return {};
}

Result<Ipv4Prefix> make_ready(netlink::Socket& netlink, const netlink::Link& link,
                              const BridgeSettings& settings) {
  const Ipv4Prefix address = TRY(decide_address(netlink, link, settings));
  TRY(set_ipv6_sysctls(netlink, link, settings));
  TRY(configure_bridge(netlink, link, address, settings));
  return address;
}

// Somebody else's: only what containers cannot do without is added.
Result<Ipv4Prefix> make_foreign_ready(netlink::Socket& netlink, const netlink::Link& link,
                                      const BridgeSettings& settings) {
  const std::vector<netlink::InterfaceAddress> addresses = TRY(netlink.addresses());
  const auto on_link = [&](const netlink::InterfaceAddress& one) { return one.interface == link.index; };
  if (!settings.subnet && std::none_of(addresses.begin(), addresses.end(), on_link))
    return fail(ErrorKind::invalid, "the bridge {} has no IPv4 address: give it one, or choose the subnet",
                link.name);
  const Ipv4Prefix address = TRY(decide_address(netlink, link, settings));
  netlink::Batch batch;
  if (std::none_of(addresses.begin(), addresses.end(), [&](const netlink::InterfaceAddress& one) {
        return on_link(one) && one.address == address;
      }))
    batch.add_address(link.index, address);
  if (settings.ipv6) batch.set_address(link.index, {settings.ipv6->gateway, settings.ipv6->subnet.length});
  batch.change_link(link.index, {.up = true});
  TRY(netlink.execute(batch));
  return address;
}

// A foreign bridge of the name that the user has chosen, if there is one.
Result<std::optional<netlink::Link>> find_foreign(netlink::Socket& netlink, const BridgeSettings& settings) {
  if (!settings.named_by_user) return std::nullopt;
  std::optional<netlink::Link> link = TRY(netlink.find_link(settings.name));
  if (!link) return std::nullopt;
  if (link->kind != "bridge")
    return fail(ErrorKind::conflict, "the interface {} is there and is no bridge: choose another name",
                settings.name);
  if (is_bridge_mark(link->alias))
    return fail(ErrorKind::conflict, "the bridge {} is another network's: choose another name",
                settings.name);
  return link;
}

std::string random_host_name() { return "veth" + random_identifier().substr(0, 8); }

}  // namespace

BridgeNetwork::BridgeNetwork(netlink::Socket netlink, const netlink::Link& link, BridgeSegments segments,
                             bool foreign, const Ipv4Prefix& address, const BridgeSettings& settings)
    : netlink_(std::move(netlink)),
      segments_(std::move(segments)),
      pool_(address.subnet(), settings.range),
      name_(link.name),
      index_(link.index),
      foreign_(foreign),
      subnet_(address.subnet()),
      gateway_(address.address),
      ipv6_(settings.ipv6),
      mtu_(settings.mtu),
      isolated_(settings.isolated) {
  ipv6_settings_ = open_file("/proc/sys/net/ipv6/conf", O_PATH | O_DIRECTORY).value_or(Fd());
  way_out_ = settings.way_out.value_or(gateway_);
  if (ipv6_) way_out6_ = settings.way_out6.value_or(ipv6_->gateway);
  if (ipv6_) pool6_.emplace(ipv6_->subnet, ipv6_->range);
}

Result<std::unique_ptr<BridgeNetwork>> BridgeNetwork::open(const BridgeSettings& settings) {
  TRY(check_bridge_name(settings.name));
  netlink::Socket netlink = TRY(netlink::Socket::open());
  if (std::optional<netlink::Link> ours = TRY(find_ours(netlink, settings)))
    return open_on(*ours, false, settings);
  if (std::optional<netlink::Link> foreign = TRY(find_foreign(netlink, settings)))
    return open_on(*foreign, true, settings);
  const netlink::Link made = TRY(make_bridge(netlink, settings));
  Result<std::unique_ptr<BridgeNetwork>> opened = open_on(made, false, settings);
  if (!opened) {
    netlink::Batch away;
    away.delete_link(made.name);
    (void)netlink.execute(away);
  }
  return opened;
}

Result<std::unique_ptr<BridgeNetwork>> BridgeNetwork::open_on(const netlink::Link& link, bool foreign,
                                                              const BridgeSettings& settings) {
  netlink::Socket netlink = TRY(netlink::Socket::open());
  const Ipv4Prefix address =
      TRY(foreign ? make_foreign_ready(netlink, link, settings) : make_ready(netlink, link, settings));
  BridgeSegments segments = TRY(
      BridgeSegments::find(netlink, link, bridge_mark(settings.owner, settings.network),
                           {.mtu = settings.mtu, .isolated = settings.isolated, .ports = settings.ports}));
  std::unique_ptr<BridgeNetwork> network(
      new BridgeNetwork(std::move(netlink), link, std::move(segments), foreign, address, settings));
  TRY(network->pool_.reserve(address.address));
  for (const Ipv4Address& excluded : settings.excluded)
    if (excluded != address.address) TRY(network->pool_.reserve(excluded));
  TRY(network->keep_ways_out());
  TRY(network->look_at_ports());
  TRY(network->isolate_ports());
  if (settings.isolated) warn_of_bridge_filter(link.name);
  if (!settings.ipv6) return network;
  TRY(network->pool6_->reserve(settings.ipv6->gateway));
  for (const Ipv6Address& excluded : settings.excluded6)
    if (excluded != settings.ipv6->gateway) TRY(network->pool6_->reserve(excluded));
  return network;
}

// Nobody is given the address of another gateway.
Result<void> BridgeNetwork::keep_ways_out() {
  constexpr const char* outside = "the default gateway {} is not in the subnet {}";
  if (way_out_ != gateway_) {
    if (!subnet_.contains(way_out_))
      return fail(ErrorKind::invalid, outside, way_out_.text(), subnet_.text());
    TRY(pool_.reserve(way_out_));
  }
  if (!ipv6_ || way_out6_ == ipv6_->gateway) return {};
  if (!ipv6_->subnet.contains(way_out6_))
    return fail(ErrorKind::invalid, outside, way_out6_.text(), ipv6_->subnet.text());
  return pool6_->reserve(way_out6_);
}

Result<void> BridgeNetwork::reserve(const netlink::IpAddress& address, const std::string& container) {
  std::lock_guard lock(mutex_);
  if (!address.is_v6)
    return subnet_.contains(address.v4()) ? pool_.reserve(address.v4(), container) : Result<void>();
  const Ipv6Address v6{address.bytes};
  return ipv6_ && ipv6_->subnet.contains(v6) ? pool6_->reserve(v6, container) : Result<void>();
}

void BridgeNetwork::forget(const std::string& container) {
  std::lock_guard lock(mutex_);
  pool_.release_all(container);
  if (pool6_) pool6_->release_all(container);
}

Result<void> BridgeNetwork::lease(const AttachRequest& request, Endpoint& endpoint) {
  std::lock_guard lock(mutex_);
  if (request.address) TRY(pool_.reserve(*request.address, request.container));
  endpoint.address = request.address ? *request.address : TRY(pool_.allocate(request.container));
  endpoint.prefix_length = subnet_.length;
  endpoint.gateway = way_out_;
  if (!pool6_) return {};
  Result<Ipv6Address> address = [&]() -> Result<Ipv6Address> {
    if (!request.address6) return pool6_->allocate(request.container);
    TRY(pool6_->reserve(*request.address6, request.container));
    return *request.address6;
  }();
  if (!address) {
    pool_.release(endpoint.address);
    return std::unexpected(std::move(address).error());
  }
  endpoint.ipv6 = Endpoint6{*address, ipv6_->subnet.length, way_out6_};
  return {};
}

void BridgeNetwork::give_back(const Endpoint& endpoint) {
  std::lock_guard lock(mutex_);
  pool_.release(endpoint.address);
  if (endpoint.ipv6 && pool6_) pool6_->release(endpoint.ipv6->address);
}

// The host's end is a port and nothing else. With IPv6 of its own it would get an address and routes, which
// costs the more the more such ends there are.
Result<void> BridgeNetwork::make_pair(Sandbox& sandbox, const PreparedInterface& wanted) {
  std::lock_guard lock(mutex_);
  netlink::Batch make, start;
  make.create_veth(wanted.host_name, {.mtu = mtu_, .master = TRY(segments_.room(netlink_))},
                   {.name = wanted.name, .namespace_descriptor = sandbox.descriptor(), .mtu = mtu_});
  TRY(netlink_.execute(make));
  if (ipv6_settings_)
    (void)write_existing(
        fmt::format("/proc/self/fd/{}/{}/disable_ipv6", ipv6_settings_.get(), wanted.host_name), "1");
  // With br_netfilter, what a container sends to a port that itself has published never leaves the bridge.
  start.set_hairpin(wanted.host_name);
  start.set_up(wanted.host_name);
  return netlink_.execute(start);
}

Result<void> BridgeNetwork::prepare(Sandbox& sandbox, const std::string& interface_name) {
  PreparedInterface made{.bridge = index_, .name = interface_name, .host_name = random_host_name()};
  auto make = [&]() -> Result<void> {
    TRY(make_pair(sandbox, made));
    // Before the pair has a carrier: there is no moment in which the container reaches its neighbours.
    return isolated_ ? isolate_ports(made.host_name) : Result<void>();
  };
  if (Result<void> done = make(); !done) {
    (void)delete_interface(made.host_name);
    return done;
  }
  std::optional<netlink::Link> link = TRY(sandbox.netlink().find_link(interface_name));
  if (!link) return fail(ErrorKind::conflict, "the interface {} is gone", interface_name);
  made.index = link->index;
  sandbox.prepared = std::move(made);
  return {};
}

Result<Endpoint> BridgeNetwork::attach(Sandbox& sandbox, const AttachRequest& request) {
  const std::string task = "attach " + request.container + " to " + name_;
  Endpoint endpoint;
  TRY_AS(task, lease(request, endpoint));
  endpoint.mac = request.mac.value_or(mac_for(endpoint.address));
  endpoint.interface_name = request.interface_name;

  auto connect = [&]() -> Result<void> {
    const bool ready = sandbox.prepared && sandbox.prepared->bridge == index_ &&
                       sandbox.prepared->name == request.interface_name;
    if (!ready) TRY(prepare(sandbox, request.interface_name));
    const PreparedInterface interface = *std::exchange(sandbox.prepared, std::nullopt);
    endpoint.host_interface_name = interface.host_name;
    Result<void> configured = configure(sandbox, interface, request, endpoint);
    if (!configured) (void)delete_interface(interface.host_name);
    return configured;
  };
  Result<void> connected = connect();
  if (connected) {
    settle_carrier(endpoint.host_interface_name);
    return endpoint;
  }
  give_back(endpoint);
  return std::unexpected(std::move(connected).error().within(task));
}

Result<void> BridgeNetwork::configure(Sandbox& sandbox, const PreparedInterface& interface,
                                      const AttachRequest& request, const Endpoint& endpoint) {
  if (endpoint.ipv6) TRY(enable_ipv6(sandbox.descriptor(), interface.name));
  netlink::Batch batch;
  batch.change_link(interface.index, {.mac = endpoint.mac, .up = true});
  batch.add_address(interface.index, {endpoint.address, endpoint.prefix_length});
  if (request.default_route)
    batch.add_route({.destination = {}, .gateway = endpoint.gateway, .interface = interface.index});
  if (endpoint.ipv6) {
    batch.set_address(interface.index, {endpoint.ipv6->address, endpoint.ipv6->prefix_length});
    if (request.default_route6) batch.add_default_route(endpoint.ipv6->gateway, interface.index);
  }
  return sandbox.netlink().execute(batch);
}

// The pair has its carrier now, but the host's end forwards only once the kernel's link watcher has run, in
// its own time; until then packets are dropped, and TCP tries again after a second. Asking for a link makes
// the kernel catch up for it first (rtnl_getlink, since Linux 6.9; older ones just answer).
void BridgeNetwork::settle_carrier(const std::string& host_name) {
  std::lock_guard lock(mutex_);
  (void)netlink_.find_link(host_name);
  (void)netlink_.find_link(name_);  // the first port gives the bridge its own carrier
}

// One port, or all that are there: an earlier engine may have been set up otherwise. A foreign bridge has
// ports that are not containers'.
Result<void> BridgeNetwork::isolate_ports(const std::string& host_name) {
  std::lock_guard lock(mutex_);
  netlink::Batch batch;
  std::vector<netlink::Link> links;
  if (host_name.empty() && foreign_) return {};
  if (host_name.empty())
    links = TRY(netlink_.links());
  else if (std::optional<netlink::Link> link = TRY(netlink_.find_link(host_name)))
    links.push_back(std::move(*link));
  for (const netlink::Link& link : links)
    if (segments_.holds(link.master) && !segments_.is_way_out(link))
      batch.isolate_port(link.index, isolated_);
  if (batch.empty()) return {};
  return netlink_.execute(batch);
}

Result<void> BridgeNetwork::look_at_ports() {
  const std::vector<netlink::Link> links = TRY(netlink_.links());
  for (const netlink::Link& link : links) {
    found_links_.insert(link.name);
    if (segments_.holds(link.master) && link.kind == "veth" && !is_bridge_mark(link.alias))
      found_ports_.insert(link.name);
  }
  return {};
}

bool BridgeNetwork::found_interface(const Endpoint& endpoint) const {
  return found_links_.contains(endpoint.host_interface_name);
}

void BridgeNetwork::remove_others_found(const std::set<std::string>& host_names) {
  for (const std::string& name : std::exchange(found_ports_, {})) {
    if (foreign_ || host_names.contains(name)) continue;
    log_warning("network", "the interface {} on {} belongs to no container: it is removed", name, name_);
    if (Result<void> deleted = delete_interface(name); !deleted)
      log_warning("network", "{}", deleted.error().message);
  }
}

Result<void> BridgeNetwork::delete_interface(const std::string& host_name) {
  netlink::Batch batch;
  batch.delete_link(host_name);
  std::lock_guard lock(mutex_);
  Result<void> deleted = netlink_.execute(batch);
  if (!deleted && deleted.error().code == ENODEV) return {};
  return deleted;
}

void BridgeNetwork::forget_connections(const netlink::IpAddress& address) {
  std::lock_guard lock(connections_mutex_);
  if (!connections_) {
    Result<netlink::Connections> opened = netlink::Connections::open();
    if (!opened) return log_warning("network", "{}", opened.error().message);
    connections_ = std::move(*opened);
  }
  if (Result<void> forgotten = connections_->forget_address(address); !forgotten)
    log_warning("network", "connections with {}: {}", address.text(), forgotten.error().message);
}

// The addresses come last: until then nobody else has them.
Result<void> BridgeNetwork::detach(const Endpoint& endpoint, bool remove_interface) {
  Result<void> removed;
  if (remove_interface) removed = delete_interface(endpoint.host_interface_name);
  forget_connections(endpoint.address);
  if (endpoint.ipv6) forget_connections(endpoint.ipv6->address);
  give_back(endpoint);
  return removed;
}

bool BridgeNetwork::in_use() {
  std::lock_guard lock(mutex_);
  return pool_.has_owner_beside("");
}

Result<void> BridgeNetwork::remove() {
  std::lock_guard lock(mutex_);
  TRY(segments_.remove(netlink_));
  if (foreign_) return {};
  netlink::Batch batch;
  batch.delete_link(name_);
  return netlink_.execute(batch);
}

}  // namespace berth::network

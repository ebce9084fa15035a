// SPDX-License-Identifier: Apache-2.0
// Containers' places on networks: planned at their creation, taken at their start, given back at their end.
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <functional>
#include <set>

#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "engine/links.h"
#include "engine/modes.h"
#include "engine/network_options.h"
#include "engine/networks.h"
#include "engine/port_mapping.h"

namespace berth::engine {
namespace {

using netlink::IpAddress;
using netlink::Ipv4Address;
using netlink::Ipv6Address;

constexpr std::size_t kMostAliases = names::kMostNames - 2;  // the name and the id are names as well

// The process may have ended, and its number may be another's by now: never the host's own network.
Result<Fd> open_network_of(int process) {
  Fd ns = TRY(open_file(fmt::format("/proc/{}/ns/net", process), O_RDONLY));
  struct stat found, own;
  if (fstat(ns.get(), &found) != 0 || stat("/proc/self/ns/net", &own) != 0)
    return fail_errno(errno, "inspect a container's network");
  if (found.st_ino == own.st_ino) return fail(ErrorKind::conflict, "the container has just ended");
  return ns;
}

Result<network::Sandbox> sandbox_of(int process) {
  return network::Sandbox::adopt(TRY(open_network_of(process)));
}

std::string interface_name(const std::string& prefix, const std::vector<Attachment>& attachments) {
  for (int number = 0;; ++number) {
    std::string name = prefix + std::to_string(number);
    if (std::none_of(attachments.begin(), attachments.end(), [&](const Attachment& one) {
          return one.endpoint && one.endpoint->interface_name == name;
        }))
      return name;
  }
}

bool has_ipv6(const Attachment& one) { return one.endpoint && one.endpoint->ipv6; }

std::vector<IpAddress> addresses_of(const network::Endpoint& endpoint) {
  std::vector<IpAddress> addresses{endpoint.address};
  if (endpoint.ipv6) addresses.emplace_back(endpoint.ipv6->address);
  return addresses;
}

names::Endpoint endpoint_names(const ContainerRecord& record, const Attachment& attachment) {
  names::Endpoint endpoint{record.id, names_on(record, attachment), {}};
  for (const IpAddress& address : addresses_of(*attachment.endpoint))
    endpoint.addresses.push_back(*names::Address::parse(address.text()));
  return endpoint;
}

}  // namespace

std::vector<std::string> names_on(const ContainerRecord& record, const Attachment& attachment) {
  std::vector<std::string> names{record.name};
  names.insert(names.end(), attachment.settings.aliases.begin(), attachment.settings.aliases.end());
  names.push_back(record.id.substr(0, 12));
  return names;
}

Attachment Networks::attachment_of(const Live& live, EndpointSettings settings) const {
  return {live.record.id, live.record.name, std::move(settings), std::nullopt};
}

Result<void> Networks::check_address6(const Live& live, const std::string& text) const {
  std::optional<Ipv6Address> address = Ipv6Address::parse(text);
  if (!address) return fail(ErrorKind::invalid, "invalid IPv6 address: {}", text);
  if (!live.record.ipv6)
    return fail(ErrorKind::invalid, "no configured subnet contains IP address {}: the network {} has no IPv6",
                text, live.record.name);
  if (!live.record.subnet6_chosen_by_user)
    return fail(ErrorKind::invalid,
                "user specified IP address is supported only when connecting to networks with user "
                "configured subnets");
  if (!live.record.ipv6->subnet.contains(*address))
    return fail(ErrorKind::invalid, "no configured subnet contains IP address {}: the network {} has {}",
                text, live.record.name, live.record.ipv6->subnet.text());
  return {};
}

Result<void> Networks::check_settings(const Live& live, const EndpointSettings& settings) const {
  if (settings.aliases.size() > kMostAliases)
    return fail(ErrorKind::invalid, "a container has at most {} aliases on a network, not {}", kMostAliases,
                settings.aliases.size());
  for (const std::string& link : settings.links) TRY(parse_link(link));
  if (!settings.ipv6_address.empty()) TRY(check_address6(live, settings.ipv6_address));
  if (!settings.mac_address.empty() && !netlink::parse_mac(settings.mac_address))
    return fail(ErrorKind::invalid, "invalid MAC address: {}", settings.mac_address);
  if (settings.ipv4_address.empty()) return {};
  std::optional<Ipv4Address> address = Ipv4Address::parse(settings.ipv4_address);
  if (!address) return fail(ErrorKind::invalid, "invalid IPv4 address: {}", settings.ipv4_address);
  if (&live == default_.get() || !live.has_places())
    return fail(ErrorKind::invalid, "user specified IP address is supported on user defined networks only");
  if (!live.record.subnet_chosen_by_user)
    return fail(ErrorKind::invalid,
                "user specified IP address is supported only when connecting to networks with user "
                "configured subnets");
  if (!live.record.subnet.contains(*address))
    return fail(ErrorKind::invalid, "no configured subnet contains IP address {}: the network {} has {}",
                settings.ipv4_address, live.record.name, live.record.subnet.text());
  return {};
}

Result<std::vector<Attachment>> Networks::plan(const HostConfig& host,
                                               std::map<std::string, EndpointSettings> endpoints) const {
  if (network_kind(host.network_mode) == NetworkKind::container) {
    if (endpoints.empty()) return std::vector<Attachment>{};
    return fail(ErrorKind::invalid,
                "conflicting options: a container in another's network cannot be connected to networks");
  }
  std::lock_guard lock(mutex_);
  std::vector<Attachment> planned;
  auto add = [&](const std::string& reference, EndpointSettings settings) -> Result<void> {
    LivePointer live = TRY(look_up(reference));
    for (Attachment& one : planned)
      if (one.network == live->record.id)
        return fail(ErrorKind::invalid, "network {} is given twice", live->record.name);
    TRY(check_settings(*live, settings));
    planned.push_back(attachment_of(*live, std::move(settings)));
    return {};
  };
  const std::string mode =
      host.network_mode.empty() || host.network_mode == "default" ? "bridge" : host.network_mode;
  LivePointer primary = TRY(look_up(mode));
  EndpointSettings settings;
  for (auto entry = endpoints.begin(); entry != endpoints.end(); ++entry) {
    Result<LivePointer> named = look_up(entry->first);
    if (!named || *named != primary) continue;
    settings = std::move(entry->second);
    endpoints.erase(entry);
    break;
  }
  TRY(add(mode, std::move(settings)));
  for (auto& [name, one] : endpoints) TRY(add(name, std::move(one)));
  const bool alone = planned.front().network_name == "host" || planned.front().network_name == "none";
  if (alone && planned.size() > 1)
    return fail(ErrorKind::invalid, "conflicting options: the network {} cannot be combined with others",
                planned.front().network_name);
  return planned;
}

Result<void> Networks::attach_one(network::Sandbox& sandbox, const ContainerRecord& record,
                                  Attachment& attachment, WaysOut ways) {
  network::AttachRequest request;
  request.container = record.id;
  request.default_route = ways.ipv4;
  request.default_route6 = ways.ipv6;
  if (!attachment.settings.ipv4_address.empty())
    request.address = Ipv4Address::parse(attachment.settings.ipv4_address);
  if (!attachment.settings.ipv6_address.empty())
    request.address6 = Ipv6Address::parse(attachment.settings.ipv6_address);
  const std::string& mac =
      attachment.settings.mac_address.empty() ? record.mac_address : attachment.settings.mac_address;
  if (!mac.empty()) {
    request.mac = netlink::parse_mac(mac);
    if (!request.mac) return fail(ErrorKind::invalid, "invalid MAC address: {}", mac);
  }
  LivePointer live;
  {
    std::lock_guard lock(mutex_);
    live = TRY(look_up(attachment.network));
    if (!live->has_places())
      return fail(ErrorKind::unavailable,
                  "this engine has no bridge for the network {}: use --network none or --network host",
                  live->record.name);
    live->users[record.id] = {record.id, record.name, {}};  // it cannot be removed from here on
    request.interface_name = interface_name(interface_prefix(live->record), record.attachments);
  }
  Result<network::Endpoint> endpoint =
      live->macvlan ? live->macvlan->attach(sandbox, request) : live->bridge->attach(sandbox, request);
  {
    std::lock_guard lock(mutex_);
    if (!endpoint) {
      live->users.erase(record.id);
      return std::unexpected(
          std::move(endpoint).error().within("attach to the network " + live->record.name));
    }
    live->users[record.id].endpoint = *endpoint;
  }
  attachment.endpoint = *endpoint;
  names_.set_endpoint(live->record.id, endpoint_names(record, attachment));
  publish(*live, "connect", record.id);
  return {};
}

void Networks::detach_one(const ContainerRecord& record, Attachment& attachment, bool remove_interface) {
  std::optional<network::Endpoint> endpoint = std::exchange(attachment.endpoint, std::nullopt);
  if (!endpoint) return;
  LivePointer live;
  {
    std::lock_guard lock(mutex_);
    Result<LivePointer> found = look_up(attachment.network);
    if (!found || !(*found)->has_places()) return;
    // It ended when no engine was there, or its end was not written down before a kill.
    if (!(*found)->users.contains(record.id)) {
      if (abandoned_) abandoned_->push_back({record.id, *found, *endpoint});
      return;
    }
    live = *found;
  }
  names_.remove_endpoint(live->record.id, record.id);
  if (live->macvlan)
    live->macvlan->detach(*endpoint);
  else if (Result<void> detached = live->bridge->detach(*endpoint, remove_interface); !detached)
    log_warning("network", "container {}: {}", record.id, detached.error().message);
  {
    std::lock_guard lock(mutex_);
    live->users.erase(record.id);
  }
  publish(*live, "disconnect", record.id);
}

// A macvlan link is in the container's namespace alone. One that stays there would answer for an address that
// somebody else has next.
void Networks::remove_inside(const Attachment& attachment, int process) {
  {
    std::lock_guard lock(mutex_);
    Result<LivePointer> live = look_up(attachment.network);
    if (process == 0 || !attachment.endpoint || !live || !(*live)->macvlan) return;
  }
  Result<network::Sandbox> sandbox = sandbox_of(process);
  if (!sandbox) return;  // it has just ended, and the link with it
  if (Result<void> removed = network::MacvlanNetwork::remove_from(*sandbox, *attachment.endpoint); !removed)
    log_warning("network", "disconnect from {}: {}", attachment.network_name, removed.error().message);
}

bool Networks::leads_out(const Attachment& attachment) const {
  std::lock_guard lock(mutex_);
  Result<LivePointer> live = look_up(attachment.network);
  return live && has_way_out((*live)->record);
}

bool Networks::leads_out6(const Attachment& attachment) const {
  std::lock_guard lock(mutex_);
  Result<LivePointer> live = look_up(attachment.network);
  return live && has_way_out((*live)->record) && (*live)->record.ipv6;
}

// Ports are published to where the host can send packets, and may.
bool Networks::publishes(const Attachment& attachment) const {
  std::lock_guard lock(mutex_);
  Result<LivePointer> live = look_up(attachment.network);
  return attachment.endpoint && live && (*live)->bridge && has_way_out((*live)->record);
}

names::View Networks::view_of(const ContainerRecord& record) const {
  names::View view;
  view.forward = false;
  std::lock_guard lock(mutex_);
  for (const Attachment& attachment : record.attachments) {
    view.networks.push_back(attachment.network);
    if (Result<LivePointer> live = look_up(attachment.network); live && has_way_out((*live)->record))
      view.forward = true;
  }
  for (const std::string& text : record.host_config.dns.empty() ? settings_.dns : record.host_config.dns)
    if (std::optional<names::Server> server = names::Server::parse(text);
        server && view.servers.size() < names::kMostServers)
      view.servers.push_back(*server);
  return view;
}

// Which way out: the highest priority among those that have one, then the first.
static const Attachment* way_out(const std::vector<Attachment>& attachments,
                                 const std::function<bool(const Attachment&)>& leads_out) {
  const Attachment* best = nullptr;
  for (const Attachment& one : attachments)
    if (leads_out(one) && (!best || one.settings.gateway_priority > best->settings.gateway_priority))
      best = &one;
  return best;
}

Result<network::Sandbox> Networks::attach(ContainerRecord& record) {
  for (Attachment& one : record.attachments) one.endpoint.reset();  // of a start that a kill cut short
  record.named_by_resolver = false;
  record.ports.clear();
  const bool isolated = record.attachments.empty() || record.config.network_disabled ||
                        record.attachments.front().network_name == "none";
  if (isolated) return plain_sandboxes_->take();
  const bool on_default = record.attachments.front().network == default_->record.id;
  network::Sandbox sandbox =
      TRY(on_default && bridged_sandboxes_ ? bridged_sandboxes_->take() : plain_sandboxes_->take());
  const Attachment* out = way_out(record.attachments, [&](const Attachment& one) { return leads_out(one); });
  const Attachment* out6 =
      way_out(record.attachments, [&](const Attachment& one) { return leads_out6(one); });
  auto take_places = [&]() -> Result<void> {
    for (Attachment& one : record.attachments)
      TRY(attach_one(sandbox, record, one, {&one == out, &one == out6}));
    return claim_ports(record);
  };
  if (Result<void> taken = take_places(); !taken) {
    release(record);
    return std::unexpected(std::move(taken).error());
  }
  if (sandbox.name_sockets) {
    Result<Fd> ns = sandbox.share();
    record.named_by_resolver =
        ns && names_.add_sandbox(record.id, view_of(record), std::move(*ns), *sandbox.name_sockets);
  }
  sandbox.name_sockets.reset();
  return sandbox;
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

void Networks::renamed(const ContainerRecord& record) {
  for (const Attachment& one : record.attachments) {
    {
      std::lock_guard lock(mutex_);
      Result<LivePointer> live = look_up(one.network);
      if (!one.endpoint || !live || !(*live)->users.contains(record.id)) continue;
      (*live)->users[record.id].name = record.name;
    }
    names_.set_endpoint(one.network, endpoint_names(record, one));
  }
}

void Networks::release(ContainerRecord& record) {
  names_.remove_sandbox(record.id);
  release_ports(record);
  for (Attachment& one : record.attachments) detach_one(record, one, false);
}

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

bool Networks::adopt(ContainerRecord& record, int process) {
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
  if (Result<Fd> ns = open_network_of(process))
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

void Networks::recovered() {
  if (firewall_)
    if (Result<void> loaded = firewall_->load(); !loaded)
      log_warning("network", "containers reach only this host and each other: {}", loaded.error().message);
  if (Result<void> forwards = forwarding_.turn_on(); !forwards)
    log_warning("network", "containers reach only this host: {}", forwards.error().message);
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

Result<void> Networks::connect(ContainerRecord& record, int process, const std::string& reference,
                               const EndpointSettings& settings) {
  if (network_kind(record.host_config.network_mode) == NetworkKind::host ||
      network_kind(record.host_config.network_mode) == NetworkKind::container)
    return fail(
        ErrorKind::denied,
        "container sharing network namespace with another container or host cannot be connected to any other "
        "network");
  Attachment attachment;
  {
    std::lock_guard lock(mutex_);
    LivePointer live = TRY(look_up(reference));
    if (live->record.name == "host" || live->record.name == "none")
      return fail(ErrorKind::denied, "a container cannot be connected to the network {}", live->record.name);
    if (std::any_of(record.attachments.begin(), record.attachments.end(),
                    [](const Attachment& one) { return one.network_name == "none"; }))
      return fail(ErrorKind::denied,
                  "container cannot be connected to multiple networks with one of the networks in private "
                  "(none) mode");
    for (const Attachment& one : record.attachments)
      if (one.network == live->record.id)
        return fail(ErrorKind::denied, "endpoint with name {} already exists in network {}", record.name,
                    live->record.name);
    TRY(check_settings(*live, settings));
    attachment = attachment_of(*live, settings);
  }
  if (process == 0) {
    record.attachments.push_back(std::move(attachment));
    return {};
  }
  network::Sandbox sandbox = TRY(sandbox_of(process));
  const Ways before = ways_of(record);
  TRY(attach_one(sandbox, record, attachment, {}));
  record.attachments.push_back(attachment);
  if (Result<void> settled = settle(sandbox, record, before); !settled) {
    detach_one(record, record.attachments.back(), true);
    record.attachments.pop_back();
    (void)settle(sandbox, record, ways_of(record));
    return settled;
  }
  names_.change_view(record.id, view_of(record));
  return {};
}

Networks::Ways Networks::ways_of(const ContainerRecord& record) const {
  auto name = [](const Attachment* one) { return one ? one->network : std::string(); };
  return {name(way_out(record.attachments,
                       [&](const Attachment& one) { return one.endpoint && leads_out(one); })),
          name(way_out(record.attachments,
                       [&](const Attachment& one) { return one.endpoint && leads_out6(one); })),
          name(reached_by(record.attachments, false)), name(reached_by(record.attachments, true))};
}

// After a place has come or gone: default routes and published ports go by the networks that they shall go by
// now. What a container has set itself is touched only where that is another one than before.
Result<void> Networks::settle(network::Sandbox& sandbox, ContainerRecord& record, const Ways& before) {
  const Ways now = ways_of(record);
  netlink::Batch routes;
  for (const Attachment& one : record.attachments) {
    const bool out = one.network == now.out && now.out != before.out;
    const bool out6 = one.network == now.out6 && now.out6 != before.out6;
    if (!out && !out6) continue;
    std::optional<netlink::Link> link = TRY(sandbox.netlink().find_link(one.endpoint->interface_name));
    if (!link) return fail(ErrorKind::conflict, "the interface {} is gone", one.endpoint->interface_name);
    if (out) routes.replace_default_route(one.endpoint->gateway, link->index);
    if (out6) routes.replace_default_route(one.endpoint->ipv6->gateway, link->index);
  }
  if (!routes.empty()) TRY(sandbox.netlink().execute(routes));
  if (now.reached == before.reached && now.reached6 == before.reached6) return {};
  const std::vector<network::PublishedPort> ports = record.ports;
  release_ports(record);
  Result<void> claimed = claim_ports(record, ports);
  if (!claimed) release_ports(record);
  return claimed;
}

Result<void> Networks::disconnect(ContainerRecord& record, int process, const std::string& reference,
                                  bool force) {
  std::string id;
  {
    std::lock_guard lock(mutex_);
    Result<LivePointer> live = look_up(reference);
    if (!live && !force) return std::unexpected(std::move(live).error());
    id = live ? (*live)->record.id : reference;
  }
  auto found = std::find_if(record.attachments.begin(), record.attachments.end(), [&](const Attachment& one) {
    return one.network == id || one.network_name == reference;
  });
  if (found == record.attachments.end())
    return fail(ErrorKind::denied, "container {} is not connected to network {}", record.id, reference);
  if (found->network_name == "host" || found->network_name == "none")
    return fail(ErrorKind::denied, "container cannot be disconnected from the network {}",
                found->network_name);
  TRY(check_ports_without(record, *found));
  const Ways before = ways_of(record);
  const bool reached = found->network == before.reached || found->network == before.reached6;
  const std::vector<network::PublishedPort> ports = record.ports;
  if (reached) release_ports(record);  // before the address can be another's
  remove_inside(*found, process);
  detach_one(record, *found, true);
  record.attachments.erase(found);
  names_.change_view(record.id, view_of(record));
  if (process == 0) return {};
  // It is disconnected, whatever comes now.
  record.ports = ports;
  Result<network::Sandbox> sandbox = sandbox_of(process);
  if (!sandbox) {
    if (reached) record.ports.clear();
    return {};
  }
  if (Result<void> settled = settle(*sandbox, record, before); !settled)
    log_warning("network", "container {}: {}", record.id, settled.error().message);
  return {};
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

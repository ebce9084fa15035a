// SPDX-License-Identifier: Apache-2.0
// Containers' places on networks: planned at their creation, taken at their start, given back at their end.
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>

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

std::string interface_name(const std::vector<Attachment>& attachments) {
  for (int number = 0;; ++number) {
    std::string name = "eth" + std::to_string(number);
    if (std::none_of(attachments.begin(), attachments.end(), [&](const Attachment& one) {
          return one.endpoint && one.endpoint->interface_name == name;
        }))
      return name;
  }
}

bool has_ipv6(const Attachment& one) { return one.endpoint && one.endpoint->ipv6; }

// Refused where there is one already.
void restore_route6(network::Sandbox& sandbox, const network::Endpoint& endpoint) {
  Result<std::optional<netlink::Link>> link = sandbox.netlink().find_link(endpoint.interface_name);
  if (!link || !*link) return;
  netlink::Batch batch;
  batch.add_default_route(endpoint.ipv6->gateway, (*link)->index);
  (void)sandbox.netlink().execute(batch);
}

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
                                  Attachment& attachment, const std::string& interface_name, WaysOut ways) {
  network::AttachRequest request;
  request.container = record.id;
  request.hostname = hostname_of(record);
  request.interface_name = interface_name;
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

// Ports are published to where the host can send packets.
bool Networks::publishes(const Attachment& attachment) const {
  std::lock_guard lock(mutex_);
  Result<LivePointer> live = look_up(attachment.network);
  return attachment.endpoint && live && (*live)->bridge;
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
  const Attachment* out6 = way_out(record.attachments, [&](const Attachment& one) {
    std::lock_guard lock(mutex_);
    Result<LivePointer> live = look_up(one.network);
    return live && !(*live)->record.internal && (*live)->record.ipv6;
  });
  auto take_places = [&]() -> Result<void> {
    for (Attachment& one : record.attachments)
      TRY(attach_one(sandbox, record, one, interface_name(record.attachments), {&one == out, &one == out6}));
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

// Where the container is reached in that family.
const network::Endpoint* Networks::reached_by(const std::vector<Attachment>& attachments, bool v6) const {
  const Attachment* out =
      way_out(attachments, [&](const Attachment& one) { return publishes(one) && (!v6 || has_ipv6(one)); });
  return out ? &*out->endpoint : nullptr;
}

Result<void> Networks::claim_port(ContainerRecord& record, const WantedPort& wanted) {
  const network::Endpoint* ipv4 = reached_by(record.attachments, false);
  const network::Endpoint* ipv6 = reached_by(record.attachments, true);
  std::vector<IpAddress> addresses;
  if (wanted.host_address)
    addresses = {*wanted.host_address};
  else if (ipv6)
    addresses = {IpAddress(Ipv4Address{}), IpAddress(Ipv6Address{})};
  else
    addresses = {IpAddress(Ipv4Address{})};
  if (addresses.back().is_v6 && !ipv6)
    return fail(
        ErrorKind::invalid,
        "cannot publish on the IPv6 address {}: the container has none itself; create its network with "
        "--ipv6",
        addresses.back().text());
  const std::uint16_t host_port =
      TRY(ports_.claim(record.id, wanted.container.protocol, addresses, wanted.host));
  for (const IpAddress& address : addresses)
    record.ports.push_back({wanted.container.protocol, address, host_port,
                            address.is_v6 ? IpAddress(ipv6->ipv6->address) : IpAddress(ipv4->address),
                            wanted.container.port, 1});
  return {};
}

Result<void> Networks::claim_ports(ContainerRecord& record) {
  const std::vector<WantedPort> wanted = TRY(wanted_ports(record.config, record.host_config));
  if (wanted.empty() || !reached_by(record.attachments, false)) return {};
  for (const WantedPort& port : wanted)
    TRY_AS("driver failed programming external connectivity on endpoint " + record.name,
           claim_port(record, port));
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

void Networks::adopt(ContainerRecord& record, int process) {
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
  if (!record.named_by_resolver) return;
  if (Result<Fd> ns = open_network_of(process))
    names_.adopt_sandbox(record.id, view_of(record), std::move(*ns));
  else
    log_warning("network", "container {}: {}", record.id, ns.error().message);
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
    for (const Attachment& one : record.attachments)
      if (one.network == live->record.id)
        return fail(ErrorKind::denied, "endpoint with name {} already exists in network {}", record.name,
                    live->record.name);
    TRY(check_settings(*live, settings));
    attachment = attachment_of(*live, settings);
  }
  if (process != 0) {
    network::Sandbox sandbox = TRY(sandbox_of(process));
    const bool first =
        leads_out(attachment) && std::none_of(record.attachments.begin(), record.attachments.end(),
                                              [](const Attachment& one) { return one.endpoint.has_value(); });
    const bool first6 = std::none_of(record.attachments.begin(), record.attachments.end(), has_ipv6);
    TRY(attach_one(sandbox, record, attachment, interface_name(record.attachments), {first, first6}));
  }
  std::erase_if(record.attachments, [](const Attachment& one) { return one.network_name == "none"; });
  record.attachments.push_back(std::move(attachment));
  names_.change_view(record.id, view_of(record));
  return {};
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
  const bool had_ports =
      found->endpoint && std::any_of(record.ports.begin(), record.ports.end(), [&](const auto& port) {
        const std::vector<IpAddress> own = addresses_of(*found->endpoint);
        return std::find(own.begin(), own.end(), port.container_address) != own.end();
      });
  if (had_ports) release_ports(record);
  remove_inside(*found, process);
  detach_one(record, *found, true);
  record.attachments.erase(found);
  names_.change_view(record.id, view_of(record));
  if (process == 0) return {};
  // The default route went with the interface: it goes through another network now.
  const Attachment* out =
      way_out(record.attachments, [&](const Attachment& one) { return one.endpoint && leads_out(one); });
  if (!out) return had_ports ? claim_ports(record) : Result<void>();
  if (Result<network::Sandbox> sandbox = sandbox_of(process)) {
    netlink::Batch batch;
    batch.add_route({.destination = {}, .gateway = out->endpoint->gateway, .interface = 0});
    (void)sandbox->netlink().execute(batch);  // refused where there is one already
    if (const Attachment* out6 = way_out(record.attachments, has_ipv6))
      restore_route6(*sandbox, *out6->endpoint);
  }
  if (had_ports) return claim_ports(record);
  return {};
}

}  // namespace berth::engine

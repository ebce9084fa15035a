// SPDX-License-Identifier: Apache-2.0
// Containers' places on networks: planned at their creation, taken at their start, given back at their end.
#include <algorithm>

#include "base/log.h"
#include "base/text.h"
#include "engine/links.h"
#include "engine/modes.h"
#include "engine/network_options.h"
#include "engine/network_places.h"
#include "engine/networks.h"

namespace berth::engine {
namespace {

using netlink::IpAddress;
using netlink::Ipv4Address;
using netlink::Ipv6Address;

constexpr std::size_t kMostAliases = names::kMostNames - 2;  // the name and the id are names as well

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
  const std::vector<network::PublishedPort> ports = record.ports;
  TRY(attach_one(sandbox, record, attachment, {}));
  record.attachments.push_back(attachment);
  if (Result<void> settled = settle(sandbox, record, before); !settled) {
    const Ways failed = ways_of(record);
    release_ports(record);
    remove_inside(record.attachments.back(), process);
    detach_one(record, record.attachments.back(), true);
    record.attachments.pop_back();
    record.ports = ports;
    if (Result<void> restored = settle(sandbox, record, failed); !restored)
      log_warning("network", "container {}: {}", record.id, restored.error().message);
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

}  // namespace berth::engine

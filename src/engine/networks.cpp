// SPDX-License-Identifier: Apache-2.0
// Networks as objects. What containers do with them is in networks_use.cpp.
#include "engine/networks.h"

#include <algorithm>
#include <set>

#include "base/digest.h"
#include "base/log.h"
#include "base/text.h"
#include "engine/network_options.h"
#include "network/abandoned.h"

namespace berth::engine {
namespace {

using netlink::Ipv4Address;
using netlink::Ipv4Prefix;
using netlink::Ipv6Address;
using netlink::Ipv6Prefix;

constexpr std::size_t kReadySandboxes = 4;
constexpr std::size_t kOwnerLength = 12;

const std::set<std::string> kKnownOptions{"com.docker.network.bridge.name",
                                          "com.docker.network.bridge.enable_ip_masquerade",
                                          "com.docker.network.bridge.enable_icc",
                                          "com.docker.network.bridge.host_binding_ipv4",
                                          "com.docker.network.driver.mtu",
                                          "com.docker.network.bridge.default_bridge",
                                          "com.docker.network.container_iface_prefix",
                                          "com.docker.network.enable_ipv4",
                                          "com.docker.network.enable_ipv6"};

bool valid_name(const std::string& name) {
  auto plain = [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '.' || c == '-';
  };
  return !name.empty() && name.size() <= 255 && std::isalnum(static_cast<unsigned char>(name.front())) &&
         std::all_of(name.begin(), name.end(), plain);
}

std::string option(const NetworkRecord& record, const char* name) {
  auto found = record.options.find(name);
  return found == record.options.end() ? "" : found->second;
}

std::string bridge_network(const NetworkRecord& record) { return record.id.substr(0, 12); }

bool is_false(const std::string& text) { return text == "false" || text == "0"; }

names::Launch resolver_launch(const Settings& settings) {
  names::Launch launch;
  launch.program = settings.resolver_program;
  launch.socket_path = settings.exec_root + "/names.sock";
  return launch;
}

Result<Ipv4Prefix> parse_subnet(const std::string& text) {
  std::optional<Ipv4Prefix> subnet = Ipv4Prefix::parse(text);
  if (!subnet) return fail(ErrorKind::invalid, "invalid subnet {} : invalid CIDR block notation", text);
  if (subnet->subnet() != *subnet)
    return fail(ErrorKind::invalid, "invalid subnet {}: it should be {}", text, subnet->subnet().text());
  if (subnet->length < 1 || subnet->length > 30)
    return fail(ErrorKind::invalid, "the subnet {} has no room for containers: use /1 to /30", text);
  return *subnet;
}

Result<Ipv4Address> parse_address_in(const Ipv4Prefix& subnet, const std::string& what,
                                     const std::string& text) {
  std::optional<Ipv4Address> address = Ipv4Address::parse(text);
  if (!address) return fail(ErrorKind::invalid, "invalid {} \"{}\": not an IPv4 address", what, text);
  if (!subnet.contains(*address) || *address == subnet.address || *address == subnet.broadcast())
    return fail(ErrorKind::invalid, "invalid {} {}: not a host's address in the subnet {}", what, text,
                subnet.text());
  return *address;
}

Result<Ipv6Prefix> parse_subnet6(const std::string& text) {
  std::optional<Ipv6Prefix> subnet = Ipv6Prefix::parse(text);
  if (!subnet) return fail(ErrorKind::invalid, "invalid subnet {} : invalid CIDR block notation", text);
  if (subnet->subnet() != *subnet)
    return fail(ErrorKind::invalid, "invalid subnet {}: it should be {}", text, subnet->subnet().text());
  if (subnet->length < 8 || subnet->length > 126)
    return fail(ErrorKind::invalid, "the subnet {} has no room for containers: use /8 to /126", text);
  const auto first = subnet->address.bytes[0];
  if (first == 0xff || (first == 0xfe && (subnet->address.bytes[1] & 0xc0) == 0x80))
    return fail(ErrorKind::invalid, "invalid subnet {}: multicast and link-local addresses are no network's",
                text);
  return *subnet;
}

Result<Ipv6Address> parse_address_in(const Ipv6Prefix& subnet, const std::string& what,
                                     const std::string& text) {
  std::optional<Ipv6Address> address = Ipv6Address::parse(text);
  if (!address) return fail(ErrorKind::invalid, "invalid {} \"{}\": not an IPv6 address", what, text);
  if (!subnet.contains(*address) || *address == subnet.address)
    return fail(ErrorKind::invalid, "invalid {} {}: not a host's address in the subnet {}", what, text,
                subnet.text());
  return *address;
}

template <class Prefix>
Result<std::optional<Prefix>> parse_range_in(const Prefix& subnet, const std::string& text) {
  if (text.empty()) return std::nullopt;
  std::optional<Prefix> range = Prefix::parse(text);
  if (!range || range->length < subnet.length || !subnet.contains(range->address))
    return fail(ErrorKind::invalid, "invalid ip-range {}: not a part of the subnet {}", text, subnet.text());
  return range->subnet();
}

Result<void> read_ipv4(const IpamSetting& ipam, NetworkRecord& record) {
  record.subnet = TRY(parse_subnet(ipam.subnet));
  record.subnet_chosen_by_user = true;
  record.gateway = Ipv4Address{record.subnet.address.value + 1};
  if (!ipam.gateway.empty()) record.gateway = TRY(parse_address_in(record.subnet, "gateway", ipam.gateway));
  record.range = TRY(parse_range_in(record.subnet, ipam.range));
  for (const auto& [name, text] : ipam.auxiliary)
    TRY(parse_address_in(record.subnet, "auxiliary address", text));
  return {};
}

Result<void> read_ipv6(const IpamSetting& ipam, NetworkRecord& record) {
  network::Ipv6Subnet ipv6;
  ipv6.subnet = TRY(parse_subnet6(ipam.subnet));
  record.subnet6_chosen_by_user = true;
  ipv6.gateway = ipv6.subnet.host(1);
  if (!ipam.gateway.empty()) ipv6.gateway = TRY(parse_address_in(ipv6.subnet, "gateway", ipam.gateway));
  ipv6.range = TRY(parse_range_in(ipv6.subnet, ipam.range));
  for (const auto& [name, text] : ipam.auxiliary)
    TRY(parse_address_in(ipv6.subnet, "auxiliary address", text));
  record.ipv6 = ipv6;
  return {};
}

std::optional<Ipv6Prefix> subnet6_of(const network::BridgeNetwork& bridge) {
  if (!bridge.ipv6()) return std::nullopt;
  return bridge.ipv6()->subnet;
}

Result<void> read_ipam(const NewNetwork& wanted, NetworkRecord& record) {
  if (!wanted.ipam_driver.empty() && wanted.ipam_driver != "default")
    return fail(ErrorKind::not_found, "IPAM driver \"{}\" is not installed: use default", wanted.ipam_driver);
  for (const IpamSetting& one : wanted.ipam) {
    if (one.subnet.empty() && one.gateway.empty() && one.range.empty()) continue;
    if (one.subnet.empty()) return fail(ErrorKind::invalid, "a gateway or an IP range needs a --subnet");
    const bool is_v6 = one.subnet.find(':') != std::string::npos;
    if (is_v6 && !wanted.ipv6)
      return fail(ErrorKind::invalid, "the subnet {} is IPv6: create the network with --ipv6", one.subnet);
    if (is_v6 ? record.ipv6.has_value() : record.subnet.length > 0)
      return fail(ErrorKind::unsupported, "a network has one subnet of each family here: {} is the second",
                  one.subnet);
    TRY(is_v6 ? read_ipv6(one, record) : read_ipv4(one, record));
    record.auxiliary.insert(one.auxiliary.begin(), one.auxiliary.end());
  }
  return {};
}

}  // namespace

Networks::Networks(const Settings& settings, std::string engine_id, db::Database& database, EventBus& events)
    : settings_(settings),
      engine_id_(std::move(engine_id)),
      database_(database),
      events_(events),
      names_(resolver_launch(settings)) {}

std::unique_ptr<Networks> Networks::open(const Settings& settings, const std::string& engine_id,
                                         db::Database& database, EventBus& events) {
  std::unique_ptr<Networks> networks(new Networks(settings, engine_id, database, events));
  const std::string owner = engine_id.substr(0, kOwnerLength);
  Result<Fd> claim = network::claim_bridges_patiently(owner);
  if (claim)
    networks->claim_ = std::move(*claim);
  else
    log_warning("network", "{}; its bridges are used all the same", claim.error().message);
  Result<std::vector<NetworkRecord>> stored = networks->read_stored();
  networks->clear_abandoned(stored);
  Result<std::unique_ptr<network::Firewall>> firewall = network::Firewall::open(owner);
  if (firewall)
    networks->firewall_ = std::move(*firewall);
  else
    log_error("network", "no firewall: {}", firewall.error().message);
  networks->plain_sandboxes_ = std::make_unique<network::SandboxPool>(kReadySandboxes);
  networks->open_predefined();
  if (stored) networks->open_stored(std::move(*stored));
  return networks;
}

Networks::~Networks() {
  plain_sandboxes_.reset();
  bridged_sandboxes_.reset();
  bool left = false;
  for (const auto& [id, live] : by_id_) {
    if (!live->bridge) continue;
    if (live->bridge->in_use()) {
      left = true;
      continue;
    }
    if (Result<void> removed = live->bridge->remove(); !removed)
      log_warning("network", "remove the bridge {}: {}", live->bridge->name(), removed.error().message);
  }
  close_unused_macvlans();
  if (left || !firewall_) return;
  if (Result<void> dropped = firewall_->drop(); !dropped && dropped.error().kind != ErrorKind::unsupported)
    log_warning("network", "{}", dropped.error().message);
}

void Networks::open_predefined() {
  for (const char* name : {"bridge", "host", "none"}) {
    auto live = std::make_shared<Live>();
    live->record.id = sha256_of(engine_id_ + "/" + name).hex();
    live->record.name = name;
    live->record.driver = name == std::string_view("none") ? "null" : name;
    by_id_[live->record.id] = live;
    if (name == std::string_view("bridge")) default_ = live;
  }
  open_default_bridge();
}

void Networks::open_default_bridge() {
  if (settings_.bridge == "none") return;
  network::BridgeSettings bridge;
  if (!settings_.bridge.empty()) bridge.name = settings_.bridge;
  bridge.owner = engine_id_.substr(0, kOwnerLength);
  bridge.mtu = static_cast<std::uint32_t>(settings_.mtu);
  bridge.isolated = !settings_.icc;
  if (!settings_.bridge_address.empty()) {
    std::optional<Ipv4Prefix> address = Ipv4Prefix::parse(settings_.bridge_address);
    if (!address)
      return log_error("network", "no bridge network: invalid address '{}'", settings_.bridge_address);
    bridge.subnet = address->subnet();
    bridge.gateway = address->address;
  }
  if (settings_.ipv6) {
    std::optional<Ipv6Prefix> fixed = Ipv6Prefix::parse(settings_.fixed_cidr_v6);
    if (fixed)
      default_->record.ipv6 = network::Ipv6Subnet{fixed->subnet(), fixed->host(1), std::nullopt};
    else
      (void)choose_subnet6(default_->record);
    bridge.ipv6 = default_->record.ipv6;
  }
  Result<std::unique_ptr<network::BridgeNetwork>> opened = network::BridgeNetwork::open(bridge);
  if (!opened) return log_error("network", "no bridge network: {}", opened.error().message);
  default_->bridge = std::move(*opened);
  default_->record.subnet = default_->bridge->subnet();
  default_->record.gateway = default_->bridge->gateway();
  default_->record.options = {{"com.docker.network.bridge.default_bridge", "true"},
                              {"com.docker.network.bridge.enable_icc", settings_.icc ? "true" : "false"},
                              {"com.docker.network.bridge.enable_ip_masquerade", "true"},
                              {"com.docker.network.bridge.host_binding_ipv4", "0.0.0.0"},
                              {"com.docker.network.bridge.name", default_->bridge->name()},
                              {"com.docker.network.driver.mtu", std::to_string(settings_.mtu)}};
  names_.set_network(default_->record.id, default_->record.name);
  if (firewall_)
    (void)firewall_->add_bridge({default_->bridge->name(), default_->bridge->subnet(), true, false,
                                 !settings_.icc, subnet6_of(*default_->bridge)});
  bridged_sandboxes_ = std::make_unique<network::SandboxPool>(
      kReadySandboxes, [this](network::Sandbox& sandbox) { return default_->bridge->prepare(sandbox); });
}

Result<std::vector<NetworkRecord>> Networks::read_stored() {
  std::vector<std::string> damaged;
  Result<std::vector<NetworkRecord>> stored = load_networks(database_, damaged);
  for (const std::string& what : damaged) log_error("network", "left out: {}", what);
  if (!stored) log_error("network", "{}", stored.error().message);
  return stored;
}

// Without the records nothing can be said of our own bridges.
void Networks::clear_abandoned(const Result<std::vector<NetworkRecord>>& stored) {
  Result<netlink::Socket> netlink = netlink::Socket::open();
  if (!netlink || !stored) return;
  std::set<std::string> known{""};
  for (const NetworkRecord& record : *stored) known.insert(bridge_network(record));
  network::remove_abandoned_bridges(*netlink, engine_id_.substr(0, kOwnerLength), known);
  clear_abandoned_parents(*stored);
}

void Networks::open_stored(std::vector<NetworkRecord> stored) {
  for (NetworkRecord& record : stored) {
    auto live = std::make_shared<Live>();
    live->record = std::move(record);
    by_id_[live->record.id] = live;
    if (Result<void> opened = open_live(*live); !opened)
      log_error("network", "network {}: {}", live->record.name, opened.error().message);
  }
}

Result<network::BridgeSettings> Networks::bridge_settings(const NetworkRecord& record) const {
  network::BridgeSettings bridge;
  bridge.name = option(record, "com.docker.network.bridge.name");
  if (bridge.name.empty()) bridge.name = "br-" + record.id.substr(0, 12);
  bridge.owner = engine_id_.substr(0, kOwnerLength);
  bridge.network = bridge_network(record);
  bridge.mtu = static_cast<std::uint32_t>(settings_.mtu);
  if (const std::string mtu = option(record, "com.docker.network.driver.mtu"); !mtu.empty()) {
    std::optional<int> value = parse_integer<int>(mtu);
    if (!value || *value < 68 || *value > 65535)
      return fail(ErrorKind::invalid, "invalid com.docker.network.driver.mtu: {}", mtu);
    bridge.mtu = static_cast<std::uint32_t>(*value);
  }
  if (record.subnet.length > 0) {
    bridge.subnet = record.subnet;
    bridge.gateway = record.gateway;
  }
  bridge.isolated = !TRY(boolean_option(record, "com.docker.network.bridge.enable_icc", true));
  bridge.range = record.range;
  bridge.ipv6 = record.ipv6;
  for (const auto& [name, text] : record.auxiliary) {
    if (std::optional<Ipv4Address> address = Ipv4Address::parse(text)) bridge.excluded.push_back(*address);
    if (std::optional<Ipv6Address> address = Ipv6Address::parse(text)) bridge.excluded6.push_back(*address);
  }
  return bridge;
}

// A unique local one (RFC 4193): the 40 bits that are random by the book come from the engine's id, so that
// they stay the same; each network has the next 16 bits of its own. With mutex_ held.
Result<void> Networks::choose_subnet6(NetworkRecord& record) const {
  const std::string hex = sha256_of("unique local addresses of " + engine_id_).hex();
  Ipv6Prefix candidate{{}, 64};
  candidate.address.bytes[0] = 0xfd;
  for (std::size_t i = 0; i < 5; ++i)
    candidate.address.bytes[1 + i] = parse_integer<std::uint8_t>(hex.substr(2 * i, 2), 16).value_or(0);
  for (unsigned number = 0; number < 65536; ++number) {
    candidate.address.bytes[6] = static_cast<unsigned char>(number >> 8);
    candidate.address.bytes[7] = static_cast<unsigned char>(number & 0xff);
    const bool used = std::ranges::any_of(by_id_, [&](const auto& entry) {
      const auto& other = entry.second->record.ipv6;
      return other && other->subnet.overlaps(candidate);
    });
    if (used) continue;
    record.ipv6 = network::Ipv6Subnet{candidate, candidate.host(1), std::nullopt};
    return {};
  }
  return fail(ErrorKind::exhausted, "no unique local IPv6 subnet is left: choose one with --subnet");
}

Result<void> Networks::open_live(Live& live) {
  return live.record.driver == "macvlan" ? open_macvlan(live) : open_bridge(live);
}

// With making_ held, or while the engine opens.
Result<void> Networks::open_bridge(Live& live) {
  network::BridgeSettings settings = TRY(bridge_settings(live.record));
  {
    std::lock_guard lock(mutex_);
    for (const auto& [id, other] : by_id_)
      if (other.get() != &live && other->record.subnet.length > 0)
        settings.avoided.push_back(other->record.subnet);
  }
  std::unique_ptr<network::BridgeNetwork> bridge = TRY(network::BridgeNetwork::open(settings));
  live.record.subnet = bridge->subnet();
  live.record.gateway = bridge->gateway();
  if (firewall_) {
    const bool masquerade = !is_false(option(live.record, "com.docker.network.bridge.enable_ip_masquerade"));
    Result<void> added =
        firewall_->add_bridge({bridge->name(), bridge->subnet(), masquerade, live.record.internal,
                               settings.isolated, subnet6_of(*bridge)});
    if (!added) {
      (void)bridge->remove();
      return added;
    }
  }
  names_.set_network(live.record.id, live.record.name);
  live.bridge = std::move(bridge);
  return {};
}

Result<NetworkState> Networks::create(const NewNetwork& wanted) {
  if (!valid_name(wanted.name))
    return fail(ErrorKind::invalid, "invalid network name: {}: only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed",
                wanted.name);
  if (wanted.name == "default" || wanted.name == "container")
    return fail(ErrorKind::invalid, "network name {} is reserved", wanted.name);
  if (wanted.driver == "overlay")
    return fail(ErrorKind::unavailable,
                "This node is not a swarm manager: overlay networks need one; use the driver bridge");
  if (wanted.driver == "ipvlan")
    return fail(
        ErrorKind::unsupported,
        "ipvlan networks are not supported: the driver macvlan puts containers on an interface's wire");
  if (!wanted.driver.empty() && wanted.driver != "bridge" && wanted.driver != "default" &&
      wanted.driver != "macvlan")
    return fail(ErrorKind::not_found,
                "could not find network driver \"{}\": this engine has bridge and macvlan", wanted.driver);
  if (wanted.ipv6 && wanted.driver == "macvlan")
    return fail(ErrorKind::unsupported, "macvlan networks have IPv4 here: create it without --ipv6");
  auto live = std::make_shared<Live>();
  NetworkRecord& record = live->record;
  record.id = random_identifier();
  record.name = wanted.name;
  if (wanted.driver == "macvlan") record.driver = wanted.driver;
  record.created = now();
  record.internal = wanted.internal;
  record.attachable = wanted.attachable;
  record.options = wanted.options;
  record.labels = wanted.labels;
  TRY(read_ipam(wanted, record));
  for (const auto& [name, value] : record.options)
    if (name.starts_with("com.docker.network.") && !kKnownOptions.contains(name))
      return fail(ErrorKind::invalid, "unknown network option {}", name);

  std::lock_guard making(making_);
  {
    std::lock_guard lock(mutex_);
    for (const auto& [id, other] : by_id_) {
      if (other->record.name == record.name)
        return fail(ErrorKind::conflict, "network with name {} already exists", record.name);
      if (record.subnet.length > 0 && other->record.subnet.length > 0 &&
          record.subnet.overlaps(other->record.subnet))
        return fail(ErrorKind::denied,
                    "invalid pool request: Pool overlaps with other one on this address space: {} is the "
                    "network {}'s",
                    other->record.subnet.text(), other->record.name);
      if (record.ipv6 && other->record.ipv6 && record.ipv6->subnet.overlaps(other->record.ipv6->subnet))
        return fail(ErrorKind::denied,
                    "invalid pool request: Pool overlaps with other one on this address space: {} is the "
                    "network {}'s",
                    other->record.ipv6->subnet.text(), other->record.name);
    }
    if (wanted.ipv6 && !record.ipv6) TRY(choose_subnet6(record));
    TRY(check_parent(record));
  }
  if (Result<void> opened = open_live(*live); !opened) {
    names_.remove_network(record.id);
    return std::unexpected(std::move(opened).error());
  }
  if (Result<void> stored = insert_network(database_, record); !stored) {
    (void)remove_live(live);
    return std::unexpected(std::move(stored).error());
  }
  NetworkState state = state_of(*live);
  {
    std::lock_guard lock(mutex_);
    by_id_[record.id] = live;
  }
  publish(*live, "create");
  return state;
}

Result<Networks::LivePointer> Networks::look_up(const std::string& reference) const {
  if (auto exact = by_id_.find(reference); exact != by_id_.end()) return exact->second;
  for (const auto& [id, live] : by_id_)
    if (live->record.name == reference || (reference == "default" && live == default_)) return live;
  auto found = by_id_.lower_bound(reference);
  if (reference.size() >= 2 && found != by_id_.end() && found->first.starts_with(reference)) {
    auto next = std::next(found);
    if (next != by_id_.end() && next->first.starts_with(reference))
      return fail(ErrorKind::invalid, "network {} is ambiguous: several ids begin so", reference);
    return found->second;
  }
  return fail(ErrorKind::not_found, "network {} not found", reference);
}

NetworkState Networks::state_of(const Live& live) const {
  NetworkState state{live.record, {}};
  for (const auto& [id, user] : live.users)
    if (user.endpoint.address) state.users.push_back(user);
  return state;
}

Result<NetworkState> Networks::find(const std::string& reference) const {
  std::lock_guard lock(mutex_);
  return state_of(*TRY(look_up(reference)));
}

std::vector<NetworkState> Networks::all() const {
  std::lock_guard lock(mutex_);
  std::vector<NetworkState> states;
  for (const auto& [id, live] : by_id_) states.push_back(state_of(*live));
  return states;
}

Result<void> Networks::remove_live(const LivePointer& live) {
  names_.remove_network(live->record.id);
  if (live->macvlan) return close_macvlan(*live);
  if (!live->bridge) return {};
  if (firewall_) TRY(firewall_->remove_bridge(live->bridge->name()));
  return live->bridge->remove();
}

Result<void> Networks::remove(const std::string& reference) {
  std::lock_guard making(making_);
  LivePointer live;
  {
    std::lock_guard lock(mutex_);
    live = TRY(look_up(reference));
    const NetworkRecord& record = live->record;
    if (state_of(*live).predefined())
      return fail(ErrorKind::denied, "{} is a pre-defined network and cannot be removed", record.name);
    if (!live->users.empty()) {
      const NetworkUser& user = live->users.begin()->second;
      return fail(
          ErrorKind::denied,
          "error while removing network: network {} id {} has active endpoints (name:\"{}\" id:\"{}\")",
          record.name, record.id, user.name, user.container.substr(0, 12));
    }
    by_id_.erase(record.id);  // from now on nobody can attach to it
  }
  if (Result<void> forgotten = delete_network(database_, live->record.id); !forgotten) {
    std::lock_guard lock(mutex_);
    by_id_[live->record.id] = live;
    return forgotten;
  }
  if (Result<void> removed = remove_live(live); !removed)
    log_warning("network", "network {}: {}", live->record.name, removed.error().message);
  publish(*live, "destroy");
  return {};
}

std::vector<std::string> Networks::prune(const std::function<bool(const NetworkState&)>& wanted) {
  std::vector<std::string> removed;
  for (const NetworkState& state : all()) {
    if (state.predefined() || !state.users.empty() || !wanted(state)) continue;
    if (remove(state.record.id)) removed.push_back(state.record.name);
  }
  return removed;
}

void Networks::publish(const Live& live, const std::string& action, const std::string& container) {
  std::map<std::string, std::string> attributes{{"name", live.record.name}, {"type", live.record.driver}};
  if (!container.empty()) attributes["container"] = container;
  events_.publish({"network", action, live.record.id, std::move(attributes), {}});
}

}  // namespace berth::engine

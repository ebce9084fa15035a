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

bool valid_name(const std::string& name) {
  auto plain = [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '.' || c == '-';
  };
  return !name.empty() && name.size() <= 255 && std::isalnum(static_cast<unsigned char>(name.front())) &&
         std::all_of(name.begin(), name.end(), plain);
}

std::string bridge_network(const NetworkRecord& record) { return record.id.substr(0, 12); }

names::Launch resolver_launch(const Settings& settings) {
  names::Launch launch;
  launch.program = settings.resolver_program;
  launch.socket_path = settings.exec_root + "/names.sock";
  return launch;
}

std::optional<Ipv6Prefix> subnet6_of(const network::BridgeNetwork& bridge) {
  if (!bridge.ipv6()) return std::nullopt;
  return bridge.ipv6()->subnet;
}

Result<void> check_driver(const NewNetwork& wanted) {
  if (wanted.driver == "overlay" || wanted.scope == "swarm" || wanted.ingress)
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
  return {};
}

// By the flag or by the option.
Result<bool> wants_ipv6(const NewNetwork& wanted, const NetworkRecord& record) {
  return wanted.ipv6 || TRY(boolean_option(record, kIpv6Option, false));
}

Result<NetworkRecord> record_of(const NewNetwork& wanted) {
  if (!valid_name(wanted.name))
    return fail(ErrorKind::invalid, "invalid network name: {}: only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed",
                wanted.name);
  if (wanted.name == "default" || wanted.name == "container")
    return fail(ErrorKind::invalid, "network name {} is reserved", wanted.name);
  TRY(check_driver(wanted));
  NetworkRecord record;
  record.id = random_identifier();
  record.name = wanted.name;
  if (wanted.driver == "macvlan") record.driver = wanted.driver;
  record.created = now();
  record.internal = wanted.internal;
  record.attachable = wanted.attachable;
  record.options = wanted.options;
  record.labels = wanted.labels;
  TRY(check_options(record));
  const bool ipv6 = TRY(wants_ipv6(wanted, record));
  if (ipv6 && record.driver == "macvlan")
    return fail(ErrorKind::unsupported, "macvlan networks have IPv4 here: create it without --ipv6");
  if (!wanted.ipv4 || !TRY(boolean_option(record, kIpv4Option, true)))
    return fail(ErrorKind::unsupported, "networks without IPv4 are not supported: create it with both");
  TRY(read_ipam(wanted.ipam_driver, wanted.ipam, record, ipv6));
  return record;
}

}  // namespace

Networks::Networks(const Settings& settings, std::string engine_id, db::Database& database, EventBus& events)
    : settings_(settings),
      engine_id_(std::move(engine_id)),
      database_(database),
      events_(events),
      forwarding_(settings.exec_root),
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
  const Stored stored = networks->read_stored();
  networks->clear_abandoned(stored);
  Result<std::unique_ptr<network::Firewall>> firewall = network::Firewall::open(owner);
  if (firewall)
    networks->firewall_ = std::move(*firewall);
  else
    log_error("network", "no firewall: {}", firewall.error().message);
  networks->plain_sandboxes_ = std::make_unique<network::SandboxPool>(kReadySandboxes);
  networks->add_predefined();
  for (const NetworkRecord& record : stored.records) {
    auto live = std::make_shared<Live>();
    live->record = record;
    networks->by_id_[record.id] = live;
  }
  networks->open_default_bridge();  // which keeps away from what the others have
  networks->open_stored();
  networks->fence_others();
  return networks;
}

Networks::~Networks() {
  plain_sandboxes_.reset();
  bridged_sandboxes_.reset();
  bool left = fenced_;
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
  if (Result<void> off = forwarding_.turn_off(); !off) log_warning("network", "{}", off.error().message);
  if (Result<void> dropped = firewall_->drop(); !dropped && dropped.error().kind != ErrorKind::unsupported)
    log_warning("network", "{}", dropped.error().message);
}

// Noted and told to the firewall now; turned on once the firewall is loaded.
void Networks::want_forwarding(bool ipv6) {
  if (!settings_.forward) return;
  Result<void> wanted = forwarding_.want(false);
  if (wanted && ipv6) wanted = forwarding_.want(true);
  if (!wanted) log_warning("network", "containers reach only this host: {}", wanted.error().message);
  if (firewall_ && !settings_.forward_for_all)
    firewall_->set_forwards_for_us(forwarding_.is_ours(false), forwarding_.is_ours(true));
}

void Networks::turn_forwarding_on() {
  if (Result<void> on = forwarding_.turn_on(); !on)
    log_warning("network", "containers reach only this host: {}", on.error().message);
}

void Networks::add_predefined() {
  for (const char* name : {"bridge", "host", "none"}) {
    auto live = std::make_shared<Live>();
    live->record.id = sha256_of(engine_id_ + "/" + name).hex();
    live->record.name = name;
    live->record.driver = name == std::string_view("none") ? "null" : name;
    by_id_[live->record.id] = live;
    if (name == std::string_view("bridge")) default_ = live;
  }
}

Result<network::BridgeSettings> Networks::default_bridge_settings() {
  network::BridgeSettings bridge;
  bridge.named_by_user = !settings_.bridge.empty();
  if (bridge.named_by_user) bridge.name = settings_.bridge;
  bridge.owner = engine_id_.substr(0, kOwnerLength);
  bridge.mtu = static_cast<std::uint32_t>(settings_.mtu);
  bridge.isolated = !settings_.icc;
  bridge.avoided = subnets_beside(*default_);
  NetworkRecord& record = default_->record;
  if (!settings_.bridge_address.empty()) {
    const std::optional<Ipv4Prefix> address = Ipv4Prefix::parse(settings_.bridge_address);
    if (!address) return fail(ErrorKind::invalid, "invalid address '{}'", settings_.bridge_address);
    bridge.subnet = record.subnet = address->subnet();
    bridge.gateway = address->address;
  }
  bridge.pools = subnet_pools();
  bridge.way_out = Ipv4Address::parse(settings_.default_gateway);
  bridge.way_out6 = Ipv6Address::parse(settings_.default_gateway_v6);
  if (!settings_.fixed_cidr.empty()) bridge.range = Ipv4Prefix::parse(settings_.fixed_cidr);
  if (settings_.ipv6) {
    if (std::optional<Ipv6Prefix> fixed = Ipv6Prefix::parse(settings_.fixed_cidr_v6))
      record.ipv6 = network::Ipv6Subnet{fixed->subnet(), fixed->host(1), std::nullopt};
    else
      TRY(choose_subnet6(record));
    bridge.ipv6 = record.ipv6;
  }
  if (const Live* other = overlapping(record))
    return fail(ErrorKind::conflict, "bip or fixed-cidr-v6 overlaps with the network {}'s subnet",
                other->record.name);
  return bridge;
}

void Networks::open_default_bridge() {
  if (settings_.bridge == "none") return;
  auto open = [this]() -> Result<std::unique_ptr<network::BridgeNetwork>> {
    return network::BridgeNetwork::open(TRY(default_bridge_settings()));
  };
  Result<std::unique_ptr<network::BridgeNetwork>> opened = open();
  if (!opened) return log_error("network", "no bridge network: {}", opened.error().message);
  default_->bridge = std::move(*opened);
  NetworkRecord& record = default_->record;
  record.subnet = default_->bridge->subnet();
  record.gateway = default_->bridge->gateway();
  record.options = {{"com.docker.network.bridge.default_bridge", "true"},
                    {kIccOption, settings_.icc ? "true" : "false"},
                    {kMasqueradeOption, settings_.masquerade ? "true" : "false"},
                    {kHostBindingOption, settings_.published_at},
                    {kBridgeNameOption, default_->bridge->name()},
                    {kMtuOption, std::to_string(settings_.mtu)}};
  names_.set_network(record.id, record.name);
  want_forwarding(record.ipv6.has_value());
  if (firewall_)
    (void)firewall_->add_bridge({default_->bridge->name(), default_->bridge->subnet(), settings_.masquerade,
                                 false, !settings_.icc, subnet6_of(*default_->bridge)});
  bridged_sandboxes_ = std::make_unique<network::SandboxPool>(
      kReadySandboxes, [this](network::Sandbox& sandbox) { return default_->bridge->prepare(sandbox); });
}

Networks::Stored Networks::read_stored() {
  std::vector<std::string> damaged;
  Result<std::vector<NetworkRecord>> stored = load_networks(database_, damaged);
  for (const std::string& what : damaged) log_error("network", "left out: {}", what);
  if (!stored) log_error("network", "{}", stored.error().message);
  return {.records = stored.value_or(std::vector<NetworkRecord>()), .whole = stored && damaged.empty()};
}

void Networks::clear_abandoned(const Stored& stored) {
  Result<netlink::Socket> netlink = netlink::Socket::open();
  if (!netlink || !stored.whole) return;
  std::set<std::string> known{""};
  for (const NetworkRecord& record : stored.records) known.insert(bridge_network(record));
  network::remove_abandoned_bridges(*netlink, engine_id_.substr(0, kOwnerLength), known);
  clear_abandoned_parents(stored.records);
}

void Networks::open_stored() {
  for (const auto& [id, live] : by_id_) {
    if (state_of(*live).predefined()) continue;
    if (Result<void> opened = open_live(*live); !opened)
      log_error("network", "network {}: {}", live->record.name, opened.error().message);
  }
}

// Bridges of ours without a network: its record is damaged, or it could not be opened. Containers may run on
// them, and what was forbidden there is not to be allowed now.
void Networks::fence_others() {
  Result<netlink::Socket> netlink = netlink::Socket::open();
  if (!netlink || !firewall_) return;
  const std::vector<std::string> bridges =
      network::bridges_of(*netlink, engine_id_.substr(0, kOwnerLength)).value_or(std::vector<std::string>());
  for (const std::string& bridge : bridges) {
    const bool known = std::ranges::any_of(by_id_, [&](const auto& entry) {
      return entry.second->bridge && entry.second->bridge->name() == bridge;
    });
    if (known) continue;
    log_error("network", "the bridge {} is no network's: nothing passes it", bridge);
    fenced_ = true;
    (void)firewall_->add_bridge({.name = bridge, .subnet = {}, .masquerade = false, .internal = true});
  }
}

std::vector<Ipv4Prefix> Networks::subnets_beside(const Live& live) const {
  std::lock_guard lock(mutex_);
  std::vector<Ipv4Prefix> subnets;
  for (const auto& [id, other] : by_id_)
    if (other.get() != &live && other->record.subnet.length > 0) subnets.push_back(other->record.subnet);
  return subnets;
}

Result<network::BridgeSettings> Networks::bridge_settings(const Live& live) const {
  const NetworkRecord& record = live.record;
  network::BridgeSettings bridge;
  bridge.name = network_option(record, kBridgeNameOption);
  bridge.named_by_user = !bridge.name.empty();
  if (bridge.name.empty()) bridge.name = "br-" + record.id.substr(0, 12);
  bridge.owner = engine_id_.substr(0, kOwnerLength);
  bridge.network = bridge_network(record);
  bridge.mtu = TRY(mtu_option(record, static_cast<std::uint32_t>(settings_.mtu)));
  if (record.subnet.length > 0) {
    bridge.subnet = record.subnet;
    bridge.gateway = record.gateway;
  }
  bridge.pools = subnet_pools();
  bridge.isolated = !TRY(boolean_option(record, kIccOption, true));
  bridge.range = record.range;
  bridge.ipv6 = record.ipv6;
  for (const auto& [name, text] : record.auxiliary)
    if (std::optional<Ipv4Address> address = Ipv4Address::parse(text)) bridge.excluded.push_back(*address);
  for (const auto& [name, text] : record.auxiliary6)
    if (std::optional<Ipv6Address> address = Ipv6Address::parse(text)) bridge.excluded6.push_back(*address);
  bridge.avoided = subnets_beside(live);
  return bridge;
}

std::vector<network::SubnetPool> Networks::subnet_pools() const {
  return settings_.subnet_pools.empty() ? network::usual_subnet_pools() : settings_.subnet_pools;
}

// Unique local ones (RFC 4193): the 40 bits that are random by the book come from the engine's id, so that
// they stay the same; each network has the next 16 bits of its own.
network::SubnetPool6 unique_local_pool(const std::string& engine_id) {
  const std::string hex = sha256_of("unique local addresses of " + engine_id).hex();
  network::SubnetPool6 pool{{{}, 48}, 64};
  pool.base.address.bytes[0] = 0xfd;
  for (std::size_t i = 0; i < 5; ++i)
    pool.base.address.bytes[1 + i] = parse_integer<std::uint8_t>(hex.substr(2 * i, 2), 16).value_or(0);
  return pool;
}

// With mutex_ held.
Result<void> Networks::choose_subnet6(NetworkRecord& record) const {
  std::vector<Ipv6Prefix> used;
  for (const auto& [id, other] : by_id_)
    if (other->record.ipv6) used.push_back(other->record.ipv6->subnet);
  const bool own = settings_.subnet_pools6.empty();
  std::optional<Ipv6Prefix> free =
      network::free_subnet(own ? std::vector{unique_local_pool(engine_id_)} : settings_.subnet_pools6, used);
  if (!free)
    return fail(ErrorKind::exhausted, "no {} is left: choose one with --subnet",
                own ? "unique local IPv6 subnet" : "IPv6 subnet of default-address-pools");
  record.ipv6 = network::Ipv6Subnet{*free, free->host(1), std::nullopt};
  return {};
}

Result<void> Networks::open_live(Live& live) {
  return live.record.driver == "macvlan" ? open_macvlan(live) : open_bridge(live);
}

// With making_ held, or while the engine opens.
Result<void> Networks::open_bridge(Live& live) {
  const network::BridgeSettings settings = TRY(bridge_settings(live));
  const bool masquerade = TRY(boolean_option(live.record, kMasqueradeOption, true));
  std::unique_ptr<network::BridgeNetwork> bridge = TRY(network::BridgeNetwork::open(settings));
  want_forwarding(settings.ipv6.has_value());
  live.record.subnet = bridge->subnet();
  live.record.gateway = bridge->gateway();
  if (firewall_) {
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

const Networks::Live* Networks::overlapping(const NetworkRecord& record) const {
  for (const auto& [id, other] : by_id_) {
    if (id == record.id) continue;
    const NetworkRecord& there = other->record;
    if (record.subnet.length > 0 && there.subnet.length > 0 && record.subnet.overlaps(there.subnet))
      return other.get();
    if (record.ipv6 && there.ipv6 && record.ipv6->subnet.overlaps(there.ipv6->subnet)) return other.get();
  }
  return nullptr;
}

Result<void> Networks::check_new(const NetworkRecord& record) const {
  const std::string bridge = network_option(record, kBridgeNameOption);
  for (const auto& [id, other] : by_id_) {
    if (other->record.name == record.name)
      return fail(ErrorKind::conflict, "network with name {} already exists", record.name);
    if (other->bridge && other->bridge->name() == bridge)
      return fail(ErrorKind::denied, "the bridge {} is the network {}'s: choose another name", bridge,
                  other->record.name);
  }
  if (const Live* other = overlapping(record))
    return fail(ErrorKind::denied,
                "invalid pool request: Pool overlaps with other one on this address space: it is the "
                "network {}'s",
                other->record.name);
  return check_parent(record);
}

// With what the engine is told to give new networks of its driver.
NewNetwork Networks::with_usual_options(NewNetwork wanted) const {
  auto usual = settings_.network_options.find(wanted.driver.empty() ? "bridge" : wanted.driver);
  if (usual != settings_.network_options.end())
    wanted.options.insert(usual->second.begin(), usual->second.end());
  return wanted;
}

Result<NetworkState> Networks::create(const NewNetwork& asked) {
  const NewNetwork wanted = with_usual_options(asked);
  auto live = std::make_shared<Live>();
  NetworkRecord& record = live->record;
  record = TRY(record_of(wanted));
  std::lock_guard making(making_);
  {
    std::lock_guard lock(mutex_);
    TRY(check_new(record));
    if (TRY(wants_ipv6(wanted, record)) && !record.ipv6) TRY(choose_subnet6(record));
  }
  if (Result<void> opened = open_live(*live); !opened) {
    (void)remove_live(live);
    return std::unexpected(std::move(opened).error());
  }
  turn_forwarding_on();
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

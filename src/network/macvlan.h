// SPDX-License-Identifier: Apache-2.0
// A macvlan network: each container has a link with a MAC address of its own on a parent interface of the
// host's, and is a neighbour on the parent's wire. This host sees none of its packets: there is nothing to
// translate, to publish or to filter, and the kernel passes nothing between host and containers.
//
// The parent is an interface that is there ("eth0"), a VLAN of one ("eth0.10", made when it is missing), or,
// without a name, one that is made for the network and leads nowhere. What was made is marked with its owner,
// taken away with the last network on it, and made again when it is missing.
//
// Addresses are leased as a BridgeNetwork leases them. Thread safe.
#pragma once
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "netlink/netlink.h"
#include "network/address_pool.h"
#include "network/bridge.h"
#include "network/sandbox.h"

namespace berth::network {

using netlink::MacvlanMode;

// "bridge", "private", "vepa", "passthru"; "" is bridge.
Result<MacvlanMode> parse_macvlan_mode(std::string_view text);

// "eth0.10": VLAN 10 of eth0.
struct VlanName {
  std::string parent;
  std::uint16_t id = 0;  // 1..4094
};
std::optional<VlanName> parse_vlan_name(std::string_view name);

// The parent of a network that has none.
std::string unconnected_parent(const std::string& network);

struct MacvlanSettings {
  std::string owner = "berth";  // marks what is made, so that a later engine knows it
  std::string parent;
  bool unconnected = false;  // the parent is made for this network, and there is no way out
  MacvlanMode mode = MacvlanMode::bridge;
  Ipv4Prefix subnet;
  Ipv4Address gateway;  // a neighbour's; kept from containers
  std::optional<Ipv4Prefix> range;
  std::vector<Ipv4Address> excluded;
  std::uint32_t mtu = 0;  // 0: the parent's
};

class MacvlanNetwork {
 public:
  // In the calling thread's network namespace. Touches nothing there yet.
  static Result<std::unique_ptr<MacvlanNetwork>> open(const MacvlanSettings& settings);

  // Finds the parent or makes it. One that is missing, and is no VLAN of one that is there, is an error.
  Result<void> make_parent();

  // As BridgeNetwork's.
  Result<void> reserve(const netlink::IpAddress& address, const std::string& container);
  void forget(const std::string& container);
  Result<Endpoint> attach(Sandbox& sandbox, const AttachRequest& request);
  // Gives the address back. The link goes with the sandbox, or with remove_from() before.
  void detach(const Endpoint& endpoint);
  static Result<void> remove_from(Sandbox& sandbox, const Endpoint& endpoint);

  const std::string& parent() const noexcept { return settings_.parent; }
  bool in_use();  // a container has an address

  // Takes the parent away if an engine has made it. No other network may have it.
  Result<void> remove_parent();

 private:
  MacvlanNetwork(netlink::Socket netlink, const MacvlanSettings& settings);
  Result<netlink::Link> find_or_make_parent();  // with mutex_ held
  Result<netlink::Link> usable_parent();        // with mutex_ held
  Result<void> make_vlan(const VlanName& vlan);
  Result<void> make_unconnected();
  Result<Ipv4Address> lease(const AttachRequest& request);
  Result<void> connect(Sandbox& sandbox, const AttachRequest& request, const Endpoint& endpoint,
                       const netlink::Link& parent);
  bool occupied(const Error& error) const;
  Result<void> configure(Sandbox& sandbox, const AttachRequest& request, const Endpoint& endpoint);

  const MacvlanSettings settings_;
  std::mutex mutex_;  // over what follows
  netlink::Socket netlink_;
  AddressPool pool_;
};

// Takes away the parents that engines of this owner have made and none of `used` names: a kill came between
// link and record.
void remove_abandoned_parents(netlink::Socket& netlink, const std::string& owner,
                              const std::set<std::string>& used);

}  // namespace berth::network

// SPDX-License-Identifier: Apache-2.0
// A bridge network: a Linux bridge on the host (several with very many containers, see bridge_segments.h), a
// subnet, and a veth pair for each container on it.
//
// Addresses are leased in memory. The engine's container records are what survives: after a restart it calls
// reserve() for the addresses of every container before it attaches new ones, so none is given out twice.
#pragma once
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>

#include "base/error.h"
#include "base/fd.h"
#include "netlink/connections.h"
#include "netlink/ipv4.h"
#include "netlink/ipv6.h"
#include "netlink/netlink.h"
#include "network/address_pool.h"
#include "network/bridge_segments.h"
#include "network/sandbox.h"
#include "network/subnet_choice.h"

namespace berth::network {

using netlink::Ipv4Address;
using netlink::Ipv4Prefix;

using netlink::Ipv6Address;
using netlink::Ipv6Prefix;

// What a network with IPv6 has of it.
struct Ipv6Subnet {
  Ipv6Prefix subnet;
  Ipv6Address gateway;
  std::optional<Ipv6Prefix> range;
};

struct BridgeSettings {
  std::string name = "berth0";  // when a foreign device has it, the next free: berth1, ...
  // That name and no other. A foreign bridge that has it is used: as it is, with the address that it has, and
  // left as it is.
  bool named_by_user = false;
  std::string owner = "berth";  // identifies this engine: a bridge with this mark is ours after a restart
  std::string network;          // of a network that a user made: its id, a part of the mark
  std::optional<Ipv4Prefix> subnet;  // none: the first free one of `pools`
  std::vector<SubnetPool> pools = usual_subnet_pools();
  std::optional<Ipv4Address> gateway;  // none: the subnet's first address
  // Where containers send what goes elsewhere; none: to the bridge itself.
  std::optional<Ipv4Address> way_out;
  std::optional<Ipv6Address> way_out6;
  std::optional<Ipv4Prefix> range;    // addresses are given out of this part of the subnet
  std::vector<Ipv4Address> excluded;  // never given out
  std::vector<Ipv4Prefix> avoided;    // subnets that are spoken for, though no route shows it
  std::optional<Ipv6Subnet> ipv6;     // none: containers have no IPv6 on it at all
  std::vector<Ipv6Address> excluded6;
  std::uint32_t mtu = 1500;
  bool isolated = false;  // containers do not reach each other on it; the Firewall has to know as well
  std::size_t ports = kPortsOfBridge;  // of one Linux bridge
};

struct AttachRequest {
  std::string container;                   // its id, for messages
  std::string interface_name = "eth0";     // inside
  std::optional<Ipv4Address> address;      // a wanted one; taken or outside the subnet is an error
  std::optional<netlink::MacAddress> mac;  // none: derived from the address
  std::optional<Ipv6Address> address6;     // ignored where the network has no IPv6
  bool default_route = true;
  bool default_route6 = true;
};

struct Endpoint6 {
  Ipv6Address address;
  int prefix_length = 0;
  Ipv6Address gateway;
};

// An attached interface. Plain data that the engine records.
struct Endpoint {
  Ipv4Address address;
  int prefix_length = 0;
  Ipv4Address gateway;
  netlink::MacAddress mac{};
  std::string interface_name;       // inside: "eth0"
  std::string host_interface_name;  // outside: "veth3f9c2a1"
  std::optional<Endpoint6> ipv6;
};

// What a container has unless it asks for another: made of its address, so that neighbours need not ask
// again.
netlink::MacAddress mac_for(Ipv4Address address);

class BridgeNetwork {
 public:
  // Finds or makes the bridge in the calling thread's network namespace. Whether the host forwards is
  // Forwarding's business, and what may pass the Firewall's.
  static Result<std::unique_ptr<BridgeNetwork>> open(const BridgeSettings& settings);

  // For a container that runs, or that will: its attach() finds the address its own. One outside the subnet
  // is ignored: the subnet has changed since. One that another has is a conflict.
  Result<void> reserve(const netlink::IpAddress& address, const std::string& container);
  void forget(const std::string& container);  // what was reserved for one that is not attached

  // Does the slow part of attach() ahead: the interface pair, without an address and down inside. For the
  // sandboxes of a SandboxPool.
  Result<void> prepare(Sandbox& sandbox, const std::string& interface_name = "eth0");

  // Interfaces that were there when this was opened, of an earlier engine's containers: whether that
  // endpoint's was, and the end of those that none of `host_names` is. The engine may have been killed
  // between an interface and its record.
  bool found_interface(const Endpoint& endpoint) const;
  void remove_others_found(const std::set<std::string>& host_names);

  Result<Endpoint> attach(Sandbox& sandbox, const AttachRequest& request);
  // Gives the address back, and has the kernel forget who talked with it: the next one who has the address,
  // or the port that led to it, does not get their packets. The interfaces go with the sandbox;
  // `remove_interface` is for one that lives on.
  Result<void> detach(const Endpoint& endpoint, bool remove_interface = false);

  const std::string& name() const noexcept { return name_; }
  const Ipv4Prefix& subnet() const noexcept { return subnet_; }
  Ipv4Address gateway() const noexcept { return gateway_; }
  const std::optional<Ipv6Subnet>& ipv6() const noexcept { return ipv6_; }
  std::uint32_t mtu() const noexcept { return mtu_; }

  bool in_use();          // a container has an address
  Result<void> remove();  // takes the bridge away, unless it is a foreign one

 private:
  BridgeNetwork(netlink::Socket netlink, const netlink::Link& link, BridgeSegments segments, bool foreign,
                const Ipv4Prefix& address, const BridgeSettings& settings);
  static Result<std::unique_ptr<BridgeNetwork>> open_on(const netlink::Link& link, bool foreign,
                                                        const BridgeSettings& settings);
  Result<void> lease(const AttachRequest& request, Endpoint& endpoint);
  void give_back(const Endpoint& endpoint);
  Result<void> configure(Sandbox& sandbox, const PreparedInterface& interface, const AttachRequest& request,
                         const Endpoint& endpoint);
  void settle_carrier(const std::string& host_name);
  Result<void> delete_interface(const std::string& host_name);
  Result<void> make_pair(Sandbox& sandbox, const PreparedInterface& wanted);
  Result<void> keep_ways_out();
  Result<void> look_at_ports();
  void forget_connections(const netlink::IpAddress& address);
  Result<void> isolate_ports(const std::string& host_name = {});

  std::set<std::string> found_links_;  // of the host, by name
  std::set<std::string> found_ports_;  // those of them that are containers' ports here
  std::mutex connections_mutex_;
  std::optional<netlink::Connections> connections_;
  std::mutex mutex_;  // over netlink_, segments_ and pool_
  netlink::Socket netlink_;
  BridgeSegments segments_;
  // Of this namespace: found from /proc/sys, it is the slower the more namespaces there are. None without
  // IPv6.
  Fd ipv6_settings_;
  AddressPool pool_;
  std::optional<AddressPool6> pool6_;
  std::string name_;
  std::uint32_t index_ = 0;
  bool foreign_ = false;
  Ipv4Prefix subnet_;
  Ipv4Address gateway_;
  Ipv4Address way_out_;
  Ipv6Address way_out6_;
  std::optional<Ipv6Subnet> ipv6_;
  std::uint32_t mtu_ = 1500;
  bool isolated_ = false;
};

}  // namespace berth::network

// SPDX-License-Identifier: Apache-2.0
// What may pass between containers, this host and others, and where published ports lead: one nft table an
// engine. Tables of others are left alone; what they forbid stays forbidden.
//
// The whole table is replaced in one transaction when a network comes or goes, so that there is never a
// moment with half the rules; published ports are elements of its maps. The text is made by a pure function.
// A thread follows what happens to nft tables: when somebody flushes ours, it is loaded again.
//
// Lifecycle: open() -> add what there is already -> load(), from which on every change takes effect at once
// -> the object's end leaves the table where it is, for containers outlive the engine; drop() takes it away.
// Thread safe.
#pragma once
#include <compare>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/error.h"
#include "base/fd.h"
#include "netlink/ipv6.h"

namespace berth::network {

struct FirewallBridge {
  std::string name;  // of the bridge; plain characters only, as BridgeNetwork checks
  netlink::Ipv4Prefix subnet;
  bool masquerade = true;  // outbound traffic leaves with the host's address
  bool internal = false;   // no way out, none in
  bool isolated = false;   // containers on it reach each other by published ports alone
  std::optional<netlink::Ipv6Prefix> subnet6;
};

// `count` ports from `host_port` on lead to as many of the container.
struct PublishedPort {
  std::string protocol;             // "tcp", "udp", "sctp"
  netlink::IpAddress host_address;  // zero: any of the host's, of this family
  std::uint16_t host_port = 0;
  netlink::IpAddress container_address;  // of the same family
  std::uint16_t container_port = 0;
  std::uint16_t count = 1;
  auto operator<=>(const PublishedPort&) const = default;
};

// Lower-case letters, digits and underscores: "berth", or "berth_" and what of the owner's name fits.
std::string firewall_table_name(std::string_view owner);

// What a host does with IPv6. Over ::1 the host's programs reach published ports unless br_netfilter calls
// the rules for what bridges carry: it would translate answers too early, where ::1 on a bridge is dropped.
// Then they are told at once that nobody listens there.
enum class Ipv6Rules { none, without_loopback, all };

// What the rules have to know of the host.
struct FirewallHost {
  Ipv6Rules ipv6 = Ipv6Rules::none;
  // It forwards for the containers' sake alone: not between its wires. What others have made to forward
  // (bridges, tunnels) goes on as they want it.
  bool forwards_for_us = false;
  bool forwards_ipv6_for_us = false;
};

// What `nft -f` takes, for the whole table: of both families, or of IPv4 where the host has no other.
// Containers reach out, answers come back, and published ports (destination NAT) come in; other hosts and
// other networks cannot reach containers otherwise, even though this host forwards. Where a network has no
// IPv6, none passes its bridge.
std::string firewall_text(const std::string& table, const std::vector<FirewallBridge>& bridges,
                          const std::set<PublishedPort>& ports, const FirewallHost& host = {});
// For the elements alone; `verb` is "add" or "delete".
std::string firewall_ports_text(std::string_view verb, const std::string& table,
                                const std::vector<PublishedPort>& ports, const FirewallHost& host = {});
std::string firewall_away_text(const std::string& table, const FirewallHost& host = {});

Result<void> load_firewall(const std::string& text);  // ErrorKind::unsupported when there is no nft
Result<void> drop_firewall(const std::string& table);

// Chains of other tables that drop what is to be forwarded unless a rule of theirs accepts it, as "ip filter
// FORWARD". They are obeyed: in nft a packet has to pass all.
Result<std::vector<std::string>> foreign_forward_drops();
// Of what `nft list chains` prints. Pure.
std::vector<std::string> find_forward_drops(std::string_view listed);

class Firewall {
 public:
  static Result<std::unique_ptr<Firewall>> open(const std::string& owner);
  Firewall(const Firewall&) = delete;
  Firewall& operator=(const Firewall&) = delete;
  ~Firewall();

  // Takes effect with what comes next: load(), add_bridge().
  void set_forwards_for_us(bool ipv4, bool ipv6);
  Result<void> load();
  Result<void> add_bridge(const FirewallBridge& bridge);
  Result<void> remove_bridge(const std::string& name);
  // Also for those who were sending to the ports while these led nowhere, or elsewhere.
  Result<void> publish(const std::vector<PublishedPort>& ports);
  Result<void> withdraw(const std::vector<PublishedPort>& ports);
  Result<void> drop();

 private:
  Firewall(std::string table, Fd events, Fd stop);
  Result<void> load_locked();
  Result<void> change_ports(std::string_view verb, const std::vector<PublishedPort>& ports);
  void follow();
  void route_loopback(bool on) const;

  const std::string table_;
  std::mutex mutex_;  // over what follows, and held while nft runs
  bool loaded_ = false;
  FirewallHost host_;
  std::map<std::string, FirewallBridge> bridges_;
  std::set<PublishedPort> ports_;
  Fd events_;  // of all nft tables of this network namespace
  Fd stop_;
  std::thread thread_;
};

}  // namespace berth::network

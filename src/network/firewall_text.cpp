// SPDX-License-Identifier: Apache-2.0
// The table as text: a pure function of networks and ports.
#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"
#include "network/bridge_segments.h"
#include "network/firewall.h"

namespace berth::network {
namespace {

constexpr std::size_t kTableNameLimit = 31;

// What differs between the two families.
struct Family {
  bool is_v6 = false;
  std::string_view name;      // of the table's family, and of what is matched
  std::string_view address;   // the type
  std::string_view loopback;  // where the host's own connections to itself come from
};
constexpr Family kIpv4{false, "ip", "ipv4_addr", "127.0.0.0/8"};
constexpr Family kIpv6{true, "ip6", "ipv6_addr", "::1"};

// Ports are keys of four maps: with a host address or without, and a single one or a range that keeps its
// numbers. A range costs one element then; one whose numbers change has an element a port.
struct Elements {
  std::vector<std::string> single, single_at, range, range_at;
};

void add_elements(Elements& elements, const PublishedPort& port) {
  const bool anywhere = !port.host_address;
  const std::string key =
      port.protocol + (anywhere ? std::string(" . ") : " . " + port.host_address.text() + " . ");
  const std::string target = port.container_address.text();
  if (port.count > 1 && port.host_port == port.container_port) {
    (anywhere ? elements.range : elements.range_at)
        .push_back(fmt::format("{}{}-{} : {}", key, port.host_port, port.host_port + port.count - 1, target));
    return;
  }
  for (unsigned i = 0; i < port.count; ++i)
    (anywhere ? elements.single : elements.single_at)
        .push_back(fmt::format("{}{} : {} . {}", key, port.host_port + i, target, port.container_port + i));
}

template <class Ports>
Elements elements_of(const Ports& ports, const Family& family) {
  Elements elements;
  for (const PublishedPort& port : ports)
    if (port.container_address.is_v6 == family.is_v6) add_elements(elements, port);
  return elements;
}

std::string map_text(std::string_view name, std::string_view type, bool interval,
                     const std::vector<std::string>& elements) {
  std::string text = fmt::format("  map {} {{\n    type {}\n", name, type);
  if (interval) text += "    flags interval\n";
  if (!elements.empty()) text += "    elements = { " + join(elements, ", ") + " }\n";
  return text + "  }\n";
}

// Where a destination is one of this host's addresses, before it is routed.
std::string published_rules(const Family& family, bool over_loopback) {
  return fmt::format(R"(  chain published {{
    dnat {0} to meta l4proto . {0} daddr . th dport map @single_at
    dnat {0} to meta l4proto . {0} daddr . th dport map @range_at
    dnat {0} to meta l4proto . th dport map @single
    dnat {0} to meta l4proto . th dport map @range
  }}
  chain prerouting {{
    type nat hook prerouting priority dstnat; policy accept;
    fib daddr type local jump published
  }}
  chain output {{
    type nat hook output priority -100; policy accept;
{1}    fib daddr type local jump published
  }}
)",
                     family.name, over_loopback ? "" : "    ip6 daddr ::1 return\n");
}

// The host's own connections over loopback are led to containers, for which the kernel has to route loopback
// addresses on the bridges. From anywhere else they are nobody's: neither what listens on the host's loopback
// alone nor a port that is published there may be reached by a container or a neighbour who writes 127.0.0.1
// into his packets. (IPv6's loopback address never passes from one interface to another.)
constexpr std::string_view kGuard = R"(  chain guard {
    type filter hook prerouting priority raw; policy accept;
    iifname != "lo" ip daddr 127.0.0.0/8 drop
  }
)";

std::string source_rules(const std::vector<FirewallBridge>& bridges, const Family& family) {
  std::string text = "  chain postrouting {\n    type nat hook postrouting priority srcnat; policy accept;\n";
  for (const FirewallBridge& bridge : bridges) {
    if (bridge.internal || (family.is_v6 && !bridge.subnet6)) continue;
    const std::string subnet = family.is_v6 ? bridge.subnet6->subnet().text() : bridge.subnet.subnet().text();
    // A container that asks for a port published by a neighbour, or by itself, gets the answer through here.
    text += fmt::format("    {} saddr {} oifname \"{}\" ct status dnat masquerade\n", family.name, subnet,
                        bridge.name);
    text +=
        fmt::format("    {} saddr {} oifname \"{}\" masquerade\n", family.name, family.loopback, bridge.name);
    if (bridge.masquerade)
      text += fmt::format("    {} saddr {} oifname != \"{}\" masquerade\n", family.name, subnet, bridge.name);
  }
  return text + "  }\n";
}

// Neither in nor out by a bridge or a tunnel: between the host's wires.
constexpr std::string_view kNoRouter = R"(    meta iifkind { "bridge", "tun", "wireguard" } accept
    meta oifkind { "bridge", "tun", "wireguard" } accept
    drop
)";

std::string forward_rules(const std::vector<FirewallBridge>& bridges, const Family& family, bool no_router) {
  std::string text = "  chain forward {\n    type filter hook forward priority filter; policy accept;\n";
  auto inbound = [](const FirewallBridge& bridge) {
    return fmt::format("    iifname != \"{0}\" oifname \"{0}\"", bridge.name);
  };
  text += fmt::format("    iifname \"{0}*\" oifname != \"{0}*\" drop\n", kSegmentPrefix);
  // A container can make up an address of the family that its network does not have.
  auto closed = [&](const FirewallBridge& bridge) {
    return bridge.internal || (family.is_v6 && !bridge.subnet6);
  };
  // These first: what comes from an internal network goes nowhere, not to another one's published port
  // either.
  for (const FirewallBridge& bridge : bridges) {
    if (!closed(bridge)) continue;
    text += inbound(bridge) + " drop\n";
    text += fmt::format("    iifname \"{0}\" oifname != \"{0}\" drop\n", bridge.name);
  }
  // Ports that are isolated do not keep a container from sending its neighbour's packets to the gateway,
  // which would forward them.
  for (const FirewallBridge& bridge : bridges)
    if (bridge.isolated)
      text += fmt::format("    iifname \"{0}\" oifname \"{0}\" ct status ! dnat drop\n", bridge.name);
  for (const FirewallBridge& bridge : bridges) {
    if (closed(bridge)) continue;
    text += inbound(bridge) + " ct state established,related accept\n";
    text += inbound(bridge) + " ct status dnat accept\n";
    text += inbound(bridge) + " drop\n";
  }
  if (no_router) text += kNoRouter;
  return text + "  }\n";
}

std::string table_text(const std::string& table, const std::vector<FirewallBridge>& bridges,
                       const std::set<PublishedPort>& ports, const Family& family, const FirewallHost& host) {
  std::string text = fmt::format("table {} {} {{\n", family.name, table);
  const std::string forward =
      forward_rules(bridges, family, family.is_v6 ? host.forwards_ipv6_for_us : host.forwards_for_us);
  // Without a network that has it, nothing is to be translated: not every kernel could.
  if (family.is_v6 && std::ranges::none_of(bridges, [](const auto& one) { return one.subnet6.has_value(); }))
    return text + forward + "}\n";
  const Elements elements = elements_of(ports, family);
  const std::string address(family.address);
  text += map_text("single", "inet_proto . inet_service : " + address + " . inet_service", false,
                   elements.single);
  text +=
      map_text("single_at", "inet_proto . " + address + " . inet_service : " + address + " . inet_service",
               false, elements.single_at);
  text += map_text("range", "inet_proto . inet_service : " + address, true, elements.range);
  text += map_text("range_at", "inet_proto . " + address + " . inet_service : " + address, true,
                   elements.range_at);
  text += published_rules(family, !family.is_v6 || host.ipv6 == Ipv6Rules::all);
  if (!family.is_v6) text += kGuard;
  return text + source_rules(bridges, family) + forward + "}\n";
}

// Adding before deleting makes the deletion succeed whether the table was there or not.
std::string away_text(const std::string& table, const Family& family) {
  return fmt::format("add table {0} {1}\ndelete table {0} {1}\n", family.name, table);
}

}  // namespace

std::string firewall_table_name(std::string_view owner) {
  std::string name = owner == "berth" ? "berth" : "berth_";
  if (owner == "berth") return name;
  for (char c : to_lower(owner)) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
    name += plain ? c : '_';
  }
  return name.substr(0, kTableNameLimit);
}

// IPv4's comes last: what is last heard of a transaction of our own is that its table was made.
std::string firewall_text(const std::string& table, const std::vector<FirewallBridge>& bridges,
                          const std::set<PublishedPort>& ports, const FirewallHost& host) {
  std::string text;
  if (host.ipv6 != Ipv6Rules::none)
    text += away_text(table, kIpv6) + table_text(table, bridges, ports, kIpv6, host);
  text += away_text(table, kIpv4);
  return text + table_text(table, bridges, ports, kIpv4, host);
}

std::string firewall_ports_text(std::string_view verb, const std::string& table,
                                const std::vector<PublishedPort>& ports) {
  std::string text;
  for (const Family* family : {&kIpv4, &kIpv6}) {
    const Elements elements = elements_of(ports, *family);
    auto add = [&](std::string_view map, const std::vector<std::string>& list) {
      if (!list.empty())
        text +=
            fmt::format("{} element {} {} {} {{ {} }}\n", verb, family->name, table, map, join(list, ", "));
    };
    add("single", elements.single);
    add("single_at", elements.single_at);
    add("range", elements.range);
    add("range_at", elements.range_at);
  }
  return text;
}

std::vector<std::string> find_forward_drops(std::string_view listed) {
  std::vector<std::string> found;
  std::string table, chain;
  for (std::string_view line : split(listed, '\n')) {
    line = trim(line);
    if (line.starts_with("table ") && line.ends_with(" {")) table = line.substr(6, line.size() - 8);
    if (line.starts_with("chain ") && line.ends_with(" {")) chain = line.substr(6, line.size() - 8);
    if (line.find("hook forward ") != std::string_view::npos && line.ends_with("policy drop;"))
      found.push_back(table + " " + chain);
  }
  return found;
}

}  // namespace berth::network

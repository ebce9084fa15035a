// SPDX-License-Identifier: Apache-2.0
// The table as text: a pure function of networks and ports.
#include <fmt/format.h>

#include "base/text.h"
#include "network/firewall.h"

namespace berth::network {
namespace {

constexpr std::size_t kTableNameLimit = 31;

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

std::string map_text(std::string_view name, std::string_view type, bool interval,
                     const std::vector<std::string>& elements) {
  std::string text = fmt::format("  map {} {{\n    type {}\n", name, type);
  if (interval) text += "    flags interval\n";
  if (!elements.empty()) text += "    elements = { " + join(elements, ", ") + " }\n";
  return text + "  }\n";
}

// Where a destination is one of this host's addresses, before it is routed.
constexpr std::string_view kPublished = R"(  chain published {
    dnat ip to meta l4proto . ip daddr . th dport map @single_at
    dnat ip to meta l4proto . ip daddr . th dport map @range_at
    dnat ip to meta l4proto . th dport map @single
    dnat ip to meta l4proto . th dport map @range
  }
  chain prerouting {
    type nat hook prerouting priority dstnat; policy accept;
    fib daddr type local jump published
  }
  chain output {
    type nat hook output priority -100; policy accept;
    fib daddr type local jump published
  }
)";

// The host's own connections over loopback are led to containers, for which the kernel has to route loopback
// addresses on the bridges. From anywhere else they are nobody's: neither what listens on the host's loopback
// alone nor a port that is published there may be reached by a container or a neighbour who writes 127.0.0.1
// into his packets.
constexpr std::string_view kGuard = R"(  chain guard {
    type filter hook prerouting priority raw; policy accept;
    iifname != "lo" ip daddr 127.0.0.0/8 drop
  }
)";

std::string source_rules(const std::vector<FirewallBridge>& bridges) {
  std::string text = "  chain postrouting {\n    type nat hook postrouting priority srcnat; policy accept;\n";
  for (const FirewallBridge& bridge : bridges) {
    if (bridge.internal) continue;
    const std::string subnet = bridge.subnet.subnet().text();
    // A container that asks for a port published by a neighbour, or by itself, gets the answer through here.
    text += fmt::format("    ip saddr {0} oifname \"{1}\" ct status dnat masquerade\n", subnet, bridge.name);
    text += fmt::format("    ip saddr 127.0.0.0/8 oifname \"{}\" masquerade\n", bridge.name);
    if (bridge.masquerade)
      text += fmt::format("    ip saddr {} oifname != \"{}\" masquerade\n", subnet, bridge.name);
  }
  return text + "  }\n";
}

std::string forward_rules(const std::vector<FirewallBridge>& bridges) {
  std::string text = "  chain forward {\n    type filter hook forward priority filter; policy accept;\n";
  auto inbound = [](const FirewallBridge& bridge) {
    return fmt::format("    iifname != \"{0}\" oifname \"{0}\"", bridge.name);
  };
  // These first: what comes from an internal network goes nowhere, not to another one's published port
  // either.
  for (const FirewallBridge& bridge : bridges) {
    if (!bridge.internal) continue;
    text += inbound(bridge) + " drop\n";
    text += fmt::format("    iifname \"{0}\" oifname != \"{0}\" drop\n", bridge.name);
  }
  for (const FirewallBridge& bridge : bridges) {
    if (bridge.internal) continue;
    text += inbound(bridge) + " ct state established,related accept\n";
    text += inbound(bridge) + " ct status dnat accept\n";
    text += inbound(bridge) + " drop\n";
  }
  return text + "  }\n";
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

std::string firewall_text(const std::string& table, const std::vector<FirewallBridge>& bridges,
                          const std::set<PublishedPort>& ports) {
  Elements elements;
  for (const PublishedPort& port : ports) add_elements(elements, port);
  // Adding before deleting makes the deletion succeed whether the table was there or not.
  std::string text = fmt::format("add table ip {0}\ndelete table ip {0}\ntable ip {0} {{\n", table);
  text += map_text("single", "inet_proto . inet_service : ipv4_addr . inet_service", false, elements.single);
  text += map_text("single_at", "inet_proto . ipv4_addr . inet_service : ipv4_addr . inet_service", false,
                   elements.single_at);
  text += map_text("range", "inet_proto . inet_service : ipv4_addr", true, elements.range);
  text += map_text("range_at", "inet_proto . ipv4_addr . inet_service : ipv4_addr", true, elements.range_at);
  text += kPublished;
  text += kGuard;
  text += source_rules(bridges);
  text += forward_rules(bridges);
  return text + "}\n";
}

std::string firewall_ports_text(std::string_view verb, const std::string& table,
                                const std::vector<PublishedPort>& ports) {
  Elements elements;
  for (const PublishedPort& port : ports) add_elements(elements, port);
  std::string text;
  auto add = [&](std::string_view map, const std::vector<std::string>& list) {
    if (!list.empty())
      text += fmt::format("{} element ip {} {} {{ {} }}\n", verb, table, map, join(list, ", "));
  };
  add("single", elements.single);
  add("single_at", elements.single_at);
  add("range", elements.range);
  add("range_at", elements.range_at);
  return text;
}

}  // namespace berth::network

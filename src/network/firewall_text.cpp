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
  std::string_view name;      // of what is matched
  std::string_view suffix;    // of maps and chains
  std::string_view address;   // the type
  std::string_view loopback;  // where the host's own connections to itself come from
};
constexpr Family kIpv4{false, "ip", "", "ipv4_addr", "127.0.0.0/8"};
constexpr Family kIpv6{true, "ip6", "6", "ipv6_addr", "::1"};

// A kernel without IPv6 has no tables of both families.
std::string_view table_family(const FirewallHost& host) {
  return host.ipv6 == Ipv6Rules::none ? "ip" : "inet";
}

// What makes a rule of one family alone: in a table of IPv4 there is none other.
std::string only(const Family& family, const FirewallHost& host) {
  if (host.ipv6 == Ipv6Rules::none) return "";
  return fmt::format("meta nfproto {} ", family.is_v6 ? "ipv6" : "ipv4");
}

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

std::string map_text(const Family& family, std::string_view name, std::string_view type, bool interval,
                     const std::vector<std::string>& elements) {
  std::string text = fmt::format("  map {}{} {{\n    type {}\n", name, family.suffix, type);
  if (interval) text += "    flags interval\n";
  if (!elements.empty()) text += "    elements = { " + join(elements, ", ") + " }\n";
  return text + "  }\n";
}

// Where published ports lead.
std::string published_text(const std::set<PublishedPort>& ports, const Family& family) {
  const Elements elements = elements_of(ports, family);
  const std::string address(family.address);
  std::string text = map_text(family, "single", "inet_proto . inet_service : " + address + " . inet_service",
                              false, elements.single);
  text += map_text(family, "single_at",
                   "inet_proto . " + address + " . inet_service : " + address + " . inet_service", false,
                   elements.single_at);
  text += map_text(family, "range", "inet_proto . inet_service : " + address, true, elements.range);
  text += map_text(family, "range_at", "inet_proto . " + address + " . inet_service : " + address, true,
                   elements.range_at);
  return text + fmt::format(R"(  chain published{1} {{
    dnat {0} to meta l4proto . {0} daddr . th dport map @single_at{1}
    dnat {0} to meta l4proto . {0} daddr . th dport map @range_at{1}
    dnat {0} to meta l4proto . th dport map @single{1}
    dnat {0} to meta l4proto . th dport map @range{1}
  }}
)",
                            family.name, family.suffix);
}

// Where a destination is one of this host's addresses, before it is routed.
std::string destination_rules(const std::vector<const Family*>& families, const FirewallHost& host) {
  std::string jumps, output;
  for (const Family* family : families)
    jumps +=
        fmt::format("    {}fib daddr type local jump published{}\n", only(*family, host), family->suffix);
  if (host.ipv6 == Ipv6Rules::without_loopback) output = "    ip6 daddr ::1 return\n";
  return "  chain prerouting {\n    type nat hook prerouting priority dstnat; policy accept;\n" + jumps +
         "  }\n  chain output {\n    type nat hook output priority -100; policy accept;\n" + output + jumps +
         "  }\n";
}

// The host's own connections over loopback are led to containers, for which the kernel has to route loopback
// addresses on the bridges. From anywhere else they are nobody's: neither what listens on the host's loopback
// alone nor a port that is published there may be reached by a container or a neighbour who writes 127.0.0.1
// into his packets. (IPv6's loopback address never passes from one interface to another.)
//
// Where br_netfilter has the rules called for what bridges carry, they are for a network's own bridge: what a
// segment had tracked, neither source nor destination of it could be translated there any more.
std::string guard_text() {
  return fmt::format(R"(  chain guard {{
    type filter hook prerouting priority raw; policy accept;
    iifname != "lo" ip daddr 127.0.0.0/8 drop
    iifname "{}*" notrack
  }}
)",
                     kSegmentPrefix);
}

std::string source_rules(const FirewallBridge& bridge, const Family& family) {
  const std::string subnet = family.is_v6 ? bridge.subnet6->subnet().text() : bridge.subnet.subnet().text();
  // A container that asks for a port published by a neighbour, or by itself, gets the answer through here.
  std::string text = fmt::format("    {} saddr {} oifname \"{}\" ct status dnat masquerade\n", family.name,
                                 subnet, bridge.name);
  text +=
      fmt::format("    {} saddr {} oifname \"{}\" masquerade\n", family.name, family.loopback, bridge.name);
  if (bridge.masquerade)
    text += fmt::format("    {} saddr {} oifname != \"{}\" masquerade\n", family.name, subnet, bridge.name);
  return text;
}

std::string source_rules(const std::vector<FirewallBridge>& bridges) {
  std::string text = "  chain postrouting {\n    type nat hook postrouting priority srcnat; policy accept;\n";
  for (const FirewallBridge& bridge : bridges) {
    if (bridge.internal) continue;
    text += source_rules(bridge, kIpv4);
    if (bridge.subnet6) text += source_rules(bridge, kIpv6);
  }
  return text + "  }\n";
}

// Neither in nor out by a bridge or a tunnel: between the host's wires.
std::string no_router(const FirewallHost& host) {
  std::string text;
  for (const Family* family : {&kIpv4, &kIpv6}) {
    if (!(family->is_v6 ? host.forwards_ipv6_for_us : host.forwards_for_us)) continue;
    text += fmt::format(R"(    {0}meta iifkind {{ "bridge", "tun", "wireguard" }} accept
    {0}meta oifkind {{ "bridge", "tun", "wireguard" }} accept
    {0}drop
)",
                        only(*family, host));
  }
  return text;
}

std::string forward_rules(const std::vector<FirewallBridge>& bridges, const FirewallHost& host) {
  std::string text = "  chain forward {\n    type filter hook forward priority filter; policy accept;\n";
  auto inbound = [](const FirewallBridge& bridge) {
    return fmt::format("iifname != \"{0}\" oifname \"{0}\"", bridge.name);
  };
  text += fmt::format("    iifname \"{0}*\" oifname != \"{0}*\" drop\n", kSegmentPrefix);
  // These first: what comes from an internal network goes nowhere, not to another one's published port
  // either. And a container can make up an address of the family that its network does not have.
  for (const FirewallBridge& bridge : bridges) {
    if (!bridge.internal && (bridge.subnet6 || host.ipv6 == Ipv6Rules::none)) continue;
    const std::string which = bridge.internal ? "" : only(kIpv6, host);
    text += fmt::format("    {}{} drop\n", which, inbound(bridge));
    text += fmt::format("    {0}iifname \"{1}\" oifname != \"{1}\" drop\n", which, bridge.name);
  }
  // Ports that are isolated do not keep a container from sending its neighbour's packets to the gateway,
  // which would forward them.
  for (const FirewallBridge& bridge : bridges)
    if (bridge.isolated)
      text += fmt::format("    iifname \"{0}\" oifname \"{0}\" ct status ! dnat drop\n", bridge.name);
  for (const FirewallBridge& bridge : bridges) {
    if (bridge.internal) continue;
    text += fmt::format("    {} ct state established,related accept\n", inbound(bridge));
    text += fmt::format("    {} ct status dnat accept\n", inbound(bridge));
    text += fmt::format("    {} drop\n", inbound(bridge));
  }
  return text + no_router(host) + "  }\n";
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

// Adding before deleting makes a deletion succeed whether there was a table or not. Engines of before had a
// table for each family: left beside ours, it would go on to lead ports to where they led then.
std::string firewall_away_text(const std::string& table, const FirewallHost& host) {
  std::string text = fmt::format("add table ip {0}\ndelete table ip {0}\n", table);
  if (host.ipv6 == Ipv6Rules::none) return text;
  for (const char* family : {"ip6", "inet"})
    text += fmt::format("add table {0} {1}\ndelete table {0} {1}\n", family, table);
  return text;
}

std::string firewall_text(const std::string& table, const std::vector<FirewallBridge>& bridges,
                          const std::set<PublishedPort>& ports, const FirewallHost& host) {
  std::vector<const Family*> families{&kIpv4};
  // Without a network that has it, nothing is to be translated.
  if (std::ranges::any_of(bridges, [](const auto& one) { return one.subnet6.has_value(); }))
    families.push_back(&kIpv6);
  std::string text = firewall_away_text(table, host);
  text += fmt::format("table {} {} {{\n", table_family(host), table);
  for (const Family* family : families) text += published_text(ports, *family);
  text += destination_rules(families, host);
  text += guard_text();
  return text + source_rules(bridges) + forward_rules(bridges, host) + "}\n";
}

std::string firewall_ports_text(std::string_view verb, const std::string& table,
                                const std::vector<PublishedPort>& ports, const FirewallHost& host) {
  std::string text;
  for (const Family* family : {&kIpv4, &kIpv6}) {
    const Elements elements = elements_of(ports, *family);
    auto add = [&](std::string_view map, const std::vector<std::string>& list) {
      if (!list.empty())
        text += fmt::format("{} element {} {} {}{} {{ {} }}\n", verb, table_family(host), table, map,
                            family->suffix, join(list, ", "));
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

// SPDX-License-Identifier: Apache-2.0
#include "network/firewall.h"

#include <cerrno>

#include "base/process.h"
#include "base/text.h"

namespace berth::network {
namespace {

constexpr std::size_t kTableNameLimit = 31;

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

std::string firewall_text(const std::string& table, const std::vector<FirewallBridge>& bridges) {
  // Adding before deleting makes the deletion succeed whether the table was there or not.
  std::string text = fmt::format("add table ip {0}\ndelete table ip {0}\ntable ip {0} {{\n", table);
  text += "  chain postrouting {\n    type nat hook postrouting priority srcnat; policy accept;\n";
  for (const FirewallBridge& bridge : bridges)
    if (bridge.masquerade)
      text += fmt::format("    ip saddr {} oifname != \"{}\" masquerade\n", bridge.subnet.subnet().text(),
                          bridge.name);
  text += "  }\n  chain forward {\n    type filter hook forward priority filter; policy accept;\n";
  for (const FirewallBridge& bridge : bridges) {
    const std::string inbound = fmt::format("    iifname != \"{0}\" oifname \"{0}\"", bridge.name);
    text += inbound + " ct state established,related accept\n";
    text += inbound + " ct status dnat accept\n";
    text += inbound + " drop\n";
  }
  text += "  }\n}\n";
  return text;
}

Result<void> load_firewall(const std::string& text) {
  Result<Output> output = run_program({"nft", "-f", "-"}, text);
  if (!output && output.error().code == ENOENT)
    return fail(ErrorKind::unsupported, "the program nft is not installed");
  if (!output) return std::unexpected(std::move(output).error());
  if (output->exit_code != 0)
    return fail(ErrorKind::system, "nft refused the firewall's rules: {}", trim(output->standard_error));
  return {};
}

Result<void> drop_firewall(const std::string& table) {
  return load_firewall(fmt::format("add table ip {0}\ndelete table ip {0}\n", table));
}

}  // namespace berth::network

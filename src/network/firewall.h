// SPDX-License-Identifier: Apache-2.0
// The engine's own nft table as text, and its loading. One table an engine, replaced as a whole in one
// transaction: there is never a moment with half the rules.
#pragma once
#include <string>
#include <vector>

#include "base/error.h"
#include "netlink/ipv4.h"

namespace berth::network {

struct FirewallBridge {
  std::string name;  // of the bridge; plain characters only, as BridgeNetwork checks
  netlink::Ipv4Prefix subnet;
  bool masquerade = true;
};

// Lower-case letters, digits and underscores: "berth", or "berth_" and what of the owner's name fits.
std::string firewall_table_name(std::string_view owner);

// What `nft -f` takes. Containers reach out, answers come back, and published ports (destination NAT) come
// in; other hosts cannot route packets to containers, even though this host forwards.
std::string firewall_text(const std::string& table, const std::vector<FirewallBridge>& bridges);

Result<void> load_firewall(const std::string& text);  // ErrorKind::unsupported when there is no nft
Result<void> drop_firewall(const std::string& table);

}  // namespace berth::network

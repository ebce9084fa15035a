// SPDX-License-Identifier: Apache-2.0
// Bridges that nobody will come back for. An engine that ends in order takes an unused bridge with it; one
// that was killed, and whose data is gone, leaves bridge and nft table behind, and thirty of those use up
// every subnet. A later engine clears them away.
//
// An engine's bridges are abandoned when none of them has a port and its claim is free. A claim is a bound
// abstract unix socket (unix(7)): it is scoped to the network namespace as the bridge is, and the kernel
// frees it however its holder ends.
#pragma once
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/fd.h"
#include "netlink/netlink.h"

namespace berth::network {

// The alias that says whose bridge it is, and for which network: "" is the owner's default one.
std::string bridge_mark(const std::string& owner, const std::string& network = "");

bool is_bridge_mark(std::string_view alias);  // of any owner's

// The names of an owner's bridges, those without a port included, without segments.
Result<std::vector<std::string>> bridges_of(netlink::Socket& netlink, const std::string& owner);

// Holds the owner's claim as long as the descriptor lives. ErrorKind::conflict while another one holds it.
Result<Fd> claim_bridges(const std::string& owner);
// Tries for half a second: an engine that clears our old bridge away holds the claim for some milliseconds.
Result<Fd> claim_bridges_patiently(const std::string& owner);

// Takes the abandoned bridges of other owners away, with their nft tables; and of the own ones those without
// a port whose network is not among `networks` (as the marks have them): a kill came between bridge and
// record. What fails is logged.
void remove_abandoned_bridges(netlink::Socket& netlink, const std::string& own,
                              const std::set<std::string>& networks);

}  // namespace berth::network

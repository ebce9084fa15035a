// SPDX-License-Identifier: Apache-2.0
// The options of `network create` and `network connect`.
#pragma once
#include "cli/flags/checks.h"
#include "cli/flags/flags.h"

namespace berth::cli {

inline constexpr FlagSpec kNetworkCreateFlags[] = {
    {"attachable", 0, "", "Let containers connect to a swarm's network"},
    {"aux-address", 0, "map", "Addresses of a subnet that are taken (name=address)"},
    {"config-from", 0, "string", "Take the configuration of this network"},
    {"config-only", 0, "", "Only keep a configuration, for --config-from"},
    {"driver", 'd', "string", "Driver of the network", "bridge"},
    {"gateway", 0, "strings", "Gateway of a subnet"},
    {"ingress", 0, "", "Make it a swarm's routing mesh"},
    {"internal", 0, "", "Keep it away from other networks"},
    {"ip-range", 0, "strings", "Give containers addresses of this part of a subnet"},
    {"ipam-driver", 0, "string", "Driver of the addresses", "default"},
    {"ipam-opt", 0, "map", "Options of the driver of the addresses"},
    {"ipv4", 0, "", "IPv4 addresses, or none with --ipv4=false", "true"},
    {"ipv6", 0, "", "IPv6 addresses, or none with --ipv6=false"},
    {"label", 0, "list", "Set a label", "", check_label},
    {"opt", 'o', "map", "Options of the driver"},
    {"scope", 0, "string", "Where it is: local, or a swarm's"},
    {"subnet", 0, "strings", "Subnet in CIDR notation, such as 10.1.0.0/16"},
};

inline constexpr FlagSpec kNetworkConnectFlags[] = {
    {"alias", 0, "strings", "Add a name of the container on this network"},
    {"driver-opt", 0, "strings", "Options of the network's driver (name=value)"},
    {"gw-priority", 0, "int", "The highest makes the default gateway; negative ones are allowed", "0"},
    {"ip", 0, "string", "IPv4 address"},
    {"ip6", 0, "string", "IPv6 address"},
    {"link", 0, "list", "Add a link to another container (name[:alias])", "", check_link},
    {"link-local-ip", 0, "strings", "Link-local addresses"},
};

}  // namespace berth::cli

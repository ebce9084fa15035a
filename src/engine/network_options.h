// SPDX-License-Identifier: Apache-2.0
// A network's options (`network create -o`), read and checked.
#pragma once
#include <cstdint>
#include <optional>
#include <string>

#include "base/error.h"
#include "engine/network_record.h"
#include "netlink/ipv6.h"

namespace berth::engine {

inline constexpr const char* kBridgeNameOption = "com.docker.network.bridge.name";
inline constexpr const char* kIccOption = "com.docker.network.bridge.enable_icc";
inline constexpr const char* kMasqueradeOption = "com.docker.network.bridge.enable_ip_masquerade";
inline constexpr const char* kHostBindingOption = "com.docker.network.bridge.host_binding_ipv4";
inline constexpr const char* kMtuOption = "com.docker.network.driver.mtu";
inline constexpr const char* kInterfacePrefixOption = "com.docker.network.container_iface_prefix";
inline constexpr const char* kIpv4Option = "com.docker.network.enable_ipv4";
inline constexpr const char* kIpv6Option = "com.docker.network.enable_ipv6";

// How much of the engine's id is in the names and marks of what it makes on the host.
inline constexpr std::size_t kOwnerLength = 12;

// Whether all of Docker's own are known, and have values that mean something. Others are their user's.
Result<void> check_options(const NetworkRecord& record);

std::string network_option(const NetworkRecord& record, const std::string& name);  // "" when it is not given

// Written as Go's ParseBool takes it: "1", "t", "T", "true", "TRUE", "True", and likewise "false".
Result<bool> boolean_option(const NetworkRecord& record, const std::string& name, bool otherwise);
Result<std::uint32_t> mtu_option(const NetworkRecord& record, std::uint32_t otherwise);

// Where ports are published that name no address of the host: nowhere in particular, unless it is chosen.
std::optional<netlink::IpAddress> host_binding(const NetworkRecord& record);
std::string interface_prefix(const NetworkRecord& record);  // "eth" of "eth0"

// Whether containers get a way out of it: not from an internal one, nor from a macvlan network on nothing.
bool has_way_out(const NetworkRecord& record);

}  // namespace berth::engine

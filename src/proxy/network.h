// SPDX-License-Identifier: Apache-2.0
// Addresses of peers, and networks of them.
#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

struct sockaddr_storage;

namespace berth::proxy {

using AddressBytes = std::array<std::uint8_t, 16>;  // IPv4 as ::ffff:a.b.c.d

AddressBytes address_of(const sockaddr_storage& peer) noexcept;
std::optional<AddressBytes> parse_address(std::string_view text);
std::string format_address(const AddressBytes& address);

struct Network {
  AddressBytes address{};
  unsigned bits = 128;
  bool contains(const AddressBytes& other) const noexcept;
};

Result<Network> parse_network(std::string_view text);  // "10.0.0.0/8", "::1"
bool any_contains(const std::vector<Network>& networks, const AddressBytes& address) noexcept;

}  // namespace berth::proxy

// SPDX-License-Identifier: Apache-2.0
// Addresses as the resolver keeps them: containers' (IPv4 or IPv6) and those of servers it asks.
#pragma once
#include <sys/socket.h>

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace berth::names {

struct Address {
  std::array<unsigned char, 16> bytes{};  // network order; IPv4 has the first four, the rest is zero
  bool is_v6 = false;

  static std::optional<Address> parse(std::string_view text);  // no port, no zone
  std::string text() const;
  std::span<const unsigned char> wire() const { return {bytes.data(), is_v6 ? 16u : 4u}; }
  auto operator<=>(const Address&) const = default;
};

// A DNS server. Its text is "192.0.2.1", "192.0.2.1:5353", "2001:db8::1", "[2001:db8::1]:5353", or
// "fe80::1%eth0"; without a port it is 53.
struct Server {
  Address address;
  std::uint16_t port = 53;
  std::string interface;  // of a link-local address; looked up in the resolver's namespace when it is asked

  static std::optional<Server> parse(std::string_view text);
  std::string text() const;
  bool operator==(const Server&) const = default;
};

// An address as the kernel takes it.
struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t size = sizeof(sockaddr_storage);
  sockaddr* get() noexcept { return reinterpret_cast<sockaddr*>(&storage); }
  const sockaddr* get() const noexcept { return reinterpret_cast<const sockaddr*>(&storage); }
};
SocketAddress socket_address(const Server& server);

struct AddressHash {
  std::size_t operator()(const Address& address) const noexcept {
    return std::hash<std::string_view>()(
        {reinterpret_cast<const char*>(address.bytes.data()), address.bytes.size()});
  }
};

}  // namespace berth::names

// SPDX-License-Identifier: Apache-2.0
// IPv6 addresses and prefixes as values, their text forms (RFC 5952), and addresses of either family.
#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "netlink/ipv4.h"

namespace berth::netlink {

struct Ipv6Address {
  std::array<unsigned char, 16> bytes{};  // network order; all zero stands for "none"
  static std::optional<Ipv6Address> parse(std::string_view text) noexcept;  // without a zone
  std::string text() const;
  auto operator<=>(const Ipv6Address&) const = default;
  explicit operator bool() const noexcept { return *this != Ipv6Address{}; }
};

struct Ipv6Prefix {
  Ipv6Address address;
  int length = 0;                                                          // 0..128
  static std::optional<Ipv6Prefix> parse(std::string_view text) noexcept;  // "fd00::/64"
  std::string text() const;
  Ipv6Prefix subnet() const noexcept;
  bool contains(const Ipv6Address& other) const noexcept;
  bool overlaps(const Ipv6Prefix& other) const noexcept {
    return length <= other.length ? contains(other.address) : other.contains(address);
  }
  Ipv6Address host(std::uint64_t number) const noexcept;  // the subnet's first address plus so many
  auto operator<=>(const Ipv6Prefix&) const = default;
};

// Of one family or the other. The zero of a family is all of a host's addresses in it.
struct IpAddress {
  IpAddress() = default;
  IpAddress(Ipv4Address address) noexcept;         // NOLINT: it is one
  IpAddress(const Ipv6Address& address) noexcept;  // NOLINT
  static std::optional<IpAddress> parse(std::string_view text) noexcept;
  std::string text() const;
  Ipv4Address v4() const noexcept;  // of the IPv4 family
  auto operator<=>(const IpAddress&) const = default;
  explicit operator bool() const noexcept { return bytes != std::array<unsigned char, 16>{}; }

  bool is_v6 = false;
  std::array<unsigned char, 16> bytes{};  // network order; IPv4 has the first four
};

}  // namespace berth::netlink

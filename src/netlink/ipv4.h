// SPDX-License-Identifier: Apache-2.0
// IPv4 addresses and prefixes as values in host byte order, and their text forms.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"

namespace berth::netlink {

struct Ipv4Address {
  std::uint32_t value = 0;  // host byte order; 0 stands for "none"
  static std::optional<Ipv4Address> parse(
      std::string_view text) noexcept;  // strict dotted quad, no leading zeros
  std::string text() const;
  auto operator<=>(const Ipv4Address&) const = default;
  explicit operator bool() const noexcept { return value != 0; }
};

// An address with a prefix length: a subnet when the host bits are zero, otherwise an interface's address.
struct Ipv4Prefix {
  Ipv4Address address;
  int length = 0;                                                          // 0..32
  static std::optional<Ipv4Prefix> parse(std::string_view text) noexcept;  // "172.17.0.0/16"
  std::string text() const;
  std::uint32_t mask() const noexcept { return length == 0 ? 0 : ~std::uint32_t{0} << (32 - length); }
  Ipv4Prefix subnet() const noexcept { return {{address.value & mask()}, length}; }
  Ipv4Address broadcast() const noexcept { return {address.value | ~mask()}; }
  bool contains(Ipv4Address other) const noexcept { return ((address.value ^ other.value) & mask()) == 0; }
  bool overlaps(const Ipv4Prefix& other) const noexcept {
    return length <= other.length ? contains(other.address) : other.contains(address);
  }
  auto operator<=>(const Ipv4Prefix&) const = default;
};

}  // namespace berth::netlink

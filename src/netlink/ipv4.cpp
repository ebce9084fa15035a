// SPDX-License-Identifier: Apache-2.0
#include "netlink/ipv4.h"

#include "base/text.h"

namespace berth::netlink {

std::optional<Ipv4Address> Ipv4Address::parse(std::string_view text) noexcept {
  std::uint32_t value = 0;
  for (int part = 0; part < 4; ++part) {
    const std::size_t end = part < 3 ? text.find('.') : text.size();
    if (end == std::string_view::npos) return std::nullopt;
    std::string_view digits = text.substr(0, end);
    // A leading zero means octal to some readers: no reading of it is safe.
    if (digits.size() > 1 && digits.front() == '0') return std::nullopt;
    auto byte = parse_integer<std::uint8_t>(digits);
    if (!byte) return std::nullopt;
    value = value << 8 | *byte;
    text.remove_prefix(part < 3 ? end + 1 : end);
  }
  return Ipv4Address{value};
}

std::string Ipv4Address::text() const {
  return fmt::format("{}.{}.{}.{}", value >> 24, value >> 16 & 255, value >> 8 & 255, value & 255);
}

std::optional<Ipv4Prefix> Ipv4Prefix::parse(std::string_view text) noexcept {
  auto [left, right] = split_once(text, '/');
  auto address = Ipv4Address::parse(left);
  auto length = parse_integer<std::uint8_t>(right);
  if (!address || !length || *length > 32) return std::nullopt;
  return Ipv4Prefix{*address, *length};
}

std::string Ipv4Prefix::text() const { return fmt::format("{}/{}", address.text(), length); }

}  // namespace berth::netlink

// SPDX-License-Identifier: Apache-2.0
#include "netlink/ipv6.h"

#include <arpa/inet.h>

#include "base/text.h"

namespace berth::netlink {
namespace {

// The bits of byte `index` that belong to a prefix.
unsigned char mask_at(int length, std::size_t index) {
  const int bits = length - static_cast<int>(index) * 8;
  if (bits >= 8) return 0xff;
  return bits <= 0 ? 0 : static_cast<unsigned char>(0xff << (8 - bits));
}

}  // namespace

std::optional<Ipv6Address> Ipv6Address::parse(std::string_view text) noexcept {
  char terminated[INET6_ADDRSTRLEN + 1] = {};
  if (text.size() >= sizeof terminated || text.find('\0') != std::string_view::npos) return std::nullopt;
  text.copy(terminated, text.size());
  Ipv6Address address;
  if (inet_pton(AF_INET6, terminated, address.bytes.data()) != 1) return std::nullopt;
  return address;
}

std::string Ipv6Address::text() const {
  char written[INET6_ADDRSTRLEN] = {};
  return inet_ntop(AF_INET6, bytes.data(), written, sizeof written);
}

std::optional<Ipv6Prefix> Ipv6Prefix::parse(std::string_view text) noexcept {
  auto [left, right] = split_once(text, '/');
  auto address = Ipv6Address::parse(left);
  auto length = parse_integer<std::uint8_t>(right);
  if (!address || !length || *length > 128) return std::nullopt;
  return Ipv6Prefix{*address, *length};
}

std::string Ipv6Prefix::text() const { return fmt::format("{}/{}", address.text(), length); }

Ipv6Prefix Ipv6Prefix::subnet() const noexcept {
  Ipv6Prefix out = *this;
  for (std::size_t i = 0; i < out.address.bytes.size(); ++i) out.address.bytes[i] &= mask_at(length, i);
  return out;
}

bool Ipv6Prefix::contains(const Ipv6Address& other) const noexcept {
  return Ipv6Prefix{other, length}.subnet().address == subnet().address;
}

Ipv6Address Ipv6Prefix::host(std::uint64_t number) const noexcept {
  Ipv6Address out = subnet().address;
  unsigned carry = 0;
  for (std::size_t i = out.bytes.size(); i-- > 0 && (number > 0 || carry > 0);) {
    const unsigned sum = out.bytes[i] + static_cast<unsigned>(number & 0xff) + carry;
    out.bytes[i] = static_cast<unsigned char>(sum);
    carry = sum >> 8;
    number >>= 8;
  }
  return out;
}

IpAddress::IpAddress(Ipv4Address address) noexcept {
  for (std::size_t i = 0; i < 4; ++i) bytes[i] = static_cast<unsigned char>(address.value >> (24 - 8 * i));
}

IpAddress::IpAddress(const Ipv6Address& address) noexcept : is_v6(true), bytes(address.bytes) {}

std::optional<IpAddress> IpAddress::parse(std::string_view text) noexcept {
  if (auto v4 = Ipv4Address::parse(text)) return IpAddress(*v4);
  if (auto v6 = Ipv6Address::parse(text)) return IpAddress(*v6);
  return std::nullopt;
}

std::string IpAddress::text() const { return is_v6 ? Ipv6Address{bytes}.text() : v4().text(); }

Ipv4Address IpAddress::v4() const noexcept {
  std::uint32_t value = 0;
  for (std::size_t i = 0; i < 4; ++i) value = value << 8 | bytes[i];
  return {value};
}

}  // namespace berth::netlink

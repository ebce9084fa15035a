// SPDX-License-Identifier: Apache-2.0
#include "proxy/network.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>

#include "base/text.h"

namespace berth::proxy {
namespace {

constexpr std::array<std::uint8_t, 12> kFour{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

bool is_four(const AddressBytes& address) noexcept {
  return std::ranges::equal(kFour, std::span(address).first(12));
}

}  // namespace

AddressBytes address_of(const sockaddr_storage& peer) noexcept {
  AddressBytes bytes{};
  if (peer.ss_family == AF_INET6) {
    std::memcpy(bytes.data(), &reinterpret_cast<const sockaddr_in6&>(peer).sin6_addr, 16);
  } else {
    std::ranges::copy(kFour, bytes.begin());
    std::memcpy(bytes.data() + 12, &reinterpret_cast<const sockaddr_in&>(peer).sin_addr, 4);
  }
  return bytes;
}

std::optional<AddressBytes> parse_address(std::string_view text) {
  const std::string plain(text);
  AddressBytes bytes{};
  if (inet_pton(AF_INET6, plain.c_str(), bytes.data()) == 1) return bytes;
  std::ranges::copy(kFour, bytes.begin());
  if (inet_pton(AF_INET, plain.c_str(), bytes.data() + 12) == 1) return bytes;
  return std::nullopt;
}

std::string format_address(const AddressBytes& address) {
  char text[INET6_ADDRSTRLEN];
  const bool four = is_four(address);
  inet_ntop(four ? AF_INET : AF_INET6, address.data() + (four ? 12 : 0), text, sizeof text);
  return text;
}

bool Network::contains(const AddressBytes& other) const noexcept {
  for (unsigned bit = 0; bit < bits; bit += 8) {
    const unsigned left = bits - bit;
    const auto mask = static_cast<std::uint8_t>(left >= 8 ? 0xff : 0xff << (8 - left));
    if ((address[bit / 8] ^ other[bit / 8]) & mask) return false;
  }
  return true;
}

Result<Network> parse_network(std::string_view text) {
  const auto wrong = [&] { return fail(ErrorKind::invalid, "\"{}\" is no network: 10.0.0.0/8", text); };
  const auto [plain, bits] = split_once(text, '/');
  const std::optional<AddressBytes> address = parse_address(plain);
  if (!address) return wrong();
  if (plain.size() == text.size()) return Network{*address, 128};
  const bool four = plain.find(':') == std::string_view::npos;
  const auto number = parse_integer<unsigned>(bits);
  if (!number || *number > (four ? 32u : 128u)) return wrong();
  return Network{*address, *number + (four ? 96 : 0)};
}

bool any_contains(const std::vector<Network>& networks, const AddressBytes& address) noexcept {
  return std::ranges::any_of(networks, [&](const Network& one) { return one.contains(address); });
}

}  // namespace berth::proxy

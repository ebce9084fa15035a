// SPDX-License-Identifier: Apache-2.0
#include "proxy/settings.h"

namespace berth::proxy {

bool Network::contains(const std::array<std::uint8_t, 16>& other) const noexcept {
  for (unsigned bit = 0; bit < bits; bit += 8) {
    const unsigned left = bits - bit;
    const auto mask = static_cast<std::uint8_t>(left >= 8 ? 0xff : 0xff << (8 - left));
    if ((address[bit / 8] ^ other[bit / 8]) & mask) return false;
  }
  return true;
}

}  // namespace berth::proxy

// SPDX-License-Identifier: Apache-2.0
#include "proxy/http1/known_fields.h"

#include <array>

#include "proxy/http1/characters.h"

namespace berth::proxy {
namespace {

struct Known {
  std::string_view name;  // in lower case
  KnownField field;
};

constexpr std::array kKnown{
    Known{"authorization", KnownField::authorization},
    Known{"connection", KnownField::connection},
    Known{"content-length", KnownField::content_length},
    Known{"cookie", KnownField::cookie},
    Known{"expect", KnownField::expect},
    Known{"forwarded", KnownField::forwarded},
    Known{"host", KnownField::host},
    Known{"keep-alive", KnownField::keep_alive},
    Known{"max-forwards", KnownField::max_forwards},
    Known{"proxy-authenticate", KnownField::proxy_authenticate},
    Known{"proxy-authorization", KnownField::proxy_authorization},
    Known{"proxy-connection", KnownField::proxy_connection},
    Known{"referer", KnownField::referer},
    Known{"sec-websocket-accept", KnownField::sec_websocket_accept},
    Known{"sec-websocket-key", KnownField::sec_websocket_key},
    Known{"te", KnownField::te},
    Known{"trailer", KnownField::trailer},
    Known{"transfer-encoding", KnownField::transfer_encoding},
    Known{"upgrade", KnownField::upgrade},
    Known{"user-agent", KnownField::user_agent},
    Known{"x-forwarded-for", KnownField::x_forwarded_for},
    Known{"x-forwarded-host", KnownField::x_forwarded_host},
    Known{"x-forwarded-port", KnownField::x_forwarded_port},
    Known{"x-forwarded-prefix", KnownField::x_forwarded_prefix},
    Known{"x-forwarded-proto", KnownField::x_forwarded_proto},
    Known{"x-forwarded-user", KnownField::x_forwarded_user},
    Known{"x-real-ip", KnownField::x_real_ip},
};

// Open addressing over length, first and last letter. Most names that are not known end at an empty slot.
constexpr std::size_t kSlots = 64;

constexpr std::size_t slot_of(std::string_view name) noexcept {
  return (name.size() * 7 + static_cast<std::size_t>(lower(name.front())) * 3 +
          static_cast<std::size_t>(lower(name.back()))) %
         kSlots;
}

constexpr std::array<std::uint8_t, kSlots> make_slots() {
  std::array<std::uint8_t, kSlots> slots{};  // index + 1
  for (std::size_t at = 0; at < kKnown.size(); ++at) {
    std::size_t slot = slot_of(kKnown[at].name);
    while (slots[slot] != 0) slot = (slot + 1) % kSlots;
    slots[slot] = static_cast<std::uint8_t>(at + 1);
  }
  return slots;
}
constexpr std::array<std::uint8_t, kSlots> kSlotsOfNames = make_slots();

}  // namespace

KnownField known_field(std::string_view name) noexcept {
  for (std::size_t slot = slot_of(name); kSlotsOfNames[slot] != 0; slot = (slot + 1) % kSlots) {
    const Known& known = kKnown[kSlotsOfNames[slot] - 1u];
    if (equal_ignoring_case(known.name, name)) return known.field;
  }
  return KnownField::other;
}

}  // namespace berth::proxy

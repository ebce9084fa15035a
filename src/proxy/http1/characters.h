// SPDX-License-Identifier: Apache-2.0
// Classes of characters in HTTP messages (RFC 9110, section 5.6), as tables: one load a byte.
#pragma once
#include <array>
#include <string_view>

namespace berth::proxy {

using CharacterClass = std::array<bool, 256>;

constexpr CharacterClass class_of(std::string_view more, bool letters_and_digits) {
  CharacterClass members{};
  for (const char c : more) members[static_cast<unsigned char>(c)] = true;
  if (!letters_and_digits) return members;
  for (unsigned char c = '0'; c <= '9'; ++c) members[c] = true;
  for (unsigned char c = 'a'; c <= 'z'; ++c) members[c] = members[c - 'a' + 'A'] = true;
  return members;
}

constexpr CharacterClass printable(bool blanks, bool beyond_ascii) {
  CharacterClass members{};
  for (unsigned c = 0x21; c <= 0x7e; ++c) members[c] = true;
  if (blanks) members[' '] = members['\t'] = true;
  for (unsigned c = 0x80; beyond_ascii && c <= 0xff; ++c) members[c] = true;
  return members;
}

constexpr CharacterClass kTokenCharacters = class_of("!#$%&'*+-.^_`|~", true);
constexpr CharacterClass kValueCharacters = printable(true, true);
constexpr CharacterClass kTargetCharacters = printable(false, false);
// Of what a reg-name may have, what names of hosts do have. Whoever else reads the name reads no more into
// it.
constexpr CharacterClass kHostCharacters = class_of("-._", true);
constexpr CharacterClass kAddressCharacters = class_of(":.", true);  // between brackets

constexpr bool all_in(const CharacterClass& members, std::string_view text) {
  for (const char c : text)
    if (!members[static_cast<unsigned char>(c)]) return false;
  return true;
}

constexpr char lower(char c) noexcept { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

}  // namespace berth::proxy

// SPDX-License-Identifier: Apache-2.0
// Small work on strings: strict number parsing, splitting, hex and base64, sizes as people write them.
#pragma once
#include <charconv>
#include <concepts>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace berth {

// The whole text as an integer of exactly this type: no sign where the type has none, no blanks, no overflow.
// "4294967296" is not a std::uint32_t: ids that wrap have been a way to become root.
template <std::integral Integer>
std::optional<Integer> parse_integer(std::string_view text, int base = 10) noexcept {
  Integer value{};
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (error != std::errc{} || end != text.data() + text.size() || text.empty()) return std::nullopt;
  return value;
}

std::optional<double> parse_decimal(std::string_view text) noexcept;  // digits with one optional point

// "64m", "1.5GB", "512k", "10b", "100": binary multiples, as Docker reads memory sizes.
Result<std::int64_t> parse_size(std::string_view text);
std::string format_size_decimal(double bytes, int precision = 4);  // "1.24MB", as Docker's tables
std::string format_size_binary(double bytes, int precision = 4);   // "64MiB"

std::vector<std::string_view> split(std::string_view text, char separator);
// At the first separator; the second part is empty when there is none.
std::pair<std::string_view, std::string_view> split_once(std::string_view text, char separator);
std::string_view trim(std::string_view text);
std::string join(std::span<const std::string> parts, std::string_view separator);
std::string to_lower(std::string_view text);
std::string to_upper(std::string_view text);

std::string to_hex(std::span<const unsigned char> bytes);
std::string to_base64(std::string_view bytes);
// Standard and URL alphabets, with or without padding.
std::optional<std::string> from_base64(std::string_view text);
std::string percent_encode(std::string_view text);  // everything but RFC 3986's unreserved characters
std::optional<std::string> percent_decode(std::string_view text, bool plus_is_space);

bool valid_utf8(std::string_view text) noexcept;

// From getrandom(2): 64 lower-case hex digits that name a container or an exec.
std::string random_identifier();

}  // namespace berth

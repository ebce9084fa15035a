// SPDX-License-Identifier: Apache-2.0
#include "registryd/names.h"

#include <algorithm>

namespace berth::registryd {
namespace {

constexpr std::size_t kMediaTypeLimit = 255;

bool is_alphanumeric(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }

bool valid_separator(std::string_view text) {
  if (text == "." || text == "_" || text == "__") return true;
  return std::ranges::all_of(text, [](char c) { return c == '-'; });
}

bool valid_component(std::string_view text) {
  std::size_t at = 0;
  for (;;) {
    const std::size_t group = at;
    while (at < text.size() && is_alphanumeric(text[at])) ++at;
    if (at == group) return false;
    if (at == text.size()) return true;
    const std::size_t separator = at;
    while (at < text.size() && !is_alphanumeric(text[at])) ++at;
    if (!valid_separator(text.substr(separator, at - separator))) return false;
  }
}

}  // namespace

bool valid_repository(std::string_view name) noexcept {
  if (name.size() > kNameLimit) return false;
  for (;;) {
    const std::size_t slash = name.find('/');
    if (!valid_component(name.substr(0, slash))) return false;
    if (slash == std::string_view::npos) return true;
    name.remove_prefix(slash + 1);
  }
}

bool valid_media_type(std::string_view type) noexcept {
  auto allowed = [](char c) {
    return is_alphanumeric(c) || (c >= 'A' && c <= 'Z') ||
           std::string_view("!#$&-^_.+/").find(c) != std::string_view::npos;
  };
  const std::size_t slash = type.find('/');
  return type.size() <= kMediaTypeLimit && slash != std::string_view::npos && slash > 0 &&
         slash + 1 < type.size() && type.find('/', slash + 1) == std::string_view::npos &&
         std::ranges::all_of(type, allowed);
}

}  // namespace berth::registryd

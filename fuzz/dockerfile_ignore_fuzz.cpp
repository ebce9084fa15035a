// SPDX-License-Identifier: Apache-2.0
// A .dockerignore, a zero byte, a path. Whatever comes, it ends soon; what a builder skips is excluded; and a
// pattern matches what a slow and simple matcher says.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "base/text.h"
#include "dockerfile/ignore.h"

namespace {

using namespace berth::dockerfile;

void require(bool condition) {
  if (!condition) std::abort();
}

// Patterns of letters, "/", "?", "*", and "**" that is a whole component. Tries all ways.
bool simply_matches(std::string_view pattern, std::string_view path) {
  if (pattern == "**") return true;
  if (pattern.starts_with("**/")) {
    if (simply_matches(pattern.substr(3), path)) return true;
    for (std::size_t slash = path.find('/'); slash != std::string_view::npos;
         slash = path.find('/', slash + 1))
      if (simply_matches(pattern.substr(3), path.substr(slash + 1))) return true;
    return false;
  }
  if (pattern.empty() || path.empty())
    return path.empty() && pattern.find_first_not_of('*') == std::string_view::npos;
  if (pattern.front() == '*')
    return simply_matches(pattern.substr(1), path) ||
           (path.front() != '/' && simply_matches(pattern, path.substr(1)));
  if (pattern.front() == '?' ? path.front() == '/' : pattern.front() != path.front()) return false;
  return simply_matches(pattern.substr(1), path.substr(1));
}

bool is_simple(std::string_view pattern) {
  if (pattern.size() > 24 || std::ranges::count(pattern, '*') > 6) return false;
  const bool plain = std::ranges::all_of(
      pattern, [](char c) { return (c >= 'a' && c <= 'z') || c == '/' || c == '?' || c == '*' || c == '.'; });
  for (std::string_view component : berth::split(pattern, '/'))
    if (component.find("**") != std::string_view::npos && component != "**") return false;
  return plain && clean_path(pattern) == pattern;
}

bool walk_comes_to(const IgnoreRules& rules, std::string_view path) {
  for (std::size_t slash = path.find('/'); slash != std::string_view::npos; slash = path.find('/', slash + 1))
    if (rules.excluded(path.substr(0, slash)) && !rules.may_include_below(path.substr(0, slash)))
      return false;
  return !rules.excluded(path);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const std::size_t zero = input.find('\0');
  if (zero == std::string_view::npos || size > 4096) return 0;
  const std::string_view text = input.substr(0, zero);
  const std::string clean = clean_path("/" + std::string(input.substr(zero + 1)));
  const std::string_view path = std::string_view(clean).substr(1);
  if (path.empty() || path.size() > 300) return 0;
  require(clean_path(clean) == clean);

  const berth::Result<IgnoreRules> rules = IgnoreRules::parse(text);
  if (!rules) {
    require(berth::valid_utf8(rules.error().message) && rules.error().message.size() < 500);
  } else {
    require(walk_comes_to(*rules, path) == !rules->excluded(path));
    if (text.find('!') == std::string_view::npos && rules->excluded(path))
      require(rules->excluded(clean.substr(1) + "/x"));
  }

  const std::string_view pattern = berth::split_once(text, '\n').first;
  const berth::Result<void> right = check_pattern(pattern);
  const bool matched = matches(pattern, path);
  require(right || !matched);
  if (matched) require(matches_or_below(pattern, path));
  if (is_simple(pattern) && path.size() < 40 && std::ranges::all_of(path, [](char c) { return c > 0; }))
    require(matched == simply_matches(pattern, path));
  return 0;
}

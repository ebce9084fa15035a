// SPDX-License-Identifier: Apache-2.0
#include "dockerfile/ignore.h"

#include <algorithm>
#include <utility>

#include "base/text.h"

namespace berth::dockerfile {
namespace {

constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";

// "a", "a/b", "a/b/c" for "a/b/c": `visit` says when it is enough.
template <class Visit>
bool any_from_the_top(std::string_view path, Visit visit) {
  for (std::size_t slash = path.find('/'); slash != std::string_view::npos; slash = path.find('/', slash + 1))
    if (visit(path.substr(0, slash))) return true;
  return visit(path);
}

}  // namespace

bool matches(std::string_view pattern, std::string_view path) {
  Result<PathPattern> compiled = PathPattern::compile(pattern);
  return compiled && compiled->matches(path);
}

bool matches_or_below(std::string_view pattern, std::string_view path) {
  Result<PathPattern> compiled = PathPattern::compile(pattern);
  return compiled && any_from_the_top(path, [&](std::string_view part) { return compiled->matches(part); });
}

Result<void> check_pattern(std::string_view pattern) {
  TRY(PathPattern::compile(pattern));
  return {};
}

bool has_wildcards(std::string_view pattern) {
  return pattern.find_first_of("*?[\\") != std::string_view::npos;
}

Result<IgnoreRules> IgnoreRules::parse(std::string_view text) {
  if (text.starts_with(kByteOrderMark)) text.remove_prefix(kByteOrderMark.size());
  IgnoreRules rules;
  for (std::string_view line : split(text, '\n'))
    // Before blanks are taken off: " #a" is a file's name.
    if (!line.starts_with('#')) TRY(rules.add(line));
  return rules;
}

Result<IgnoreRules> IgnoreRules::of(const std::vector<std::string>& patterns) {
  IgnoreRules rules;
  for (const std::string& pattern : patterns) TRY(rules.add(pattern));
  return rules;
}

Result<void> IgnoreRules::add(std::string_view line) {
  std::string_view text = trim(line);
  if (text.empty()) return {};
  const bool include = text.starts_with('!');
  if (include) text = trim(text.substr(1));
  std::string clean = text.empty() ? "" : clean_path(text);
  if (clean.starts_with('/')) clean.erase(0, 1);
  if (include && clean.empty()) return fail(ErrorKind::invalid, "illegal exclusion pattern: \"!\"");
  PathPattern pattern = TRY(PathPattern::compile(clean));
  rules_.push_back({std::move(pattern), include});
  return {};
}

bool IgnoreRules::excluded(std::string_view path) const {
  // Rule by rule, whether it matched a directory above. One that did nothing there, because all was already
  // as it says, is not asked again for what is below: that is how Docker walks a tree, and it shows where a
  // rule names a directory that an earlier one only reaches into.
  std::vector<char> above(rules_.size(), 0);
  bool excluded = false;
  any_from_the_top(path, [&](std::string_view part) {
    excluded = false;
    for (std::size_t number = 0; number < rules_.size(); ++number) {
      const Rule& rule = rules_[number];
      if (!above[number] && rule.include == excluded) above[number] = rule.pattern.matches(part);
      if (above[number]) excluded = !rule.include;
    }
    return false;
  });
  return excluded;
}

bool IgnoreRules::may_include_below(std::string_view directory) const {
  return std::ranges::any_of(
      rules_, [&](const Rule& rule) { return rule.include && rule.pattern.may_match_below(directory); });
}

}  // namespace berth::dockerfile

// SPDX-License-Identifier: Apache-2.0
#include "dockerfile/shell_pattern.h"

#include <algorithm>
#include <optional>
#include <span>
#include <vector>

namespace berth::dockerfile {
namespace {

using Characters = std::vector<std::string_view>;
using Text = std::span<const std::string_view>;

struct Atom {
  std::string_view character;
  bool any = false;
};
using Part = std::vector<Atom>;
using Pattern = std::vector<Part>;  // what lies between stars: one part more than there are stars

// A byte and the continuation bytes behind it. Text that is not UTF-8 has characters too, only odd ones.
std::string_view character_at(std::string_view text, std::size_t at) {
  std::size_t end = at + 1;
  while (end < text.size() && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) ++end;
  return text.substr(at, end - at);
}

Characters characters_of(std::string_view text) {
  Characters characters;
  for (std::size_t at = 0; at < text.size(); at += characters.back().size())
    characters.push_back(character_at(text, at));
  return characters;
}

std::size_t byte_count(Text characters) {
  std::size_t count = 0;
  for (std::string_view character : characters) count += character.size();
  return count;
}

Pattern parse(std::string_view text, char escape) {
  Pattern pattern(1);
  for (std::size_t at = 0; at < text.size();) {
    if (text[at] == escape && at + 1 < text.size()) {
      ++at;
    } else if (text[at] == '*') {
      pattern.emplace_back();
      ++at;
      continue;
    } else if (text[at] == '?') {
      pattern.back().push_back({.any = true});
      ++at;
      continue;
    }
    pattern.back().push_back({character_at(text, at)});
    at += pattern.back().back().character.size();
  }
  return pattern;
}

bool fits(const Part& part, Text text, std::size_t at, Effort& effort) {
  if (part.size() > text.size() - at) return false;
  std::size_t same = 0;
  while (same < part.size() && (part[same].any || part[same].character == text[at + same])) ++same;
  effort.spend(same + 1);
  return same == part.size();
}

std::optional<std::size_t> find_first(const Part& part, Text text, std::size_t from, Effort& effort) {
  for (std::size_t at = from; at + part.size() <= text.size() && !effort.exhausted(); ++at)
    if (fits(part, text, at, effort)) return at;
  return std::nullopt;
}

std::optional<std::size_t> find_last(const Part& part, Text text, std::size_t from, Effort& effort) {
  if (part.size() > text.size()) return std::nullopt;
  for (std::size_t at = text.size() - part.size() + 1; at-- > from && !effort.exhausted();)
    if (fits(part, text, at, effort)) return at;
  return std::nullopt;
}

// Of a match that begins right at `begin`. Parts in the middle are taken as early as they come, which leaves
// the most for those behind them: no part needs a second try, and only the last one decides about the length.
std::optional<std::size_t> end_of_match(const Pattern& pattern, Text text, std::size_t begin,
                                        MatchLength length, Effort& effort) {
  if (!fits(pattern.front(), text, begin, effort)) return std::nullopt;
  std::size_t end = begin + pattern.front().size();
  for (std::size_t number = 1; number < pattern.size(); ++number) {
    const Part& part = pattern[number];
    const bool take_last = number + 1 == pattern.size() && length == MatchLength::longest;
    auto found = take_last ? find_last(part, text, end, effort) : find_first(part, text, end, effort);
    if (!found) return std::nullopt;
    end = *found + part.size();
  }
  return end;
}

// Nothing is found before the first character, and behind each.
std::string with_inserted(Text text, std::string_view inserted, MatchCount count, Effort& effort) {
  std::string result(inserted);
  for (std::string_view character : text) {
    if (effort.exhausted()) break;
    result += character;
    if (count == MatchCount::first) continue;
    result += inserted;
    effort.spend(inserted.size());
  }
  return result;
}

void reverse(Pattern& pattern) {
  std::ranges::reverse(pattern);
  for (Part& part : pattern) std::ranges::reverse(part);
}

}  // namespace

std::string_view without_prefix(std::string_view value, std::string_view pattern, char escape,
                                MatchLength length, Effort& effort) {
  effort.spend(value.size() + pattern.size());
  const Characters text = characters_of(value);
  auto end = end_of_match(parse(pattern, escape), text, 0, length, effort);
  return value.substr(end ? byte_count(Text(text).first(*end)) : 0);
}

std::string_view without_suffix(std::string_view value, std::string_view pattern, char escape,
                                MatchLength length, Effort& effort) {
  effort.spend(value.size() + pattern.size());
  Characters text = characters_of(value);
  std::ranges::reverse(text);
  Pattern backwards = parse(pattern, escape);
  reverse(backwards);
  auto end = end_of_match(backwards, text, 0, length, effort);
  return value.substr(0, value.size() - (end ? byte_count(Text(text).first(*end)) : 0));
}

std::string with_replaced(std::string_view value, std::string_view pattern, char escape,
                          std::string_view replacement, MatchCount count, Effort& effort) {
  effort.spend(value.size() + pattern.size());
  const Characters text = characters_of(value);
  if (pattern.empty()) return with_inserted(text, replacement, count, effort);
  const Pattern parts = parse(pattern, escape);
  std::string result;
  std::size_t done = 0, taken = 0;  // characters, and the bytes that they are
  do {
    auto begin = find_first(parts.front(), text, done, effort);
    if (!begin) break;
    // Where the first part fits and a later one is not found behind it, none is found behind a later place
    // either.
    auto end = end_of_match(parts, text, *begin, MatchLength::longest, effort);
    if (!end) break;
    const std::size_t kept = byte_count(Text(text).subspan(done, *begin - done));
    result.append(value.substr(taken, kept)).append(replacement);
    effort.spend(kept + replacement.size());
    taken += kept + byte_count(Text(text).subspan(*begin, *end - *begin));
    done = *end;
  } while (count == MatchCount::all && done < text.size() && !effort.exhausted());
  return result.append(value.substr(taken));
}

}  // namespace berth::dockerfile

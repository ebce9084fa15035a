// SPDX-License-Identifier: Apache-2.0
#include "cli/build/clean_text.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <utility>

#include "base/text.h"

namespace berth::cli {
namespace {

constexpr std::size_t kTab = 8;
constexpr char kEscape = '\x1b';
constexpr std::string_view kEllipsis = "\xe2\x80\xa6";

struct Range {
  std::uint32_t first, last;
};
// Those that take no column, or two. Terminals do not agree on all of them: what draws has to bear a line
// that is a little longer.
constexpr std::array kNarrow{Range{0x300, 0x36f},   Range{0x483, 0x489},    Range{0x591, 0x5bd},
                             Range{0x610, 0x61a},   Range{0x64b, 0x65f},    Range{0x200b, 0x200d},
                             Range{0x20d0, 0x20ff}, Range{0xfe00, 0xfe0f},  Range{0xfe20, 0xfe2f},
                             Range{0xfeff, 0xfeff}, Range{0xe0100, 0xe01ef}};
constexpr std::array kWide{
    Range{0x1100, 0x115f},   Range{0x231a, 0x231b},   Range{0x23e9, 0x23ec},   Range{0x25fd, 0x25fe},
    Range{0x2614, 0x2615},   Range{0x26a1, 0x26a1},   Range{0x2705, 0x2705},   Range{0x274c, 0x274e},
    Range{0x2753, 0x2757},   Range{0x2795, 0x2797},   Range{0x27b0, 0x27b0},   Range{0x2b50, 0x2b55},
    Range{0x2e80, 0x303e},   Range{0x3041, 0xa4cf},   Range{0xa960, 0xa97c},   Range{0xac00, 0xd7a3},
    Range{0xf900, 0xfaff},   Range{0xfe30, 0xfe6f},   Range{0xff00, 0xff60},   Range{0xffe0, 0xffe6},
    Range{0x1f300, 0x1f64f}, Range{0x1f680, 0x1f6ff}, Range{0x1f7e0, 0x1f7eb}, Range{0x1f900, 0x1faff},
    Range{0x20000, 0x3fffd}};
// Marks and overrides of direction: with them a line can look like another.
constexpr std::array kTurning{Range{0x61c, 0x61c}, Range{0x200e, 0x200f}, Range{0x2028, 0x202e},
                              Range{0x2066, 0x2069}};

bool in(const auto& ranges, std::uint32_t code) {
  return std::ranges::any_of(ranges,
                             [&](const Range& range) { return code >= range.first && code <= range.last; });
}

// The character at the front; a length of 0 for what is none.
struct Character {
  std::uint32_t code = 0;
  std::size_t length = 0;
};
Character first_of(std::string_view text) {
  const auto lead = static_cast<unsigned char>(text.front());
  if (lead < 0x80) return {lead, 1};
  const std::size_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  if (text.size() < length || !valid_utf8(text.substr(0, length))) return {};
  std::uint32_t code = lead & (0xffu >> (length + 1));
  for (std::size_t at = 1; at < length; ++at)
    code = code << 6 | (static_cast<unsigned char>(text[at]) & 0x3f);
  return {code, length};
}

// How long the escape sequence at the front is (ECMA-48). One that does not end is its first byte alone: what
// follows is text that should be seen.
std::size_t escape_length(std::string_view text) {
  if (text.size() < 2) return 1;
  if (text[1] == '[') {
    const std::size_t end = text.find_first_not_of("0123456789:;<=>? !\"#$%&'()*+,-./", 2);
    return end == text.npos ? 1 : end + 1;
  }
  if (text[1] == ']' || text[1] == 'P' || text[1] == 'X' || text[1] == '^' || text[1] == '_') {
    const std::size_t bell = text.find('\a', 2), string_end = text.find("\x1b\\", 2);
    if (bell == text.npos && string_end == text.npos) return 1;
    return bell < string_end ? bell + 1 : string_end + 2;
  }
  if (text[1] >= '(' && text[1] <= '/')
    return std::min<std::size_t>(3, text.size());  // a choice of characters
  return text[1] >= 0x20 && text[1] < 0x7f ? 2 : 1;
}

std::size_t width_of(std::uint32_t code) {
  if (code < 0x300) return 1;
  return in(kNarrow, code) ? 0 : in(kWide, code) ? 2 : 1;
}

bool is_harmful(std::uint32_t code) {
  return code < 0x20 || (code >= 0x7f && code < 0xa0) || in(kTurning, code);
}

// What is seen of a line that was written over: what came last, unless that is nothing.
std::string_view last_written(std::string_view line) {
  while (line.ends_with('\r')) line.remove_suffix(1);
  const std::size_t start = line.rfind('\r');
  return start == line.npos ? line : line.substr(start + 1);
}

}  // namespace

std::string clean_line(std::string_view text) {
  std::string out;
  std::size_t column = 0;
  while (!text.empty()) {
    if (text.front() == kEscape) {
      text.remove_prefix(escape_length(text));
      continue;
    }
    const Character character = first_of(text);
    if (character.length == 0) {
      out += '?';
      ++column;
    } else if (character.code == '\t') {
      const std::size_t blanks = kTab - column % kTab;
      out.append(blanks, ' ');
      column += blanks;
    } else if (!is_harmful(character.code)) {
      out += text.substr(0, character.length);
      column += width_of(character.code);
    }
    text.remove_prefix(std::max<std::size_t>(character.length, 1));
  }
  return out;
}

std::string clean_text(std::string_view text) {
  std::string out;
  for (const std::string_view line : split(text, '\n')) {
    if (line.data() != text.data()) out += '\n';
    out += clean_line(line);
  }
  return out;
}

std::size_t columns_of(std::string_view clean) {
  std::size_t columns = 0;
  while (!clean.empty()) {
    const Character character = first_of(clean);
    columns += character.length == 0 ? 1 : width_of(character.code);
    clean.remove_prefix(std::max<std::size_t>(character.length, 1));
  }
  return columns;
}

std::string cut_to_columns(std::string_view clean, std::size_t columns) {
  if (columns_of(clean) <= columns) return std::string(clean);
  if (columns == 0) return "";
  std::string out;
  for (std::size_t used = 0; !clean.empty();) {
    const Character character = first_of(clean);
    used += character.length == 0 ? 1 : width_of(character.code);
    if (used > columns - 1) break;
    out += clean.substr(0, std::max<std::size_t>(character.length, 1));
    clean.remove_prefix(std::max<std::size_t>(character.length, 1));
  }
  return out + std::string(kEllipsis);
}

std::vector<std::string> OutputLines::take(std::string_view data) {
  pending_ += data;
  std::vector<std::string> lines;
  std::size_t start = 0;
  for (std::size_t end; (end = pending_.find('\n', start)) != pending_.npos; start = end + 1)
    lines.push_back(clean_line(last_written(std::string_view(pending_).substr(start, end - start))));
  pending_.erase(0, start);
  if (pending_.size() <= kLongest) return lines;
  const std::size_t over = pending_.rfind('\r', pending_.size() - 2);
  if (over != pending_.npos)
    pending_.erase(0, over + 1);
  else
    lines.push_back(clean_line(std::exchange(pending_, {})));
  return lines;
}

std::string OutputLines::unfinished() const { return clean_line(last_written(pending_)); }

std::vector<std::string> OutputLines::finish() {
  const std::string rest = std::exchange(pending_, {});
  if (rest.empty()) return {};
  return {clean_line(last_written(rest))};
}

}  // namespace berth::cli

// SPDX-License-Identifier: Apache-2.0
#include "dockerfile/suggest.h"

#include <fmt/core.h>

#include <algorithm>
#include <numeric>
#include <vector>

#include "base/text.h"

namespace berth::dockerfile {
namespace {

constexpr std::size_t kLongestWord =
    32;  // longer ones are near nothing, and the work grows with their length

// How many letters must be put in, left out or replaced to make one of the other (Levenshtein).
std::size_t distance(std::string_view from, std::string_view to) {
  std::vector<std::size_t> above(to.size() + 1);
  std::iota(above.begin(), above.end(), 0);
  std::vector<std::size_t> row(to.size() + 1);
  for (std::size_t i = 0; i < from.size(); ++i) {
    row[0] = i + 1;
    for (std::size_t j = 0; j < to.size(); ++j)
      row[j + 1] = std::min({above[j] + (from[i] == to[j] ? 0 : 1), above[j + 1] + 1, row[j] + 1});
    std::swap(above, row);
  }
  return above.back();
}

// How long the UTF-8 character at the front is; 0 if there is none that may be shown. C1 controls (U+0080 to
// U+009F) are commands to terminals as well.
std::size_t printable(std::string_view text) {
  auto first = static_cast<unsigned char>(text.front());
  if (first < 0x80) return first >= 0x20 && first != 0x7f ? 1 : 0;
  std::size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (text.size() < length || !valid_utf8(text.substr(0, length))) return 0;
  bool control = first == 0xc2 && static_cast<unsigned char>(text[1]) < 0xa0;
  return control ? 0 : length;
}

}  // namespace

std::string did_you_mean(std::string_view written, std::span<const std::string_view> known,
                         std::string_view prefix) {
  if (written.empty() || written.size() > kLongestWord) return "";
  std::string lower = to_lower(written);
  std::size_t nearest = written.size() <= 3 ? 2 : 3;  // farther is another word
  std::string_view meant;
  for (std::string_view word : known) {
    std::size_t far = distance(lower, to_lower(word));
    if (far >= nearest) continue;
    nearest = far;
    meant = word;
  }
  return meant.empty() ? "" : fmt::format(" (did you mean {}{}?)", prefix, meant);
}

std::string shown(std::string_view text, std::size_t limit) {
  std::string out;
  while (!text.empty()) {
    std::size_t length = printable(text);
    if (out.size() + std::max<std::size_t>(length, 1) > limit) return out + "...";
    if (length == 0) {
      out += text.front() == '\t' ? ' ' : '?';
    } else {
      out += text.substr(0, length);
    }
    text.remove_prefix(std::max<std::size_t>(length, 1));
  }
  return out;
}

}  // namespace berth::dockerfile

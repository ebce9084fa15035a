// SPDX-License-Identifier: Apache-2.0
// Errors as compilers show them.
#include <algorithm>

#include "dockerfile/dockerfile.h"
#include "dockerfile/suggest.h"

namespace berth::dockerfile {
namespace {

constexpr std::size_t kLongestSentence = 1000;
constexpr int kAround = 2;         // lines before and after
constexpr int kMostMarked = 10;    // lines of one instruction
constexpr int kWidth = 100;        // of a line
constexpr int kLeftOfColumn = 60;  // what is shown before the place, where a line is longer

// The part of a line that is shown, which has the column in it, and where in it the column is.
struct Excerpt {
  std::string text;
  std::size_t mark = 0;
};

bool is_character_start(char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }

std::size_t characters(std::string_view text) {
  return static_cast<std::size_t>(std::ranges::count_if(text, is_character_start));
}

Excerpt excerpt_of(std::string_view line, int column) {
  std::size_t at = std::min(static_cast<std::size_t>(std::max(column - 1, 0)), line.size());
  std::size_t start = at > kLeftOfColumn && line.size() > kWidth ? at - kLeftOfColumn : 0;
  while (start > 0 && start < line.size() && !is_character_start(line[start])) --start;
  std::string before = start > 0 ? "..." : "";
  before += shown(line.substr(start, at - start), kWidth);
  return {before + shown(line.substr(at), kWidth - std::min<std::size_t>(before.size(), kWidth - 10)),
          characters(before)};
}

}  // namespace

Error located(const Dockerfile& file, Position at, int last_line, Error error) {
  int count = static_cast<int>(file.lines.size());
  int first = std::clamp(at.line, 1, std::max(count, 1));
  int last = std::clamp(last_line, first, std::max(count, first));
  std::string text = fmt::format("{}:{}:{}: {}\n", shown(file.name, 200), at.line, at.column,
                                 shown(error.message, kLongestSentence));
  int end = std::min({last + kAround, first + kMostMarked + kAround, count});
  for (int number = std::max(first - kAround, 1); number <= end; ++number) {
    const std::string& line = file.lines[static_cast<std::size_t>(number - 1)];
    bool is_place = number == first;
    Excerpt excerpt = excerpt_of(line, is_place ? at.column : 1);
    bool marked = number >= first && number <= last;
    std::string row = fmt::format("{:>5} {} {}", number, marked ? '>' : '|', excerpt.text);
    row.erase(row.find_last_not_of(' ') + 1);
    text += row + "\n";
    if (is_place) text += fmt::format("      | {}^\n", std::string(excerpt.mark, ' '));
  }
  text.pop_back();
  error.message = std::move(text);
  return error;
}

}  // namespace berth::dockerfile

// SPDX-License-Identifier: Apache-2.0
// Options as help shows them. The layout is pflag's: two columns, the second one wrapped with up to five
// characters of grace so that no single short word is left on a line of its own.
#include <algorithm>

#include "cli/flags/flags.h"

namespace berth::cli {
namespace {

constexpr std::size_t kGrace = 5;
constexpr std::size_t kNarrow = 24;  // a second column smaller than this starts on the next line instead

std::string left_side(const FlagSpec& flag) {
  std::string left = flag.shorthand ? fmt::format("  -{}, --{}", flag.shorthand, flag.name)
                                    : fmt::format("      --{}", flag.name);
  if (!flag.type.empty()) left.append(" ").append(flag.type);
  return left;
}

std::string right_side(const FlagSpec& flag) {
  std::string right(flag.help);
  bool zero = flag.standard.empty() || flag.standard == "false" || flag.standard == "0";
  if (zero) return right;
  if (flag.type == "string") return right + fmt::format(" (default \"{}\")", flag.standard);
  return right + fmt::format(" (default {})", flag.standard);
}

// Takes the words of one line of at most `width` off the front of `text`.
std::string_view take_line(std::string_view& text, std::size_t width) {
  std::string_view line = text;
  if (width + kGrace <= text.size()) {
    std::size_t blank = text.substr(0, width).find_last_of(" \t\n");
    std::size_t newline = text.substr(0, width).rfind('\n');
    if (newline != text.npos && newline > 0) blank = newline;
    if (blank != text.npos && blank > 0) {
      line = text.substr(0, blank);
      text.remove_prefix(blank + 1);
      return line;
    }
  }
  text = {};
  return line;
}

std::string wrap(std::string_view text, std::size_t indent, std::size_t columns) {
  std::string out;
  std::size_t width = columns > indent ? columns - indent : 0;
  if (width < kNarrow) {
    indent = 16;
    width = columns > indent ? columns - indent : 0;
    out = "\n" + std::string(indent, ' ');
  }
  if (width < kNarrow) return out + std::string(text);
  bool first = true;
  while (!text.empty()) {
    if (!first) out += "\n" + std::string(indent, ' ');
    first = false;
    for (char c : take_line(text, width - kGrace)) {
      out += c;
      if (c == '\n') out += std::string(indent, ' ');
    }
  }
  return out;
}

}  // namespace

std::string describe_flags(std::span<const FlagSpec> table, std::size_t columns) {
  std::vector<const FlagSpec*> shown;
  for (const FlagSpec& flag : table)
    if (!flag.hidden && flag.stands_for.empty()) shown.push_back(&flag);
  std::ranges::sort(shown, {}, &FlagSpec::name);
  std::size_t widest = 0;
  for (const FlagSpec* flag : shown) widest = std::max(widest, left_side(*flag).size());
  std::string out;
  for (const FlagSpec* flag : shown) {
    std::string left = left_side(*flag);
    left.resize(widest, ' ');
    out += left + "   " + wrap(right_side(*flag), widest + 3, columns) + "\n";
  }
  return out;
}

}  // namespace berth::cli

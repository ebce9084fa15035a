// SPDX-License-Identifier: Apache-2.0
#include "cli/output/table.h"

#include <algorithm>
#include <vector>

#include "base/text.h"

namespace berth::cli {
namespace {

std::size_t runes(std::string_view text) {
  return static_cast<std::size_t>(std::ranges::count_if(text, [](char c) { return (c & 0xc0) != 0x80; }));
}

using Line = std::vector<std::string_view>;

class Aligner {
 public:
  Aligner(std::size_t minimum, std::size_t padding) : minimum_(minimum), padding_(padding) {}

  std::string run(const std::vector<Line>& lines) {
    block(lines, 0, lines.size());
    out_.pop_back();  // the newline behind the last line is not in the text
    return std::move(out_);
  }

 private:
  // Lines [from, to) share the columns whose widths are known; finds the runs that have one column more.
  void block(const std::vector<Line>& lines, std::size_t from, std::size_t to) {
    std::size_t column = widths_.size();
    while (from < to) {
      std::size_t end = from;
      std::size_t width = minimum_;
      for (; end < to && lines[end].size() > column + 1; ++end)
        width = std::max(width, runes(lines[end][column]) + padding_);
      if (end == from) {
        write(lines[from++]);
        continue;
      }
      widths_.push_back(width);
      block(lines, from, end);
      widths_.pop_back();
      from = end;
    }
  }

  void write(const Line& line) {
    for (std::size_t i = 0; i < line.size(); ++i) {
      out_ += line[i];
      if (i < widths_.size()) out_.append(widths_[i] - runes(line[i]), ' ');
    }
    out_ += '\n';
  }

  std::size_t minimum_;
  std::size_t padding_;
  std::vector<std::size_t> widths_;
  std::string out_;
};

}  // namespace

std::string align_columns(std::string_view text, std::size_t minimum, std::size_t padding) {
  std::vector<Line> lines;
  for (std::string_view line : split(text, '\n')) lines.push_back(split(line, '\t'));
  return Aligner(minimum, padding).run(lines);
}

}  // namespace berth::cli

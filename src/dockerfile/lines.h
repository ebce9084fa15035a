// SPDX-License-Identifier: Apache-2.0
// The lowest layer of a Dockerfile: lines, comments, parser directives, and lines that go on in the next one.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "dockerfile/dockerfile.h"

namespace berth::dockerfile {

bool is_blank(char c) noexcept;
std::string_view trim_blanks(
    std::string_view text) noexcept;  // what is left points into `text`, even if empty
// The first word and what follows it, without the blanks between.
std::pair<std::string_view, std::string_view> split_word(std::string_view text) noexcept;

// An instruction's text, put together from its lines.
struct LogicalLine {
  struct Piece {
    std::size_t offset = 0;  // in `text`
    Position at;
  };
  std::string text;
  std::vector<Piece> pieces;
  std::string comment;  // the lines directly above
  int last_line = 0;

  Position position(std::size_t offset) const;
};

class LineReader {
 public:
  explicit LineReader(std::string_view text, char escape = '\\') : rest_(text), escape_(escape) {}

  // Only before anything else is read.
  Result<Directives> directives();

  // The next instruction; comments and lines without text are passed over.
  std::optional<LogicalLine> next();
  // The next line as it is, with its line feed: heredocs.
  std::optional<std::string_view> raw();

  int line() const noexcept { return line_; }  // of what was read last
  // The first line without text inside of an instruction, if the last one had such.
  const std::optional<Position>& empty_continuation() const noexcept { return empty_continuation_; }

 private:
  bool append(LogicalLine& line, std::string_view content, int column);

  std::string_view rest_;
  char escape_;
  int line_ = 0;
  std::optional<Position> empty_continuation_;
};

}  // namespace berth::dockerfile

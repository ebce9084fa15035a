// SPDX-License-Identifier: Apache-2.0
// What steps of a build print, and what Dockerfiles say, made harmless for a terminal: no control character,
// no escape sequence, nothing that turns the direction of writing around.
#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace berth::cli {

// A line without its newline. Escape sequences go, tabs become blanks, bytes that are no character "?".
std::string clean_line(std::string_view text);
// The same of several lines.
std::string clean_text(std::string_view text);

// How many columns of a terminal a clean line takes, and as much of it as fits into `columns`; what is cut
// ends in an ellipsis.
std::size_t columns_of(std::string_view clean);
std::string cut_to_columns(std::string_view clean, std::size_t columns);

// Output that comes in pieces, as clean lines. Of a line that is written over (with "\r") the last is meant.
class OutputLines {
 public:
  static constexpr std::size_t kLongest = 16u << 10;  // of a line, in bytes; what is longer is several

  std::vector<std::string> take(std::string_view data);  // those that are whole now
  std::string unfinished() const;                        // what there is of the next one
  std::vector<std::string> finish();

 private:
  std::string pending_;
};

}  // namespace berth::cli

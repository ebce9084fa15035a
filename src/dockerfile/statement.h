// SPDX-License-Identifier: Apache-2.0
// One instruction while it is read: its text, and the place where something is wrong with it. All views that
// the readers hand around point into that text, so that the place of any part is known.
#pragma once
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "dockerfile/dockerfile.h"
#include "dockerfile/lines.h"

namespace berth::dockerfile {

class Statement {
 public:
  Statement(const LogicalLine& line, char escape) : line_(line), escape_(escape) {}
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;

  std::string_view text() const noexcept { return trim_blanks(line_.text); }
  char escape() const noexcept { return escape_; }
  Position at(std::string_view part) const {
    return line_.position(static_cast<std::size_t>(part.data() - line_.text.data()));
  }
  Word word(std::string_view part) const { return {std::string(part), at(part)}; }

  // Fails, and notes that `part` is what is wrong.
  template <class... Args>
  std::unexpected<Error> fail_at(std::string_view part, fmt::format_string<Args...> format,
                                 Args&&... arguments) {
    wrong_ = at(part);
    return fail(ErrorKind::invalid, format, std::forward<Args>(arguments)...);
  }
  template <class... Args>
  std::unexpected<Error> fail_at_position(Position at, fmt::format_string<Args...> format,
                                          Args&&... arguments) {
    wrong_ = at;
    return fail(ErrorKind::invalid, format, std::forward<Args>(arguments)...);
  }
  Position wrong() const { return wrong_.line ? wrong_ : at(text()); }

 private:
  const LogicalLine& line_;
  char escape_;
  Position wrong_;
};

// Parts between blanks.
std::vector<std::string_view> blank_separated(std::string_view text);
// The same, where quotes and escapes hold a word together. They stay in it.
std::vector<std::string_view> quoted_words(std::string_view text, char escape);

// A JSON list of strings; nothing where the text is no JSON list, which means it is a shell's. A list of
// other things is an error.
Result<std::optional<std::vector<std::string>>> string_list(Statement& statement, std::string_view text);

// "<<NAME" as it stands in an instruction.
struct HeredocStart {
  std::string_view text;  // "<<-'EOF'"
  std::string name;
  bool expand = true;
  bool strip_tabs = false;
};
// Those of a whole statement, in order. In a shell's text (RUN) a name ends where the shell would end it.
Result<std::vector<HeredocStart>> heredoc_starts(Statement& statement, std::string_view text, bool shell);
// Reads their contents, which follow the statement's last line.
Result<std::vector<Heredoc>> read_heredocs(Statement& statement, LineReader& lines,
                                           const std::vector<HeredocStart>& starts);

}  // namespace berth::dockerfile

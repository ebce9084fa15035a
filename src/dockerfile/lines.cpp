// SPDX-License-Identifier: Apache-2.0
#include "dockerfile/lines.h"

#include <algorithm>

#include "base/text.h"
#include "dockerfile/suggest.h"

namespace berth::dockerfile {
namespace {

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

std::string_view without_line_end(std::string_view line) {
  while (line.ends_with('\n') || line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

std::string_view without_indent(std::string_view line) {
  while (!line.empty() && is_blank(line.front())) line.remove_prefix(1);
  return line;
}

// "# name = value" as its two parts; nothing if it is any other line.
std::optional<std::pair<std::string, std::string_view>> directive_of(std::string_view line) {
  line = without_indent(without_line_end(line));
  if (!line.starts_with('#')) return std::nullopt;
  std::size_t equals = line.find('=');
  if (equals == std::string_view::npos) return std::nullopt;
  std::string_view name = trim_blanks(line.substr(1, equals - 1));
  std::string_view value = trim_blanks(line.substr(equals + 1));
  bool is_name = !name.empty() && is_letter(name.front()) &&
                 std::ranges::all_of(name, [](char c) { return is_letter(c) || is_digit(c); });
  if (!is_name || value.empty()) return std::nullopt;
  return std::pair(to_lower(name), value);
}

}  // namespace

bool is_blank(char c) noexcept { return c == ' ' || (c >= '\t' && c <= '\r'); }

std::string_view trim_blanks(std::string_view text) noexcept {
  while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
  return text;
}

std::pair<std::string_view, std::string_view> split_word(std::string_view text) noexcept {
  std::size_t end = 0;
  while (end < text.size() && !is_blank(text[end])) ++end;
  return {text.substr(0, end), trim_blanks(text.substr(end))};
}

Position LogicalLine::position(std::size_t offset) const {
  if (pieces.empty()) return {};
  auto after = std::ranges::upper_bound(pieces, offset, {}, &Piece::offset);
  const Piece& piece = after == pieces.begin() ? pieces.front() : *std::prev(after);
  return {piece.at.line, piece.at.column + static_cast<int>(offset - piece.offset)};
}

std::optional<std::string_view> LineReader::raw() {
  if (rest_.empty()) return std::nullopt;
  std::size_t end = rest_.find('\n');
  std::string_view line = rest_.substr(0, end == std::string_view::npos ? end : end + 1);
  rest_.remove_prefix(line.size());
  ++line_;
  return line;
}

Result<Directives> LineReader::directives() {
  Directives found;
  bool has_escape = false;
  bool has_syntax = false;
  bool has_check = false;
  while (!rest_.empty()) {
    auto directive = directive_of(rest_.substr(0, rest_.find('\n')));
    if (!directive) break;
    const auto& [name, value] = *directive;
    bool* seen = name == "escape"   ? &has_escape
                 : name == "syntax" ? &has_syntax
                 : name == "check"  ? &has_check
                                    : nullptr;
    if (!seen) break;  // a comment, and those end the directives
    raw();
    if (std::exchange(*seen, true))
      return fail(ErrorKind::invalid, "only one {} parser directive can be used", name);
    if (name == "syntax") found.syntax = value;
    if (name == "check") found.check = value;
    if (name != "escape") continue;
    if (value != "\\" && value != "`")
      return fail(ErrorKind::invalid, "invalid escape token '{}' does not match ` or \\", shown(value));
    found.escape = escape_ = value.front();
  }
  return found;
}

// Says whether the line goes on in the next one. An escape that an escape stands before is none.
bool LineReader::append(LogicalLine& line, std::string_view content, int column) {
  line.pieces.push_back({line.text.size(), {line_, column}});
  std::size_t last = content.find_last_not_of(" \t");
  bool goes_on = last != std::string_view::npos && content[last] == escape_ &&
                 (last == 0 || content[last - 1] != escape_);
  line.text += goes_on ? content.substr(0, last) : content;
  line.last_line = line_;
  return goes_on;
}

std::optional<LogicalLine> LineReader::next() {
  empty_continuation_.reset();
  LogicalLine line;
  bool goes_on = false;
  while (std::optional<std::string_view> raw_line = raw()) {
    std::string_view whole = without_line_end(*raw_line);
    std::string_view content = without_indent(whole);
    if (content.starts_with('#')) {
      if (goes_on) continue;
      if (!line.comment.empty()) line.comment += '\n';
      line.comment += trim_blanks(content.substr(1));
    } else if (content.empty()) {
      if (!goes_on) line.comment.clear();
      if (goes_on && !empty_continuation_) empty_continuation_ = Position{line_, 1};
    } else if (goes_on) {
      goes_on = append(line, whole, 1);  // with its indent, as Docker takes it
    } else {
      goes_on = append(line, content, static_cast<int>(whole.size() - content.size()) + 1);
    }
    if (goes_on || line.pieces.empty()) continue;
    if (!trim_blanks(line.text).empty()) return line;
    line = LogicalLine{};  // lines of nothing but escapes
  }
  if (trim_blanks(line.text).empty()) return std::nullopt;
  return line;
}

}  // namespace berth::dockerfile
